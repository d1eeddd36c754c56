"""Queue members of FreePBX's form are agents like ours. `freepbx_call.json` was recorded from a real Asterisk 22.10:
the queue's list, and a call from its arrival in the queue to its end."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from hearline.assist.calls.agent_states import Activity, AgentStates
from hearline.assist.calls.channel_graph import ChannelGraph
from hearline.assist.calls.member_lookup import MemberLookup
from hearline.assist.calls.queue_members import QueueMembers
from hearline.core.calendar import Calendar
from hearline.pbx.ami import AmiRefused, Message
from hearline.pbx.ami_messages import variables
from hearline.pbx.hints import Hint, hint_of, phones_in

NAME, INTERFACE = "Zhang San", "Local/8021@from-queue/n"
HINT = Hint("8021", "ext-local")
OURS = {
    "Event": "QueueMember",
    "Queue": "care",
    "Name": "8016",
    "Location": "Local/agent-8016@hearline-ring/n",
    "StateInterface": "PJSIP/agent-8016",
}
THEIRS = {
    "Event": "QueueMember",
    "Queue": "400",
    "Name": NAME,
    "Location": INTERFACE,
    "StateInterface": "hint:8021@ext-local",
}
CHANGED = {
    "Event": "QueueMemberStatus",
    "Queue": "400",
    "MemberName": NAME,
    "Interface": INTERFACE,
    "StateInterface": "hint:8021@ext-local",
}
CALLED = {"Event": "AgentCalled", "Queue": "400", "MemberName": NAME, "Interface": INTERFACE, "Channel": "PJSIP/t-01"}
RECORDED = json.loads((Path(__file__).parent / "freepbx_call.json").read_text("utf-8"))


def phone(name: str, number: str) -> Message:
    return {"Event": "QueueMember", "StateInterface": name, "Name": number}


# ---- hints -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("PJSIP/8016&Custom:DND8016,CustomPresence:8016", ("PJSIP/8016",)),
        ("PJSIP/8016&IAX2/8016&SIP/98016&PJSIP/8016", ("PJSIP/8016", "IAX2/8016", "SIP/98016")),
        ("Custom:DND8016,CustomPresence:8016", ()),
        ("Custom:a/b&Queue:400_avail&MWI:8016@default&Local/8016@x&PJSIP/", ()),
        (",CustomPresence:8016", ()),
        ("", ()),
    ],
)
def test_the_phones_of_a_hint_are_its_devices(text, phones):
    assert phones_in(text) == phones


def test_a_hint_that_asterisk_has_cut_names_no_other_phone():
    text = "&".join(f"PJSIP/{number:06}" for number in range(100))[:255]
    assert text.endswith("PJSIP/000018&PJSIP/00") and phones_in(text)[-1] == "PJSIP/000018"


@pytest.mark.parametrize(
    ("state_interface", "hint"),
    [
        ("hint:8016@ext-local", Hint("8016", "ext-local")),
        ("Hint:8016", Hint("8016", "default")),
        ("PJSIP/8016", None),
        ("Custom:8016", None),
        ("", None),
    ],
)
def test_which_state_interface_is_a_hint(state_interface, hint):
    assert hint_of(state_interface) == hint


# ---- what is made of the messages ------------------------------------------------------------------------------------
@pytest.fixture
def members() -> QueueMembers:
    members = QueueMembers()
    assert members.learn(OURS) is None and members.learn(THEIRS) == HINT
    members.resolve(HINT, ["PJSIP/desk-8021"])
    return members


def test_a_member_by_hint_becomes_its_phones_with_the_extension_for_a_work_number(members):
    assert members.translate(THEIRS) == members.translate(CHANGED) == [phone("PJSIP/desk-8021", "8021")]


def test_our_own_members_stay_as_they_are(members):
    rings = {**CALLED, "MemberName": "8016", "Interface": OURS["Location"]}
    assert members.translate(OURS) == [OURS] and members.translate(rings) == [rings]


@pytest.mark.parametrize("kind", ["AgentCalled", "AgentConnect", "AgentRingNoAnswer"])
def test_a_call_to_a_person_is_a_call_to_the_extension(members, kind):
    assert members.translate({**CALLED, "Event": kind}) == [{**CALLED, "Event": kind, "MemberName": "8021"}]


def test_a_call_to_somebody_whom_no_queue_has_listed_names_nobody():
    assert QueueMembers().translate(CALLED) == [{**CALLED, "MemberName": ""}]


def test_other_events_stay_as_they_are(members):
    event = {"Event": "Hangup", "Channel": "PJSIP/t-01"}
    assert members.translate(event) == [event]


def test_a_phone_that_the_hint_names_no_longer_is_no_agents_any_more(members):
    members.translate(THEIRS)
    members.resolve(HINT, ["PJSIP/desk-9"])
    assert members.translate(CHANGED) == [phone("PJSIP/desk-8021", ""), phone("PJSIP/desk-9", "8021")]
    assert members.translate(CHANGED) == [phone("PJSIP/desk-9", "8021")]


def test_unless_another_member_has_it(members):
    members.translate(THEIRS)
    members.learn({**OURS, "Name": "8021", "StateInterface": "PJSIP/desk-8021"})
    members.resolve(HINT, [])
    assert members.translate(CHANGED) == []


def test_a_queue_with_a_member_whose_hint_names_no_phone_is_named_until_it_is_listed_no_more(members):
    assert members.without_phone() == []
    members.resolve(HINT, [])
    members.learn({**THEIRS, "Queue": "500"})
    assert members.without_phone() == [("400", HINT), ("500", HINT)]
    members.begin_list()
    assert members.without_phone() == []


# ---- what is asked of Asterisk ---------------------------------------------------------------------------------------
@dataclass
class Asterisk:
    """Its queues' members, and the hints of its dialplan."""

    listed: list[Message] = field(default_factory=lambda: [OURS, THEIRS])
    hints: dict[str, str] = field(default_factory=lambda: {"8021": "PJSIP/desk-8021&Custom:DND8021"})
    asked: list[str] = field(default_factory=list)

    async def ask_list(self, action: str, Queue: str = "", Member: str = "") -> list[Message]:
        assert action == "QueueStatus"
        self.asked.append(Member or "all")
        found = [m for m in self.listed if Queue in ("", m["Queue"]) and Member in ("", m["Location"])]
        return [{"Event": "QueueParams", "Queue": "400"}, *found]

    async def ask(self, action: str, Exten: str, Context: str) -> Message:
        assert (action, Context) == ("ExtensionState", "ext-local")
        self.asked.append(Exten)
        if Exten not in self.hints:
            raise AmiRefused("Permission denied")
        return {"Response": "Success", "Hint": self.hints[Exten]}


@dataclass
class Lookup:
    asterisk: Asterisk = field(default_factory=Asterisk)
    members: QueueMembers = field(default_factory=QueueMembers)
    heard: list[Message] = field(default_factory=list)
    changes: int = 0

    def __post_init__(self) -> None:
        self.lookup = MemberLookup(self.asterisk, self.members, self.heard.append, self.changed)

    def changed(self) -> None:
        self.changes += 1

    def take_all(self) -> None:
        asyncio.run(self.lookup.take_all())

    def hear(self, event: Message) -> list[Message]:
        asyncio.run(self.lookup.before(event))
        return self.members.translate(event)

    def asked(self) -> list[str]:
        asked, self.asterisk.asked = self.asterisk.asked, []
        return asked


def test_at_a_login_each_hint_is_looked_up_once():
    lookup = Lookup(Asterisk([OURS, THEIRS, {**THEIRS, "Queue": "500"}]))
    lookup.take_all()
    assert lookup.asked() == ["all", "8021"]
    assert lookup.heard[:2] == [OURS, phone("PJSIP/desk-8021", "8021")]


def test_a_hint_is_looked_up_again_when_its_members_state_changes():
    lookup = Lookup()
    lookup.take_all()
    lookup.asterisk.hints["8021"] = "PJSIP/desk-9"
    assert lookup.hear(CHANGED) == [phone("PJSIP/desk-8021", ""), phone("PJSIP/desk-9", "8021")]


def test_what_comes_of_a_member_who_is_known_asks_nothing():
    lookup = Lookup()
    lookup.take_all()
    lookup.asked()
    lookup.hear(OURS)
    assert lookup.hear(CALLED)[0]["MemberName"] == "8021"
    lookup.hear({"Event": "Hangup", "Channel": "PJSIP/t-01"})
    assert lookup.asked() == []


def test_a_call_to_a_member_of_whom_nothing_is_known_is_asked_after_first():
    """A queue that is reloaded does not tell whom it has got."""
    lookup = Lookup()
    assert lookup.hear(CALLED)[0]["MemberName"] == "8021"
    assert lookup.asked() == [INTERFACE, "8021"]
    assert lookup.heard == [phone("PJSIP/desk-8021", "8021")]


def test_a_hint_that_cannot_be_asked_for_keeps_its_phones():
    lookup = Lookup()
    lookup.take_all()
    lookup.asterisk.hints.clear()
    assert lookup.hear(CHANGED) == [phone("PJSIP/desk-8021", "8021")]


def test_an_event_about_a_member_is_true_if_the_queue_lists_it_so():
    lookup = Lookup()
    for event, true in (
        (CHANGED, True),
        ({**CHANGED, "StateInterface": "hint:8016@ext-local"}, False),
        ({**CHANGED, "StateInterface": "PJSIP/mine", "MemberName": "8021"}, False),
        ({**CHANGED, "Interface": "Local/8021@mine"}, False),
    ):
        assert asyncio.run(lookup.lookup.is_true(event)) is true
    lookup.take_all()
    lookup.asked()
    assert asyncio.run(lookup.lookup.is_true(CHANGED)) and lookup.asked() == []


def test_whoever_cares_is_told_when_a_member_has_no_phone_and_when_that_is_mended():
    lookup = Lookup()
    lookup.asterisk.hints["8021"] = "Custom:DND8021"
    lookup.hear(CHANGED)
    assert lookup.changes == 1 and lookup.members.without_phone() == [("400", HINT)]
    lookup.asterisk.hints["8021"] = "PJSIP/desk-8021"
    assert asyncio.run(lookup.lookup.without_phone()) == []
    lookup.asked()
    assert asyncio.run(lookup.lookup.without_phone()) == [] and lookup.asked() == []
    lookup.hear(CHANGED)
    assert lookup.changes == 1


# ---- the call that was recorded --------------------------------------------------------------------------------------
@dataclass
class Floor:
    """What becomes of the recorded events: who talks with whom, and the agent's state after each event."""

    lookup: Lookup = field(default_factory=Lookup)
    graph: ChannelGraph = field(default_factory=ChannelGraph)
    seen: list[tuple[Activity, str]] = field(default_factory=list)
    talks: list[tuple[str, ...]] = field(default_factory=list)
    translated: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        calendar = Calendar(ZoneInfo("Asia/Shanghai"))
        self.states = AgentStates(lambda number: number, calendar, self.graph.number)

    def run(self) -> None:
        self.lookup.asterisk.listed = RECORDED["listed"]
        self.lookup.asterisk.hints["8021"] = RECORDED["hint"]
        self.lookup.take_all()
        for told in self.lookup.heard:
            self.graph.hear(told)
        for event in RECORDED["events"]:
            for told in self.lookup.hear(event):
                self.translated.append(told)
                self.graph.hear(told)
                self.states.hear(told)
            for talk in self.graph.talks():
                if talk.numbers and talk.numbers not in self.talks:
                    self.talks.append(talk.numbers)
                    self.agents, self.caller, self.answer = talk.agents, talk.caller, talk.answer
            for state in self.states.all():
                if (state.state, state.agent) not in self.seen:
                    self.seen.append((state.state, state.agent))


@pytest.fixture(scope="module")
def floor() -> Floor:
    floor = Floor()
    floor.run()
    return floor


def test_the_recorded_call_rings_at_the_extension(floor):
    assert (Activity.RINGING, "8021") in floor.seen
    assert {agent for _, agent in floor.seen} == {"8021"}


def test_caller_and_agent_are_connected_through_the_queues_local_channel(floor):
    assert floor.talks == [("8021",)]
    assert [agent.rpartition("-")[0] for agent in floor.agents] == ["PJSIP/desk-8021"]
    assert floor.answer.agent_id == "8021"
    assert any(variables(event).get("HEARLINE_CALLER") == floor.caller for event in RECORDED["events"])


def test_no_message_behind_the_translation_holds_a_persons_name(floor):
    assert NAME in json.dumps(RECORDED)
    assert NAME not in json.dumps(floor.translated) + json.dumps(floor.lookup.heard)
