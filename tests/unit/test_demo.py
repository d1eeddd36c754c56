"""The output of the demo, with made-up calls."""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import SimpleNamespace

from rich.console import Console

from hearline.cli.demo import _tell
from hearline.demo import play
from hearline.demo.cast import cast
from hearline.phone.judge import Timing

REPO = Path(__file__).resolve().parents[2]
ROLES = cast(REPO / "sounds")
LONGEST_WHISPER = max((path.stem for path in (REPO / "sounds/zh/whisper").glob("*.wav")), key=len)


def test_the_summary_is_whole_in_80_columns():
    """Words are not cut, whatever went wrong."""
    waits = [Timing(f"noinput-{at}", 3_000, 3_000.4 + at) for at in range(4)]
    judged = [
        play.Judged(role, {"outcome": role.outcome}, None, timings=waits, whisper=LONGEST_WHISPER, faults=faults)
        for role, faults in zip(ROLES, (["late"], [], [], [], []))
    ]
    console = Console(file=io.StringIO(), width=80, height=100)
    _tell(judged, Path("demo-out"), console)
    told = console.file.getvalue()
    assert "…" not in told and max(map(len, told.splitlines())) <= 80
    for role in ROLES:
        result = "not as planned" if role.name == "speaks" else "as planned"
        assert cells(told, role) == [role.title, role.outcome, "3 ms", LONGEST_WHISPER, result]


def test_no_cell_of_the_summary_is_empty():
    """Where nothing was waited for, and no agent answered."""
    judged = [play.Judged(role, {"outcome": role.outcome}, None) for role in ROLES]
    console = Console(file=io.StringIO(), width=80, height=100)
    _tell(judged, Path("demo-out"), console)
    for role in ROLES:
        assert cells(console.file.getvalue(), role) == [role.title, role.outcome, "–", "–", "as planned"]


def cells(told: str, role) -> list[str]:
    """The cells of a role's row, which is one line."""
    row = next(line for line in told.splitlines() if line.startswith(role.title))
    return re.split(r" {2,}", row.strip())


class PhonesThatAreOver:
    def __init__(self, script, on_event):
        for caller in script["callers"]:
            on_event({"phone": caller["name"], "event": "disconnected"})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def wait(self, timeout):
        return {}


def test_what_follows_the_table_begins_on_a_line_of_its_own(monkeypatch, tmp_path):
    """Also where it goes to a file."""
    monkeypatch.setattr(play, "Phones", PhonesThatAreOver)
    accounts = [SimpleNamespace(name=role.name, password="") for role in ROLES], []
    stack = SimpleNamespace(sip="127.0.0.1:5060", accounts=lambda: accounts, get=lambda path: {"calls": []})
    console = Console(file=io.StringIO(), width=80, height=100)
    play._call(stack, REPO / "sounds", ROLES, tmp_path, console)
    console.print("next")
    *table, last, said = console.file.getvalue().splitlines()
    assert said == "next" and set(last) <= set("└─┴┘") and "too soft throughout" in "".join(table)
