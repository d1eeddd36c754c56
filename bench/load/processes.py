"""The CPU time and memory of processes, and the time of all cores, from the kernel (/proc)."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, user and system, all its threads."""
    return sum(_times(pid)[:2]) * _TICK_S


def reaped_cpu_s(pid: int) -> float:
    """CPU seconds of a process's children that have ended."""
    return sum(_times(pid)[2:]) * _TICK_S


def _times(pid: int) -> list[int]:
    """utime, stime, cutime, cstime in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return [int(field) for field in fields[11:15]]


def core_time_s() -> tuple[float, float]:
    """Seconds of all cores so far: (all, stolen by the host)."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(ticks) * _TICK_S, ticks[7] * _TICK_S


def rss_kb(pid: int) -> int:
    """Memory in RAM, in kB, including pages shared with others."""
    return _of_status(f"/proc/{pid}/status", "VmRSS")


def pss_kb(pid: int) -> int:
    """Memory in RAM, in kB; a page shared by n processes counts 1/n."""
    return _of_status(f"/proc/{pid}/smaps_rollup", "Pss")


def _of_status(file: str, name: str) -> int:
    for line in Path(file).read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise KeyError(name)


def children(pid: int) -> set[int]:
    """The living children of a process."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):
            found.update(map(int, (task / "children").read_text().split()))
    return found


def family(pid: int) -> set[int]:
    """A process and its living descendants."""
    return {pid}.union(*map(family, children(pid)))


def pin(pid: int, *cores: int) -> None:
    """Pin all threads of a process to these cores."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), cores)
