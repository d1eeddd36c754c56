"""Records as they are kept: one JSON file each, in a folder for each business day."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from hearline.core.calendar import Calendar
from hearline.core.files import read_text, write_whole
from hearline.store.record_writer import RecordWriter

WRITE_S = 3.0  # for the last records, when a process stops


class Records:
    """The records in ``folder``: ``2026-11-29/NAME.json``. They are written in a thread of their own.

    Args:
        calendar: says which day it is.
        now: the time, aware.
    """

    def __init__(
        self, folder: Path, calendar: Calendar, now: Callable[[], datetime] = partial(datetime.now, UTC)
    ) -> None:
        self.folder, self._calendar, self._now = folder, calendar, now
        self._writer = RecordWriter()

    def start(self) -> None:
        """Start the thread that writes; the first record does so as well."""
        self._writer.start()

    def file(self, name: str) -> Path:
        """The file of a new record: in today's folder."""
        return self.folder / self._calendar.business_day(self._now()).isoformat() / f"{name}.json"

    def write(self, file: Path, record: dict[str, Any]) -> None:
        """Keep this record; whoever reads the file meanwhile finds the one before. Returns at once."""
        self._writer.later(lambda: write(file, record))

    def amend(self, name: str, **more: object) -> None:
        """Put more into the record that was kept under this name, on whichever day. Returns at once."""

        def amended() -> None:
            for file in self.folder.glob(f"*/{name}.json"):
                write(file, json.loads(read_text(file)) | more)

        self._writer.later(amended)

    def settle(self) -> bool:
        """Wait until all records are written; returns whether they are."""
        return self._writer.settle(WRITE_S)

    def close(self) -> None:
        """Write what waits, as far as the disk answers."""
        self._writer.close(WRITE_S)


def write(file: Path, record: dict[str, Any]) -> None:
    """The whole file or none: whoever reads it meanwhile finds the one before. Raises OSError.

    It is not synced: a power cut may cost the records of the last half minute, and no call waits for a disk.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, json.dumps(record, ensure_ascii=False), sync=False)
