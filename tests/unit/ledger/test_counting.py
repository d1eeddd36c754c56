"""Facts in the database: written in the transaction of their events, once, and anew when something comes late."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import count
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select
from test_facts import ASSIST, DOOR, HISTORIES, A, B, told

from hearline.core.calendar import LATEST_MS, Calendar
from hearline.figures import counting as counting_module
from hearline.figures.counting import Counting
from hearline.figures.facts import Said, facts_of
from hearline.store.call_events import Ended, Enqueued, Joined, Parted, Visit, body_of, event_in, kind_of
from hearline.store.ledger.intake import Intake
from hearline.store.ledger.tables import contact, dirty_day, event, segment, stint
from hearline.store.spool.appender import Appender

ZONES = {"": ZoneInfo("Asia/Shanghai"), "london": ZoneInfo("Europe/London")}
_numbers = count(100_000_000)


def calendar_of(flow: str) -> Calendar:
    return Calendar(ZONES.get(flow, ZONES[""]))


def new_call() -> str:
    return f"20261129-083015123-{next(_numbers)}-shanghai"


class Pipeline:
    """From two spools into the database."""

    def __init__(self, folder, ledger) -> None:
        self.ledger = ledger
        self.spools = {DOOR: Appender(folder / "door"), ASSIST: Appender(folder / "assist")}
        self.intake = Intake(folder, ledger, Counting(calendar_of))

    def append(self, call: str, at: int, what: object) -> None:
        spool = self.spools[DOOR if isinstance(what, Visit) else ASSIST]
        assert spool.append(call, kind_of(what), body_of(what), at).result(5)

    def rows(self, table, call: str) -> list:
        keys = list(table.primary_key)
        with self.ledger.transaction() as connection:
            return connection.execute(select(table).where(table.c.call == call).order_by(*keys)).all()

    def dirty(self) -> set[date]:
        with self.ledger.transaction() as connection:
            return set(connection.scalars(select(dirty_day.c.local_day)))


@pytest.fixture
def pipeline(tmp_path, ledger):
    pipeline = Pipeline(tmp_path / "spool", ledger)
    yield pipeline
    pipeline.intake.close()
    for spool in pipeline.spools.values():
        spool.close()


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000)


def test_facts_grow_with_the_call(pipeline):
    call, began = new_call(), at("2026-11-29T08:30:15")
    pipeline.append(call, began + 9_000, Visit(began, "hotline", "queue:care"))
    pipeline.append(call, began + 9_100, Enqueued("care"))
    pipeline.intake.take_in()
    (row,) = pipeline.rows(contact, call)
    assert (row.began, row.ended, row.ended_as) == (began, None, "")
    assert (row.local_day, row.local_hour) == (date(2026, 11, 29), 16)
    pipeline.append(call, began + 20_000, Joined(A))
    pipeline.append(call, began + 50_000, Parted(A))
    pipeline.append(call, began + 50_000, Ended())
    pipeline.intake.take_in()
    (row,) = pipeline.rows(contact, call)
    assert (row.ended, row.ended_as, row.rules_version) == (began + 50_000, "answered", 1)
    (of_stint,) = pipeline.rows(stint, call)
    assert (of_stint.queue, of_stint.joined, of_stint.why_left) == ("care", began + 20_000, "answered")
    (of_agent,) = pipeline.rows(segment, call)
    assert (of_agent.agent, of_agent.stint, of_agent.talk) == (A, 1, 30_000)


@pytest.mark.parametrize(
    "flow, came, day, hour",
    [
        ("hotline", "2026-11-29T15:59:59", date(2026, 11, 29), 23),
        ("hotline", "2026-11-29T16:00:00", date(2026, 11, 30), 0),
        ("london", "2026-11-29T16:00:00", date(2026, 11, 29), 16),
    ],
)
def test_a_call_belongs_to_the_business_day_of_its_flow(pipeline, flow, came, day, hour):
    call = new_call()
    pipeline.append(call, at(came) + 5_000, Visit(at(came), flow, "hangup:silent"))
    pipeline.intake.take_in()
    (row,) = pipeline.rows(contact, call)
    assert (row.local_day, row.local_hour) == (day, hour)
    assert pipeline.dirty() == {day}


def test_a_stint_belongs_to_the_day_on_which_it_began(pipeline):
    call, midnight = new_call(), at("2026-11-29T16:00:00")
    pipeline.append(call, midnight - 1_000, Visit(midnight - 9_000, "hotline", "queue:care"))
    pipeline.append(call, midnight - 1_000, Enqueued("care"))
    pipeline.append(call, midnight + 5_000, Joined(A))
    pipeline.append(call, midnight + 60_000, Parted(A))
    pipeline.append(call, midnight + 61_000, Enqueued("billing"))
    pipeline.intake.take_in()
    days = [date(2026, 11, 29), date(2026, 11, 30)]
    assert [row.local_day for row in pipeline.rows(stint, call)] == days
    assert pipeline.dirty() == set(days)


def test_what_comes_late_makes_its_day_dirty_again(pipeline):
    call, began = new_call(), at("2026-11-29T08:30:15")
    pipeline.append(call, began, Enqueued("care"))
    pipeline.append(call, began + 5_000, Ended())
    pipeline.intake.take_in()
    with pipeline.ledger.transaction() as connection:
        connection.execute(delete(dirty_day))
    assert pipeline.intake.take_in() == 0 and pipeline.dirty() == set()
    pipeline.append(call, began + 4_000, Joined(B))
    pipeline.intake.take_in()
    assert pipeline.dirty() == {date(2026, 11, 29)}


def test_what_is_no_call_of_ours_is_kept_and_not_counted(pipeline):
    pipeline.append("", 5, Enqueued("care"))
    pipeline.append("../etc/passwd", 5, Enqueued("care"))
    assert pipeline.spools[ASSIST].append(new_call(), "of_a_newer_version", {"n": 1}, 5).result(5)
    pipeline.intake.take_in()
    with pipeline.ledger.transaction() as connection:
        assert connection.scalar(select(func.count()).select_from(event)) == 3
        assert connection.scalar(select(func.count()).select_from(contact)) == 0


def test_odd_texts_and_moments_stop_nothing(pipeline):
    call, began = new_call(), at("2026-11-29T08:30:15")
    pipeline.append(call, began, Enqueued("ca\0re"))
    pipeline.append(call, LATEST_MS, Joined("80\x0016"))
    assert pipeline.intake.take_in() == 2
    (of_stint,) = pipeline.rows(stint, call)
    assert (of_stint.queue, of_stint.joined) == ("care", LATEST_MS)
    (of_agent,) = pipeline.rows(segment, call)
    assert of_agent.agent == A


def test_an_error_of_ours_costs_the_facts_of_one_call(pipeline, monkeypatch, caplog):
    bad, good = new_call(), new_call()

    def fails(call, said):
        if call == bad:
            raise ZeroDivisionError("the caller's name")
        return facts_of(call, said)

    monkeypatch.setattr(counting_module, "facts_of", fails)
    for call in bad, good:
        pipeline.append(call, at("2026-11-29T08:30:15"), Enqueued("care"))
    assert pipeline.intake.take_in() == 2
    assert pipeline.rows(contact, bad) == [] and len(pipeline.rows(contact, good)) == 1
    assert len(pipeline.rows(event, bad)) == 1
    assert "ZeroDivisionError" in caplog.text and "name" not in caplog.text


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(HISTORIES, min_size=1, max_size=3), st.lists(st.integers(1, 20), min_size=1, max_size=8))
def test_however_events_come_in_the_facts_are_those_of_all_events(pipeline, histories, steps):
    """Several calls at once, taken in by steps of any size: as if all events had been there at once."""
    began = at("2026-11-29T15:59:30")
    calls = {new_call(): told(history) for history in histories}
    for call, history in calls.items():
        for second, what in history:
            spool = pipeline.spools[DOOR if isinstance(what, Visit) else ASSIST]
            spool.append(call, kind_of(what), body_of(what), began + second * 1_000)
    assert all(spool.settle(5) for spool in pipeline.spools.values())
    for most in steps:
        pipeline.intake.take_in(most)
    while pipeline.intake.take_in():
        pass
    for call, history in calls.items():
        _same(pipeline, call, len(history))


def _same(pipeline: Pipeline, call: str, many: int) -> None:
    """The facts in the database are those that follow from all its events."""
    rows = pipeline.rows(event, call)
    assert len(rows) == many
    wanted = facts_of(call, [Said(row.stream, row.number, row.at, event_in(row.kind, row.body)) for row in rows])
    (found,) = pipeline.rows(contact, call)
    for name in ("began", "ended", "ended_as", "first_hangup", "fcr_due", "ivr_outcome"):
        assert getattr(found, name) == getattr(wanted.contact, name)
    stints, segments = pipeline.rows(stint, call), pipeline.rows(segment, call)
    assert [(row.seq, row.queue, row.enqueued, row.left, row.why_left) for row in stints] == [
        (one.seq, one.queue, one.enqueued, one.left, one.why_left) for one in wanted.stints
    ]
    assert {(row.stint, row.agent, row.talk, row.hold, row.wrap) for row in segments} == {
        (one.stint, one.agent, one.talk, one.hold, one.wrap) for one in wanted.segments
    }
