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
    """From ``start`` to ``stop``; ``since(s)`` tells of the last so many seconds."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        self._file.touch()
        self._process = subprocess.Popen([sys.executable, __file__, str(self._file)])

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def since(self, seconds: float) -> str:
        """One line for each time that it stood still; of when and how long."""
        now, found = time.time(), []
        for line in self._file.read_text().splitlines():
            at, ms = line.split()
            if now - float(at) <= seconds:
                found.append(f"{now - float(at):.1f} s ago: {ms} ms")
        return "\n".join(found) or "no"


def main(file: Path) -> None:
    parent, before = os.getppid(), time.monotonic()
    while os.getppid() == parent:  # a test run that was killed does not stop it
        time.sleep(STEP_S)
        now = time.monotonic()
        if now - before >= WORTH_S:
            with file.open("a") as out:
                out.write(f"{time.time()} {(now - before) * 1_000:.0f}\n")
        before = now


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main(Path(sys.argv[1]))
