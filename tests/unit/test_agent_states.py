"""The state of an agent's desk: ringing, talking, after the call; whose call it is; and that it holds nothing
private."""

from __future__ import annotations

import asyncio
import json
import re
import time
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from hearline.assist.calls.agent_states import Activity, AgentState, AgentStates, Part
from hearline.assist.calls.call_note import CallNote
from hearline.assist.calls.channel_graph import Answer, ChannelGraph, ConnectedParties
from hearline.assist.calls.legs import Leg
from hearline.assist.calls.sessions import HelpCall, TalkSession, TalkSessions
from hearline.assist.hints.events import CardDismissed, Key, Side
from hearline.assist.hints.events import SpeechEnded as HintSpeechEnded
from hearline.assist.hints.events import SpeechStarted as HintSpeechStarted
from hearline.assist.hints.hint_store import HintStore
from hearline.assist.interface.agents import Agents
from hearline.audio.hearing import SpeechEnded, SpeechStarted
from hearline.core.calendar import Calendar
from hearline.core.settings import Settings
from hearline.media.worker_client import PendingCall
from hearline.media.worker_protocol import LegReport
from hearline.pbx.config import PRESENTATION
from hearline.store.earlier_calls import EarlierCall
from settled_records import SettledRecords

HINTS = Path(__file__).resolve().parents[2] / "ivr_flows" / "hints"
CALLER, AGENT, SECOND = "PJSIP/trunk-00000001", "PJSIP/agent-8016-00000002", "PJSIP/agent-8017-00000003"
NUMBER = "13800005678"
CALL = "20241125-020000000-482139075-sh"
NOW = 1_732_500_000.0  # 10:00 in Shanghai
SHANGHAI = Calendar(ZoneInfo("Asia/Shanghai"))


def about(channel: str = CALLER, **more: str) -> dict[str, str]:
    """What Asterisk tells of a caller of ours with every event."""
    told = {
        "HEARLINE_CALLER": channel,
        "HEARLINE_QUEUE": "care",
        "HEARLINE_HEARD": "silent2",
        "HEARLINE_QUEUED_AT": f"{NOW - 20:.0f}",
        "HEARLINE_PHRASES": "zh/training",
        "HEARLINE_CALL": CALL,
    }
    variables = "\n".join(f"{name}={value}" for name, value in told.items())
    return {"Channel": channel, "Uniqueid": "1.1", "CallerIDNum": NUMBER, "ChanVariable": variables, **more}


def called(agent: str = "8016", channel: str = CALLER) -> dict[str, str]:
    return about(
        channel,
        Event="AgentCalled",
        MemberName=agent,
        Interface=f"Local/agent-{agent}@hearline-ring/n",
        DestChannel=f"Local/agent-{agent}@hearline-ring-01;1",
    )


@dataclass
class Floor:
    """Desks, and the talks that they look at."""

    folder: Path
    hints: HintStore
    now: float = NOW
    conversations: list[ConnectedParties] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    levels: list[str] = field(default_factory=list)
    looked_up: list[str] = field(default_factory=list)
    kept: list[AgentState] = field(default_factory=list)
    parts: list[tuple[str, Part]] = field(default_factory=list)
    graph: ChannelGraph = field(default_factory=ChannelGraph)

    def __post_init__(self) -> None:
        self.states = AgentStates(
            lambda number: f"hash of {len(number)} digits" if number else "",
            SHANGHAI,
            number=lambda channel: channel.split("-")[1] if "agent-" in channel or "web-" in channel else "",
            look_up=lambda caller: self.looked_up.append(caller.id),
            keep=self.keep,
            now=lambda: self.now,
        )
        self.states.call = self.graph.call
        self.states.changed, self.states.levels = self.changed.append, self.levels.append
        self.talks = TalkSessions(
            None,
            self.hints,
            lambda *_: True,
            SettledRecords(self.folder / "talks", SHANGHAI),
            self.keys_do,
            self.states.see,
        )

    def keep(self, state: AgentState, part: Part) -> Future[bool]:
        self.kept.append(replace(state))
        self.parts.append((state.agent, part))
        kept: Future[bool] = Future()
        kept.set_result(True)
        return kept

    def keys_do(self, talk: TalkSession, channel: str, key: Key) -> None:
        """What `assist.keys` would write into the record."""
        if key is Key.CALLBACK:
            talk.callback = True
            talk.add("callback_marked")

    def follow(self, *conversations: ConnectedParties) -> None:
        self.talks.follow(conversations)
        self.states.follow(conversations, self.talks.of)

    def talk(self, agents: tuple[str, ...] = (AGENT,), holder: str = "", wait_s: float = 21.0) -> None:
        answer, numbers = Answer("8016", wait_s, 3.0), tuple(agent.split("-")[1] for agent in agents)
        self.follow(
            ConnectedParties(CALLER, agents, "care", "silent2", holder, answer=answer, numbers=numbers, call=CALL)
        )

    def view(self, agent: str = "8016") -> dict:
        view = self.states.of(agent).view(self.now, self.states.today())
        json.dumps(view)  # as it goes to the page
        return view

    def hear(self, side: Side, level: float, *events: object, channel: str = CALLER) -> None:
        leg = Leg(channel, side, CALLER, PendingCall("leg", ("127.0.0.1", 1)), 0.0)
        self.states.hear_level(leg, LegReport("leg", 5_000, events, level))


@pytest.fixture(scope="module")
def hints() -> HintStore:
    return HintStore(HINTS)


@pytest.fixture
def floor(tmp_path, hints):
    """Within a loop: the hints run on its clock."""
    with asyncio.Runner() as runner:

        async def make() -> Floor:
            return Floor(tmp_path, hints)

        floor = runner.run(make())
        loop = runner.get_loop()
        asyncio._set_running_loop(loop)
        try:
            yield floor
            floor.follow()
        finally:
            asyncio._set_running_loop(None)


# ---- whose desk ------------------------------------------------------------------------------------------------------
def test_who_answered_is_known_even_where_the_queue_tells_nothing(floor):
    floor.follow(ConnectedParties(CALLER, (AGENT,), "care", "silent2", answer=Answer("8016"), call=CALL))
    assert floor.view("8016")["state"] == "talking"


def test_after_a_reconnect_agents_are_known_by_their_phones(floor):
    floor.states.reset([about()])
    floor.follow(ConnectedParties(CALLER, (AGENT, SECOND), "care", "silent2", numbers=("8016", "8017"), call=CALL))
    assert [floor.view(agent)["state"] for agent in ("8016", "8017")] == ["talking", "talking"]
    assert floor.view()["call"]["number"] == "138****5678"


def test_who_talks_stays_known_where_the_queue_tells_nothing_after_a_reconnect(floor):
    floor.talk()
    floor.states.reset([about()])
    floor.follow(ConnectedParties(CALLER, (AGENT,), "care", "silent2", call=CALL))
    view = floor.view("8016")
    assert view["state"] == "talking" and view["call"]["wait_s"] == 21


# ---- a call rings ----------------------------------------------------------------------------------------------------
def test_the_call_is_seen_before_it_is_answered(floor):
    floor.states.hear(called())
    floor.now += 4
    view = floor.view()
    assert view["state"] == "ringing"
    call = view["call"]
    assert (call["number"], call["queue"], call["heard"], call["wait_s"]) == ("138****5678", "care", "silent2", 24)
    assert floor.states.of("8016").caller.phrases == "training"
    assert floor.changed == ["8016"] and floor.looked_up == [CALL]


def test_the_wait_is_the_one_that_ends_now_and_beside_it_stands_how_long_ago_the_caller_came(floor):
    """Somebody has talked with them for five minutes, and has passed them on."""
    floor.states.hear(called())
    floor.now += 300
    again = called("8017")
    since = {"HEARLINE_QUEUED_AT": f"{floor.now - 6:.0f}", "HEARLINE_CAME_AT": f"{NOW - 20:.0f}"}
    for name, value in since.items():
        again["ChanVariable"] = re.sub(rf"^{name}=.*\n?", "", again["ChanVariable"], flags=re.M) + f"\n{name}={value}"
    floor.states.hear(again)
    call = floor.view("8017")["call"]
    assert (call["wait_s"], call["since_came_s"]) == (6, 320)


@pytest.mark.parametrize(
    "event",
    [
        {"Event": "AgentRingNoAnswer", "MemberName": "8016", "Channel": CALLER},
        {"Event": "QueueCallerAbandon", "Channel": CALLER},
        {"Event": "Hangup", "Channel": CALLER},
        {"Event": "Hangup", "Channel": "Local/agent-8016@hearline-ring-01;1"},
        {"Event": "AgentConnect", "Channel": CALLER, "MemberName": "8017"},
    ],
    ids=lambda event: event["Event"],
)
def test_a_call_that_rings_no_more(floor, event):
    floor.states.hear(called())
    floor.states.hear(event)
    assert floor.view()["state"] == "idle" and floor.view()["call"] is None


def test_anothers_call_that_ends_is_no_matter(floor):
    floor.states.hear(called())
    for event in ("Hangup", "QueueCallerAbandon"):
        floor.states.hear({"Event": event, "Channel": "PJSIP/trunk-00000009"})
    floor.states.hear({"Event": "AgentConnect", "Channel": CALLER, "MemberName": "8016"})
    assert floor.view()["state"] == "ringing"


def test_of_the_number_nothing_is_kept_but_what_may_be_seen(floor):
    floor.states.hear(called())
    floor.talk()
    assert NUMBER not in repr(vars(floor.states)) + repr(floor.states.of("8016")) + json.dumps(floor.view())


@pytest.mark.parametrize("presentation", ["prohib_not_screened", "prohib_passed_screen", "prohib"])
def test_a_withheld_number_is_neither_seen_nor_known_again(floor, presentation):
    told = called()
    told["ChanVariable"] += f"\n{PRESENTATION}={presentation}"
    floor.states.hear(told)
    call = floor.view()["call"]
    assert (call["number"], call["withheld"]) == ("", True) and floor.states.of("8016").caller.who == ""


@pytest.mark.parametrize("presentation", ["allowed", "allowed_not_screened"])
def test_a_number_that_may_be_seen_is(floor, presentation):
    told = called()
    told["ChanVariable"] += f"\n{PRESENTATION}={presentation}"
    floor.states.hear(told)
    call = floor.view()["call"]
    assert (call["number"], call["withheld"]) == ("138****5678", False)


def test_who_tells_no_number(floor):
    floor.states.hear(called() | {"CallerIDNum": "<unknown>"})
    assert floor.view()["call"]["number"] == "" and floor.states.of("8016").caller.who == ""


def test_a_channel_that_is_no_caller_of_ours_does_not_ring(floor):
    floor.states.hear(called() | {"ChanVariable": ""})
    assert floor.view()["state"] == "idle"


# ---- a talk ----------------------------------------------------------------------------------------------------------
def test_the_talk_and_its_card(floor):
    floor.states.hear(called())
    floor.talk(wait_s=21.0)
    view = floor.view()
    assert view["state"] == "talking" and view["call"]["wait_s"] == 21
    assert view["card"]["id"] == "answered-late"
    assert view["card"]["until"] - view["card"]["from"] == pytest.approx(8_000, abs=200)
    [runner] = floor.talks.of(CALLER).runners.values()
    assert runner.card.card == "answered-late"


def test_a_cards_time_does_not_begin_anew_with_every_change(floor):
    floor.talk()
    before = floor.view()["card"]
    floor.now += 3
    floor.talks.press(AGENT, Key.MUTE)
    assert floor.view()["card"] == before


def test_a_card_that_is_put_away_goes(floor):
    floor.talk()
    floor.talks.tell_agent(AGENT, CardDismissed("answered-late"))
    assert (floor.view()["card"] or {}).get("id") != "answered-late"


def test_the_hold_clock(floor):
    floor.talk()
    floor.talk(holder=AGENT)
    hold = floor.view()["hold"]
    assert (hold["by"], hold["count"], hold["every_ms"]) == ("agent", 1, 30_000)
    assert hold["since"] == pytest.approx(time.time() * 1_000, abs=500)
    floor.talk()
    hold = floor.view()["hold"]
    assert hold["since"] is None and hold["count"] == 1


def wait_on_hold(floor: Floor, agent: str = AGENT, seconds: int = 26) -> None:
    """Let this agent's hints do what is due until then."""
    runner = floor.talks.of(CALLER).runners[agent]
    while runner._engine.deadline is not None and runner._engine.deadline <= seconds * 1_000:
        runner._due(runner._engine.deadline)


@pytest.mark.parametrize("said", [True, False], ids=["whispered", "refused"])
def test_a_whisper_that_the_phone_does_not_play_on_hold_is_told(floor, said):
    """Also where agents may not be whispered to: the page reaches no caller."""
    floor.talk()
    floor.talks.of(CALLER).runners[AGENT]._whisper = lambda _: said
    floor.talk(holder=AGENT)
    assert floor.view()["hold"]["whisper_at"] is None
    floor.changed.clear()
    wait_on_hold(floor)
    assert floor.states.of("8016").hold_whisper.whisper == "still-on-hold" and "8016" in floor.changed
    told = floor.view()["hold"]["whisper_at"]
    assert told == pytest.approx(NOW * 1_000, abs=500)
    floor.now += 0.5
    floor.talks.of(CALLER).add("something else")
    assert floor.view()["hold"]["whisper_at"] == told, "one and the same"
    floor.talk()
    assert floor.view()["hold"]["whisper_at"] is None, "taken back"
    floor.talk(holder=AGENT)
    assert floor.view()["hold"]["whisper_at"] is None, "the last hold's is not this one's"


def test_on_hold_an_agent_who_has_muted_whispers_is_told_none(floor):
    floor.talk()
    floor.talk(holder=AGENT)
    wait_on_hold(floor)
    floor.talks.press(AGENT, Key.MUTE)
    assert floor.view()["hold"]["whisper_at"] is None, "it stops"
    floor.talk()
    floor.talk(holder=AGENT)
    wait_on_hold(floor, seconds=60)
    assert floor.view()["card"]["id"] == "still-on-hold" and floor.view()["hold"]["whisper_at"] is None


def test_whose_phone_does_not_hold_hears_the_whisper_there(floor):
    floor.talk((AGENT, SECOND))
    floor.talk((AGENT, SECOND), holder=AGENT)
    for agent in (AGENT, SECOND):
        wait_on_hold(floor, agent)
    assert floor.view("8016")["hold"]["whisper_at"] and floor.view("8017")["hold"]["whisper_at"] is None


def test_a_prompt_that_plays_and_a_callback_that_is_marked(floor):
    floor.talk()
    talk = floor.talks.of(CALLER)
    assert (floor.view()["playing"], floor.view()["callback"]) == (None, False)
    talk.hears = Key.RECEIVER
    talk.add("prompt_start", prompt="zh/travel/speakerphone")
    assert floor.view()["playing"] == "receiver" and floor.changed[-1] == "8016"
    talk.hears = None
    talk.add("prompt_end", prompt="zh/travel/speakerphone")
    assert floor.view()["playing"] is None
    floor.talks.press(AGENT, Key.CALLBACK)
    assert floor.view()["callback"]


def test_whispers_are_muted(floor):
    floor.talk()
    floor.changed.clear()
    floor.talks.press(AGENT, Key.MUTE)
    assert floor.view()["muted"] and "8016" in floor.changed


def test_a_key_of_a_phone_that_is_in_no_talk_is_no_matter(floor):
    floor.talks.press("PJSIP/agent-9999-00000001", Key.MUTE)


def test_levels_of_both_sides(floor):
    floor.talk()
    floor.hear(Side.CALLER, -24.26, SpeechStarted(1_000, 900))
    floor.hear(Side.AGENT, -61.0, channel=AGENT)
    assert floor.states.of("8016").levels() == {
        "caller": {"dbov": -24.3, "speaking": True},
        "agent": {"dbov": -61.0, "speaking": False},
    }
    floor.hear(Side.CALLER, -60.0, SpeechEnded(3_000, 2_300))
    assert not floor.states.of("8016").levels()["caller"]["speaking"]
    assert set(floor.levels) == {"8016"}


def test_two_agents_in_a_talk_each_see_their_own_voice(floor):
    floor.talk(agents=(AGENT, SECOND))
    floor.hear(Side.AGENT, -30.0, channel=SECOND)
    assert floor.states.of("8016").levels()["agent"]["dbov"] is None
    assert floor.states.of("8017").levels()["agent"]["dbov"] == -30.0


def test_a_call_that_rings_at_who_talks_is_not_shown(floor):
    floor.talk()
    floor.states.hear(called(channel="PJSIP/trunk-00000009"))
    assert floor.view()["state"] == "talking"


def test_earlier_calls_come_when_they_are_known(floor):
    floor.states.hear(called())
    assert floor.view()["call"]["earlier"] is None
    floor.states.know_earlier(CALL, [EarlierCall(NOW - 100, "silent2", "hangup:noinput", None, None, None, None)])
    floor.talk()
    assert floor.view()["call"]["earlier"][0]["ended"] == "hangup:noinput"
    assert floor.looked_up == [CALL], "not looked up twice"


def test_a_call_that_rang_without_an_id_has_one_from_its_talk_on(floor):
    """An Asterisk whose channelvars are not of this version tells none; then agent assist makes it."""
    event = called()
    event["ChanVariable"] = event["ChanVariable"].replace(f"HEARLINE_CALL={CALL}", "HEARLINE_CALL=")
    floor.states.hear(event)
    assert floor.view()["call"]["id"] == "1.1"
    floor.talk()
    floor.states.write_note(floor.states.of("8016"), {"matter": "a bed"})
    floor.follow()
    floor.states.hear(rings(SECOND))
    assert floor.view("8016")["call"]["id"] == floor.view("8017")["call"]["id"] == CALL
    assert floor.view("8017")["call"]["note"]["matter"] == "a bed"


def test_two_callers_who_come_with_one_id_share_no_note(floor):
    """An id that another site's dialplan has set, of a call that has forked."""
    for event in (called(), called("8017", "PJSIP/trunk-00000009")):
        floor.graph.hear(event)
        floor.states.hear(event)
    floor.states.write_note(floor.states.of("8016"), {"name": "Li", "phone": NUMBER})
    assert floor.view("8016")["call"]["id"] == CALL
    assert floor.view("8017")["call"]["id"] not in ("", CALL)
    assert floor.view("8017")["call"]["note"]["name"] == ""


def test_who_passes_a_caller_on_from_hold_holds_them_no_more(floor):
    floor.states.hear(called())
    floor.talk()
    floor.talk(agents=(AGENT, SECOND), holder=AGENT)
    floor.talk(agents=(SECOND,), holder=SECOND)
    assert floor.view("8016")["hold"]["since"] is None
    assert floor.view("8017")["hold"]["since"] is not None


def rings(channel: str, caller: str = CALLER) -> dict[str, str]:
    return {
        "Event": "Newstate",
        "Channel": channel,
        "ChannelStateDesc": "Ringing",
        "ChanVariable": f"HEARLINE_CALLER={caller}\nHEARLINE_QUEUE=care",
    }


def test_a_call_that_a_colleague_picks_up_is_the_colleagues(floor):
    """Asterisk goes on naming the member it rang: AgentConnect, and so the answer, say 8016."""
    floor.states.hear(called())
    floor.states.hear(about(Event="AgentConnect", MemberName="8016"))
    floor.follow(
        ConnectedParties(
            CALLER, (SECOND,), "care", "silent2", answer=Answer("8016", 21.0), numbers=("8017",), call=CALL
        )
    )
    assert floor.view("8016")["state"] == "idle" and floor.changed[-1] == "8016"
    view = floor.view("8017")
    assert (view["state"], view["call"]["passed_on_by"], view["call"]["wait_s"]) == ("talking", "", 21)
    assert floor.talks.of(CALLER).runners[SECOND] and floor.talks.of(CALLER).work_number(SECOND) == "8017"


def test_a_transfer_that_a_third_one_picks_up_rings_no_more(floor):
    floor.states.hear(called())
    floor.talk()
    floor.states.hear(rings(SECOND))
    assert floor.view("8017")["state"] == "ringing"
    floor.states.hear({"Event": "Rename", "Channel": SECOND, "Newname": "PJSIP/agent-8018-00000004"})
    assert floor.view("8017")["state"] == "idle"


def test_a_call_that_rings_at_both_phones_of_an_agent_is_one_ring(floor):
    web = "PJSIP/web-8017-00000004"
    floor.states.hear(called())
    floor.talk()
    floor.follow()
    floor.states.hear(rings(SECOND))
    since, floor.now = floor.view("8017")["since"], floor.now + 3
    floor.states.hear(rings(web))
    floor.states.hear({"Event": "Hangup", "Channel": SECOND})  # rejected there, or answered at the other one
    view = floor.view("8017")
    assert (view["state"], view["since"], view["call"]["passed_on_by"]) == ("ringing", since, "8016")
    floor.states.hear({"Event": "Hangup", "Channel": web})
    assert floor.view("8017")["state"] == "idle"


def test_a_caller_who_is_passed_on_to_somebody_outside_has_left_the_agent(floor):
    floor.talk()
    floor.follow(
        ConnectedParties(
            CALLER, (), "care", "silent2", answer=Answer("8016"), others=("PJSIP/trunk-00000009",), call=CALL
        )
    )
    assert floor.view()["state"] == "after"
    floor.talks.leaves("PJSIP/trunk-00000009")
    assert floor.talks.of(CALLER).left_first is None
    floor.talks.press("PJSIP/trunk-00000009", Key.CALLBACK)
    assert not floor.talks.of(CALLER).callback


def test_who_is_passed_on_is_seen_by_the_next_agent_while_it_rings_with_the_note(floor):
    floor.states.hear(called())
    floor.talk()
    floor.states.write_note(floor.states.of("8016"), {"name": "Li", "matter": "asks for a bed"})
    floor.follow()
    floor.states.hear(rings(SECOND))
    view = floor.view("8017")
    assert (view["state"], view["call"]["passed_on_by"], view["call"]["number"]) == ("ringing", "8016", "138****5678")
    assert (view["call"]["note"]["name"], view["call"]["note"]["matter"]) == ("Li", "asks for a bed")
    floor.talk(agents=(SECOND,))
    view = floor.view("8017")
    assert (view["state"], view["call"]["passed_on_by"]) == ("talking", "8016")
    assert (view["call"]["note"]["name"], view["call"]["note"]["matter"]) == ("Li", "asks for a bed")
    floor.states.write_note(floor.states.of("8017"), {"matter": ""})
    floor.states.write_note(floor.states.last_of("8016") or floor.states.of("8016"), {"matter": "asks for two beds"})
    note = floor.view("8017")["call"]["note"]
    assert (note["name"], note["matter"]) == ("Li", "asks for two beds"), "what comes late comes there too"
    floor.follow()
    floor.states.done("8017")
    floor.states.hear(rings(SECOND))
    floor.states.hear({"Event": "Hangup", "Channel": SECOND})
    assert floor.view("8017")["state"] == "idle"


def test_an_agents_phone_that_rings_for_somebody_else_shows_nothing(floor):
    floor.states.hear(rings(SECOND, caller=""))
    floor.states.hear(rings(SECOND, caller="PJSIP/trunk-unheard-of"))
    assert floor.view("8017")["state"] == "idle"


# ---- after it --------------------------------------------------------------------------------------------------------
def test_a_talk_that_is_over_is_not_shown_as_live(floor):
    floor.states.hear(called())
    floor.talk()
    floor.talk(holder=AGENT)
    floor.follow()
    view = floor.view()
    assert view["state"] == "after" and view["hold"]["since"] is None
    assert floor.states.of("8016").levels()["caller"]["dbov"] is None
    assert [state.agent for state in floor.kept] == ["8016"]


def test_who_hung_up_first_is_told_and_counted_today(floor):
    for first in (AGENT, CALLER, AGENT):
        floor.talk()
        floor.talks.leaves(first)
        floor.follow()
    view = floor.view()
    assert view["card"]["id"] == "hung-up-first"
    assert view["left_first_today"] == 2
    floor.states.know_left_first("8016", floor.states.today(), 3)
    assert floor.view()["left_first_today"] == 5
    floor.now += 31
    assert floor.view()["card"] is None, "its time is over"
    floor.now += 86_400
    assert floor.view()["left_first_today"] == 0


def hang_up(floor, clock: str) -> int:
    """The agent ends a call first at this time; how many the page shows then."""
    floor.now = datetime.fromisoformat(clock).timestamp()
    floor.talk()
    floor.talks.leaves(AGENT)
    floor.follow()
    return floor.view()["left_first_today"]


@pytest.mark.parametrize("machine", ["UTC", "America/New_York"])
def test_today_turns_at_midnight_in_the_hotlines_zone(floor, machine, machine_zone):
    machine_zone(machine)
    clocks = ["2026-11-28T23:50+08:00", "2026-11-29T00:10+08:00", "2026-11-29T07:50+08:00", "2026-11-29T08:10+08:00"]
    assert [hang_up(floor, clock) for clock in clocks] == [1, 1, 2, 3], "not at 08:00, when it is midnight in UTC"


async def _left_first_today(folder: Path, now: float, calls: dict[str, float]) -> int:
    """What the page shows of an agent who ended these calls first before agent assist was started."""
    settings = Settings(state=folder, page="127.0.0.1:0", earlier_calls_days=3_650)
    agents = Agents(settings, lambda _: "")
    for call, at in calls.items():
        agents._earlier.note(call, who="hash", at=at, agent="8016", left_first="agent")
    agents.close()
    agents.states.now = lambda: now
    state = agents.states.of("8016")
    assert state.view(now, agents.states.today())["left_first_today"] is None, "not told before it is known"
    await asyncio.gather(*agents._looking)
    return state.view(now, agents.states.today())["left_first_today"]


def test_what_was_today_before_a_restart_is_looked_up_by_the_hotlines_day(tmp_path, machine_zone):
    machine_zone("UTC")
    yesterday, early, now = (
        datetime.fromisoformat(f"2026-11-{clock}+08:00").timestamp()
        for clock in ("28T23:59:59", "29T00:00:01", "29T09:00:00")
    )
    assert asyncio.run(_left_first_today(tmp_path, now, {"1": yesterday, "2": early})) == 1


async def _note_after_a_restart(folder: Path, written_meanwhile: str) -> str:
    """The matter that the page shows of a call whose note was kept by an agent assist that has ended."""
    settings = Settings(state=folder, page="127.0.0.1:0")
    before = Agents(settings, lambda _: "")
    kept = before._earlier.note(CALL, at=NOW, note=CallNote(matter="asks for a bed").as_text())
    await asyncio.wrap_future(kept)
    before.close()
    agents = Agents(settings, lambda _: "")
    agents.states.hear(called())
    if written_meanwhile:
        agents.states.write_note(agents.states.of("8016"), {"matter": written_meanwhile})
    await asyncio.gather(*agents._looking)
    agents.close()
    return agents.states.of("8016").view(NOW, agents.states.today())["call"]["note"]["matter"]


@pytest.mark.parametrize(("meanwhile", "shown"), [("", "asks for a bed"), ("wants a callback", "wants a callback")])
def test_a_calls_note_outlives_agent_assist(tmp_path, meanwhile, shown):
    assert asyncio.run(_note_after_a_restart(tmp_path, meanwhile)) == shown


def test_a_note_that_comes_late_changes_nothing_but_the_note(floor):
    """The first agent has passed the caller on, the second hangs up first; then the first writes."""
    floor.states.hear(called())
    floor.talk()
    floor.talk(agents=(SECOND,))
    floor.talks.leaves(SECOND)
    floor.follow()
    parts = list(floor.parts)
    floor.states.write_note(floor.states.of("8016"), {"matter": "late"})
    assert floor.parts[len(parts) :] == [("8016", Part.NOTE)]
    assert parts[-1] == ("8017", Part.TALK)


def test_a_clock_that_jumps_a_day_ahead_and_back_loses_no_count(floor):
    clocks = ["2026-11-28T10:00+08:00", "2026-11-29T10:00+08:00", "2026-11-28T10:01+08:00"]
    assert [hang_up(floor, clock) for clock in clocks] == [1, 1, 2]
    floor.states.know_left_first("8016", date(2026, 11, 29), 3)
    assert floor.view()["left_first_today"] == 2, "what is found out late counts for its own day"


def test_what_the_agent_tells_of_it(floor):
    floor.talk()
    state = floor.states.of("8016")
    floor.states.pick(state, "inquiry")
    floor.follow()
    floor.states.write_note(state, {"matter": "x" * 2_000})
    assert (floor.kept[-1].outcome, len(floor.kept[-1].note.matter)) == ("inquiry", 2_000)
    floor.states.done("8016")
    assert floor.view()["state"] == Activity.IDLE


def test_the_next_call_begins_with_nothing_of_the_last(floor):
    floor.talk()
    floor.states.pick(floor.states.of("8016"), "inquiry")
    floor.follow()
    floor.states.hear(called(channel="PJSIP/trunk-00000009") | {"Uniqueid": "1.9"})
    view = floor.view()
    assert view["state"] == "ringing" and view["call"]["outcome"] == "" and view["card"] is None


def test_the_record_of_a_talk_holds_no_personal_data(floor):
    floor.states.hear(called())
    floor.talk()
    state = floor.states.of("8016")
    floor.talks.add_to(state.talk, "outcome", outcome="inquiry", agent="8016")
    floor.states.write_note(state, {"name": "Mrs Li", "phone": NUMBER, "agreed": True})
    floor.follow()
    floor.talks.add_to(state.talk, "outcome", outcome="not-made", agent="8016")
    [file] = floor.folder.glob("talks/*/*.json")
    text = file.read_text("utf-8")
    assert [e["outcome"] for e in json.loads(text)["events"] if e["event"] == "outcome"] == ["inquiry", "not-made"]
    assert "Li" not in text and NUMBER not in text


# ---- the call note ---------------------------------------------------------------------------------------------------
def test_a_caller_who_comes_back_to_an_agent_brings_the_newest_note(floor):
    floor.states.hear(called())
    floor.talk()
    floor.states.write_note(floor.states.of("8016"), {"matter": "first"})
    floor.follow()
    floor.states.done("8016")
    floor.states.hear(called("8017"))
    floor.talk(agents=(SECOND,))
    floor.states.write_note(floor.states.of("8017"), {"matter": "second"})
    floor.follow()
    floor.states.done("8017")
    floor.states.hear(called())
    floor.talk()
    assert floor.view()["call"]["note"]["matter"] == "second"


def test_a_note_goes_with_its_caller(floor):
    floor.states.hear(called())
    floor.talk()
    floor.states.write_note(floor.states.of("8016"), {"name": "李明"})
    floor.follow()
    floor.states.hear({"Event": "Hangup", "Channel": CALLER})
    floor.states.write_note(floor.states.of("8016"), {"matter": "late"})
    kept = floor.kept[-1].note
    assert (kept.name, kept.matter) == ("李明", "late"), "who has hung up may be written of"
    floor.states.done("8016")
    floor.states.hear(called())  # the same id, for the sake of the test: nothing of it is left
    assert floor.view()["call"]["note"]["name"] == ""


def test_what_is_known_of_who_calls_is_seen_while_it_rings(floor):
    note = CallNote(name="李明", title="女士", matter="问护理床", agreed=True)
    floor.states.hear(called())
    calls = [(NOW - 100, ""), (NOW - 86_400, note.as_text()), (NOW - 9 * 86_400, "in plain text, as it was once")]
    floor.states.know_earlier(CALL, [EarlierCall(at, None, None, "8017", None, None, text) for at, text in calls])
    call = floor.view()["call"]
    assert call["known"] == {"name": "李明", "title": "女士"}
    assert call["lately"] == {"count": 3, "days": 7}, "this one counts, the one of nine days ago does not"
    assert [one["note"] and one["note"]["matter"] for one in call["earlier"]] == [
        None,
        "问护理床",
        "in plain text, as it was once",
    ]


def test_the_second_call_within_some_days_is_no_trouble(floor):
    floor.states.hear(called())
    floor.states.know_earlier(CALL, [EarlierCall(NOW - 100, None, None, None, None, None, None)])
    assert floor.view()["call"]["lately"] is None and floor.view()["call"]["known"] == {}


# ---- holds, long talks, supervisors ----------------------------------------------------------------------------------
def test_what_was_promised_counts_for_one_hold(floor):
    floor.talk()
    floor.talks.promise(floor.states.of("8016").talk, 60_000, "8016")
    assert floor.view()["hold"]["promised_ms"] == 60_000
    floor.talk(holder=AGENT)
    assert floor.view()["hold"]["promised_ms"] == 60_000
    floor.talk()
    assert floor.view()["hold"]["promised_ms"] == 0


def test_a_hold_that_nobody_was_asked_for_is_counted_beside_the_holds(floor):
    floor.talk()
    [runner] = floor.states.of("8016").talk.runners.values()
    runner._began -= 10  # s ago
    runner.hear(HintSpeechStarted(Side.CALLER, 8_000))
    runner.hear(HintSpeechEnded(Side.CALLER, 6_000))
    runner.hear(HintSpeechStarted(Side.AGENT, 4_000))
    floor.talk(holder=AGENT)
    hold = floor.view()["hold"]
    assert (hold["count"], hold["not_asked"]) == (1, 1)
    floor.follow()
    [file] = floor.folder.glob("talks/*/*.json")
    told = json.loads(file.read_text("utf-8"))
    assert told["holds"]["not_asked"] == 1 and "not_asked" in [event["event"] for event in told["events"]]


def test_who_asks_for_a_supervisor_is_shown_to_them_until_the_call_is_over(floor):
    changes: list[int] = []
    floor.states.asking_changed = lambda: changes.append(1)
    floor.states.hear(called())
    floor.talk()
    talk = floor.states.of("8016").talk
    talk.help = HelpCall("8016", NOW)
    talk.add("supervisor_called")
    assert len(changes) == 1
    assert floor.states.asking() == [
        {"agent": "8016", "call": CALL, "queue": "care", "since": round(NOW * 1_000), "coming": ""}
    ]
    floor.talks.come(talk, "8001")
    assert floor.view()["call"]["help"] == {"since": round(NOW * 1_000), "coming": "8001"}
    floor.talks.come(talk, "8002")
    assert floor.states.asking()[0]["coming"] == "8001", "one is enough"
    changes.clear()
    floor.follow()
    assert floor.states.asking() == [] and len(changes) == 1
    assert floor.view()["call"]["help"] is None


def test_who_has_passed_the_caller_on_asks_for_nobody_any_more(floor):
    floor.states.hear(called())
    floor.talk()
    talk = floor.states.of("8016").talk
    talk.help = HelpCall("8016", NOW)
    talk.add("supervisor_called")
    floor.talk(agents=(AGENT, SECOND))
    assert floor.states.asking()
    floor.talk(agents=(SECOND,))
    assert floor.states.asking() == []
