"""When did this machine stand still, or go at half its speed? Hosts take a guest's CPUs away now and then, one or all:
for a frame or five at once, or half of each frame for a second. Then a phone was not let run either: it has holes in
what it heard, whatever we played.

On each CPU a thread that wants it every 10 ms, before everybody else, notes when it did not get it, and what of the CPU
the host kept for itself (`steal` in proc(5)). So work of our own, however much, does not count; where nobody may go
first (without root), only long waits do.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TextIO

STEP_S = 0.01
WORTH_S, WORTH_IN_A_QUEUE_S = 0.03, 0.06  # of note; where others may go first
STEPS, SLOW_S = 10, 0.04  # so much taken in so many steps, a bit at a time
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Watch:
    """From its beginning as a context to its end."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __enter__(self) -> Watch:
        self._file.touch()
        self._process = subprocess.Popen([sys.executable, __file__, str(self._file)])
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def stood_still(self, begin: float, end: float) -> list[tuple[float, float]]:
        """(begin, end) of each time that a CPU did, all or in part between these moments (monotonic s). Such times do
        not overlap: what several CPUs did together is one."""
        return self._noted("still", begin, end)

    def stood_still_s(self, begin: float, end: float) -> float:
        """So long altogether."""
        return sum(until - since for since, until in self.stood_still(begin, end))

    def told(self, begin: float, end: float) -> str:
        """When the machine stood still or was slow between these moments, for people; "" where it was not."""
        found = [
            (since - begin, f"{since - begin:.1f} s: {kind} for {1e3 * (until - since):.0f} ms")
            for kind in ("still", "slow")
            for since, until in self._noted(kind, begin, end)
        ]
        return "\n".join(line for _, line in sorted(found))

    def _noted(self, kind: str, begin: float, end: float) -> list[tuple[float, float]]:
        lines = (line.split() for line in self._file.read_text().splitlines())
        found: list[tuple[float, float]] = []
        for since, until in sorted((float(since), float(until)) for what, since, until in lines if what == kind):
            if until < begin or since > end:
                continue
            if found and since <= found[-1][1]:
                since, until = found[-1][0], max(found.pop()[1], until)
            found.append((since, until))
        return found


def main(file: Path) -> None:
    with file.open("a", buffering=1) as out:
        for cpu in os.sched_getaffinity(0):
            threading.Thread(target=watch, args=(cpu, out), daemon=True).start()
        tests = os.getppid()
        while os.getppid() == tests:  # a test run that was killed does not stop us
            time.sleep(1)


def watch(cpu: int, out: TextIO) -> None:
    os.sched_setaffinity(0, {cpu})  # this thread's, as is the priority
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        worth = WORTH_S
    except PermissionError:
        worth = WORTH_IN_A_QUEUE_S
    wanted = began = time.monotonic()
    taken_s = taken_from(cpu)
    for step in itertools.count(1):
        wanted += STEP_S
        time.sleep(STEP_S)
        now = time.monotonic()
        if now - wanted >= worth:
            out.write(f"still {wanted} {now}\n")
        wanted = now
        if step % STEPS == 0:
            before, taken_s = taken_s, taken_from(cpu)
            if taken_s - before >= SLOW_S:
                out.write(f"slow {began} {now}\n")
            began = now


def taken_from(cpu: int) -> float:
    """The seconds of this CPU that the host has kept for itself."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{cpu}":
            return int(ticks[7]) * TICK_S
    return 0.0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main(Path(sys.argv[1]))
