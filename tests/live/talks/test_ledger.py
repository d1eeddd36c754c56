"""What the ledger holds of real calls: who waited how long, who talked with whom, how long the holds were. Judged by
the softphones' own clocks."""

from __future__ import annotations

import os
import signal
import time
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from hearline.store.ledger.database import reading_engine
from hearline.store.ledger.tables import contact, segment, stint, timeline
from world import Phones, Scenario, until

CLOCK_S = 1.0  # between a phone's clock and the ledger
KEY = ((1_500, "1"),)


@pytest.fixture(scope="module")
def engine(world):
    engine = reading_engine(world.stack.server_settings().database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def rows(engine, world):
    """Returns the rows of a table about the call from an account, as they are now."""

    def read(table, account):
        call = world.timelines()[account]["call"]
        with engine.connect() as connection:
            return list(connection.execute(select(table).where(table.c.call == call)))

    return read


@pytest.fixture(scope="module")
def over(rows):
    """Waits until the ledger holds the end of the call from an account; returns its contact."""

    def wait(account):
        def ended():
            found = rows(contact, account)
            return found and found[0].ended and found[0]

        return until(ended, 10)

    return wait


@pytest.fixture(scope="module")
def seen(world, rows, over):
    """One caller hears all prompts in silence. One hangs up in the queue. One is held by an agent, passed on to a
    colleague, and hangs up."""
    seen = SimpleNamespace(at={}, accounts={})
    alone, seen.accounts = world.script(
        {"silent": Scenario("8102"), "gives-up": Scenario(keys=KEY, hangup_at_ms=7_000)}
    )
    with Phones(alone) as phones:
        seen.alone = phones.wait(60)
    agents = [world.agent(i, hangup_after_ms=None, lines=2) for i in range(2)]
    script, used = world.script({"caller": Scenario(keys=KEY, max_ms=60_000)}, agents)
    seen.accounts |= used
    with Phones(script) as phones:
        names = {agent["name"] for agent in agents}
        answered = until(lambda: [e for e in phones.events if e["event"] == "answered" and e["phone"] in names], 20)
        seen.first = answered[0]["phone"]
        [seen.second] = names - {seen.first}
        time.sleep(5)  # the whisper, and some talk
        note = lambda what: seen.at.__setitem__(what, time.time())  # noqa: E731
        phones.act(seen.first, "hold", "")
        phones.wait_for("held", seen.first)
        note("held")
        time.sleep(3)
        phones.act(seen.first, "unhold", "")
        phones.wait_for("unheld", seen.first)
        note("unheld")
        time.sleep(2)
        phones.act(seen.first, "transfer", f"sip:{seen.second.removeprefix('agent-')}@{world.stack.sip}")
        phones.wait_for("disconnected", seen.first)
        note("passed on")
        phones.wait_for("answered", seen.second)
        time.sleep(6)
        phones.hang_up("caller")
        note("hung up")
        seen.results = phones.wait(30)
    for account in seen.accounts.values():
        over(account)
    return seen


def number(agent: str) -> str:
    return agent.removeprefix("agent-")


def test_a_silent_caller_is_a_contact_that_ended_in_the_ivr(seen, over, rows):
    account = seen.accounts["silent"]
    found = over(account)
    assert (found.ended_as, found.ivr_outcome, found.heard) == ("ivr", "hangup:noinput", "silent2")
    assert (found.flow, found.dialled, found.site) == ("quick", "8102", found.call.split("-", 3)[-1])
    assert len(found.caller_key) == 64, "a keyed hash of the number"
    call = seen.alone["silent"].call
    assert (found.ended - found.began) / 1e3 == pytest.approx(call.disconnected_at - call.answered_at, abs=CLOCK_S)
    assert rows(stint, account) == []


def test_a_caller_who_gives_up_has_abandoned_the_queue(seen, over, rows):
    found, [wait] = over(seen.accounts["gives-up"]), rows(stint, seen.accounts["gives-up"])
    assert (found.ended_as, found.ivr_outcome) == ("abandoned", "queue:care")
    assert (wait.queue, wait.via, wait.why_left, wait.joined) == ("care", "ivr", "abandoned", None)
    call = seen.alone["gives-up"].call
    waited_s = call.disconnected_at - call.answered_at - 1.5
    assert (wait.left - wait.enqueued) / 1e3 == pytest.approx(waited_s, abs=CLOCK_S)


def test_a_transferred_caller_is_one_contact_with_a_part_for_each_agent(seen, over, rows):
    account = seen.accounts["caller"]
    found, waits, parts = over(account), rows(stint, account), rows(segment, account)
    assert (found.ended_as, found.first_hangup) == ("answered", "caller")
    assert [(one.via, one.why_left) for one in waits] == [("ivr", "answered"), ("agent", "answered")]
    assert [one.agent for one in sorted(parts, key=lambda one: one.stint)] == [number(seen.first), number(seen.second)]


def test_each_agents_time_is_that_of_the_phones(seen, rows):
    first, second = sorted(rows(segment, seen.accounts["caller"]), key=lambda one: one.stint)
    assert first.hold / 1e3 == pytest.approx(seen.at["unheld"] - seen.at["held"], abs=CLOCK_S)
    assert (first.holds, second.holds) == (1, 0)
    assert first.ended / 1e3 == pytest.approx(seen.at["passed on"], abs=CLOCK_S)
    assert second.ended / 1e3 == pytest.approx(seen.at["hung up"], abs=CLOCK_S)
    for part, agent in ((first, seen.first), (second, seen.second)):
        [call] = [one for one in seen.results[agent].calls if one.answered_at]
        talked_s = call.disconnected_at - call.answered_at  # with the whisper, of up to 3 s
        assert -CLOCK_S < talked_s - (part.talk + part.hold) / 1e3 < 3 + CLOCK_S


def test_the_timelines_are_kept_as_well(seen, rows):
    assert len(rows(timeline, seen.accounts["silent"])) == 1
    assert len(rows(timeline, seen.accounts["caller"])) >= 2  # of the IVR, of the talk


def test_the_spool_is_empty_once_the_ledger_has_taken_it_in(world, seen):
    def backlog():
        return world.stack.readiness()["ledger"]["trouble"] == "" and world.metric("hearline_ledger_records_total") > 10

    until(backlog, 5)


# ---- killed in the middle --------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def killed(world, seen):
    """A caller talks with an agent while ledger and agent assist are killed. Another waits, and hangs up while agent
    assist is not there."""
    told = SimpleNamespace(at={})
    script, told.accounts = world.script(
        {"talks": Scenario(keys=KEY, max_ms=60_000), "waits": Scenario(keys=KEY, start_ms=4_000, max_ms=60_000)},
        [world.agent(0, hangup_after_ms=None)],
    )
    agent = world.agents[0].name
    with Phones(script) as phones:
        told.at["answered"] = phones.wait_for("answered", agent)["at"]
        phones.wait_for("answered", "waits")
        time.sleep(5)  # the whisper; the other caller is in the queue
        os.kill(world.ledger_pid(), signal.SIGKILL)
        before = world.assist_pid()
        os.kill(before, signal.SIGKILL)
        phones.hang_up("waits")
        told.at["gave up"] = time.time()
        phones.wait_for("disconnected", "waits")
        until(lambda: world.processes().get("agent assist", before) != before, 20)
        world.wait_ready(30)
        told.at["watched again"] = time.time()
        time.sleep(2)
        phones.hang_up("talks")
        told.at["hung up"] = time.time()
        told.results = phones.wait(30)
    return told


def test_a_talk_in_which_they_were_killed_is_counted_once_and_whole(killed, over, rows):
    account = killed.accounts["talks"]
    found, [wait], [part] = over(account), rows(stint, account), rows(segment, account)
    assert (found.ended_as, wait.why_left) == ("answered", "answered")
    assert part.ended / 1e3 == pytest.approx(killed.at["hung up"], abs=CLOCK_S)
    [call] = killed.results[f"agent-{part.agent}"].calls
    assert -CLOCK_S < call.disconnected_at - call.answered_at - part.talk / 1e3 < 3 + CLOCK_S


def test_a_caller_who_left_while_nobody_watched_has_left(killed, over, rows):
    account = killed.accounts["waits"]
    found, [wait] = over(account), rows(stint, account)
    assert (found.ended_as, wait.why_left) == ("abandoned", "abandoned")
    assert killed.at["gave up"] - CLOCK_S < found.ended / 1e3 < killed.at["watched again"] + CLOCK_S
