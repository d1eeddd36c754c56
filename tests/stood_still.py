"""Records when the host took CPUs away from this machine. Hosts do so now and then, with one CPU or all: for one to
five frames at once (``still``), or for half of each frame during a second (``slow``). Then the phones do not run
either, so their recordings have holes, whatever we played.

Our own load does not count. On each CPU a process asks to be woken every 10 ms. The kernel counts how long it then
waits in the queue for that CPU (run delay, `schedstat` in proc(5)); in that time, the CPU worked for us or our
neighbours. Only the rest of its lateness counts: then nothing ran on that CPU, not even the kernel's own timer.
``slow`` is the time that the host kept for itself, as it told the kernel (`steal` in proc(5)).

`tools/stand_still.py` plays such a host with a load of its own, and records in `STAND_IN` the time it took.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TextIO

STEP_S = 0.01
STILL_S = 0.03  # shorter times are not recorded
STEPS, SLOW_S = 10, 0.04  # slow: this much time taken, in small parts, within this many steps
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
STAND_IN = Path("/dev/shm/hearline-stand-still")  # gone after a reboot, when the clock starts over


class Watch:
    """A context manager that watches for the duration of its block, and writes to ``file``."""

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
        """(begin, end) of each time a CPU stood still, at least in part between these moments (monotonic s).
        Overlapping times of several CPUs are merged."""
        return self._noted("still", begin, end)

    def stood_still_s(self, begin: float, end: float) -> float:
        """The sum of these times, in s."""
        return sum(until - since for since, until in self.stood_still(begin, end))

    def told(self, begin: float, end: float) -> str:
        """When the machine stood still or was slow between these moments, for people; "" if it was not."""
        found = [
            (since - begin, f"{since - begin:.1f} s: {kind} for {1e3 * (until - since):.0f} ms")
            for kind in ("still", "slow")
            for since, until in self._noted(kind, begin, end)
        ]
        return "\n".join(line for _, line in sorted(found))

    def _noted(self, kind: str, begin: float, end: float) -> list[tuple[float, float]]:
        noted = self._file.read_text()
        with suppress(FileNotFoundError):
            noted += STAND_IN.read_text()
        lines = (line.split() for line in noted.splitlines())
        found: list[tuple[float, float]] = []
        for since, until in sorted((float(since), float(until)) for what, since, until in lines if what == kind):
            if until < begin or since > end:
                continue
            if found and since <= found[-1][1]:
                since, until = found[-1][0], max(found.pop()[1], until)
            found.append((since, until))
        return found


def main(file: Path) -> None:
    tests, parent = os.getppid(), os.getpid()
    with file.open("a", buffering=1) as out:
        for cpu in os.sched_getaffinity(0):
            if os.fork() == 0:  # threads would wait for each other's interpreter lock
                watch(cpu, out, parent)
                return
        while os.getppid() == tests:  # end when the test run ends, even if it was killed
            time.sleep(1)


def watch(cpu: int, out: TextIO, parent: int) -> None:
    """Watch one CPU until ``parent`` ends."""
    os.sched_setaffinity(0, {cpu})
    with suppress(PermissionError):  # without root, it waits in the queue more often, which is accounted for
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    began, stolen_s = time.monotonic(), steal_s(cpu)
    for step in itertools.count(1):
        if os.getppid() != parent:
            return
        queued_s, wanted = run_delay_s(), time.monotonic() + STEP_S
        time.sleep(STEP_S)
        now = time.monotonic()
        taken_s = (now - wanted) - (run_delay_s() - queued_s)
        if taken_s >= STILL_S:
            out.write(f"still {now - taken_s} {now}\n")
        if step % STEPS == 0:
            before, stolen_s = stolen_s, steal_s(cpu)
            if stolen_s - before >= SLOW_S:
                out.write(f"slow {began} {now}\n")
            began = now


def run_delay_s() -> float:
    """How long this process has waited in the queue for a CPU, since it began."""
    _, waited_ns, _ = Path("/proc/self/schedstat").read_text().split()
    return int(waited_ns) / 1e9


def steal_s(cpu: int) -> float:
    """How long the host has kept this CPU for itself although it was wanted here."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{cpu}":
            return int(ticks[7]) * TICK_S
    return 0.0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main(Path(sys.argv[1]))
