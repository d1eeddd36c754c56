"""Processes that the tests kill: one that appends calls to a spool, and one that takes the spools in."""

from __future__ import annotations

import time
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from zoneinfo import ZoneInfo

from hearline.core.calendar import Calendar
from hearline.figures.counting import Counting
from hearline.store.call_events import CallEvent, Ended, Enqueued, Hold, Joined, Parted, Unhold, body_of, kind_of
from hearline.store.ledger.database import Ledger
from hearline.store.ledger.intake import Intake
from hearline.store.spool.appender import Appender

CAME = 1_795_941_015_123
TALK_MS = 40_000
CALL: tuple[tuple[int, CallEvent], ...] = (
    (0, Enqueued("care")),
    (5_000, Joined("8016")),
    (15_000, Hold("8016")),
    (25_000, Unhold("8016")),
    (55_000, Parted("8016")),
    (55_100, Ended()),
)
"""One call: the ms of its events."""


def count_facts() -> Counting:
    calendar = Calendar(ZoneInfo("Asia/Shanghai"))
    return Counting(lambda _flow: calendar)


def append_calls(folder: Path, round_: int, acknowledged: Connection) -> None:
    """Append one call after the other, for ever, and report the number of each event once it is acknowledged."""
    appender = Appender(folder)
    numbers = count()
    for n in count():
        call = f"20261129-083015123-{100_000_000 + round_ * 1_000_000 + n}-{folder.name}"
        for ms, event in CALL:
            number = next(numbers)
            kept = appender.append(call, kind_of(event), {**body_of(event), "round": round_, "n": number}, CAME + ms)
            kept.add_done_callback(lambda kept, number=number: acknowledged.send(number) if kept.result() else None)
        time.sleep(0.003)


def take_in(folder: Path, url: str, most: int, began: Connection) -> None:
    """Take in what comes, for ever."""
    ledger = Ledger(url)
    intake = Intake(folder, ledger, count_facts())
    began.send(True)
    while True:
        if not intake.take_in(most):
            time.sleep(0.002)
