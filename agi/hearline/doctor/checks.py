"""What a check is, and what it finds."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hearline.doctor.box import Box


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """Calls are served; something is not as it should be."""
    FAULT = "fault"
    """Calls are not served, or agent assist does not work."""
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Finding:
    """What a check found, what is wanted instead, and a remedy: a command or a line of configuration to paste."""

    level: Level
    found: str
    wanted: str = ""
    remedy: str = ""

    @property
    def blocks(self) -> bool:
        """True if the checks that need this one cannot run."""
        return self.level in (Level.FAULT, Level.NOT_RUN)


def ok(found: str) -> Finding:
    return Finding(Level.OK, found)


def warning(found: str, wanted: str, remedy: str) -> Finding:
    return Finding(Level.WARNING, found, wanted, remedy)


def fault(found: str, wanted: str, remedy: str) -> Finding:
    return Finding(Level.FAULT, found, wanted, remedy)


BECAUSE = "not run because of"


def not_run(why: str, remedy: str = "") -> Finding:
    return Finding(Level.NOT_RUN, why, remedy=remedy)


Look = Callable[["Box"], Finding]


@dataclass(frozen=True)
class Check:
    """One thing that a box needs.

    ``title`` says what is checked, as a sentence that is true on a healthy box. ``needs``: the ids of the checks
    without which this one cannot say anything.
    """

    id: str
    title: str
    look: Look
    needs: tuple[str, ...] = ()


class Subject:
    """The checks about one subject, in the order in which they are shown."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.checks: list[Check] = []

    def check(self, id: str, title: str, *needs: str) -> Callable[[Look], Look]:
        """Make a function a check of this subject."""

        def add(look: Look) -> Look:
            self.checks.append(Check(id, title, look, needs))
            return look

        return add


def listed(names: Sequence[str], most: int = 6) -> str:
    """Names for a sentence; of many only the first ones."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def must_be_ours_to_read(path: Path) -> None:
    """Raises PermissionError if something is there that this account may not read: then it is no fault of the box."""
    if path.exists() and not os.access(path, os.R_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
