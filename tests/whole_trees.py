"""Folders with all that is in them: compared to the last bit, and put back."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path


def shown(box: Path) -> dict[str, tuple]:
    """All that lies in the box: kind, mode, owner, and content or target, by path."""
    found = {}
    for top, folders, files in os.walk(box):
        for name in (*folders, *files):
            path = Path(top) / name
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                content: object = os.readlink(path)
            else:
                content = path.read_bytes() if path.is_file() else None
            access = (stat.filemode(status.st_mode), status.st_uid, status.st_gid)
            found[str(path.relative_to(box))] = (*access, content)
    return found


def differences(one: dict[str, tuple], other: dict[str, tuple]) -> list[str]:
    """The paths that differ, for people."""
    return sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))


def put_back(kept: Path, box: Path) -> None:
    """Make the box what was kept of it, owners and links included."""
    shutil.rmtree(box, ignore_errors=True)
    subprocess.run(["cp", "--archive", str(kept), str(box)], check=True)
