"""Asterisk's console, asked by its own program: ``asterisk -rx COMMAND``."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

PLACES = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
"""Where the program may be: an account's own PATH often lacks the first two."""
PATIENCE_S = 5.0


class ConsoleUnavailable(OSError):
    """Asterisk's console cannot be reached; the message says why, the remedy what to do about it."""

    def __init__(self, why: str, remedy: str = "sudo -E hearline doctor") -> None:
        super().__init__(why)
        self.remedy = remedy


def console_of(folder: Path, patience_s: float = PATIENCE_S) -> Callable[[str], str]:
    """The console of the Asterisk on this machine that is configured in ``folder``: a function that runs a command and
    returns what it printed. It raises ConsoleUnavailable, also if there is no answer for ``patience_s``."""
    binary = shutil.which("asterisk", path=PLACES)

    def console(command: str) -> str:
        if binary is None:
            raise ConsoleUnavailable(
                "this machine has no program `asterisk`",
                "in Asterisk's container: hearline doctor\nof the private stack: hearline doctor --stack",
            )
        try:
            asked = [binary, "-C", str(folder / "asterisk.conf"), "-rx", command]
            done = subprocess.run(asked, capture_output=True, text=True, errors="replace", timeout=patience_s)
        except subprocess.TimeoutExpired:
            raise ConsoleUnavailable(f"it did not answer within {patience_s:.0f} s") from None
        except OSError as error:
            raise ConsoleUnavailable(str(error)) from None
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise ConsoleUnavailable(said[-1] if said else f"`asterisk -rx` ended with {done.returncode}")
        return done.stdout

    return console
