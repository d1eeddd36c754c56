"""A box on which everything is in order, for the tests of `hearline doctor`: real files, and the words of a real
Asterisk (``doctor/``, as Asterisk 22.10 printed them on the private stack). What a test takes from it is to be named.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hearline.assist.selftest.ami_rights import ACTIONS
from hearline.core.settings import Settings
from hearline.doctor.box import Box, Wanted
from hearline.doctor.machine_facts import Process
from hearline.pbx import config
from hearline.pbx.ami import AmiRefused
from hearline.pbx.ami_messages import proof_of
from hearline.pbx.console import ConsoleUnavailable
from hearline.server.dialplan_values import dialplan_values
from hearline.store.accounts import Accounts, Role, accounts_file

REPO = Path(__file__).resolve().parents[2]
WORDS = Path(__file__).parent / "doctor"
SECRET = "of-the-manager-interface"
ASTERISK, SERVER, WORKER = 11, 12, 13


class HealthyBox:
    """The parts of the box. A test changes some of them, and then asks for the ``box``."""

    def __init__(self, folder: Path) -> None:
        flows = shutil.copytree(REPO / "ivr_flows", folder / "flows")
        secret = folder / "ami-secret"
        secret.write_text(SECRET)
        secret.chmod(0o400)
        self.messages = folder / "messages"
        for private in (self.messages, folder / "state"):
            private.mkdir(mode=0o700)
        self.sounds = folder / "sounds"
        self.sounds.mkdir()
        for part in (REPO / "sounds").iterdir():
            (self.sounds / part.name).symlink_to(part)
        self.settings = Settings(
            flows=flows,
            sounds=self.sounds,
            state=folder / "state",
            asterisk_templates=REPO / "docker" / "asterisk",
            ami="127.0.0.1:5038",
            ami_secret_file=secret,
            site="test",
        )
        self.wanted = Wanted(context="from-trunk", number="8001")
        self.home = folder / "asterisk"
        self.etc = self.home / "etc"
        values = dialplan_values(self.settings, self.messages, SECRET)
        layout = config.Layout(
            home=self.home,
            **{name: getattr(values, name) for name in vars(values)},
            agents=[config.Account(f"agent-{number}", number, "x") for number in config.AGENT_NUMBERS],
            ami=config.Account("hearline-assist", "", SECRET),
            queues=[config.Queue("care", "8090")],
        )
        config.render(self.settings.asterisk_templates / "etc", layout)
        self.say = {file.stem.replace("_", " "): file.read_text("utf-8") for file in WORDS.glob("*.txt")}
        self.say["dialplan show globals"] = (
            f"   HEARLINE_PROOF={proof_of(SECRET)}\n   HEARLINE_KEYS=x\n   HEARLINE_MESSAGES={self.messages}\n"
            f"   HEARLINE_SOUNDS={self.sounds}\n   HEARLINE_FALLBACK_QUEUE=care\n   HEARLINE_SITE=test\n"
            f"   HEARLINE_AGI={values.agi_url}\n"
        )
        for account in config.AGENT_NUMBERS:
            self.say[f"pjsip show endpoint agent-{account}"] = self.say["pjsip show endpoint agent-8016"]
        self.say["pjsip show endpoint caller"] = self.say["pjsip show endpoint agent-8016"]
        accounts = Accounts(accounts_file(self.settings.state), cost=2)
        for number in config.AGENT_NUMBERS:
            accounts.set_pin(number, "246810", team="care")
        accounts.set_pin("8001", "246810", Role.SUPERVISOR, "care")
        self.accounts = accounts
        self.actions = dict.fromkeys((*ACTIONS, "Ping", "Hangup"), "")
        self.asked: list[tuple[str, dict]] = []
        self.refuses = ""
        self.ready: dict[str, Any] = {
            "ready": True,
            "flows_not_loaded": [],
            "assist": {"connected": True, "asterisk": "22.10.1", "whispers": True, "why": "88 dB", "missing": []},
        }
        self.calls: list[list[dict]] = []
        self.alive, self.page, self.deaf = "yes", 200, set[int]()
        self.machine = SimpleNamespace(
            processes=lambda: [
                Process(ASTERISK, 1, ("/usr/sbin/asterisk", "-f")),
                Process(SERVER, 1, ("/opt/hearline/.venv/bin/hearline", "serve")),
                Process(WORKER, SERVER, ("python", "-m", "hearline.media.worker")),
            ],
            owner=lambda pid: 0,
            lets=lambda user, path, what: True,
            environment=lambda pid: {"HEARLINE_SITE": "test", "HEARLINE_CACHE": "elsewhere", "PATH": "/bin"},
            descriptors=lambda pid: 65_536,
            runs_ahead=lambda pid: True,
            free_bytes=lambda folder: 10**11,
            clock_is_set=lambda: True,
            listeners=lambda: {5038: ASTERISK, 4573: SERVER, 9092: WORKER},
            offset_minutes=lambda zone: 480,
        )

    @property
    def box(self) -> Box:
        return Box(
            self.settings,
            self.etc,
            self._console,
            SimpleNamespace(ask=self._ask, close=lambda: None),
            self.machine,
            SimpleNamespace(get=self._get, status_of=lambda where: self.page, connect=self._connect, alive=self._alive),
            self.wanted,
        )

    # ---- what a test changes ----------------------------------------------------------------------------------------
    def edit(self, name: str, before: str, after: str) -> None:
        """Change the text of one of Asterisk's files."""
        file = self.etc / name
        text = file.read_text("utf-8")
        assert before in text, f"{name} has no {before!r}"
        file.write_text(text.replace(before, after), "utf-8")

    def hear(self, command: str, before: str, after: str) -> None:
        """Change what the console says."""
        assert before in self.say[command], f"{command} does not say {before!r}"
        self.say[command] = self.say[command].replace(before, after)

    def set(self, **settings: Any) -> None:
        self.settings = self.settings.model_copy(update=settings)

    def own_sounds(self, part: str) -> Path:
        """A copy of a folder of the sounds that may be changed."""
        (self.sounds / part).unlink()
        return shutil.copytree(REPO / "sounds" / part, self.sounds / part)

    # ---- what answers -----------------------------------------------------------------------------------------------
    def _console(self, command: str) -> str:
        if not self.say:
            raise ConsoleUnavailable("no such file")
        return self.say[command]

    def _ask(self, action: str, **headers: Any) -> dict[str, str]:
        if self.refuses:
            raise AmiRefused(self.refuses)
        self.asked.append((action, headers))
        return self.actions if action == "ListCommands" else {}

    def _get(self, where: str, path: str) -> dict:
        if where == "down:1":
            raise ConnectionRefusedError(111, "Connection refused")
        if path == "/calls":
            call = next(headers for action, headers in self.asked if action == "Originate")
            id = call["Variable"][0].partition("=")[2]
            return {"calls": [row | {"call": id} for row in (self.calls.pop(0) if self.calls else [])]}
        return self.ready

    def _connect(self, where: tuple[str, int]) -> None:
        if where[1] in self.deaf:
            raise ConnectionRefusedError(111, "Connection refused")

    def _alive(self, where: tuple[str, int]) -> str:
        return self.alive


Break = Callable[[HealthyBox], object]
