"""Did the machine stand still? An ordinary process that only wants to run every 10 ms notes when it was not let. Told
with a live test that failed: a phone that was not let run either has holes in what it heard, whatever we played."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

STEP_S, WORTH_S = 0.01, 0.06


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
        """(end, seconds) of each time that it did, all or in part between these moments (monotonic s)."""
        noted = [tuple(map(float, line.split())) for line in self._file.read_text().splitlines()]
        return [(at, long) for at, long in noted if at >= begin and at - long <= end]

    def stood_still_s(self, begin: float, end: float) -> float:
        """So long altogether."""
        return sum(long for _, long in self.stood_still(begin, end))

    def since(self, seconds: float) -> str:
        """The same of the last so many seconds, for people."""
        now = time.monotonic()
        found = [f"{now - at:.1f} s ago: {long * 1_000:.0f} ms" for at, long in self.stood_still(now - seconds, now)]
        return "\n".join(found) or "no"


def main(file: Path) -> None:
    parent, before = os.getppid(), time.monotonic()
    while os.getppid() == parent:  # a test run that was killed does not stop it
        time.sleep(STEP_S)
        now = time.monotonic()
        if now - before >= WORTH_S:
            with file.open("a") as out:
                out.write(f"{now} {now - before}\n")
        before = now


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main(Path(sys.argv[1]))
