"""The stack in containers, and softphones that ring it up."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest import mock

import numpy as np
from bench.page.browser import chromium, chromium_path
from bench.page.tab_sound import TAP
from playwright.sync_api import Page

from docker_engine import PUBLIC, Engine
from hearline.audio.wav import read_wav
from hearline.phone.heard import find_prompts
from hearline.phone.judge import prompts_of
from hearline.phone.run import CallResult, Phones

REPO = Path(__file__).resolve().parents[2]
SOUNDS = REPO / "sounds" / "zh"
HOST = REPO / "docker" / "asterisk" / "compose.yaml"
BRIDGE = REPO / "docker" / "asterisk" / "compose.bridge.yaml"
ASTERISK, HEARLINE = "debian:forky-slim", "debian:bookworm-slim"
BASES = {ASTERISK: "forky", HEARLINE: "bookworm"}
SERVICES = {"init": 10_003, "asterisk": 10_002, "hearline": 10_001}  # with their accounts
RUNNING = ("asterisk", "hearline")
PARTS = ("hearline.server.assist", "hearline.server.page")  # processes that the server starts
STACKS = {"host": (HOST, {}), "bridge": (BRIDGE, {"HEARLINE_PUBLIC_ADDRESS": PUBLIC, "HEARLINE_PAGE_ADDRESS": PUBLIC})}
HEALTHY_S = 90.0
READABLE = """import os, sys
for folder, _, names in os.walk(sys.argv[1]):
    for file in (os.path.join(folder, name) for name in names):
        if os.path.isfile(file) and os.access(file, os.R_OK):
            print(file)
"""
"""Prints the files below a folder that this process may read."""
NO_LIMITS = {"HEARLINE_RTPRIO": "0", "HEARLINE_NICE": "0"}  # where even root may not raise them


class Stack:
    """One of the two stacks. As a context manager it is up and healthy inside, and is taken down with its volumes."""

    def __init__(self, engine: Engine, file: Path, folder: Path, **environment: str) -> None:
        self.engine, self.file, self._folder = engine, file, folder
        self._environment = environment | ({} if may_raise_limits() else NO_LIMITS)
        self._takes = itertools.count(1)

    def __enter__(self) -> Stack:
        self.before = self.engine.left()
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self) -> None:
        self.compose("up", "--detach", "--no-build")
        for service in RUNNING:
            self.wait_healthy(service)
        self.card = self.logs("init")

    def down(self) -> None:
        self.compose("down", "--volumes", "--timeout", "10")

    def left(self) -> dict[str, tuple]:
        """What the engine has, by kind, that it had not before this stack, or the other way round. What is about to end
        has 15 s."""
        deadline = time.monotonic() + 15
        while True:
            now = self.engine.left()
            changed = {kind: (was, now[kind]) for kind, was in self.before.items() if was != now[kind]}
            if not changed or time.monotonic() > deadline:
                return changed
            time.sleep(0.5)

    def compose(self, *arguments: str) -> str:
        return self.engine.compose([self.file], *arguments, **self._environment).stdout

    # ---- containers -------------------------------------------------------------------------------------------------
    def inspect(self, service: str) -> dict:
        [found] = self.compose("ps", "--all", "--quiet", service).split()
        return json.loads(self.engine.docker("inspect", found).stdout)[0]

    def logs(self, service: str) -> str:
        done = self.engine.docker("logs", self.inspect(service)["Id"])
        return done.stdout + done.stderr

    def wait_healthy(self, service: str, since: int = 0) -> dict:
        """Wait until the service is healthy, in a process other than ``since``; returns what docker says of it."""
        deadline = time.monotonic() + HEALTHY_S
        while True:
            found = self.inspect(service)
            state = found["State"]
            if state["Pid"] not in (0, since) and state.get("Health", {}).get("Status") == "healthy":
                return found
            assert time.monotonic() < deadline, f"{service} is not healthy: {state}\n{self.logs(service)[-3000:]}"
            time.sleep(0.5)

    def wait_whispers(self) -> None:
        """Wait until agent assist has reached Asterisk, and found out that callers hear no whisper."""
        ask = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9573/ready').read().decode())"
        deadline = time.monotonic() + 30
        while True:
            answer = json.loads(self.compose("exec", "-T", "hearline", "python3", "-c", ask))
            if answer.get("assist", {}).get("whispers"):
                return
            assert time.monotonic() < deadline, answer
            time.sleep(0.5)

    def page(self) -> str:
        """The agents' page, as a browser on this machine gets it."""
        where, trusts = re.search(r"^Agents. page (\S+)$", self.card, re.M)[1], "None"
        if where.startswith("https:"):
            trusted = self._folder / "trusted.pem"
            trusted.write_text(self.compose("exec", "-T", "hearline", "cat", "/var/lib/hearline/page/certificate.pem"))
            trusts = f"ssl.create_default_context(cafile='{trusted}')"
        ask = f"r.urlopen('{where}', timeout=5, context={trusts}).read().decode()"
        return self.engine.inside("python3", "-c", f"import ssl, urllib.request as r; print({ask})")

    def pid(self, service: str) -> int:
        """The main process of a service's container, as this machine sees it."""
        return self.inspect(service)["State"]["Pid"]

    def parts(self) -> list[int]:
        """The processes of agent assist and of the page, in the server's container, as this machine sees them."""
        listed = self.engine.docker("top", self.inspect("hearline")["Id"], "-eo", "pid,args").stdout.splitlines()
        pids = {part: int(line.split()[0]) for part in PARTS for line in listed if part in line.split()}
        return [pids[part] for part in PARTS]

    def readers(self) -> dict[str, set[str]]:
        """The files in the volumes, as ``volume/path``, with the services whose accounts may read them, even where the
        volume is not theirs. Without locks, which hold nothing."""
        containers = {service: self.inspect(service) for service in SERVICES}
        mounts = [mount for one in containers.values() for mount in one["Mounts"] if mount["Type"] == "volume"]
        volumes = {mount["Name"]: f"/volumes/{mount['Name'].rpartition('_')[2]}" for mount in mounts}
        everything = [f"--volume={name}:{place}:ro" for name, place in volumes.items()]
        found: dict[str, set[str]] = {}
        for service, one in containers.items():
            account = [f"--user={one['Config']['User']}"]
            account += [f"--group-add={group}" for group in one["HostConfig"]["GroupAdd"] or ()]
            run = ["run", "--rm", "--network=none", "--cap-drop=ALL", *everything, *account, "--entrypoint=python3"]
            for file in self.engine.docker(*run, "hearline", "-c", READABLE, "/volumes").stdout.splitlines():
                if not file.endswith(".lock"):
                    found.setdefault(file.removeprefix("/volumes/"), set()).add(service)
        return found

    # ---- browsers ---------------------------------------------------------------------------------------------------
    @property
    def try_it(self) -> str:
        return re.search(r"^Try it +(\S+)", self.card, re.M)[1]

    @contextmanager
    def browser(self) -> Iterator[Page]:
        """An empty tab of a browser, whose sound is recorded: on the same computer, or, behind a bridge, on another. It
        trusts any certificate."""
        program = self.engine.program_inside(chromium_path(), neighbour=self.file == BRIDGE)
        with chromium(program=program) as browser:
            page = browser.new_context(locale="en-GB", ignore_https_errors=True).new_page()
            page.add_init_script(TAP)
            yield page

    # ---- phones -----------------------------------------------------------------------------------------------------
    @property
    def sip(self) -> str:
        return re.search(r"^SIP server +(\S+)", self.card, re.M)[1]

    def account(self, name: str) -> dict[str, str]:
        """A SIP account, as the card says it."""
        password = re.search(rf"^ +{name}  (\S+)$", self.card, re.M)[1]
        return {"user": name, "password": password, "server": self.sip}

    @contextmanager
    def phones(self, callers: list[dict], agents: list[dict] = []) -> Iterator[Phones]:
        """Softphones in the engine's network. Callers dial 8001, open at any hour, all from the one account."""
        take = self._folder / f"take{next(self._takes)}"
        take.mkdir()
        account = {key: self.account("caller")[key] for key in ("user", "password")}
        common = {"dial": f"sip:8001@{self.sip}", "account": account}
        script = {
            "callers": [common | caller | {"record": str(take / f"{caller['name']}.wav")} for caller in callers],
            "agents": [
                {"account": self.account(agent["name"])} | agent | {"record": str(take / f"{agent['name']}.wav")}
                for agent in agents
            ],
            "rtp_ports": [40_000, 40_999],
            "bind": self.sip.partition(":")[0],
        }
        python = self.engine.program_inside(sys.executable)
        with mock.patch.object(sys, "executable", str(python)), Phones(script) as phones:
            yield phones


class PrivateStack(Stack):
    """The private stack, its Asterisk in a container: `hearline stack up --kind container`."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        super().__init__(engine, HOST, folder)
        templates = shutil.copytree(HOST.parent, folder / "asterisk")
        (templates / "Dockerfile").write_text("FROM hearline-asterisk\n")  # it cannot be built without a registry
        self._environment = {"HEARLINE_STATE": str(folder / "state"), "HEARLINE_ASTERISK_TEMPLATES": str(templates)}

    def up(self) -> None:
        self.card = self.engine.hearline("stack", "up", "--kind", "container", **self._environment)

    def down(self) -> None:
        self.engine.hearline("stack", "down", **self._environment)


def prompts(call: CallResult) -> dict[str, float]:
    """The prompts that this phone heard, by how much of each."""
    return {found.id: found.complete for found in find_prompts(recording(call), prompts_of(SOUNDS / "lanzhi"))}


def recording(call: CallResult) -> np.ndarray:
    return read_wav(call.recording)


def callers_sentence(name: str) -> str:
    return str(SOUNDS / "callers" / f"{name}.wav")


def kill(*pids: int) -> None:
    """Kill processes as a crash would. (`docker kill` of a container would count as the user's wish.)"""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def ended(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def may_raise_limits() -> bool:
    """False where root itself lacks the capability, as on some virtual machines."""
    return subprocess.run(["prlimit", "--rtprio=1", "true"], capture_output=True).returncode == 0
