"""Asks a running Asterisk to read again what has changed, and nothing else. It is never restarted."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from hearline.install.tree import Part
from hearline.pbx import console as asterisk_console

Console = Callable[[str], str | None]
"""Runs a console command of Asterisk and returns what it printed; None if no Asterisk runs."""

COMMANDS: dict[Part, str] = {
    "music": "moh reload",
    "queues": "module reload app_queue.so",
    "features": "module reload features",
    "dialplan": "dialplan reload",
    "manager": "manager reload",
}
"""In this order: what the dialplan names is there before it."""
PATIENCE_S = 60
_GUARD = "hearline-guard"


def commands(parts: Collection[Part]) -> list[str]:
    return [command for part, command in COMMANDS.items() if part in parts]


def reload(parts: Collection[Part], console: Console) -> list[str]:
    """The commands that a running Asterisk has carried out; none if it does not run."""
    return [command for command in commands(parts) if console(command) is not None]


def calls_inside(console: Console) -> int:
    """How many channels are in Hearline's contexts. (The guard, a channel of its own, ends after the last call.)"""
    lines = (console("core show channels concise") or "").splitlines()
    contexts = [fields[1] for line in lines if len(fields := line.split("!")) > 4]
    return sum(context.startswith("hearline") and context != _GUARD for context in contexts)


def console_of(asterisk: Path) -> Console:
    """The console of the Asterisk that uses this folder."""
    ask = asterisk_console.console_of(asterisk, PATIENCE_S)

    def answer(command: str) -> str | None:
        try:
            return ask(command)
        except asterisk_console.ConsoleUnavailable:
            return None

    return answer


def nobody(_command: str) -> None:
    """The console of no Asterisk at all."""
