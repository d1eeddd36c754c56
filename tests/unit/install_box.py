"""Installs into a box of `asterisk_trees` and takes away again."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from asterisk_trees import debian_box, freepbx_box
from hearline.core.settings import Settings
from hearline.install import run
from hearline.install.order import Order
from hearline.install.profiles import PROFILES
from hearline.install.reload import Console, nobody
from hearline.install.wanted import Request, Server, wanted
from hearline.pbx.config import render_parts
from hearline.server.dialplan_values import dialplan_values
from whole_trees import differences, shown

REPO = Path(__file__).resolve().parents[2]
SECRET = "a-secret-of-the-test"
BOXES = {"debian": debian_box, "freepbx": freepbx_box}


@cache
def values():
    settings = Settings(flows=REPO / "ivr_flows", sounds=REPO / "sounds")
    return dialplan_values(settings, Path("/var/spool/asterisk/hearline-messages"), SECRET)


@cache
def parts() -> dict[str, str]:
    return render_parts(REPO / "docker" / "asterisk" / "etc", values())


@dataclass
class Box:
    """One box. ``changes`` are for the request (`install.wanted.Request`). ``ordered``: as the command line has it."""

    path: Path
    profile: str
    changes: dict = field(default_factory=dict)
    server: bool = True
    console: Console = nobody
    ordered: bool = False

    def __post_init__(self) -> None:
        self.path.mkdir(exist_ok=True)
        self.asterisk = BOXES[self.profile](self.path)
        self.journal = self.path / "var/lib/hearline-install.json"
        self.config = self.path / "etc/hearline"
        self.unit = self.path / "etc/systemd/system/hearline.service"

    def wish(self, tree, journal):
        if self.ordered:
            return self.order().wish(self.profile, tree, journal)
        config, server = str(self.config), Server(owner=(os.geteuid(), os.getegid()))
        if self.server:
            server = Server(
                folders={config: 0o755, config + "/flows": 0o755},
                seeds={
                    config + "/ami-secret": (SECRET.encode(), 0o400),
                    config + "/flows/hotline.yaml": (b"number: 95160\n", 0o644),
                },
                files={str(self.unit): b"[Service]\n"},
                owner=server.owner,
            )
        request = Request(
            profile=PROFILES[self.profile], asterisk=str(self.asterisk), parts=parts(), secret=SECRET,
            channel_variables=values().channel_variables,
            messages=str(self.path / "var/spool/asterisk/hearline-messages"), server=server,
        )  # fmt: skip
        return wanted(Request(**vars(request) | self.changes), tree)

    def also(self) -> list[Path]:
        if self.ordered:
            return self.order().also()
        config = self.config
        messages = self.path / "var/spool/asterisk/hearline-messages"
        return [
            config, config / "ami-secret", config / "flows", config / "flows/hotline.yaml", self.unit, messages,
            messages.parent,
        ]  # fmt: skip

    def prepared(self) -> run.Prepared:
        return run.prepare(self.asterisk, self.profile, self.wish, self.also(), self.journal)

    def install(self, console: Console | None = None) -> run.Done:
        return run.install(self.asterisk, self.profile, self.wish, self.also(), self.journal, console or self.console)

    def uninstall(self, console: Console | None = None, **options) -> run.Done | None:
        return run.uninstall(self.journal, console or self.console, **options)

    def order(self, **options) -> Order:
        """As the command line would order it."""
        return Order(
            asterisk=self.asterisk, config=self.config, unit=self.unit, environment={},
            messages=self.path / "var/spool/asterisk/hearline-messages", **options,
        )  # fmt: skip

    def shown(self) -> dict[str, tuple]:
        return shown(self.path)

    def differs_from(self, before: dict[str, tuple]) -> list[str]:
        return differences(before, self.shown())
