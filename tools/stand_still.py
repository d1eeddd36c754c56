"""Makes this machine stand still now and then, as if its host took its CPUs away, to find live tests that pass only on
a quiet machine. Linux, as root.

    python tools/stand_still.py & make live; kill %1

The time it takes counts as the host's: it records it for `tests/stood_still.py`, which ignores any other load.
"""

import argparse
import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from stood_still import STAND_IN  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--most", type=float, default=110, metavar="MS", help="longest stop; at least a third (%(default)s)"
    )
    parser.add_argument("--every", type=float, default=6, metavar="S", help="average interval (%(default)s)")
    parser.add_argument("--unnoted", action="store_true", help="do not record it: it then counts as our own load")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    parent = os.getpid()
    at, chance = time.monotonic(), random.Random(parent)  # the same seed, so that all CPUs stop at the same moments
    mine, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {next((cpu for cpu in others if os.fork() == 0), mine)})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    try:
        while parent in (os.getpid(), os.getppid()):
            at += chance.uniform(0.5, 1.5) * given.every
            begin, until = at, at + chance.uniform(0.33, 1) * given.most / 1_000
            time.sleep(max(0.0, at - time.monotonic()))
            while time.monotonic() < until:
                pass
            if os.getpid() == parent and not given.unnoted:
                with STAND_IN.open("a") as noted:
                    noted.write(f"still {begin} {until}\n")
    finally:
        if os.getpid() == parent:
            STAND_IN.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
