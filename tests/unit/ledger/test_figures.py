"""Figures: both databases count what a short reference counts from the facts; and each figure by its formula."""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta

import pytest
from typer.testing import CliRunner

from hearline.cli.app import app
from hearline.core.settings import Settings
from hearline.figures.counting import Counting
from hearline.figures.definitions import DEFINITIONS
from hearline.figures.facts import Said, facts_of
from hearline.figures.tally import Tally, tally
from hearline.store.call_events import (
    CallbackMarked,
    Ended,
    Enqueued,
    Hold,
    HungUp,
    Joined,
    LeftQueue,
    Parted,
    Transferred,
    Unhold,
    Visit,
    WrappedUp,
    body_of,
    kind_of,
)
from hearline.store.ledger.database import Ledger
from hearline.store.ledger.intake import Intake
from hearline.store.spool.appender import Appender

DAY = date(2026, 11, 29)
NOON = 1_795_924_800_000  # 12:00 in Shanghai, ms since 1970
HOUR = 3_600_000
AGENTS = ("8016", "8017", "8018")


def call_id(number: int) -> str:
    return f"20261129-040000000-{100_000_000 + number}-site"


def history(chance: random.Random) -> list[tuple[int, object]]:
    """A call as it may go, with moments in ms."""
    at = NOON + chance.randrange(-30 * HOUR, 30 * HOUR)
    heard = chance.choice(["normal", "silent1", "silent2", "low", "noise", "key"])
    went = chance.choice(["queue:care", "queue:care", "queue:care", "hangup:noinput"])
    said: list[tuple[int, object]] = [(at + 9_000, Visit(at, "hotline", went, heard))]
    at += 9_000
    if went.startswith("hangup"):
        return said
    for stay in range(chance.randrange(1, 4)):
        said.append((at, Enqueued(chance.choice(["care", "billing"]))))
        queue = said[-1][1].queue
        at += chance.choice([1_000, 5_999, 6_000, 15_000, 15_001, 20_000, 20_001, 90_000])
        how = chance.random()
        if how < 0.2:
            break
        if how < 0.3:
            said.append((at, LeftQueue(queue, "key")))
            continue
        agent = AGENTS[stay]
        said.append((at, Joined(agent, queue)))
        for _ in range(chance.randrange(3)):
            at += chance.randrange(1, 60_000)
            said.append((at, Hold(agent)))
            at += chance.randrange(1, 60_000)
            said.append((at, Unhold(agent)))
        at += chance.randrange(1, 300_000)
        if chance.random() < 0.3:
            said.append((at, CallbackMarked(agent)))
        how = chance.random()
        if how < 0.3:
            said += [(at, Transferred(agent, "blind")), (at, Parted(agent))]
            at += 4_000
            if chance.random() < 0.5:
                said += [(at, Joined("8019")), (at + 30_000, Parted("8019"))]
                at += 30_000
                break
            continue
        said += [(at, HungUp(chance.choice(["caller", "agent"]))), (at, Parted(agent))]
        if chance.random() < 0.7:
            said.append((at + chance.randrange(60_000), WrappedUp(agent)))
        break
    said.append((at + 1, Ended()))
    return said


def facts(calls):
    return [
        facts_of(call, [Said(1, number, at, event) for number, (at, event) in enumerate(said, 1)])
        for call, said in calls.items()
    ]


def reference(all_facts, since: date, until: date, queue: str = "") -> Tally:
    """The same as `tally`, one call after another."""
    calendar, found = Settings().calendar, dict.fromkeys(asdict(Tally()), 0)

    def add(name: str, value: float) -> None:
        found[name] += int(value)

    def on_these_days(ms: int) -> bool:
        return since <= calendar.business_day(datetime.fromtimestamp(ms / 1_000, UTC)) <= until

    for one in all_facts:
        contact = one.contact
        if on_these_days(contact.began) and (not queue or any(stint.queue == queue for stint in one.stints)):
            add("contacts", 1)
            add("ended_in_ivr", contact.ended_as == "ivr")
            add("answered", contact.ended_as == "answered")
            add("lost", contact.ended_as == "abandoned")
            add("silent", contact.heard == "silent2")
            add("too_soft", contact.heard == "low")
            add("noisy", contact.heard == "noise")
            add("agent_first", contact.first_hangup == "agent")
            add("caller_first", contact.first_hangup == "caller")
            add("callbacks", contact.callback)
        for stint in one.stints:
            if not on_these_days(stint.enqueued) or (queue and stint.queue != queue):
                continue
            for part in stint.segments:
                add("handled", 1)
                add("talk", part.talk)
                add("hold", part.hold)
                add("holds", part.holds)
                add("wrap", part.wrap or 0)
            if stint.via == "agent":
                continue
            waited = stint.left - stint.enqueued if stint.left is not None else None
            add("stays", 1)
            if stint.joined is not None:
                add("joined", 1)
                add("joined_15", waited <= 15_000)
                add("joined_20", waited <= 20_000)
                add("wait", waited)
            if stint.why_left == "abandoned":
                add("abandoned", 1)
                add("short", waited < 6_000)
                add("abandoned_15", waited <= 15_000)
                add("abandoned_20", waited <= 20_000)
    return Tally(**found)


@pytest.fixture
def keep(tmp_path, ledger):
    """Takes these calls into the database."""

    def keep(calls):
        spool = Appender(tmp_path / "spool" / "door")
        for call, said in calls.items():
            for at, event in said:
                spool.append(call, kind_of(event), body_of(event), at)
        spool.close()
        intake = Intake(tmp_path / "spool", ledger, Counting(lambda _flow: Settings().calendar))
        while intake.take_in():
            pass
        intake.close()

    return keep


def test_the_database_counts_what_the_reference_counts(ledger, keep):
    calls = {call_id(number): history(random.Random(number)) for number in range(400)}
    keep(calls)
    counted = facts(calls)
    for since, until in (
        (DAY, DAY),
        (DAY - timedelta(1), DAY + timedelta(1)),
        (DAY - timedelta(40), DAY + timedelta(40)),
    ):
        for queue in ("", "care", "billing", "none"):
            with ledger.transaction() as connection:
                found = tally(connection, since, until, queue)
            assert asdict(found) == asdict(reference(counted, since, until, queue)), (since, until, queue)
            assert found == Tally() if queue == "none" else found.contacts > 50


def test_tallies_of_days_add_up(ledger, keep):
    keep({call_id(number): history(random.Random(number)) for number in range(100)})
    days = [DAY + timedelta(n) for n in range(-3, 4)]
    with ledger.transaction() as connection:
        single = [tally(connection, day, day) for day in days]
        assert sum(single, Tally()) == tally(connection, days[0], days[-1])


# ---- formulas --------------------------------------------------------------------------------------------------------
EXAMPLE = Tally(
    contacts=100, ended_in_ivr=10, answered=70, lost=20, silent=5, too_soft=4, noisy=1, agent_first=7,
    stays=95, joined=70, joined_15=50, joined_20=60, abandoned=20, short=5, abandoned_15=8, abandoned_20=10,
    wait=700_000, handled=80, talk=8_000_000, hold=800_000, wrap=1_600_000, holds=40, callbacks=3,
)  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("service_level_20", 60 / 85), ("service_level_20_a", 60 / 70), ("service_level_20_c", 60 / 80),
        ("service_level_20_d", 70 / 90), ("service_level_15", 50 / 85), ("joined_in_15", 50 / 95),
        ("answer_rate", 70 / 90), ("abandon_rate", 15 / 85), ("asa", 10.0), ("aht", 130.0), ("talk", 100.0),
        ("hold", 10.0), ("wrap", 20.0), ("agent_first", 0.1), ("silent", 0.05), ("too_soft", 0.04), ("noisy", 0.01),
        ("contacts", 100), ("short", 5), ("callbacks", 3), ("holds", 40),
    ],
)  # fmt: skip
def test_a_figure_is_what_its_formula_says(key, value):
    [definition] = [one for one in DEFINITIONS if one.key == key]
    assert definition.of(EXAMPLE) == pytest.approx(value)


def test_without_calls_no_figure_divides_by_zero():
    assert {one.of(Tally()) for one in DEFINITIONS} == {None, 0}
    assert len({one.key for one in DEFINITIONS}) == len({one.english for one in DEFINITIONS}) == len(DEFINITIONS)


# ---- the command -----------------------------------------------------------------------------------------------------
@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("HEARLINE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "140")
    return tmp_path / "state"


def test_the_command_shows_each_figure_with_its_formula(state, tmp_path):
    calls = {call_id(number): history(random.Random(number)) for number in range(40)}
    ledger = Ledger(Settings().database_url)
    ledger.migrate()
    spool = Appender(tmp_path / "spool" / "door")
    for call, said in calls.items():
        for at, event in said:
            spool.append(call, kind_of(event), body_of(event), at)
    spool.close()
    intake = Intake(tmp_path / "spool", ledger, Counting(lambda _flow: Settings().calendar))
    while intake.take_in():
        pass
    intake.close()
    ledger.close()
    expected = reference(facts(calls), DAY - timedelta(6), DAY)
    shown = CliRunner().invoke(app, ["figures", "--day", "2026-11-29", "--days", "7"])
    assert shown.exit_code == 0 and "2026-11-23 – 2026-11-29" in shown.output
    assert "20秒服务水平" in shown.output and "joined within 20 s ÷ (joined + abandoned after 6 s)" in shown.output
    told = json.loads(CliRunner().invoke(app, ["figures", "--day", "2026-11-29", "--days", "7", "--json"]).output)
    assert told["figures"]["contacts"] == expected.contacts > 5
    assert told["figures"]["asa"] == pytest.approx(expected.wait / expected.joined / 1e3, abs=1e-3)
    assert (told["since"], told["until"], told["queue"]) == ("2026-11-23", "2026-11-29", None)


def test_without_a_ledger_the_command_says_where_it_looked(state):
    answer = CliRunner().invoke(app, ["figures"])
    assert answer.exit_code == 1 and "Set HEARLINE_STATE" in answer.output
