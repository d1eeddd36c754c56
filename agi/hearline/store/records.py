"""Records as they are kept: one JSON file each, in a folder for each business day.

A call has a record for each visit to the IVR and for each talk. The first is named by the call's id, ``CALL.json``, the
others ``CALL.2.json``, ``CALL.3.json`` … (Until calls had ids they were named by UUIDs.)
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from hearline.core.calendar import Calendar

DAYS_OF_A_CALL = 2  # it may begin before midnight


class Records:
    """Where the records in ``folder`` lie: ``2026-11-29/CALL.json``. One process alone writes them.

    Args:
        calendar: says which day it is.
        now: the time, aware.
    """

    def __init__(
        self, folder: Path, calendar: Calendar, now: Callable[[], datetime] = partial(datetime.now, UTC)
    ) -> None:
        self.folder, self._calendar, self._now = folder, calendar, now

    def next(self, call: str) -> tuple[Path, int]:
        """The file of the call's next record, in today's folder, and which of its records that is: 1, 2, 3 … Looks at
        the disk: whatever came before must be written."""
        number = self._kept(call) + 1
        return self._folder(self._today()) / _name(call, number), number

    def last(self, call: str) -> Path | None:
        """The file of the last record of a call that is not long over."""
        return self._find(call, self._kept(call))

    def _find(self, call: str, number: int) -> Path | None:
        days = (self._today() - timedelta(days=ago) for ago in range(DAYS_OF_A_CALL))
        files = (self._folder(day) / _name(call, number) for day in days)
        return next((file for file in files if file.exists()), None)

    def _kept(self, call: str) -> int:
        return next(number for number in count() if not self._find(call, number + 1))

    def _today(self) -> date:
        return self._calendar.business_day(self._now())

    def _folder(self, day: date) -> Path:
        return self.folder / day.isoformat()


def _name(call: str, number: int) -> str:
    return f"{call}.json" if number == 1 else f"{call}.{number}.json"


def write(file: Path, record: dict[str, Any]) -> None:
    """The whole file or none: whoever reads it meanwhile finds the one before. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as out:
        try:
            json.dump(record, out, ensure_ascii=False)
            out.flush()
            os.replace(out.name, file)
        except BaseException:
            os.unlink(out.name)  # a full disk is not filled further
            raise
