"""Sessions of agent assist: what they do for the people who talk, and what they record."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from hearline.assist.calls.channel_graph import Answer, ConnectedParties
from hearline.assist.calls.legs import Leg, Legs
from hearline.assist.calls.sessions import MOST_EVENTS, TalkSessions
from hearline.assist.hints.events import Key, Side
from hearline.assist.hints.hint_store import HintStore
from hearline.audio.hearing import Heard, Hearing
from hearline.core.calendar import Calendar
from hearline.media.worker_client import PendingCall, WorkerDown
from hearline.media.worker_protocol import LegReport
from hearline.pbx import confirm
from hearline.pbx.ami import AmiRefused
from hearline.pbx.chanspy import spy_data
from hearline.store.records import Records
from settled_records import SettledRecords

CALLER, AGENT, SECOND = "PJSIP/trunk-1", "PJSIP/agent-8016-2", "PJSIP/agent-8017-3"


@dataclass
class Asked:
    """Stands where Asterisk's manager interface stands, and remembers what it was asked."""

    refuses: bool = False
    raised: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)

    connected: tuple[str, ...] = (AGENT, SECOND)  # with the caller

    async def ask_list(self, action: str, Channel: str) -> list[dict[str, str]]:
        assert action == "CoreShowChannelMap"
        return [{"Channel": Channel, "ConnectedChannel": other} for other in self.connected]

    async def ask(self, action: str, **headers: str) -> dict[str, str]:
        if headers["Variable"].startswith("HEARLINE_"):
            return {"Response": "Success", "Value": headers["Channel"]}
        assert headers["Variable"] == "VOLUME(RX)"
        if action == "Getvar":
            return {"Response": "Success", "Value": self.raised}
        self.asked.append((headers["Channel"], headers["Value"]))
        if self.refuses:
            raise AmiRefused("No such channel")
        return {"Response": "Success"}


def records_in(folder: Path) -> SettledRecords:
    return SettledRecords(folder, Calendar(ZoneInfo("Asia/Shanghai")))


def turn(level_dbov: float, speech_ms: int = 2_000, noise_dbov: float = -70.0) -> LegReport:
    verdict, reason = ("too_soft", "soft") if level_dbov < -38 else ("speech", "normal")
    hearing = Hearing(verdict, reason, True, level_dbov, 1.0, noise_dbov, speech_ms, 0, 0.0, 0.9)
    return LegReport("leg", 5_000, (Heard(5_000, hearing),), level_dbov)


def leg(channel: str, side: Side) -> Leg:
    return Leg(channel, side, CALLER, PendingCall("leg", ("127.0.0.1", 1)), 0.0)


@pytest.fixture(autouse=True)
def runner():
    """One event loop for the whole of a test."""
    with asyncio.Runner() as loop:
        RUNNERS.append(loop)
        yield
        RUNNERS.clear()


RUNNERS: list[asyncio.Runner] = []


@pytest.fixture
def ami() -> Asked:
    return Asked()


@pytest.fixture
def talks(ami, tmp_path) -> TalkSessions:
    talks = TalkSessions(ami, None, lambda *_: None, records_in(tmp_path / "talks"))
    talks.follow([ConnectedParties(CALLER, (AGENT,), "care", "normal")])
    return talks


def hear(talks: TalkSessions, *turns: LegReport, channel: str = AGENT, side: Side = Side.AGENT) -> None:
    """These turns, each worked on before the next."""

    async def run() -> None:
        working = asyncio.create_task(talks.work())
        for message in (LegReport("leg", 0, (), -60.0), *turns):
            talks.hear(leg(channel, side), message)
            for _ in range(4):
                await asyncio.sleep(0)
        working.cancel()

    RUNNERS[0].run(run())


def record(tmp_path) -> dict:
    [file] = (tmp_path / "talks").glob("*/*.json")
    return json.loads(file.read_text("utf-8"))


def events(tmp_path) -> list[str]:
    return [event["event"] for event in record(tmp_path)["events"]]


def test_a_soft_agent_is_raised_and_a_normal_one_is_not(talks, ami):
    hear(talks, turn(-25.0))
    assert ami.asked == []
    hear(talks, turn(-42.0))
    assert ami.asked == [(AGENT, "2.818")]


def test_a_line_that_needs_no_gain_any_more_is_put_back(talks, ami):
    hear(talks, turn(-42.0), turn(-25.0))
    assert [value for _, value in ami.asked] == ["2.818", "1.000"]


def test_a_little_more_or_less_is_left_alone(talks, ami):
    hear(talks, turn(-35.5), turn(-36.0), turn(-37.0), turn(-38.0))
    assert len(ami.asked) == 1


def test_a_word_is_too_short_to_judge_by(talks, ami):
    hear(talks, turn(-45.0, speech_ms=600))
    assert ami.asked == []


def test_a_callers_line_is_left_as_the_ivr_has_set_it(talks, ami):
    hear(talks, turn(-42.0), channel=CALLER, side=Side.CALLER)
    assert ami.asked == []


def test_what_asterisk_refused_is_tried_again_with_the_next_turn(talks, ami):
    ami.refuses = True
    hear(talks, turn(-42.0))
    ami.refuses = False
    hear(talks, turn(-42.0))
    assert [value for _, value in ami.asked] == ["2.818", "2.818"]


def test_a_second_agent_has_a_gain_of_their_own(talks, ami):
    talks.follow([ConnectedParties(CALLER, (AGENT, SECOND), "care", "normal")])
    hear(talks, turn(-42.0))
    hear(talks, turn(-42.0), channel=SECOND)
    assert [channel for channel, _ in ami.asked] == [AGENT, SECOND]


def test_an_agent_who_takes_the_call_back_keeps_the_gain_and_the_talk(talks, ami, tmp_path):
    again = AGENT.replace("-2", "-7")
    hear(talks, turn(-42.0))
    ami.connected = (again,)
    talks.follow([ConnectedParties(CALLER, (again,), "care", "normal")])
    hear(talks, turn(-42.0), channel=again)
    assert [one for one in ami.asked if one[0] == again] == [(again, "2.818")]
    talks.follow([])
    assert events(tmp_path) == ["joined", "leg", "agent_gain", "agents", "came_back", "leg", "ended"]


def test_the_record_of_a_talk(talks, tmp_path):
    hear(talks, turn(-42.0))
    talks.follow([ConnectedParties(CALLER, (AGENT,), "care", "normal", holder=AGENT)])
    talks.follow([ConnectedParties(CALLER, (SECOND,), "care", "normal")])
    talks.follow([])
    assert events(tmp_path) == ["joined", "leg", "agent_gain", "hold", "agents", "unhold", "ended"]
    assert record(tmp_path)["events"][0]["queue"] == "care"


def test_the_record_knows_who_held_longest(talks, tmp_path):
    def now(**more) -> None:
        talks.follow([ConnectedParties(CALLER, (AGENT, SECOND), "care", "normal", numbers=("8016", "8017"), **more)])

    [talk] = talks._talks.values()
    for holder, seconds in ((AGENT, 2), (SECOND, 5), (CALLER, 1)):
        now(holder=holder)
        talk.began -= seconds
        now()
    now(holder=AGENT)
    talks.follow([])
    holds = record(tmp_path)["holds"]
    assert (holds["count"], holds["longest_by"]) == (3, "8017")
    assert holds["longest_ms"] == pytest.approx(5_000, abs=100) and holds["total_ms"] == pytest.approx(8_000, abs=200)


def test_a_talk_that_is_picked_up_on_hold_is_on_hold(ami, tmp_path):
    talks = TalkSessions(ami, None, lambda *_: None, records_in(tmp_path / "talks"))
    talks.follow([ConnectedParties(CALLER, (AGENT,), "care", "normal", holder=AGENT, picked_up=True)])
    talks.follow([ConnectedParties(CALLER, (AGENT,), "care", "normal", picked_up=True)])
    talks.follow([])
    assert events(tmp_path) == ["joined", "hold", "unhold", "ended"]
    assert record(tmp_path)["events"][0]["picked_up"] and record(tmp_path)["holds"]["count"] == 1


def test_a_leg_of_a_talk_that_is_over_is_no_matter(talks, ami):
    talks.follow([])
    hear(talks, turn(-42.0))
    assert ami.asked == []


def test_a_record_that_cannot_be_written_costs_nothing_and_is_written_later(ami, tmp_path):
    folder = tmp_path / "talks"
    folder.write_text("no folder")
    records = Records(folder, Calendar(ZoneInfo("Asia/Shanghai")))
    talks = TalkSessions(ami, None, lambda *_: None, records)
    talks.follow([ConnectedParties(CALLER, (AGENT,), "care", "normal")])
    talks.follow([])
    assert not records._writer.settle(0.2)
    folder.unlink()
    assert records.settle()
    [file] = folder.glob("*/*.json")
    assert [event["event"] for event in json.loads(file.read_text())["events"]][0] == "joined"
    records.close()


# ---- hints -----------------------------------------------------------------------------------------------------------
HINTS = Path(__file__).resolve().parents[2] / "ivr_flows" / "hints"


def hinted(ami, tmp_path, story) -> tuple[list, dict]:
    """What was whispered in a talk of which ``story`` is told, and its record."""
    whispered: list = []

    async def run() -> None:
        talks = TalkSessions(
            ami,
            HintStore(HINTS),
            lambda channel, what: whispered.append((channel, what)),
            records_in(tmp_path / "talks"),
        )
        talks.follow([ConnectedParties(CALLER, (AGENT,), "care", "normal")])
        working = asyncio.create_task(talks.work())
        await story(talks)
        talks.follow([])
        working.cancel()

    RUNNERS[0].run(run())
    return whispered, record(tmp_path)


def cards(record: dict) -> list[str]:
    return [event["rule"] for event in record["events"] if event["event"] == "show_card"]


async def settled() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("raised", "whispers"), [("", ["caller-too-soft"]), ("2.818000", [])])
def test_a_caller_whom_the_ivr_has_raised_enough_is_not_whispered_of(ami, tmp_path, raised, whispers):
    ami.raised = raised

    async def story(talks: TalkSessions) -> None:
        for message in (LegReport("leg", 0, (), -60.0), turn(-42.0)):
            talks.hear(leg(CALLER, Side.CALLER), message)
            await settled()

    whispered, told = hinted(ami, tmp_path, story)
    assert whispered == [(AGENT, (whisper, -3)) for whisper in whispers]
    assert cards(told).count("caller_too_soft") == len(whispers)
    [counts] = [event["counts"] for event in told["events"] if event["event"] == "hints"]
    assert counts.get("caller_too_soft", {}).get("whispered", 0) == len(whispers)


def test_who_hangs_up_first_is_told(ami, tmp_path):
    async def story(talks: TalkSessions) -> None:
        talks.leaves("PJSIP/somebody-else")
        talks.leaves(AGENT)
        talks.leaves(CALLER)

    _, told = hinted(ami, tmp_path, story)
    assert [event["side"] for event in told["events"] if event["event"] == "hung_up"] == ["agent"]


def test_hints_that_fail_end_and_the_talk_goes_on(ami, tmp_path):
    async def story(talks: TalkSessions) -> None:
        talks._whisper = lambda *_: 1 / 0
        [talk] = talks._talks.values()
        talk.runners[AGENT]._whisper = talks._whisper
        for message in (LegReport("leg", 0, (), -60.0), turn(-55.0), turn(-55.0)):
            talks.hear(leg(CALLER, Side.CALLER), message)
            await settled()

    _, told = hinted(ami, tmp_path, story)
    assert [event["event"] for event in told["events"]][-1] == "ended"


# ---- transfers -------------------------------------------------------------------------------------------------------
def with_agents(*agents: str, **more) -> list[ConnectedParties]:
    numbers = tuple(agent.split("-")[1] for agent in agents)
    return [
        ConnectedParties(CALLER, agents, "care", "normal", numbers=numbers, answer=Answer("8016", 31.0, 4.0), **more)
    ]


def test_a_transfer_that_begins_with_a_call_to_a_colleague(ami, tmp_path):
    async def story(talks: TalkSessions) -> None:
        talks.follow(with_agents(AGENT, consulting=(AGENT,)))
        talks.follow(with_agents(AGENT))
        talks.follow(with_agents(AGENT, consulting=(AGENT,)))
        talks.transferred(CALLER, AGENT, "attended")
        talks.follow(with_agents())
        talks.leaves(AGENT)
        talks.follow(with_agents(SECOND))
        talks.transferred("PJSIP/somebody-else", AGENT, "blind")

    _, told = hinted(ami, tmp_path, story)
    kinds = [event["event"] for event in told["events"]]
    assert [kind for kind in kinds if kind.startswith("transfer")] == [
        "transfer_began", "transfer_given_up", "transfer_began", "transferred",
    ]  # fmt: skip
    assert "transfer" in cards(told)
    assert "hung_up" not in kinds, "who has passed the caller on does not end the call"


class Transferring(Asked):
    """``says``: what Asterisk says of channels, by variable."""

    def __init__(self, connected: tuple[str, ...] = (AGENT,), **says: str) -> None:
        super().__init__(connected=connected)
        self.says = {
            "HEARLINE_CALLER": CALLER,
            "TRANSFER_CONTEXT": "",
            "CHANNEL(endpoint)": "agent-8016",
            "PJSIP_ENDPOINT(agent-8016,context)": "phones",
        } | says
        self.done: list[tuple[str, dict]] = []

    async def ask(self, action: str, **headers: str) -> dict[str, str]:
        if action == "Getvar":
            return {"Value": self.says[headers["Variable"]]}
        self.done.append((action, headers))
        return {"Response": "Success"}


@pytest.mark.parametrize(
    ("asterisk", "context", "exten"),
    [
        (Transferring(connected=("PJSIP/agent-8019-9",)), "phones", "8017"),
        (Transferring(HEARLINE_CALLER="PJSIP/trunk-9"), "phones", "8017"),
        (Transferring(), "from-internal", "8017"),
        (Transferring(TRANSFER_CONTEXT="other"), "phones", "8017"),
        (Transferring(), "phones", "8017,1\r\nX"),
        (Transferring(), "phones", ""),
    ],
)
def test_a_blind_transfer_that_asterisk_does_not_confirm_moves_nobody(tmp_path, monkeypatch, asterisk, context, exten):
    monkeypatch.setattr(confirm, "AGAIN_S", 0.0)

    async def story(talks: TalkSessions) -> None:
        talks.follow(with_agents(AGENT))
        talks.pass_on(CALLER, AGENT, context, exten)
        await settled()

    _, told = hinted(asterisk, tmp_path, story)
    assert asterisk.done == []
    assert "transferred" not in [event["event"] for event in told["events"]]


@pytest.mark.parametrize("agents", [(AGENT,), (AGENT, SECOND), (SECOND,)])
def test_a_blind_transfer_that_asterisk_could_not_do_is_done_by_us(tmp_path, agents):
    ami = Transferring()

    async def story(talks: TalkSessions) -> None:
        talks.follow(with_agents(*agents))
        talks.pass_on(CALLER, AGENT, "phones", "8017")
        talks.pass_on("PJSIP/somebody-else", AGENT, "phones", "8017")
        await settled()

    _, told = hinted(ami, tmp_path, story)
    if agents != (AGENT,):
        assert ami.done == []
        return
    (_, variable), (action, where) = ami.done
    assert variable == {"Channel": CALLER, "Variable": "BLINDTRANSFER", "Value": AGENT}
    assert action == "Redirect" and where == {"Channel": CALLER, "Context": "phones", "Exten": "8017", "Priority": "1"}
    assert [event["how"] for event in told["events"] if event["event"] == "transferred"] == ["blind"]


def test_of_two_agents_the_first_to_leave_does_not_end_the_call(ami, tmp_path):
    async def story(talks: TalkSessions) -> None:
        talks.follow(with_agents(AGENT, SECOND))
        talks.leaves(AGENT)
        talks.follow(with_agents(SECOND))
        talks.leaves(CALLER)

    _, told = hinted(ami, tmp_path, story)
    assert [event["side"] for event in told["events"] if event["event"] == "hung_up"] == ["caller"]


def test_who_takes_a_caller_over_did_not_let_them_wait(ami, tmp_path):
    async def run() -> None:
        talks = TalkSessions(ami, HintStore(HINTS), lambda *_: None, records_in(tmp_path / "talks"))
        for now in (with_agents(AGENT), with_agents(SECOND), []):
            talks.follow(now)

    RUNNERS[0].run(run())
    assert cards(record(tmp_path)) == ["answered_late", "answering"]


def test_a_phrase_that_a_recogniser_heard_shows_its_card_and_only_the_group_is_kept(ami, tmp_path):
    async def story(talks: TalkSessions) -> None:
        talks.spoken(leg(AGENT, Side.AGENT), "forbidden_phrase")
        await settled()

    _, kept = hinted(ami, tmp_path, story)
    assert "forbidden" in cards(kept)
    [spoken] = [event for event in kept["events"] if event["event"] == "spoken"]
    assert spoken.keys() == {"at_ms", "event", "side", "group"} and spoken["group"] == "forbidden_phrase"


def test_a_nuisance_call_that_comes_back_to_an_agent_is_another_talk(talks):
    talks.of(CALLER).handed_over = True
    talks.follow(with_agents())
    assert talks.of(CALLER) is None, "the prompts have the caller, no agent"
    talks.follow(with_agents())
    assert talks.of(CALLER) is None
    talks.follow(with_agents(SECOND))
    assert talks.of(CALLER).parties.agents == (SECOND,)


def test_no_caller_waits_behind_anothers_question(talks, ami, monkeypatch):
    """Asterisk takes its time to say how far one line is raised; another caller is passed on meanwhile."""
    other, passed_on, answers = "PJSIP/trunk-9", [], asyncio.Event()

    async def slow(action: str, **headers: str) -> dict[str, str]:
        if headers.get("Variable") == "VOLUME(RX)":
            await answers.wait()
        return {"Response": "Success", "Value": ""}

    async def pass_on(talk, *_: str) -> None:
        passed_on.append(talk.parties.caller)

    monkeypatch.setattr(ami, "ask", slow)
    monkeypatch.setattr(talks, "_pass_on", pass_on)
    talks.follow([*(t.parties for t in talks._talks.values()), ConnectedParties(other, (SECOND,), "care", "normal")])

    async def run() -> None:
        working = asyncio.create_task(talks.work())
        talks.hear(leg(AGENT, Side.AGENT), LegReport("leg", 0, (), -60.0))
        talks.pass_on(other, SECOND, "hearline-to-agent", "8018")
        for _ in range(4):
            await asyncio.sleep(0)
        assert passed_on == [other]
        answers.set()
        await asyncio.sleep(0)
        working.cancel()

    RUNNERS[0].run(run())


# ---- a page that sends the same again and again ------------------------------------------------------------------
def test_the_events_of_a_talk_are_limited_and_the_last_of_each_kind_is_kept(talks, tmp_path):
    talk = talks.of(CALLER)
    for _ in range(2 * MOST_EVENTS):
        talks.press(AGENT, Key.CALLBACK)
    for outcome in ("inquiry", "order", "inquiry"):
        talks.add_to(talk, "outcome", outcome=outcome, agent="8016")
    talks.follow([])
    kept = record(tmp_path)
    assert len(kept["events"]) == MOST_EVENTS + 3
    assert [one["event"] for one in kept["events"][MOST_EVENTS:]] == ["key", "outcome", "ended"]
    assert kept["events"][-2]["outcome"] == "inquiry"
    assert kept["left_out"] == MOST_EVENTS + 2, "those and `joined` make the sum"


def test_an_outcome_that_is_picked_again_is_not_written_again(talks, tmp_path, monkeypatch):
    talk, written = talks.of(CALLER), []
    talks.follow([])
    monkeypatch.setattr(talks._records, "write", lambda *_: written.append(1))
    for outcome in ("inquiry", "inquiry", "order", "order", "inquiry"):
        talks.add_to(talk, "outcome", outcome=outcome, agent="8016")
    assert [one["outcome"] for one in talk.events if one["event"] == "outcome"] == ["inquiry", "order", "inquiry"]
    assert len(written) == 3


# ---- a caller whose channel is named after their number --------------------------------------------------------------
def test_no_number_leaves_in_a_channels_name(talks, tmp_path):
    caller, phone = "Local/13800005678@call-back-00000007;2", "Local/13900008765@mobile-00000008;1"
    recorded = []
    talks.recorded = lambda _call, what: recorded.append(what)
    talks.follow([ConnectedParties(caller, (phone,), "care", "normal")])
    talks.hear(
        Leg(caller, Side.CALLER, caller, PendingCall("leg", ("127.0.0.1", 1)), 0.0), LegReport("l", 0, (), -60.0)
    )
    talks.follow([])
    [kept] = [one for file in tmp_path.glob("talks/*/*.json") if "****" in (one := file.read_text("utf-8"))]
    assert json.loads(kept)["caller"] == "Local/****5678@call-back-00000007;2"
    assert {one.get("channel") for one in recorded if one["event"] == "leg"} == {"Local/****5678@call-back-00000007;2"}
    assert "13800005678" not in kept + json.dumps(recorded)
    assert "13900008765" not in kept + json.dumps(recorded)


class FullLine:
    """A media worker that takes nothing."""

    def announce(self, *_, **__):
        raise WorkerDown("no room")


def test_no_number_is_logged_in_a_channels_name(caplog):
    caller = "Local/13800005678@call-back-00000007;2"
    legs = Legs(Asked(), FullLine(), lambda *_: None)
    legs.want([ConnectedParties(caller, (AGENT,), "care", "normal")])
    RUNNERS[0].run(legs._ask_for(caller))
    assert "cannot listen to Local/****5678@call-back" in caplog.text and "13800005678" not in caplog.text
    with pytest.raises(ValueError, match="5678") as refused:
        spy_data("Local/13800005678,x@call-back-00000007;2", whisper=False)
    assert "13800005678" not in str(refused.value)
