"""Which Asterisk a machine gets, and that the stack ends only what it started.

The machine is made up: tiny programs on its PATH stand in for docker, podman, asterisk and mmdebstrap.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hearline.cli.app import app
from hearline.core.settings import Settings
from hearline.ops import asterisk as ways
from hearline.ops import stack as stacks
from hearline.ops.asterisk import AsteriskUnavailable, Installed, RootFolder
from hearline.ops.stack import Stack, StackError, choose
from hearline.pbx.version import version_of, whispers_into_silence

ENGINE = """
echo "$@" >> "$0.log"
case "$*" in
    info*|"compose version") exit 0;;
    *" exec "*) echo "Asterisk has fully booted.";;
esac
"""
ENGINE_DOWN = 'echo "Cannot connect to the daemon" >&2; exit 1'
ENGINE_WITHOUT_COMPOSE = '[ "$1" = info ]'


class Machine:
    """A machine with only the programs that a test gives it."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.cache = folder / "cache"
        self.bin.mkdir()

    def has(self, program: str, script: str) -> Path:
        path = self.bin / program
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def has_asterisk(self, version: str) -> Path:
        return self.has("asterisk", f"echo 'Asterisk {version}'")

    def log(self, program: str) -> list[str]:
        file = self.bin / f"{program}.log"
        return file.read_text().splitlines() if file.exists() else []

    def has_root_folder(self) -> Path:
        root = self.cache / "asterisk-forky"
        (root / "usr/lib/x86_64-linux-gnu/asterisk/modules").mkdir(parents=True, exist_ok=True)
        (root / "usr/sbin").mkdir(exist_ok=True)
        (root / "usr/sbin/asterisk").touch()
        return root


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    machine = Machine(tmp_path)
    monkeypatch.setenv("PATH", f"{machine.bin}:/usr/bin:/bin")
    monkeypatch.setattr(ways, "PLACES", str(machine.bin))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for program in ("docker", "docker-compose", "podman", "mmdebstrap"):  # this machine may have real ones
        machine.has(program, ENGINE_DOWN)
    stacks._compose_command.cache_clear()
    yield machine
    stacks._compose_command.cache_clear()


# ---- versions --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("Asterisk 22.10.1~dfsg+~cs6.15.60671435-1", (22, 10)),
        ("Asterisk 23.1.0", (23, 1)),
        ("Asterisk certified/22.8-cert1", (22, 8)),
        ("Asterisk GIT-master-8a1f2c4", (0, 0)),
        ("sh: 12.4 is not a command", (0, 0)),
        ("", (0, 0)),
    ],
)
def test_the_version_is_read_from_what_asterisk_says(text, version):
    assert version_of(text) == version


@pytest.mark.parametrize("version", ["22.10.0", "22.10.1~dfsg-1", "22.11.0-rc1", "23.1.0"])
def test_an_installed_asterisk_is_taken_from_22_10_on(machine, version):
    binary = machine.has_asterisk(version)
    assert ways.installed() == Installed(str(binary))


@pytest.mark.parametrize(
    ("version", "does"), [("22.10.1", False), ("22.11.0", True), ("23.4.0", False), ("23.5.0", True), ("none", False)]
)
def test_what_its_version_says_of_whispers_into_silence(machine, version, does):
    asterisk = Installed(str(machine.has_asterisk(version)))
    assert whispers_into_silence(asterisk.version()) is does


@pytest.mark.parametrize("version", ["22.9.0", "22.1.10", "20.19.0", "certified/22.8-cert1"])
def test_an_older_one_is_left_alone(machine, version):
    machine.has_asterisk(version)
    assert ways.installed() is None


@pytest.mark.parametrize("script", ["exit 127", "echo nonsense", "kill -9 $$"])
def test_a_broken_one_is_left_alone(machine, script):
    machine.has("asterisk", script)
    assert ways.installed() is None


def test_a_file_that_cannot_be_run_is_left_alone(machine):
    (machine.bin / "asterisk").write_text("no program")
    (machine.bin / "asterisk").chmod(0o755)
    assert ways.installed() is None


def test_without_asterisk_there_is_none(machine):
    assert ways.installed() is None


# ---- the choice ------------------------------------------------------------------------------------------------------
def test_a_container_comes_first(machine):
    machine.has("docker", ENGINE)
    machine.has_asterisk("23.1.0")
    assert choose(None, machine.cache) is None
    assert stacks._compose_command() == ["docker", "compose"]


def test_podman_will_do(machine):
    machine.has("podman", ENGINE)
    assert choose(None, machine.cache) is None
    assert stacks._compose_command() == ["podman", "compose"]


def test_compose_of_the_first_version_will_do(machine, tmp_path):
    machine.has("docker", ENGINE_WITHOUT_COMPOSE)
    machine.has("docker-compose", ENGINE)
    assert choose(None, machine.cache) is None
    stack = Stack(Settings(state=tmp_path / "state", cache=machine.cache))
    stack.up(server=False)
    [up] = [line for line in machine.log("docker-compose") if " up " in line]
    assert up.startswith("--project-name hearline-") and "/compose.private.yaml up --detach" in up


def test_compose_without_an_engine_is_no_way(machine):
    """Its version can be asked of the command alone."""
    machine.has("docker-compose", ENGINE)
    binary = machine.has_asterisk("22.10.1")
    assert choose(None, machine.cache) == Installed(str(binary))


def test_an_engine_without_compose_is_called_that(machine):
    machine.has("docker", ENGINE_WITHOUT_COMPOSE)
    with pytest.raises(StackError, match=r"neither `docker compose` \(v2\) nor `docker-compose` \(v1\): install"):
        choose("container", machine.cache)


@pytest.mark.parametrize("engine", [ENGINE_DOWN, ENGINE_WITHOUT_COMPOSE])
def test_without_a_container_engine_the_installed_one_is_used(machine, engine):
    machine.has("docker", engine)
    binary = machine.has_asterisk("22.10.1")
    assert choose(None, machine.cache) == Installed(str(binary))


def test_where_the_installed_one_is_too_old_a_root_folder_is(machine):
    machine.has_asterisk("22.9.0")
    root = machine.has_root_folder()
    assert choose(None, machine.cache) == RootFolder(root)


def test_what_is_asked_for_wins(machine):
    machine.has("docker", ENGINE)
    binary = machine.has_asterisk("22.10.1")
    root = machine.has_root_folder()
    assert choose("container", machine.cache) is None
    assert choose("installed", machine.cache) == Installed(str(binary))
    assert choose("root", machine.cache) == RootFolder(root)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("container", "no container engine answers"),
        ("installed", "no Asterisk 22.10 or newer"),
        ("vm", "'vm' is not a way to run Asterisk: use container, installed, root"),
    ],
)
def test_what_is_asked_for_and_not_there_is_an_error(machine, kind, message):
    machine.has_asterisk("22.9.0")
    machine.has_root_folder()  # there would be another way
    with pytest.raises(StackError, match=message):
        choose(kind, machine.cache)


# ---- the root folder -------------------------------------------------------------------------------------------------
def test_the_root_folder_is_bootstrapped_once_and_tells_of_it(machine):
    machine.has(
        "mmdebstrap",
        'echo "$@" >> "$0.log"; echo "I: installing" >&2\n'
        'for last; do :; done; mkdir -p "$last/usr/sbin"; touch "$last/usr/sbin/asterisk"',
    )
    said = []
    for _ in range(2):
        assert ways.root_folder(machine.cache, said.append).root == machine.cache / "asterisk-forky"
    assert len(machine.log("mmdebstrap")) == 1
    assert "--include=asterisk," in machine.log("mmdebstrap")[0]
    assert said[-1] == "installing"


def test_another_mirror_can_be_named(machine, monkeypatch):
    monkeypatch.setenv("HEARLINE_MIRROR", "http://mirror.example/debian")
    machine.has("mmdebstrap", 'echo "$@" >> "$0.log"; exit 1')
    with pytest.raises(AsteriskUnavailable):
        ways.root_folder(machine.cache)
    assert machine.log("mmdebstrap")[0].endswith("http://mirror.example/debian")


def test_a_bootstrap_that_fails_says_why_and_leaves_nothing(machine):
    machine.has(
        "mmdebstrap",
        'for last; do :; done; mkdir -p "$last/usr"\n'
        'echo "E: the mirror is gone" >&2; echo "I: removing tempdir" >&2; exit 25',
    )
    with pytest.raises(AsteriskUnavailable, match="E: the mirror is gone"):
        ways.root_folder(machine.cache)
    assert [path.name for path in machine.cache.iterdir() if path.is_dir()] == []


def test_without_mmdebstrap_there_is_a_remedy(machine, monkeypatch):
    monkeypatch.setenv("PATH", str(machine.bin))
    (machine.bin / "mmdebstrap").unlink()
    with pytest.raises(AsteriskUnavailable, match="make setup"):
        ways.root_folder(machine.cache)


def test_who_is_not_root_is_told_the_other_ways(machine, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(AsteriskUnavailable, match="Docker or Podman.*or run this as root"):
        choose(None, machine.cache)


def test_the_root_folder_has_modules_and_is_entered_in_a_mount_namespace_of_its_own(machine, tmp_path):
    way = RootFolder(machine.has_root_folder())
    assert way.modules_dir() == "/usr/lib/x86_64-linux-gnu/asterisk/modules"
    command = way.start_command(tmp_path / "etc/asterisk.conf", [tmp_path, tmp_path / "absent"])
    assert command[:4] == ["unshare", "--mount", "--propagation", "private"]
    assert str(tmp_path) in command and str(tmp_path / "absent") not in command
    assert subprocess.run(["sh", "-n", "-c", command[command.index("-ec") + 1]]).returncode == 0


def test_an_asterisk_without_modules_is_an_error(tmp_path):
    with pytest.raises(AsteriskUnavailable, match="no Asterisk modules"):
        RootFolder(tmp_path).modules_dir()


# ---- containers ------------------------------------------------------------------------------------------------------
@pytest.fixture
def stack(machine, tmp_path) -> Stack:
    return Stack(Settings(state=tmp_path / "state", cache=machine.cache))


def verbs(machine: Machine) -> list[str]:
    """What compose was told, without its options."""
    told = [line.split() for line in machine.log("docker") if "--project-name" in line]
    return [words[words.index("--file") + 2] for words in told]


def test_a_container_is_built_started_asked_and_ended(machine, stack):
    machine.has("docker", ENGINE)
    running = stack.up(server=False)
    assert running.kind == "container"
    assert verbs(machine) == ["build", "up", "exec", "exec"]
    assert "astmoddir => /opt/asterisk-modules" in (stack.home / "etc/asterisk.conf").read_text()
    stack.down()
    assert verbs(machine)[-1] == "down" and stack.running is None


def test_up_again_leaves_a_running_container_alone(machine, stack):
    machine.has("docker", ENGINE)
    first = stack.up(server=False)
    again = Stack(stack.settings)
    assert again.up(server=False) == first
    assert verbs(machine).count("up") == 1


def test_each_stack_has_containers_of_its_own(machine, stack, tmp_path):
    machine.has("docker", ENGINE)
    other = Stack(Settings(state=tmp_path / "other"))
    stack.up(server=False)
    other.up(server=False)
    projects = {line.split()[2] for line in machine.log("docker") if "--project-name" in line}
    assert len(projects) == 2 and all(name.startswith("hearline-") for name in projects)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, []),
        ({"kind": "container"}, []),
        ({"kind": "root"}, ["with --kind container, not root"]),
        ({"listen": "127.0.0.2"}, ["with --listen 127.0.0.1, not 127.0.0.2"]),
        ({"always_open": True}, ["without --always-open"]),
        ({"kind": "installed", "always_open": True}, ["with --kind container, not installed", "without --always-open"]),
    ],
)
def test_what_was_started_otherwise_is_told_option_by_option(machine, stack, asked, told):
    machine.has("docker", ENGINE)
    stack.up(server=False)
    options = {"listen": "127.0.0.1", "kind": None, "always_open": False} | asked
    assert Stack(stack.settings).differences(**options) == [f"it runs already {text}" for text in told]
    assert Stack(stack.settings, verbose=3).differences(**options)[-1] == "it runs already with --verbose 0, not 3"


def test_up_again_with_other_options_says_so_and_what_to_do(machine, stack, monkeypatch):
    machine.has("docker", ENGINE)
    stack.up(server=False)
    monkeypatch.setenv("HEARLINE_STATE", str(stack.settings.state))
    monkeypatch.setattr(Stack, "start_server", lambda *_: None)
    monkeypatch.setattr(stacks, "PAGE_S", 0.0)
    answer = CliRunner().invoke(app, ["stack", "up", "--listen", "127.0.0.2"])
    assert answer.exit_code == 0, answer.output
    assert "it runs already with --listen 127.0.0.1, not 127.0.0.2" in answer.stderr
    assert "`hearline stack down`, then this again" in answer.stderr


def test_a_container_that_cannot_be_built_says_why(machine, stack):
    machine.has("docker", ENGINE + 'case "$*" in *" build") echo "no space left" >&2; exit 1;; esac')
    with pytest.raises(StackError, match="build failed: no space left"):
        stack.up(server=False)


def test_a_container_whose_engine_is_gone_is_remembered_until_it_could_be_ended(machine, stack):
    machine.has("docker", ENGINE)
    stack.up(server=False)
    machine.has("docker", ENGINE + 'case "$*" in *" down "*) echo "Cannot connect to the daemon" >&2; exit 1;; esac')
    with pytest.raises(StackError, match="down failed: Cannot connect to the daemon"):
        stack.down()
    (machine.bin / "docker").unlink()
    with pytest.raises(StackError, match="down failed"):
        stack.down()
    assert not stack.asterisk_alive(), "asked of an engine that is not there"
    machine.has("docker", ENGINE)
    Stack(stack.settings).down()
    assert Stack(stack.settings).running is None


def test_podmans_word_about_its_compose_program_does_not_hide_the_reason(machine, stack):
    said = 'echo "no space left" >&2; echo "Error: executing /usr/bin/podman-compose build: exit status 1" >&2'
    machine.has("podman", ENGINE + f'case "$*" in *" build") {said}; exit 1;; esac')
    with pytest.raises(StackError, match="build failed: no space left$"):
        stack.up(server=False)


def test_a_container_that_was_left_behind_is_not_taken_for_the_new_one(machine, stack):
    machine.has("docker", ENGINE)
    stack.up(server=False)
    assert any(line.endswith(" up --detach --force-recreate") for line in machine.log("docker"))


def test_preparing_starts_nothing(machine, stack):
    machine.has("docker", ENGINE)
    assert stack.prepare() == "container"
    assert verbs(machine) == ["build"]


# ---- what is ours ----------------------------------------------------------------------------------------------------
def test_whether_somebody_takes_connections():
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        assert stacks.listens(f"0.0.0.0:{port}", 0.0) and stacks.listens(f"127.0.0.1:{port}", 0.0)
    assert not stacks.listens(f"127.0.0.1:{port}", 0.1)


def test_a_process_that_is_not_ours_is_never_ended(stack):
    """The file names a pid that has since been given to another program."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)  # hearline"]) as other:
        while not Path(f"/proc/{other.pid}/cmdline").read_bytes():
            time.sleep(0.01)  # in the middle of its exec
        stack.home.mkdir(parents=True)
        state = {"kind": "root folder", "listen": "127.0.0.1", "sip_port": 5070, "agi": "127.0.0.1:1"}
        state |= {"media": "127.0.0.1:2", "status": "127.0.0.1:3", "asterisk_pid": other.pid, "server_pid": other.pid}
        (stack.home / "stack.json").write_text(json.dumps(state))
        found = Stack(stack.settings)
        assert not found.asterisk_alive()
        found.down()
        assert other.poll() is None, "somebody else's process was ended"
        other.kill()
    assert not (stack.home / "stack.json").exists()


def test_a_process_of_ours_is_known_by_its_start(stack, monkeypatch):
    """Even the same command under the same pid is another process when it began at another time."""
    monkeypatch.setattr(stack, "console", lambda command: "")
    with subprocess.Popen(["sleep", "30"]) as ours:
        stack.running = stacks.Running("root", "127.0.0.1", 5070, "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")
        stack.home.mkdir(parents=True)
        started = stacks._started(ours.pid)
        assert started > 0
        stack.running.asterisk_pid = stack.running.server_pid = ours.pid
        for earlier in (0, started - 1):
            stack.running.asterisk_started = stack.running.server_started = earlier
            assert not stack.asterisk_alive()
            stack.stop_server()
            assert ours.poll() is None, "somebody else's process was ended"
        stack.running.asterisk_pid, stack.running.asterisk_started = ours.pid, started
        stack._write()
        found = Stack(stack.settings)
        assert found.asterisk_alive(), "another process finds it again"
        ours.kill()
        while stacks._started(ours.pid):
            time.sleep(0.01)  # until it is a zombie
        assert not found.asterisk_alive()
    assert stacks._started(0) == 0


def test_a_broken_state_file_counts_as_nothing_running(stack):
    stack.home.mkdir(parents=True)
    (stack.home / "stack.json").write_text('{"kind": "container"')
    assert Stack(stack.settings).running is None


def test_a_port_that_is_taken_is_left_to_its_owner():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert stacks._free(port, socket.SOCK_DGRAM) != port
    assert stacks._free(port, socket.SOCK_DGRAM) == port


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("agi", "203.0.113.7:4573", "HEARLINE_AGI 203.0.113.7 is not an address of this machine"),
        ("media", "9092", "HEARLINE_MEDIA: '9092' is not an address: write HOST:PORT"),
    ],
)
def test_an_address_of_the_environment_is_called_by_its_variable(machine, tmp_path, variable, text, says):
    machine.has("docker", ENGINE)
    with pytest.raises(StackError, match=says):
        Stack(Settings(state=tmp_path / "state", **{variable: text})).up()
    assert verbs(machine) == [], "nothing was started"


def test_the_private_asterisk_and_its_server_find_each_other_whatever_the_shell_has(machine, tmp_path, monkeypatch):
    monkeypatch.setenv("HEARLINE_ALLOW", "10.0.0.7")
    monkeypatch.setenv("HEARLINE_AMI_USER", "somebody")
    machine.has("docker", ENGINE)
    stack = Stack(Settings(state=tmp_path / "state", agi="127.0.0.2:14999"))
    stack.up(server=False)
    environment = stack.server_environment()
    assert environment["HEARLINE_ALLOW"] == "127.0.0.0/8,127.0.0.1,127.0.0.2"
    etc = stack.home / "etc"
    assert f"[{environment['HEARLINE_AMI_USER']}]" in (etc / "manager.conf").read_text()
    assert f"agi://{stack.running.agi}" in (etc / "hearline-globals.conf").read_text()
    assert stack.running.agi.startswith("127.0.0.2:")


def test_an_address_that_is_not_this_machines_is_an_error():
    with pytest.raises(StackError, match="--listen 203.0.113.7 is not an address of this machine: give one"):
        stacks._free(5070, socket.SOCK_DGRAM, "203.0.113.7", "--listen")


def test_a_sip_port_that_somebody_has_just_taken_is_no_stack(machine, stack, monkeypatch):
    """Asterisk comes up all the same, without a transport: phones would reach the other one."""
    answers = {"core waitfullybooted": "Asterisk has fully booted.", "pjsip show transports": "No objects found."}
    monkeypatch.setattr(stack, "console", lambda command: answers.get(command, ""))
    machine.has("docker", ENGINE)
    with pytest.raises(StackError, match="has just taken SIP port"):
        stack.up(server=False)
    assert stack.running is None


def test_a_compose_that_never_ends_is_an_error(machine, stack, monkeypatch):
    monkeypatch.setattr(stacks, "BUILD_S", 0.3)
    machine.has("docker", 'case "$*" in info*|"compose version") exit 0;; esac\nexec sleep 60')
    with pytest.raises(StackError, match="compose build did not end within"):
        stack.up(server=False)
