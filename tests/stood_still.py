"""When did this machine stand still? Hosts take a guest's CPUs away now and then, one or all, for a frame or five.
Then a phone was not let run either: it has holes in what it heard, whatever we played.

On each CPU a thread that wants it every 10 ms, before everybody else, notes when it did not get it. So work of our own,
however much, does not count; where nobody may go first (without root), only long waits do.
"""

from __future__ import annotations

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
        found: list[tuple[float, float]] = []
        for since, until in sorted(tuple(map(float, line.split())) for line in self._file.read_text().splitlines()):
            if until < begin or since > end:
                continue
            if found and since <= found[-1][1]:
                since, until = found[-1][0], max(found.pop()[1], until)
            found.append((since, until))
        return found

    def stood_still_s(self, begin: float, end: float) -> float:
        """So long altogether."""
        return sum(until - since for since, until in self.stood_still(begin, end))

    def told(self, begin: float, end: float) -> str:
        """The same for people."""
        found = self.stood_still(begin, end)
        return "\n".join(f"{since - begin:.1f} s: {1e3 * (until - since):.0f} ms" for since, until in found) or "no"


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
    wanted = time.monotonic()
    while True:
        wanted += STEP_S
        time.sleep(STEP_S)
        now = time.monotonic()
        if now - wanted >= worth:
            out.write(f"{wanted} {now}\n")
        wanted = now


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main(Path(sys.argv[1]))
