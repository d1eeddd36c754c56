"""Hearline comes to an Asterisk in use, takes a call there, and goes: nothing that Asterisk lists is different then.
This Asterisk has its files as Debian ships them, or of FreePBX 17's shape, and a network of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asterisk_trees import freepbx_box
from hearline.core.settings import Settings
from hearline.install import run
from hearline.install.order import Order
from hearline.install.reload import COMMANDS
from hearline.install.wanted import Wishes
from hearline.ops.asterisk import AsteriskUnavailable, RootFolder, root_folder
from whole_trees import differences, shown
from world import REPO, SOUNDS, until

MEMORY_DENY_WRITE_EXECUTE = """
import ctypes, runpy
assert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0, "PR_SET_MDWE"
runpy.run_module("hearline", run_name="__main__")
"""
LISTS = (
    "dialplan show", "manager show users", "manager show settings", "features show", "module show", "database show",
    "queue show", "moh show classes",
)  # fmt: skip
NUMBER = "8001"  # open at any hour
THEIRS = {"debian": "demo", "freepbx": "ext-queues"}  # a context of their own
IN = f"\n[from-trunk]\nexten => {NUMBER},1,Goto(hearline,${{EXTEN}},1)\n"


class Distribution:
    """An Asterisk with files as the profile ``name`` expects them, in a network namespace."""

    def __init__(self, way: RootFolder, box: Path, name: str) -> None:
        self.box, self.way, self.name = box, way, name
        self.asterisk = box / "etc" / "asterisk"
        if name == "debian":
            self.asterisk.parent.mkdir(parents=True)
            subprocess.run(["cp", "--archive", way.root / "etc/asterisk", self.asterisk], check=True)
        else:
            freepbx_box(box)
        self.dialplan = self.asterisk / {"debian": "extensions.conf", "freepbx": "extensions_custom.conf"}[name]
        folders = {"astetcdir": self.asterisk, "astmoddir": way.modules_dir(), "astdatadir": way.data_dir()}
        for name, place in (
            ("astvarlibdir", "lib"), ("astdbdir", "lib"), ("astkeydir", "lib"), ("astagidir", "lib/agi-bin"),
            ("astcachedir", "cache"), ("astspooldir", "spool"), ("astrundir", "run"), ("astlogdir", "log"),
        ):  # fmt: skip
            folders[name] = box / "var" / place
            folders[name].mkdir(parents=True, exist_ok=True)
        self.conf = self.asterisk / "asterisk.conf"
        self.conf.write_text("[directories]\n" + "".join(f"{name} => {place}\n" for name, place in folders.items()))
        self.order = Order(
            asterisk=self.asterisk,
            config=box / "etc/hearline",
            unit=None,
            messages=box / "var/spool/hearline-messages",
            environment={"HEARLINE_SOUNDS": str(SOUNDS)},
        )
        self.journal = box / "var" / "hearline-install.json"

    def start(self) -> None:
        in_own_network = ["unshare", "--net", "sh", "-ec", 'ip link set lo up; exec "$@"', "sh"]
        command = self.way.start_command(self.conf, [self.box, SOUNDS])
        self._process = subprocess.Popen(
            [*in_own_network, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert until(lambda: "fully booted" in (self.console("core waitfullybooted") or ""), 30)

    def stop(self) -> None:
        self.console("core stop now")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    def console(self, command: str) -> str | None:
        done = subprocess.run(
            self.way.console_command(self.conf, self._process.pid, command), capture_output=True, text=True, timeout=60
        )
        return done.stdout if done.returncode == 0 else None

    def in_its_network(self, *command: str, **options) -> subprocess.Popen:
        return subprocess.Popen(["nsenter", f"--target={self._process.pid}", "--net", *command], **options)

    def lists(self) -> dict[str, list[str]]:
        """What Asterisk says it has; without counters and times, which change by themselves."""
        return {command: sorted(map(_lasting, self.console(command).splitlines())) for command in LISTS}

    def install(self) -> run.Done:
        def wish(*seen) -> Wishes:
            return self.order.wish(self.name, *seen)

        return run.install(self.asterisk, self.name, wish, self.order.also(), self.journal, self.console)

    def channels(self) -> list[list[str]]:
        lines = (self.console("core show channels concise") or "").splitlines()
        return [line.split("!") for line in lines if "!" in line]


def _lasting(line: str) -> str:
    """A line of `module show` without its use count, and of `queue show` without the seconds."""
    line = re.sub(r"\(login was \d+ secs ago\)", "", line)
    return re.sub(r"^(\S+\.so\s.*\S)\s+\d+(\s+(?:Not )?Running\s)", r"\1\2", line)


@pytest.fixture(scope="module", params=["debian", "freepbx"])
def distribution(request, tmp_path_factory) -> Iterator[Distribution]:
    try:
        way = root_folder(Settings().cache)
    except AsteriskUnavailable as unavailable:
        pytest.skip(str(unavailable))
    found = Distribution(way, tmp_path_factory.mktemp(request.param) / "box", request.param)
    found.start()
    yield found
    found.stop()
    shutil.rmtree(found.box)


@pytest.fixture
def server(distribution) -> Iterator[Callable[[], subprocess.Popen]]:
    """Starts Hearline's server where this Asterisk finds it, with as little as its unit leaves it: no capability, no
    memory that is both written and run."""
    started: list[subprocess.Popen] = []

    def start() -> subprocess.Popen:
        variables = {
            "HEARLINE_FLOWS": str(distribution.box / "etc/hearline/flows"), "HEARLINE_SOUNDS": str(SOUNDS),
            "HEARLINE_STATE": str(distribution.box.parent / "state"), "HEARLINE_AMI": "127.0.0.1:5038",
            "HEARLINE_AMI_SECRET_FILE": str(distribution.box / "etc/hearline/ami-secret"),
        }  # fmt: skip
        with open(distribution.box.parent / "hearline.log", "wb") as log:
            started.append(
                distribution.in_its_network(
                    "setpriv",
                    "--bounding-set=-all",
                    "--no-new-privs",
                    sys.executable,
                    "-c",
                    MEMORY_DENY_WRITE_EXECUTE,
                    "serve",
                    env=os.environ | variables,
                    cwd=REPO,
                    stderr=log,
                )
            )
        return started[-1]

    yield start
    for process in started:
        process.terminate()
        process.wait(15)


def test_it_comes_takes_a_call_and_goes_without_a_trace(distribution, server):
    there = distribution
    # A reload alone already changes who "created" a context that several modules share: compare reload with reload.
    for command in COMMANDS.values():
        there.console(command)
    time.sleep(0.5)
    tree, lists = shown(there.box / "etc"), there.lists()
    assert any(f"Context '{THEIRS[there.name]}' " in line for line in lists["dialplan show"])

    done = there.install()
    assert done.reloaded == tuple(COMMANDS.values())
    assert "hearline-nuisance" in there.console("features show")
    assert "hearline-assist" in there.console("manager show users")
    assert "[ Context 'hearline-ring'" in there.console("dialplan show hearline-ring")
    context = re.search(r"HEARLINE_QUEUE_CONTEXT=(.*)", there.console("dialplan show globals"))
    assert (context[1] if context else "") == {"debian": "", "freepbx": "ext-queues"}[there.name]
    assert there.install().steps == ()

    with open(there.dialplan, "a") as theirs:
        theirs.write(IN)
    there.console("dialplan reload")
    server()
    log = there.box.parent / "hearline.log"
    assert until(lambda: b"connected to Asterisk's manager interface" in log.read_bytes(), 30)
    assert b"missing" not in log.read_bytes()
    there.console(f"channel originate Local/{NUMBER}@from-trunk application Wait 40")
    assert until(lambda: any(channel[5] == "AudioSocket" for channel in there.channels()), 10), "it is in the IVR"

    with pytest.raises(run.Refused, match=rf"{there.dialplan.name}:\d+.*"):
        run.uninstall(there.journal, there.console)
    there.console("channel request hangup all")
    assert until(lambda: not there.channels(), 15)
    there.dialplan.write_text(there.dialplan.read_text().removesuffix(IN))
    there.console("dialplan reload")

    assert run.uninstall(there.journal, there.console).left == ()
    assert differences(tree, shown(there.box / "etc")) == []
    time.sleep(0.5)  # a reload goes on for a moment after its command has returned
    after = there.lists()
    for command in LISTS:
        assert after[command] == lists[command], command


def test_an_asterisk_that_starts_after_a_half_done_installation_has_its_dialplan(distribution):
    """All lines are there, and none of the files that they include."""
    there = distribution
    there.stop()
    there.start()
    before = there.lists()["dialplan show"]
    there.install()
    shutil.move(there.asterisk / "hearline", there.box / "away")
    there.stop()
    there.start()
    try:
        assert there.lists()["dialplan show"] == before
    finally:
        shutil.move(there.box / "away", there.asterisk / "hearline")
        run.uninstall(there.journal, there.console)
