"""Records that are on the disk as soon as they are written, for tests that read them at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hearline.store.records import Records


class SettledRecords(Records):
    def write(self, file: Path, record: dict[str, Any]) -> None:
        super().write(file, record)
        assert self.settle()
