"""Facts of a call, by the definitions of the figures. Moments in s after the call came."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearline.figures.facts import FCR_MS, Facts, Said, facts_of, in_order
from hearline.store.call_events import (
    KINDS,
    CallbackMarked,
    Caller,
    Ended,
    Enqueued,
    HandedOver,
    Hold,
    HungUp,
    Joined,
    LeftQueue,
    OutcomePicked,
    Parted,
    PickedUp,
    Present,
    Transferred,
    Unhold,
    Visit,
    WrappedUp,
    body_of,
    event_in,
    kind_of,
)

CALL = "20261129-083015123-482139075-shang-hai"
CAME = 1_795_941_015_123
DOOR, ASSIST = 1, 2
A, B, C = "8016", "8017", "8018"
VISIT = Visit(CAME, "hotline", "queue:care", "normal", -23.5, "PJSIP/carrier", "95160")


def ms(second: float) -> int:
    return CAME + round(second * 1_000)


def facts(*history: tuple[float, object]) -> Facts:
    """The facts of a call: its events with their second; the door says who calls and what became of a visit, agent
    assist the rest."""
    said = [
        Said(DOOR if isinstance(event, Caller | Visit) else ASSIST, number, ms(second), event)
        for number, (second, event) in enumerate(history, start=1)
    ]
    found = facts_of(CALL, said)
    assert found is not None
    return found


def seconds(at: int | None) -> float | None:
    return None if at is None else (at - CAME) / 1_000


def stints(found: Facts) -> list[tuple]:
    """(queue, via, enqueued, left, why)"""
    return [(one.queue, one.via, seconds(one.enqueued), seconds(one.left), one.why_left) for one in found.stints]


def segments(found: Facts) -> list[tuple]:
    """(stint, agent, talk, hold, wrap) in s"""
    return [
        (one.stint, one.agent, one.talk / 1_000, one.hold / 1_000, None if one.wrap is None else one.wrap / 1_000)
        for one in found.segments
    ]


# ---- one call --------------------------------------------------------------------------------------------------------
def test_an_answered_call():
    found = facts(
        (0.1, Caller("key")),
        (10, VISIT),
        (10.1, Enqueued("care")),
        (27, PickedUp(A)),
        (30.1, Joined(A, "care")),
        (50, Hold(A)),
        (75, Unhold(A)),
        (100, Hold(A)),
        (110, Unhold(A)),
        (130.1, HungUp("caller")),
        (130.1, Parted(A)),
        (130.2, Ended()),
        (131, OutcomePicked(A, "order")),
        (150.1, WrappedUp(A)),
    )
    contact = found.contact
    assert (contact.site, contact.trunk, contact.dialled) == ("shang-hai", "PJSIP/carrier", "95160")
    assert (contact.flow, contact.ivr_outcome, contact.caller_key) == ("hotline", "queue:care", "key")
    assert (contact.heard, contact.level) == ("normal", -23.5)
    assert (seconds(contact.began), seconds(contact.ended), contact.ended_as) == (0, 130.2, "answered")
    assert (contact.first_hangup, contact.outcome, contact.callback) == ("caller", "order", False)
    assert contact.fcr_due == contact.ended + FCR_MS
    (stint,) = found.stints
    assert (seconds(stint.enqueued), seconds(stint.picked_up), seconds(stint.joined)) == (10.1, 27, 30.1)
    assert stints(found) == [("care", "ivr", 10.1, 30.1, "answered")]
    assert segments(found) == [(1, A, 65, 35, 20)]
    (segment,) = found.segments
    assert (segment.holds, segment.longest_hold) == (2, 25_000)


def test_a_call_that_ends_in_the_ivr():
    found = facts((21, Visit(CAME, "hotline", "hangup:silent", "silent")))
    assert found.stints == []
    assert (found.contact.ended_as, seconds(found.contact.ended), found.contact.fcr_due) == ("ivr", 21, None)


def test_a_call_that_is_still_there():
    found = facts((10, VISIT))
    assert (found.contact.ended, found.contact.ended_as) == (None, "")
    found = facts((10, VISIT), (10, Enqueued("care")))
    assert (found.contact.ended_as, stints(found)) == ("", [("care", "ivr", 10, None, "")])
    found = facts((10, VISIT), (10, Enqueued("care")), (20, Joined(A)))
    assert (found.contact.ended_as, found.contact.fcr_due) == ("answered", None)
    assert found.segments[0].ended is None and segments(found) == [(1, A, 0, 0, None)]


def test_a_caller_who_hangs_up_while_the_media_connection_breaks_may_still_be_there():
    broken = Visit(CAME, "hotline", "hangup:caller")
    found = facts((5, broken), (5.1, Enqueued("care")), (9, Joined(A)), (20, Parted(A)))
    assert found.contact.ended is None


# ---- not answered ----------------------------------------------------------------------------------------------------
def test_who_hangs_up_while_waiting_has_abandoned():
    said = facts((10, VISIT), (10, Enqueued("care")), (14, LeftQueue("care", "abandoned")), (14, Ended()))
    only_gone = facts((10, VISIT), (10, Enqueued("care")), (14, Ended()))
    for found in said, only_gone:
        assert (found.contact.ended_as, stints(found)) == ("abandoned", [("care", "ivr", 10, 14, "abandoned")])
        assert found.contact.fcr_due is None


def test_an_agent_who_hangs_up_during_the_whisper_has_not_answered():
    found = facts((10, Enqueued("care")), (20, PickedUp(A)), (25, Ended()))
    assert (found.contact.ended_as, found.segments, found.stints[0].picked_up) == ("abandoned", [], None)


@pytest.mark.parametrize("why", ["key", "withdrawn", "callback", "overflow", "timeout", "full", "empty", "closed"])
def test_who_leaves_in_another_way_has_not_abandoned(why):
    found = facts((10, VISIT), (10, Enqueued("care")), (40, LeftQueue("care", why)), (50, Ended()))
    assert (found.contact.ended_as, stints(found)) == (why, [("care", "ivr", 10, 40, why)])


def test_a_nuisance_call_does_not_abandon_and_its_agent_has_not_hung_up():
    found = facts(
        (10, VISIT), (10, Enqueued("care")), (20, Joined(A)), (60, HandedOver(A, "nuisance")), (60, Parted(A)),
        (60, HungUp("agent")), (80, Visit(ms(60), "nuisance", "queue:care")), (80, Enqueued("care")), (90, Ended()),
    )  # fmt: skip
    assert stints(found)[1] == ("care", "requeue", 80, 90, "nuisance")
    assert (found.contact.first_hangup, found.contact.ended_as, found.contact.flow) == ("", "answered", "hotline")


# ---- more than one agent ---------------------------------------------------------------------------------------------
def test_a_transfer_is_one_contact_and_two_stints_and_each_agent_has_their_own_talk():
    """queue_log charges the first agent with the colleague's talk."""
    found = facts(
        (10, VISIT), (10, Enqueued("care")), (20, Joined(A)), (50, Hold(A)), (80, Transferred(A, "attended")),
        (80.1, Joined(B)), (80.2, Parted(A)), (85, WrappedUp(A)), (200.1, HungUp("agent")), (200.1, Parted(B)),
        (200.1, Ended()),
    )  # fmt: skip
    assert stints(found) == [("care", "ivr", 10, 20, "answered"), ("care", "agent", 80, 80.1, "answered")]
    assert segments(found) == [(1, A, 30, 30.2, 4.8), (2, B, 120, 0, None)]
    assert found.contact.first_hangup == "agent"


def test_a_blind_transfer_waits_for_the_next_agent():
    found = facts(
        (10, Enqueued("care")), (20, Joined(A)), (50, Transferred(A, "blind")), (50, Parted(A)), (62, PickedUp(B)),
        (65, Joined(B)), (90, Parted(B)), (90, Ended()),
    )  # fmt: skip
    assert stints(found)[1] == ("care", "agent", 50, 65, "answered")
    assert seconds(found.stints[1].picked_up) == 62
    assert segments(found) == [(1, A, 30, 0, None), (2, B, 25, 0, None)]


def test_a_requeue_is_a_new_stint_and_leaves_the_first_as_it_was():
    before = [(10, VISIT), (10, Enqueued("care")), (20, Joined(A)), (50, Parted(A))]
    found = facts(*before, (51, Enqueued("billing", "transfer")), (90, Joined(B)), (95, Ended()))
    assert stints(found) == [("care", "ivr", 10, 20, "answered"), ("billing", "transfer", 51, 90, "answered")]
    assert found.stints[0] == facts(*before).stints[0]
    abandoned = facts(*before, (51, Enqueued("care")), (90, Ended()))
    assert stints(abandoned)[1] == ("care", "requeue", 51, 90, "abandoned")
    assert abandoned.contact.ended_as == "answered"


def test_a_caller_sent_on_to_another_queue_has_not_abandoned_the_first():
    found = facts((10, Enqueued("care")), (40, Enqueued("fallback")), (50, Joined(A)), (60, Ended()))
    assert stints(found) == [("care", "ivr", 10, 40, "overflow"), ("fallback", "requeue", 40, 50, "answered")]


def test_an_agent_whose_phone_was_lost_goes_on_in_the_same_segment():
    found = facts(
        (10, Enqueued("care")), (20, Joined(A)), (50, Hold(A)), (60, Parted(A)), (75, Joined(A)), (95, Parted(A)),
        (95, Ended()), (99, WrappedUp(A)),
    )  # fmt: skip
    assert len(found.stints) == 1
    assert segments(found) == [(1, A, 50, 10, 4)]
    assert (seconds(found.segments[0].began), seconds(found.segments[0].ended)) == (20, 95)


def test_three_in_one_talk_each_have_their_own_time():
    found = facts(
        (10, Enqueued("care")), (20, Joined(A)), (30, Joined(B)), (40, Hold(A)), (50, Parted(A)), (70, Parted(B)),
        (70, Ended()),
    )  # fmt: skip
    assert segments(found) == [(1, A, 20, 10, None), (2, B, 40, 0, None)]


# ---- what is said again, late or never -------------------------------------------------------------------------------
def test_what_is_said_again_after_a_restart_changes_nothing():
    once = [(10, VISIT), (10, Enqueued("care")), (20, Joined(A)), (30, Hold(A)), (40, Unhold(A)), (60, Ended())]
    twice = [*once[:2], (12, Enqueued("care")), once[2], (22, Joined(A)), once[3], (33, Hold(A)), *once[4:]]
    assert facts(*once) == facts(*twice)


def test_who_left_while_nobody_looked_counts_until_somebody_looks():
    before = [(10, Enqueued("care")), (20, Joined(A)), (25, Joined(B)), (30, Hold(A)), (35, Hold(B))]
    found = facts(*before, (50, Present((B,))), (50, Joined(B)), (60, Parted(B)), (60, Ended()))
    assert segments(found) == [(1, A, 10, 20, None), (2, B, 20, 15, None)]
    found = facts(*before, (50, Present((A, B), (A,))), (60, Ended()))
    assert segments(found) == [(1, A, 10, 30, None), (2, B, 20, 15, None)]


def test_a_call_whose_beginning_nobody_saw():
    found = facts((20, Joined(A, "care", ms(5))), (60, Ended()))
    assert stints(found) == [("care", "unseen", 5, 20, "answered")]
    assert (seconds(found.contact.began), found.contact.caller_key, found.contact.fcr_due) == (20, "", None)


def test_a_clock_that_is_set_back_makes_no_time_negative():
    found = facts((10, Enqueued("care")), (20, Joined(A)), (30, Hold(A)), (5, Unhold(A)), (6, Parted(A)), (40, Ended()))
    assert segments(found) == [(1, A, 10, 0, None)]


def test_what_two_processes_say_is_put_in_order_by_time():
    """The second stream was taken in later."""
    assist = [(10, Enqueued("care")), (20, Joined(A)), (30, Joined(B)), (60, Ended())]
    later = [(15, PickedUp(A)), (25, Hold(A)), (40, Unhold(A))]
    said = [Said(stream, n, ms(second), event) for stream, history in ((1, assist), (2, later))
            for n, (second, event) in enumerate(history)]  # fmt: skip
    assert [seconds(one.at) for one in in_order(said)] == [10, 15, 20, 25, 30, 40, 60]
    assert segments(facts_of(CALL, said)) == [(1, A, 25, 15, None), (2, B, 30, 0, None)]


def test_a_callback_may_be_unmarked():
    assert facts((1, CallbackMarked(A)), (2, Ended())).contact.callback
    assert not facts((1, CallbackMarked(A)), (2, CallbackMarked(A, False))).contact.callback


def test_no_events_no_facts():
    assert facts_of(CALL, []) is None


# ---- the words -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("event", [VISIT, Enqueued("care"), LeftQueue("care", "key"), Present((A,)), Ended()])
def test_an_event_can_be_read_again(event):
    assert event_in(kind_of(event), body_of(event)) == event
    assert event_in(kind_of(event), {**body_of(event), "of_a_newer_version": 1}) == event


def test_what_makes_no_sense_is_no_event():
    assert event_in("of_a_newer_version", {}) is None
    assert event_in("hold", {}) is None
    assert event_in("left", {"queue": "care", "why": "bored"}) is None
    assert event_in("joined", "[]") is None
    assert event_in("joined", '{"agent": "8016", "enqueued": 1000000000000000000000}') is None


def test_every_kind_has_its_class():
    assert len(set(KINDS.values())) == len(KINDS)


# ---- any history -----------------------------------------------------------------------------------------------------
AGENTS = st.sampled_from([A, B, C])
QUEUES = st.sampled_from(["care", "billing"])
EVENTS = st.one_of(
    st.builds(Enqueued, QUEUES),
    st.builds(LeftQueue, QUEUES, st.sampled_from(["abandoned", "key"])),
    st.builds(PickedUp, AGENTS),
    st.builds(Joined, AGENTS),
    st.builds(Parted, AGENTS),
    st.builds(Hold, AGENTS),
    st.builds(Unhold, AGENTS),
    st.builds(Present, st.tuples(AGENTS), st.tuples(AGENTS)),
    st.builds(WrappedUp, AGENTS),
    st.builds(Transferred, AGENTS, st.just("blind")),
    st.builds(HandedOver, AGENTS, st.just("nuisance")),
    st.builds(HungUp, st.sampled_from(["caller", "agent"])),
    st.builds(Visit, st.just(CAME), st.just("hotline"), st.sampled_from(["queue:care", "hangup:silent"])),
)
HISTORIES = st.lists(st.tuples(st.integers(0, 9), EVENTS), max_size=40)


def told(steps: list[tuple[int, object]]) -> list[tuple[int, object]]:
    """A history, given the seconds between its events; it ends."""
    second, history = 0, []
    for step, event in steps:
        second += step
        history.append((second, event))
    return [*history, (second + 1, Ended())]


def by_the_second(history: list[tuple[int, object]]) -> tuple[dict[str, int], dict[str, int]]:
    """Talk and hold of each agent, counted second by second: a reference that knows no segments."""
    present, held = set(), set()
    talk, hold = {}, {}
    last, waits = 0, False
    for second, event in history:
        for agent in present:
            count = hold if agent in held else talk
            count[agent] = count.get(agent, 0) + second - last
        last = second
        match event:
            case Enqueued():
                waits = True
            case Joined(agent):
                if waits:  # it is another talk, so nobody is on hold
                    held.discard(agent)
                waits = False
                present.add(agent)
            case Parted(agent):
                present.discard(agent)
                held.discard(agent)
            case Hold(agent) if agent in present:
                held.add(agent)
            case Unhold(agent):
                held.discard(agent)
            case Ended():
                present.clear()
    return talk, hold


TWO = st.sampled_from([A, B])
TALKS = st.one_of(*(st.builds(kind, TWO) for kind in (Joined, Parted, Hold, Unhold)), st.builds(Enqueued, QUEUES))


@given(st.lists(st.tuples(st.integers(0, 9), TALKS), max_size=40))
def test_each_agents_talk_and_hold_are_the_seconds_in_which_they_were(steps):
    history = told(steps)
    found = facts(*history)
    talk, hold = by_the_second(history)
    for agent in (A, B):
        mine = [one for one in found.segments if one.agent == agent]
        assert sum(one.talk for one in mine) == talk.get(agent, 0) * 1_000
        assert sum(one.hold for one in mine) == hold.get(agent, 0) * 1_000


@given(HISTORIES)
def test_in_any_history_the_facts_hold_together(steps):
    found = facts(*told(steps))
    assert found.contact.ended is not None
    assert [one.seq for one in found.stints] == list(range(1, len(found.stints) + 1))
    for stint in found.stints:
        assert stint.left is not None and stint.enqueued <= stint.left
        assert (stint.joined is not None) == (stint.why_left == "answered") == bool(stint.segments)
        assert stint.picked_up is None or stint.enqueued <= stint.picked_up <= stint.joined
        agents = [one.agent for one in stint.segments]
        assert len(set(agents)) == len(agents)
    for segment in found.segments:
        assert segment.ended is not None and min(segment.talk, segment.hold) >= 0
        assert segment.talk + segment.hold <= segment.ended - segment.began
        assert segment.longest_hold <= segment.hold and (segment.wrap or 0) >= 0
        assert bool(segment.holds) >= bool(segment.hold)


@given(HISTORIES, st.randoms())
def test_the_order_in_which_events_are_taken_in_does_not_matter(steps, random):
    said = [Said(n % 3, n, ms(second), event) for n, (second, event) in enumerate(told(steps))]
    shuffled = random.sample(said, len(said))
    assert asdict(facts_of(CALL, said)) == asdict(facts_of(CALL, shuffled))
