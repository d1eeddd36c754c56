"""The files of records: one JSON file each, in a folder for each business day.

A call has a record for each visit to the IVR and for each talk. The first is named after the call's id, ``CALL.json``,
the others ``CALL.2.json``, ``CALL.3.json`` … (Records from before calls had ids are named by UUIDs.)
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from hearline.core.calendar import Calendar
from hearline.core.files import read_text, write_whole
from hearline.store.writer import Writer

WRITE_S = 3.0  # to write the last records when a process stops
DAYS_OF_A_CALL = 2  # a call may begin before midnight


@dataclass
class Kept:
    """Where a record is kept: in ``file``, once it is written. ``number``: its number among the call's records (1, 2,
    3 …), which is also written into the record, as ``number_as``, if that is given."""

    call: str
    number_as: str = ""
    number: int = 0
    file: Path | None = None
    waiting: list[Mapping[str, Any]] | None = None
    """The newest version that waits to be written; None if none does."""


class Records:
    """The records in ``folder``: ``2026-11-29/CALL.json``. They are written in a thread of their own.

    Args:
        calendar: the calendar of business days.
        now: returns the current time, aware.
        also: called with the call's id and each record that is to be written.
    """

    def __init__(
        self,
        folder: Path,
        calendar: Calendar,
        now: Callable[[], datetime] = partial(datetime.now, UTC),
        also: Callable[[str, Mapping[str, Any]], None] = lambda _call, _record: None,
    ) -> None:
        self.folder, self._calendar, self._now, self._also = folder, calendar, now, also
        self._writer = Writer()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the writing thread; the first record does so, too."""
        self._writer.start()

    def write(self, kept: Kept, record: Mapping[str, Any]) -> None:
        """Write this record, in place of any earlier version of it, also of one that still waits. Readers find one
        version or the other. Returns at once."""
        self._also(kept.call, record)
        with self._lock:
            if kept.waiting:
                kept.waiting[:] = [record]
                return
            waiting = kept.waiting = [record]

        def begun() -> None:
            with self._lock:
                if kept.waiting is waiting:
                    kept.waiting = None

        def written() -> None:
            begun()
            if kept.file is None:
                kept.number, kept.file = self._next(kept.call)
            number = {kept.number_as: kept.number} if kept.number_as else {}
            write(kept.file, {**waiting[0], **number})

        if self._writer.later(written, kept.call).done():  # perhaps lost, since too much waits
            begun()

    def amend(self, call: str, **more: object) -> None:
        """Add fields to the last record of a call that began today or yesterday. Returns at once."""

        def amended() -> None:
            number, _ = self._next(call)
            if file := self._find(call, number - 1):
                write(file, json.loads(read_text(file)) | more)

        self._writer.later(amended, call)

    def read(self, call: str, number: int = 1) -> dict[str, Any] | None:
        """A record of a call that began today or yesterday; None if it is not written (yet). Raises OSError,
        ValueError. Waits for the disk."""
        file = self._find(call, number)
        return json.loads(read_text(file)) if file else None

    def settle(self) -> bool:
        """Wait until all records are written. Returns False if that takes too long."""
        return self._writer.settle(WRITE_S)

    def close(self) -> None:
        """Write the records that wait, for at most ``WRITE_S``."""
        self._writer.close(WRITE_S)

    # ---- in the thread that writes ----------------------------------------------------------------------------------
    def _next(self, call: str) -> tuple[int, Path]:
        """(number of the call's next record, its file)."""
        number = next(number for number in count(1) if not self._find(call, number))
        return number, self._day(0) / _name(call, number)

    def _find(self, call: str, number: int) -> Path | None:
        files = (self._day(ago) / _name(call, number) for ago in range(DAYS_OF_A_CALL))
        return next((file for file in files if file.exists()), None)

    def _day(self, ago: int) -> Path:
        """The folder of the business day ``ago`` days ago."""
        return self.folder / (self._calendar.business_day(self._now()) - timedelta(days=ago)).isoformat()


def _name(call: str, number: int) -> str:
    return f"{call}.json" if number == 1 else f"{call}.{number}.json"


def write(file: Path, record: dict[str, Any]) -> None:
    """Write a record atomically: a reader finds the old version or the new. Raises OSError.

    It is not synced to the disk: a power cut may cost the records of the last half minute, but nothing waits.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, json.dumps(record, ensure_ascii=False), sync=False)
