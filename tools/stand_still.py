"""Make this machine stand still now and then, as one does whose host takes its time: a way to find live tests that
only pass on a quiet one. Linux, as root.

    python tools/stand_still.py & make live; kill %1
"""

import argparse
import os
import random
import time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--most", type=float, default=110, metavar="MS", help="from a third of it on (%(default)s)")
    parser.add_argument("--every", type=float, default=6, metavar="S", help="on the average (%(default)s)")
    given = parser.parse_args()
    parent = os.getpid()
    at, chance = time.monotonic(), random.Random(parent)  # so that all CPUs stop at the same moments
    mine, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {next((cpu for cpu in others if os.fork() == 0), mine)})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    while parent in (os.getpid(), os.getppid()):
        at += chance.uniform(0.5, 1.5) * given.every
        until = at + chance.uniform(0.33, 1) * given.most / 1_000
        time.sleep(max(0.0, at - time.monotonic()))
        while time.monotonic() < until:
            pass


if __name__ == "__main__":
    main()
