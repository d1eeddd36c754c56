"""What the machine says of itself and of the processes on it: /proc, disks, the clock."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hearline.core.zones import zone_named

PROC = Path("/proc")
_LISTENS = "0A"  # a state of /proc/net/tcp
_CLOCK_IS_WRONG = 5  # TIME_ERROR of adjtimex(2): nothing has set this clock right


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    command: tuple[str, ...]

    @property
    def program(self) -> str:
        return Path(self.command[0]).name


def _groups(user: int) -> set[int]:
    try:
        account = pwd.getpwuid(user)
    except KeyError:
        return set()
    return set(os.getgrouplist(account.pw_name, account.pw_gid))


class Machine:
    """This machine. The tests put another one in its place."""

    def processes(self) -> list[Process]:
        found = []
        for folder in PROC.iterdir():
            if folder.name.isdecimal():
                with suppress(OSError):  # it has just ended
                    words = (folder / "cmdline").read_bytes().rstrip(b"\0").decode(errors="replace").split("\0")
                    parent = int((folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
                    found.append(Process(int(folder.name), parent, tuple(words)))
        return sorted(found, key=lambda process: process.pid)

    def listeners(self) -> dict[int, int]:
        """The process behind each TCP port on which one listens, as far as we may know."""
        ports: dict[str, int] = {}
        for table in ("tcp", "tcp6"):
            with suppress(OSError):
                rows = [line.split() for line in (PROC / "net" / table).read_text().splitlines()[1:]]
                rows = [row for row in rows if row[3] == _LISTENS]
                ports |= {f"socket:[{row[9]}]": int(row[1].rpartition(":")[2], 16) for row in rows}
        found = {}
        for folder in PROC.iterdir():
            with suppress(OSError):  # not ours to see, or it has just ended
                if folder.name.isdecimal():
                    for open_ in (folder / "fd").iterdir():
                        with suppress(OSError):
                            if port := ports.get(os.readlink(open_)):
                                found[port] = int(folder.name)
        return found

    def owner(self, pid: int) -> int:
        """The user of a process. Raises OSError."""
        return (PROC / str(pid)).stat().st_uid

    def lets(self, user: int, path: Path, what: int) -> bool:
        """True if a path's permissions let a user read (R_OK), write (W_OK) or enter (X_OK) it. Raises OSError."""
        found = path.stat()
        shift = 6 if found.st_uid == user else 3 if found.st_gid in _groups(user) else 0
        return user == 0 or bool(found.st_mode >> shift & what)

    def environment(self, pid: int) -> dict[str, str]:
        """The variables with which a process was started. Raises OSError."""
        words = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
        pairs = (word.decode(errors="replace").partition("=") for word in words)
        return {name: value for name, equals, value in pairs if equals}

    def descriptors(self, pid: int) -> int:
        """How many files a process may have open. Raises OSError."""
        for line in (PROC / str(pid) / "limits").read_text().splitlines():
            if line.startswith("Max open files"):
                word = line.removeprefix("Max open files").split()[0]
                return 1 << 30 if word == "unlimited" else int(word)
        raise OSError(0, "its limits do not name open files")

    def runs_ahead(self, pid: int) -> bool:
        """True if a process is scheduled in real time, or well before ordinary ones. Raises OSError."""
        ahead = os.sched_getscheduler(pid) & 0xFF in (os.SCHED_RR, os.SCHED_FIFO)
        return ahead or os.getpriority(os.PRIO_PROCESS, pid) <= -10

    def free_bytes(self, folder: Path) -> int:
        """The room on the disk of a folder, or of the nearest folder above that exists."""
        while not folder.exists():
            folder = folder.parent
        return shutil.disk_usage(folder).free

    def clock_is_set(self) -> bool:
        """True if something, such as NTP, keeps the clock right."""
        answer = ctypes.create_string_buffer(512)  # struct timex, all zero: only asks
        return ctypes.CDLL(None, use_errno=True).adjtimex(answer) not in (-1, _CLOCK_IS_WRONG)

    def offset_minutes(self, zone: str | None) -> int:
        """How far a zone is ahead of UTC now; None: the machine's own zone."""
        now = datetime.now(UTC).astimezone(None if zone is None else zone_named(zone))
        return int((now.utcoffset() or timedelta()).total_seconds()) // 60
