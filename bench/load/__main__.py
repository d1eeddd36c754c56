"""python -m bench.load: see --help."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from . import assist_alone, talks, through_asterisk, two_workers, worker_alone
from .callers import THIRDS, Kind
from .figures import Figure, at_least, at_most
from .machine import this_machine
from .processes import core_time_s
from .table import show, write_json

PARTS = {
    "worker": "calls and cost of one media worker, alone on a core",
    "two": "two workers on two cores against one",
    "assist": "agent assist alone: events and reports of up to 1,000 callers, its media worker apart",
    "talks": "caller and agent through a real Asterisk, both listened to: how soon, and what is left behind",
    "asterisk": "calls through a real Asterisk: Hearline, a C program that only reads and writes, an EAGI process a "
    "call, Asterisk's own applications",
}


@dataclass(frozen=True)
class Extent:
    """How much is measured.

    `rungs`: the numbers of calls to try, ascending; memory is counted from the first on.
    """

    repetitions: int
    seconds: float
    rungs: tuple[int, ...]
    silent_rungs: tuple[int, ...]
    two_workers: int  # calls for each
    asterisk: int  # calls at once
    talks: int
    assist: tuple[int, ...]  # callers, of whom half talk


FULL = Extent(3, 12.0, (100, 400, 600, 800, 1_000, 1_200, 1_400), (100, 600), 400, 300, 500, (50, 200, 500, 1_000))
QUICK = Extent(1, 3.0, (50, 100, 200), (50, 200), 100, 30, 12, (20,))


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0 if everything was measured, whatever the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.load",
        description="How many calls does Hearline carry, and what does a call cost? Run it where nothing else runs.",
        epilog="parts: " + "; ".join(f"{name}: {what}" for name, what in PARTS.items()),
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"default all: {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="few calls, once, to see if it runs; ignore the figures")
    parser.add_argument("--repetitions", type=int, metavar="N", help=f"default {FULL.repetitions}")
    parser.add_argument("--calls", type=int, metavar="N", help=f"calls at once in Asterisk, default {FULL.asterisk}")
    parser.add_argument("--talks", type=int, metavar="N", help=f"number of talks, default {FULL.talks}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    extent = QUICK if options.quick else FULL
    repetitions = options.repetitions or extent.repetitions
    say = partial(print, file=sys.stderr, flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # ends everything that was started
    machine, parts = this_machine(), options.parts or PARTS
    began, core_time = time.monotonic(), core_time_s()
    figures: list[Figure] = []
    failed = False
    for part in parts:
        try:
            if part == "worker":
                figures += _worker(extent, repetitions, say)
            elif part == "two":
                figures += two_workers.measure(extent.two_workers, extent.seconds, repetitions, say)
            elif part == "assist":
                figures += assist_alone.measure(extent.assist, extent.seconds, repetitions, say)
            elif part == "talks":
                found, version = talks.measure(options.talks or extent.talks, repetitions, say)
                figures += found
                machine = replace(machine, asterisk=version)
            else:
                calls = options.calls or extent.asterisk
                found, version = through_asterisk.measure(calls, repetitions, say)
                figures += found
                machine = replace(machine, asterisk=version)
        except (
            OSError,
            RuntimeError,
            subprocess.SubprocessError,
        ) as error:  # the figures of the other parts still count
            say(f"{part}: not measured: {error}")
            failed = True
    all_s, stolen_s = (now - before for now, before in zip(core_time_s(), core_time, strict=True))
    machine = replace(machine, stolen=stolen_s / max(all_s, 1))
    say(f"took {(time.monotonic() - began) / 60:.1f} min")
    show(machine, figures, repetitions)
    if options.json:
        write_json(options.json, machine, figures, repetitions)
    return int(failed)


def _worker(extent: Extent, repetitions: int, say: Callable[[str], None]) -> list[Figure]:
    def climbs(what: str, kinds: Sequence[Kind], rungs: Sequence[int]) -> list[list[worker_alone.Rung]]:
        done = []
        for repetition in range(1, repetitions + 1):
            say(f"one worker, {what}: {repetition} of {repetitions}")
            done.append(worker_alone.climb(kinds, rungs, extent.seconds, repetition, say))
        return done

    thirds = climbs("a third each silent, too soft, speaking", THIRDS, extent.rungs)
    talking = climbs("all speaking without pause", (Kind.TALKING,), extent.rungs)
    silent = climbs("all silent", (Kind.SILENT,), extent.silent_rungs)
    return [
        *worker_alone.figures(
            "One worker: a third each silent, too soft, speaking", thirds, at_least(1_000), at_most(100)
        ),
        *worker_alone.figures("One worker: all speaking without pause", talking, at_least(600)),
        *worker_alone.figures("One worker: all silent", silent, None),
    ]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
