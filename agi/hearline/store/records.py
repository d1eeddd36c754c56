"""Records as they are kept: one JSON file each, in a folder a day."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any


def keep(records: Path, name: str, record: dict[str, Any]) -> Path:
    """Keep a new record in today's folder; returns its file. Raises OSError."""
    file = records / time.strftime("%Y-%m-%d") / f"{name}.json"
    write(file, record)
    return file


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
