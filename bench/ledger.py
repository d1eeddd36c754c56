"""What the ledger carries: the cost of an append, synced records a second, a backlog of one hour taken in.

    python -m bench.ledger [--postgresql postgresql://USER@HOST/NAME]     # an empty database, which is left full
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from zoneinfo import ZoneInfo

from hearline.core.calendar import Calendar
from hearline.figures.counting import Counting
from hearline.store.call_events import CallEvent, Ended, Enqueued, Hold, Joined, Parted, Unhold, body_of, kind_of
from hearline.store.ledger.database import Ledger, sqlite_url
from hearline.store.ledger.intake import MOST, Intake
from hearline.store.spool.appender import Appender

CALLS_AN_HOUR = 1_500
EVENTS_A_CALL = 30
AT_ONCE = 60  # calls whose events are mixed
LIVE_A_S = 200  # events: a burst
LIVE_S = 5.0
CAME = 1_795_941_015_123
TIMELINE = {"events": [{"at_ms": n * 20, "event": "prompt", "planned_ms": n * 20, "name": "ask"} for n in range(150)]}
WAIT_S = 120.0


def call_of(n: int) -> str:
    return f"20261129-083015123-{100_000_000 + n}-bench"


def history() -> Iterator[CallEvent]:
    """`EVENTS_A_CALL` events of one call."""
    yield Enqueued("care")
    yield Joined("8016")
    for _ in range((EVENTS_A_CALL - 4) // 2):
        yield Hold("8016")
        yield Unhold("8016")
    yield Parted("8016")
    yield Ended()


def mixed() -> Iterator[tuple[str, int, CallEvent]]:
    """An hour's events, those of `AT_ONCE` calls in turn: (call, ms, event)."""
    for first in range(0, CALLS_AN_HOUR, AT_ONCE):
        for n, event in enumerate(history()):
            for call in range(first, min(first + AT_ONCE, CALLS_AN_HOUR)):
                yield call_of(call), CAME + first * 1_000 + n * 2_000, event


def append_us(folder: Path) -> None:
    """The cost of an append to whoever appends, at a pace at which the thread keeps up."""
    appender = Appender(folder / "cost")
    for name, kind, body, spare in (
        ("an event", "hold", body_of(Hold("8016")), False),
        ("a timeline of 11 kB", "timeline", TIMELINE, True),
    ):
        costs = []
        for n in range(3_000):
            began = time.perf_counter_ns()
            appender.append(call_of(n), kind, body, CAME, spare)
            costs.append((time.perf_counter_ns() - began) / 1_000)
            time.sleep(0.0005)
        costs.sort()
        print(f"append {name}: median {statistics.median(costs):.0f} µs, p99 {costs[len(costs) * 99 // 100]:.0f} µs")
    appender.close()


def acknowledged_ms(folder: Path) -> None:
    """From an append to its acknowledgement, at the pace of a burst."""
    appender, waits = Appender(folder / "live"), []

    def acknowledged(began: float) -> Callable[[object], None]:
        return lambda _: waits.append((time.perf_counter() - began) * 1_000)

    for n in range(int(LIVE_A_S * LIVE_S)):
        began = time.perf_counter()
        appender.append(call_of(n), "hold", body_of(Hold("8016")), CAME).add_done_callback(acknowledged(began))
        time.sleep(1 / LIVE_A_S)
    appender.settle(WAIT_S)
    appender.close()
    waits.sort()
    print(
        f"acknowledged at {LIVE_A_S} events/s: median {statistics.median(waits):.0f} ms, "
        f"p99 {waits[len(waits) * 99 // 100]:.0f} ms, longest {waits[-1]:.0f} ms"
    )


def synced_a_s(folder: Path) -> None:
    appender, many = Appender(folder / "synced"), 50_000
    bodies = cycle([body_of(Hold("8016"))])
    began = time.perf_counter()
    for n in range(many):
        appender.append(call_of(n), "hold", next(bodies), CAME)
    assert appender.settle(WAIT_S)
    print(f"synced: {many / (time.perf_counter() - began):,.0f} records/s")
    appender.close()


def taken_in_a_s(folder: Path, name: str, url: str) -> None:
    """The backlog of an hour, then as it comes: a few events a transaction."""
    ledger = Ledger(url)
    ledger.migrate()
    calendar = Calendar(ZoneInfo("Asia/Shanghai"))
    intake = Intake(folder / name, ledger, Counting(lambda _flow: calendar))
    for what, most in (("an hour's backlog", MOST), ("10 events a transaction", 10)):
        appender, offered = Appender(folder / name / "assist"), list(mixed())
        if most < MOST:
            offered = [(call.replace("bench", "live"), at, event) for call, at, event in offered[:6_000]]
        for call, at, event in offered:
            appender.append(call, kind_of(event), body_of(event), at)
        assert appender.settle(WAIT_S)
        appender.close()
        taken, began = 0, time.perf_counter()
        while many := intake.take_in(most):
            taken += many
        took = time.perf_counter() - began
        print(f"{name}, {what}: {taken:,} events in {took:.1f} s, {taken / took:,.0f} events/s")
    intake.close()
    ledger.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgresql", metavar="URL", help="an empty database, which is left full")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; by default a temporary one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as made:
        folder = Path(made)
        append_us(folder)
        acknowledged_ms(folder)
        synced_a_s(folder)
        taken_in_a_s(folder, "sqlite", sqlite_url(folder / "database" / "ledger.sqlite"))
        if given.postgresql:
            taken_in_a_s(folder, "postgresql", given.postgresql)


if __name__ == "__main__":
    main()
