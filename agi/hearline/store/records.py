"""Records as they are kept: one JSON file each, in a folder for each business day."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from hearline.core.calendar import Calendar


class Records:
    """Where the records in ``folder`` lie: ``2026-11-29/NAME.json``.

    Args:
        calendar: says which day it is.
        now: the time, aware.
    """

    def __init__(
        self, folder: Path, calendar: Calendar, now: Callable[[], datetime] = partial(datetime.now, UTC)
    ) -> None:
        self.folder, self._calendar, self._now = folder, calendar, now

    def file(self, name: str) -> Path:
        """The file of a new record: in today's folder."""
        return self.folder / self._calendar.business_day(self._now()).isoformat() / f"{name}.json"

    def find(self, name: str) -> list[Path]:
        """The files of the records that were kept under this name, on whichever day."""
        return list(self.folder.glob(f"*/{name}.json"))


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
