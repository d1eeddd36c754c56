"""What the ledger forgets: at a caller's request, and by age."""

from __future__ import annotations

from itertools import count

import pytest
from sqlalchemy import func, select

from hearline.core.settings import Settings
from hearline.figures.counting import Counting
from hearline.store.call_events import Caller, Ended, Enqueued, Joined, Visit, body_of, kind_of
from hearline.store.ledger.erasure import FORGET
from hearline.store.ledger.intake import Intake
from hearline.store.ledger.retention import DAY_MS, Periods, Retention
from hearline.store.ledger.tables import contact, erasure, event, segment, stint, timeline
from hearline.store.spool.appender import Appender

BEGAN = 1_795_941_015_123
THEIRS, OTHERS = "k" * 64, "o" * 64
PERIODS = Periods(callers=60, timelines=90, figures=1_100)
_numbers = count(100_000_000)


class Ledgers:
    """A spool for each writer, and the database that takes them in."""

    def __init__(self, folder, ledger):
        self._folder, self.ledger = folder, ledger
        self._now_ms = BEGAN
        self.retention = Retention(ledger, PERIODS, lambda: self._now_ms / 1e3)
        self.intake = Intake(folder, ledger, Counting(lambda _flow: Settings().calendar, self.retention.whole_since))

    def say(self, writer: str, *records) -> None:
        """Append (call, at, event or (kind, body), spare) and close the spool."""
        spool = Appender(self._folder / writer)
        for call, at, said, spare in records:
            kind, body = said if isinstance(said, tuple) else (kind_of(said), body_of(said))
            spool.append(call, kind, body, at, spare)
        spool.close()

    def call(self, key: str, began: int = BEGAN) -> str:
        call = f"20261129-083015123-{next(_numbers)}-site"
        history = [
            (began, Caller(key)), (began + 9_000, Visit(began, "hotline", "queue:care")),
            (began + 9_000, Enqueued("care")), (began + 15_000, Joined("8016")), (began + 60_000, Ended()),
        ]  # fmt: skip
        self.say("door", *((call, at, said, False) for at, said in history))
        self.say("door", (call, began + 9_000, ("timeline", {"events": []}), True))
        return call

    def forget(self, key: str, at: int) -> None:
        self.say("cli", ("", at, (FORGET, {"caller_key": key}), False))

    def take_in(self) -> None:
        while self.intake.take_in():
            pass

    def tidy(self, days: float) -> None:
        """As it is so many days after the calls."""
        self._now_ms = BEGAN + round(days * DAY_MS)
        while self.retention.tidy():
            pass

    def keys(self) -> dict[str, str]:
        with self.ledger.transaction() as connection:
            return {row.call: row.caller_key for row in connection.execute(select(contact))}

    def count(self, table) -> int:
        with self.ledger.transaction() as connection:
            return connection.scalar(select(func.count()).select_from(table))

    def holds(self, text: str) -> bool:
        with self.ledger.transaction() as connection:
            return any(text in body for body in connection.scalars(select(event.c.body)).all() if "forget" not in body)


@pytest.fixture
def ledgers(tmp_path, ledger):
    ledgers = Ledgers(tmp_path / "spool", ledger)
    yield ledgers
    ledgers.intake.close()


def test_a_caller_is_forgotten_and_their_calls_still_count(ledgers):
    first, second, other = ledgers.call(THEIRS), ledgers.call(THEIRS), ledgers.call(OTHERS)
    ledgers.take_in()
    assert ledgers.keys() == {first: THEIRS, second: THEIRS, other: OTHERS}
    ledgers.forget(THEIRS, BEGAN + DAY_MS)
    ledgers.take_in()
    assert ledgers.keys() == {first: "", second: "", other: OTHERS}
    assert ledgers.count(contact) == ledgers.count(stint) == ledgers.count(segment) == 3
    with ledgers.ledger.transaction() as connection:
        assert connection.scalars(select(event.c.body).where(event.c.kind == "caller")).all() == [
            f'{{"caller_key":"{OTHERS}"}}'
        ]


def test_what_a_spool_still_holds_is_forgotten_as_it_is_taken_in(ledgers):
    ledgers.forget(THEIRS, BEGAN + DAY_MS)
    ledgers.take_in()
    before, after = ledgers.call(THEIRS), ledgers.call(THEIRS, BEGAN + 2 * DAY_MS)
    ledgers.take_in()
    assert ledgers.keys() == {before: "", after: THEIRS}


def test_a_late_event_does_not_bring_a_caller_back(ledgers):
    call = ledgers.call(THEIRS)
    ledgers.take_in()
    ledgers.forget(THEIRS, BEGAN + DAY_MS)
    ledgers.take_in()
    ledgers.say("assist", (call, BEGAN + 70_000, Ended(), False))
    ledgers.take_in()
    assert ledgers.keys() == {call: ""}


def test_nobody_is_not_a_caller(ledgers):
    ledgers.forget("", BEGAN + DAY_MS)
    ledgers.take_in()
    assert ledgers.count(erasure) == 0


def test_callers_timelines_and_figures_are_kept_for_periods_of_their_own(ledgers):
    call = ledgers.call(THEIRS)
    ledgers.forget(OTHERS, BEGAN)
    ledgers.take_in()
    ledgers.tidy(59)
    assert ledgers.keys() == {call: THEIRS} and ledgers.count(event) == 6 and ledgers.count(erasure) == 1
    ledgers.tidy(61)
    assert ledgers.keys() == {call: ""} and ledgers.count(event) == 5 and ledgers.count(erasure) == 0
    assert ledgers.count(timeline) == 1
    ledgers.tidy(91)
    assert ledgers.count(event) == ledgers.count(timeline) == 0
    assert ledgers.count(contact) == ledgers.count(stint) == ledgers.count(segment) == 1
    ledgers.tidy(1_101)
    assert ledgers.count(contact) == ledgers.count(stint) == ledgers.count(segment) == 0


def test_facts_stay_when_their_events_are_too_old(ledgers):
    call = ledgers.call(THEIRS)
    ledgers.take_in()
    ledgers.tidy(100)
    ledgers.say("assist", (call, BEGAN + 100 * DAY_MS, Ended(), False))
    ledgers.take_in()
    with ledgers.ledger.transaction() as connection:
        assert connection.scalar(select(contact.c.ended)) == BEGAN + 60_000


def test_much_that_is_too_old_goes_a_little_at_a_time(ledgers, monkeypatch):
    monkeypatch.setattr("hearline.store.ledger.retention.MOST", 3)
    for _ in range(4):
        ledgers.call(THEIRS)
    ledgers.take_in()
    ledgers._now_ms = BEGAN + 2_000 * DAY_MS
    assert ledgers.retention.tidy()
    assert 0 < ledgers.count(event) < 20
    ledgers.tidy(2_000)
    assert ledgers.count(event) == ledgers.count(contact) == 0
