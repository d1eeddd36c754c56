"""The audit log of sign-ins, refusals and administration: JSON lines, appended and never changed.

It holds no personal data of callers, no names and no PINs: only work numbers that have an account, and the network
somebody came from (the first 24 bits of an IPv4 address, 48 of an IPv6 address).
"""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import json
import logging
import os
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

from hearline.core.files import private_folder
from hearline.store.writer import Writer

log = logging.getLogger(__name__)

MOST_BYTES = 8 * 1024 * 1024  # per file; then the day gets another one
WRITE_S = 3.0  # to write the last lines when a process stops
MOST_FILES = 32  # per day, so that no flood fills the disk
BY_ANYBODY = {"look"}  # events that anybody who has signed in can cause at will: for half of a day's files
_NAME = re.compile(r"(\d{4}-\d{2}-\d{2})\.(\d+)\.jsonl")


class DayFull(OSError):
    """All of this day's files are full."""


class AuditLog:
    """The files ``2026-11-29.0.jsonl``, ``2026-11-29.1.jsonl`` … in ``folder`` (mode 0700), by UTC day; mode 0600.

    Several processes may add to them at once.

    Args:
        days: how long they are kept.
        now: returns the current time, aware.
    """

    def __init__(self, folder: Path, days: int = 190, now: Callable[[], datetime] = partial(datetime.now, UTC)) -> None:
        self.folder, self._days, self._now = folder, days, now
        self._writer = Writer("audit log")
        self._cleared: date | None = None

    def note(self, event: str, **more: object) -> None:
        """Add a line, in a thread of its own. Returns at once."""
        self._writer.later(partial(self._append, event, more, self._now()))

    def write(self, event: str, **more: object) -> None:
        """Add a line, and wait until it is on the disk. Raises OSError."""
        self._append(event, more, self._now())

    def settle(self) -> bool:
        """Wait until all lines are written. Returns False if that takes too long."""
        return self._writer.settle(WRITE_S)

    def close(self) -> None:
        """Write the lines that wait, for at most ``WRITE_S``."""
        self._writer.close(WRITE_S)

    def _append(self, event: str, more: dict[str, object], at: datetime) -> None:
        line, files = _line(at, event, more), MOST_FILES // 2 if event in BY_ANYBODY else MOST_FILES
        today = self._now().astimezone(UTC).date()
        private_folder(self.folder)
        if self._cleared != today:
            self._cleared = today
            self._clear(today)
        for number in range(files):
            # Open it for each line: another process may have filled or removed it.
            file = self.folder / f"{today}.{number}.jsonl"
            descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if os.fstat(descriptor).st_size < MOST_BYTES:
                    _add(descriptor, line)
                    return
            finally:
                os.close(descriptor)
        raise DayFull(f"{self.folder}: {files} files are full today")

    def _clear(self, today: date) -> None:
        """Delete expired files. Their age is counted from the newest file, so that a clock that jumps ahead deletes
        nothing that day."""
        found = [(date.fromisoformat(named[1]), file) for file, named in self._files()]
        newest = max((day for day, _ in found), default=today)
        oldest = min(today, newest + timedelta(days=1)) - timedelta(days=self._days)
        for day, file in found:
            if day < oldest:
                file.unlink(missing_ok=True)

    def _files(self) -> list[tuple[Path, re.Match[str]]]:
        return [(file, named) for file in self.folder.iterdir() if (named := _NAME.fullmatch(file.name))]


def _add(descriptor: int, line: bytes) -> None:
    """Add a line to a locked file, on the disk: the whole line, or nothing and OSError. A half line that a power cut
    left there stays a line of its own."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        line = b"\n" + line
    try:
        if os.write(descriptor, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fdatasync(descriptor)
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


def _line(at: datetime, event: str, more: dict[str, object]) -> bytes:
    data = {"at": at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"), "event": event} | more
    return json.dumps(data, ensure_ascii=True).encode() + b"\n"


def network(address: str) -> str:
    """``"192.0.2.57"`` as ``"192.0.2.0/24"``; '' if it is not an address."""
    try:
        known = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return ""
    known = getattr(known, "ipv4_mapped", None) or known
    return str(ipaddress.ip_network((known, 24 if known.version == 4 else 48), strict=False))
