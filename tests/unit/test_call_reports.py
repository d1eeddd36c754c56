"""What agent assist reports of a call, as the facts that follow from it. Moments in s after the call came."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from hearline.assist.calls.agent_states import Activity
from hearline.assist.calls.call_reports import CallReports
from hearline.assist.calls.channel_graph import ConnectedParties
from hearline.figures.facts import Said, facts_of
from hearline.store.call_events import Ended, Enqueued, LeftQueue, OutcomePicked, PickedUp, Present, WrappedUp

CALL = "20261129-083015123-482139075-site"
CAME_S = 1_795_941_015
CALLER, A, B = "PJSIP/carrier-00000001", "PJSIP/agent-8016-00000002", "PJSIP/agent-8017-00000003"
A_AGAIN = "PJSIP/agent-8016-00000009"
NUMBERS = {"PJSIP/agent-8016": "8016", "PJSIP/agent-8017": "8017"}


class Hotline:
    """Tells the reports what happens, at a second that a test chooses."""

    def __init__(self):
        self.said, self.second = [], 0.0
        self.reports = self.started()

    def started(self):
        return CallReports(
            lambda call, event, at: self.said.append((call, event, at)),
            {CALLER: CALL}.get,
            lambda channel: NUMBERS.get(channel.rpartition("-")[0], ""),
            lambda: CAME_S + self.second,
        )

    def at(self, second: float) -> Hotline:
        self.second = second
        return self

    def hear(self, kind: str, channel: str = CALLER, **more: str) -> None:
        told = {"HEARLINE_CALLER": CALLER, "HEARLINE_QUEUED_AT": f"{CAME_S + 1}"} | {
            name: more.pop(name) for name in list(more) if name.startswith("HEARLINE")
        }
        known = "\n".join(f"{name}={value}" for name, value in told.items())
        self.reports.hear({"Event": kind, "Channel": channel, "ChanVariable": known, **more})

    def connect(self, *agents: str, holder: str = "") -> None:
        numbers = tuple(NUMBERS.get(agent.rpartition("-")[0], "") for agent in agents)
        self.reports.follow([ConnectedParties(CALLER, agents, "care", "normal", holder, numbers=numbers, call=CALL)])

    def answered(self) -> None:
        """A caller waits from 2 to 13, and is then connected with A."""
        self.at(2).hear("QueueCallerJoin", Queue="care")
        self.at(10).hear("Newstate", A, HEARLINE_AGENT=A)
        self.at(13).hear("QueueCallerLeave", Queue="care")
        self.connect(A)

    def events(self) -> list:
        return [event for _, event, _ in self.said]

    @property
    def facts(self):
        assert {call for call, _, _ in self.said} == {CALL}
        return facts_of(CALL, [Said(1, number, at, event) for number, (_, event, at) in enumerate(self.said, 1)])


@pytest.fixture
def hotline():
    return Hotline()


def s(ms):
    return None if ms is None else ms / 1_000 - CAME_S


def parts(facts):
    found = facts.segments
    return [(one.stint, one.agent, s(one.began), s(one.ended), one.talk / 1e3, one.hold / 1e3) for one in found]


def test_a_caller_who_is_answered(hotline):
    hotline.answered()
    hotline.at(33).reports.recorded(CALL, {"event": "hung_up", "side": "caller"})
    hotline.hear("Hangup")
    facts = hotline.facts
    [stint] = facts.stints
    assert (stint.queue, s(stint.enqueued), s(stint.picked_up), s(stint.joined)) == ("care", 2, 10, 13)
    assert parts(facts) == [(1, "8016", 13, 33, 20, 0)]
    assert (facts.contact.ended_as, facts.contact.first_hangup, s(facts.contact.ended)) == ("answered", "caller", 33)


def test_a_phone_that_was_answered_is_reported_once(hotline):
    hotline.answered()
    hotline.at(20).hear("Newexten", A, HEARLINE_AGENT=A)
    assert hotline.events().count(PickedUp("8016")) == 1


def test_holds_are_the_agents_not_the_callers(hotline):
    hotline.answered()
    hotline.at(15).connect(A, holder=A)
    hotline.at(18).connect(A)
    hotline.at(20).connect(A, holder=CALLER)
    hotline.at(25).connect(A)
    hotline.at(30).hear("Hangup")
    assert parts(hotline.facts) == [(1, "8016", 13, 30, 14, 3)]


def test_a_hold_that_ends_with_the_call(hotline):
    hotline.answered()
    hotline.at(15).connect(A, holder=A)
    hotline.at(30).hear("Hangup")
    assert parts(hotline.facts) == [(1, "8016", 13, 30, 2, 15)]


def test_whoever_hangs_up_in_the_queue_has_abandoned(hotline):
    hotline.at(2).hear("QueueCallerJoin", Queue="care")
    hotline.at(9).hear("QueueCallerLeave", Queue="care")
    hotline.at(9.2).hear("Hangup")
    assert hotline.facts.contact.ended_as == "abandoned"


def test_whom_the_queue_does_not_keep_has_not_abandoned(hotline):
    hotline.at(2).hear("QueueCallerJoin", Queue="care")
    hotline.at(9).hear("QueueCallerLeave", Queue="care")
    hotline.at(15).hear("Hangup")
    [stint] = hotline.facts.stints
    assert (stint.why_left, s(stint.left), hotline.facts.contact.ended_as) == ("unavailable", 9, "unavailable")
    assert LeftQueue("care", "unavailable") in hotline.events()


def test_another_queue_is_an_overflow(hotline):
    hotline.at(2).hear("QueueCallerJoin", Queue="care")
    hotline.at(9).hear("QueueCallerLeave", Queue="care")
    hotline.at(9.1).hear("QueueCallerJoin", Queue="fallback")
    hotline.at(20).connect(A)
    hotline.at(30).hear("Hangup")
    stints = hotline.facts.stints
    assert [(one.queue, one.why_left) for one in stints] == [("care", "overflow"), ("fallback", "answered")]


def test_a_transfer_to_a_colleague(hotline):
    hotline.answered()
    hotline.at(30).reports.recorded(CALL, {"event": "transferred", "channel": A, "how": "blind"})
    hotline.connect()
    hotline.at(38).connect(B)
    hotline.at(50).hear("Hangup")
    assert parts(hotline.facts) == [(1, "8016", 13, 30, 17, 0), (2, "8017", 38, 50, 12, 0)]
    assert [one.via for one in hotline.facts.stints] == ["ivr", "agent"]
    assert s(hotline.facts.stints[1].enqueued) == 30


def test_a_transfer_to_a_queue(hotline):
    hotline.answered()
    hotline.at(30).reports.recorded(CALL, {"event": "transferred", "channel": A, "how": "blind"})
    hotline.connect()
    hotline.at(31).hear("QueueCallerJoin", Queue="care")
    hotline.at(40).connect(B)
    hotline.at(50).hear("Hangup")
    assert [(one.via, s(one.enqueued)) for one in hotline.facts.stints] == [("ivr", 2), ("transfer", 31)]


def test_an_agent_who_asks_a_queue_about_a_caller_is_no_caller(hotline):
    hotline.answered()
    hotline.at(20).hear("QueueCallerJoin", A, Queue="care")
    assert hotline.events().count(Enqueued("care")) == 1


def test_an_agent_on_another_phone_is_the_same_agent(hotline):
    hotline.answered()
    hotline.at(20).connect(A_AGAIN)
    hotline.at(25).connect(A_AGAIN, holder=A_AGAIN)
    hotline.at(30).hear("Hangup")
    assert parts(hotline.facts) == [(1, "8016", 13, 30, 12, 5)]


def test_channels_that_are_renamed_stay_who_they_are(hotline):
    hotline.answered()
    hotline.at(20).hear("Rename", A, Newname=A_AGAIN)
    hotline.connect(A_AGAIN)
    hotline.hear("Rename", CALLER, Newname="PJSIP/carrier-00000008")
    hotline.at(30).hear("Hangup", "PJSIP/carrier-00000008")
    assert parts(hotline.facts) == [(1, "8016", 13, 30, 17, 0)]


def test_a_nuisance_call_is_handed_over(hotline):
    hotline.answered()
    hotline.at(20).reports.recorded(CALL, {"event": "handed_over", "to": "nuisance"})
    hotline.connect()
    hotline.at(30).hear("Hangup")
    assert parts(hotline.facts) == [(1, "8016", 13, 20, 7, 0)]
    assert hotline.facts.contact.first_hangup == ""


def test_a_phone_that_no_queue_knows_goes_by_its_name(hotline):
    hotline.answered()
    hotline.at(20).connect(A, "PJSIP/boss-00000005")
    hotline.at(30).hear("Hangup")
    assert [one.agent for one in hotline.facts.segments] == ["8016", "boss"]


# ---- the work after the call -----------------------------------------------------------------------------------------
def state(activity, call=CALL):
    return SimpleNamespace(agent="8016", state=activity, caller=SimpleNamespace(id=call))


def test_the_work_after_a_call_ends_with_done_or_the_next_call(hotline):
    hotline.answered()
    hotline.at(30).hear("Hangup")
    hotline.reports.see(state(Activity.AFTER))
    hotline.at(35).reports.recorded(CALL, {"event": "outcome", "outcome": "order", "agent": "8016"})
    hotline.at(42).reports.see(state(Activity.AFTER))
    hotline.reports.see(state(Activity.IDLE))
    hotline.at(50).reports.see(state(Activity.RINGING, "another"))
    assert OutcomePicked("8016", "order") in hotline.events()
    assert hotline.events().count(WrappedUp("8016")) == 1
    assert hotline.facts.segments[0].wrap == 12_000


# ---- restarts --------------------------------------------------------------------------------------------------------
def test_after_a_restart_what_is_there_is_said_again_and_counted_once(hotline):
    hotline.answered()
    hotline.at(20).reports = hotline.started()
    hotline.reports.reset([{"Channel": CALLER}, {"Channel": A}])
    hotline.connect(A)
    hotline.at(30).hear("Hangup")
    assert parts(hotline.facts) == [(1, "8016", 13, 30, 17, 0)]
    assert Present(("8016",)) in hotline.events()


def test_an_agent_who_left_while_nobody_watched(hotline):
    hotline.answered()
    hotline.at(20).reports = hotline.started()
    hotline.connect(B)
    hotline.at(30).hear("Hangup")
    assert parts(hotline.facts)[0] == (1, "8016", 13, 20, 7, 0)


def test_a_call_that_was_over_when_asterisk_was_back_has_ended(hotline):
    hotline.answered()
    hotline.at(40).reports.reset([])
    assert hotline.events()[-1] == Ended() and parts(hotline.facts) == [(1, "8016", 13, 40, 27, 0)]
