"""The decisions behind an agent's keys, also if a channel or a process is gone. tests/live judges the sound."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from hearline.assist.calls.channel_graph import Answer, ConnectedParties
from hearline.assist.calls.playing import IMPATIENCE_S, Playing
from hearline.assist.calls.sessions import TalkSessions
from hearline.assist.hints.events import Key
from hearline.assist.hints.hint_store import HintStore
from hearline.assist.playback.keys import Keys
from hearline.assist.playback.prompts import Prompter, Prompts
from hearline.assist.playback.whispers import LONGEST_S, RATE, TICK_S, Whispers
from hearline.core.calendar import Calendar
from hearline.media.worker_client import PendingCall, WorkerDown
from hearline.media.worker_protocol import LegReport
from hearline.pbx import confirm
from hearline.pbx.ami import AmiDown, AmiRefused
from hearline.pbx.chanspy import prompt_data, spy_data
from settled_records import SettledRecords
from shipped_recordings import recordings

REPO = Path(__file__).resolve().parents[2]
SOUNDS, HINTS = REPO / "sounds", REPO / "ivr_flows" / "hints"
CALLER, AGENT, SECOND = "PJSIP/trunk-1", "PJSIP/agent-8016-2", "PJSIP/agent-8017-3"
TALK = ConnectedParties(CALLER, (AGENT,), "care", "normal", answer=Answer("8016"))


class Exchange:
    """Stands where Asterisk and the media worker stand: a prompt plays as long as nobody calls ``prompt_ends``."""

    def __init__(self, phrases: str = "zh/lanzhi") -> None:
        self.phrases = phrases
        self.down: dict[str, Exception] = {}  # by action
        self.asked: list[str] = []
        self.connected = [AGENT]  # with the caller
        self.data: list[str] = []
        self.to_caller: list[bytes] = []
        self.to_agents: list[tuple[str, object]] = []
        self.announced = self.withdrawn = 0
        self.prompter = Prompter(self, self)
        self.visit: PendingCall | None = None

    # Asterisk
    async def ask(self, action: str, **headers: str) -> dict[str, str]:
        for _ in range(3):
            await asyncio.sleep(0)  # an answer takes its time
        if action in self.down:
            raise self.down[action]
        self.asked.append(action)
        match action:
            case "Getvar" if headers["Variable"] == "HEARLINE_CALLER":
                return {"Value": headers["Channel"]}
            case "Getvar":
                return {"Value": self.phrases}
            case "Originate":
                self.data.append(headers["Data"])
                self.prompter.hear(LegReport(self.visit.uuid, 0, (), -60.0))
            case "Redirect":
                assert headers == {
                    "Channel": CALLER, "Context": "hearline-nuisance", "Exten": "s", "Priority": "1",
                }  # fmt: skip
        return {}

    async def ask_list(self, action: str, Channel: str) -> list[dict[str, str]]:
        assert action == "CoreShowChannelMap"
        return [{"Channel": Channel, "ConnectedChannel": other} for other in self.connected]

    # the media worker
    def announce(self, plan: None, channel: str) -> PendingCall:
        if "announce" in self.down:
            raise self.down["announce"]
        self.announced += 1
        self.visit = PendingCall(f"visit-{self.announced}", ("127.0.0.1", 1))
        return self.visit

    def say(self, uuid: str, pcm: bytes) -> None:
        assert uuid == self.visit.uuid
        self.to_caller.append(pcm)

    def withdraw(self, visit: PendingCall) -> None:
        self.withdrawn += 1

    def prompt_ends(self) -> None:
        self.prompter.hear(LegReport(self.visit.uuid, 60_000, (), -60.0))


class Told:
    """A talk of which ``story`` is told."""

    def __init__(self, folder: Path, exchange: Exchange) -> None:
        self._folder = folder
        self.exchange = exchange
        say = lambda channel, pcm: exchange.to_agents.append((channel, pcm))  # noqa: E731
        keys = Keys(exchange, Prompts(recordings()), exchange.prompter, say, say)
        kept = SettledRecords(folder, Calendar(ZoneInfo("Asia/Shanghai")))
        self.talks = TalkSessions(exchange, HintStore(HINTS), lambda *_: None, kept, keys.press)
        self.talks.follow([TALK])
        [self.talk] = self.talks._talks.values()

    async def press(self, *keys: Key, channel: str = AGENT) -> None:
        for key in keys:
            self.talks.press(channel, key)
            await settled()

    @property
    def events(self) -> list[dict]:
        """Without the cards."""
        return [e for e in self.talk.events if "card" not in e and e["event"] not in ("joined", "hints", "ended")]

    @property
    def prompts(self) -> list[tuple[str, str]]:
        return [(e["event"].removeprefix("prompt_"), e["prompt"]) for e in self.events if "prompt" in e]


async def settled() -> None:
    for _ in range(60):
        await asyncio.sleep(0)


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


@pytest.fixture
def telling(tmp_path, exchange):
    """Runs a story of a talk, and looks whether every prompt's connection was given back."""

    def tell(story) -> Told:
        async def run() -> Told:
            told = Told(tmp_path / "talks", exchange)
            await story(told)
            if told.talk.playing:
                told.talk.playing.task.cancel()
            told.talks.follow([])
            await settled()
            return told

        told = asyncio.run(run())
        assert exchange.withdrawn == exchange.announced
        return told

    return tell


# ---- which words -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("phrases", "key", "said"),
    [
        ("zh/lanzhi", Key.LOW_VOLUME, "lanzhi/low-1 lanzhi/low-2 lanzhi/low-move lanzhi/low-move"),
        ("zh/training", Key.LOW_VOLUME, "training/low-1 training/low-2 training/low-2"),
        ("zh/travel", Key.RECEIVER, "travel/speakerphone travel/speakerphone"),
        ("zh/lanzhi", Key.RECEIVER, "lanzhi/speakerphone"),
        ("", Key.LOW_VOLUME, "lanzhi/low-1"),  # a call that the IVR never saw
        ("zh/../../etc", Key.LOW_VOLUME, "lanzhi/low-1"),
    ],
)
def test_the_words_of_the_calls_phrase_set_one_after_the_other(phrases, key, said):
    prompts, words = Prompts(recordings()), [f"zh/{one}" for one in said.split()]
    assert [prompts.choose(key, phrases, times).where for times in range(len(words))] == words


def test_a_prompt_that_was_stopped_comes_again(telling, exchange):
    async def story(told: Told) -> None:
        await told.press(Key.LOW_VOLUME)
        exchange.prompt_ends()
        await settled()
        for _ in range(2):
            await told.press(Key.LOW_VOLUME)
            told.talk.playing.task.cancel()
            await settled()

    assert telling(story).prompts == [
        ("start", "zh/lanzhi/low-1"), ("end", "zh/lanzhi/low-1"),
        ("start", "zh/lanzhi/low-2"), ("stop", "zh/lanzhi/low-2"),
        ("start", "zh/lanzhi/low-2"), ("stop", "zh/lanzhi/low-2"),
    ]  # fmt: skip


# ---- a key while a prompt plays --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("key", "after_s", "meant"),
    [
        (Key.LOW_VOLUME, IMPATIENCE_S - 0.01, "nothing"),
        (Key.LOW_VOLUME, IMPATIENCE_S, "stop"),
        (Key.RECEIVER, 0.1, "other"),
        (Key.RECEIVER, 3.0, "other"),
    ],
)
def test_what_the_next_key_means(key, after_s, meant):
    assert Playing(Key.LOW_VOLUME, 100.0, None).again(key, 100.0 + after_s) == meant


def test_pressed_twice_at_once_it_plays_once(telling, exchange):
    async def story(told: Told) -> None:
        await told.press(Key.LOW_VOLUME, Key.LOW_VOLUME)
        exchange.prompt_ends()
        await settled()

    told = telling(story)
    assert told.prompts == [("start", "zh/lanzhi/low-1"), ("end", "zh/lanzhi/low-1")]
    assert len(exchange.to_caller) == 1


def test_another_prompts_key_plays_that_one_instead(telling, exchange):
    async def story(told: Told) -> None:
        await told.press(Key.LOW_VOLUME, Key.RECEIVER)
        exchange.prompt_ends()
        await settled()

    assert telling(story).prompts == [
        ("start", "zh/lanzhi/low-1"), ("stop", "zh/lanzhi/low-1"),
        ("start", "zh/lanzhi/speakerphone"), ("end", "zh/lanzhi/speakerphone"),
    ]  # fmt: skip


def test_the_agent_hears_the_same_a_quarter_as_loud_and_no_more_of_it_when_it_is_stopped(telling, exchange):
    async def story(told: Told) -> None:
        await told.press(Key.LOW_VOLUME)
        told.talk.playing.task.cancel()
        await settled()

    telling(story)
    [to_caller] = exchange.to_caller
    (first, softly), stop = exchange.to_agents
    assert (first, stop) == (AGENT, (AGENT, b""))
    loud, soft = (np.frombuffer(pcm, "<i2").astype(float) for pcm in (to_caller, softly))
    assert loud.size == soft.size
    assert 20 * np.log10(np.std(soft) / np.std(loud)) == pytest.approx(-12, abs=0.1)


# ---- the other keys --------------------------------------------------------------------------------------------------
def test_marks_and_mute_are_confirmed_to_who_pressed(telling, exchange):
    async def story(told: Told) -> None:
        await told.press(Key.CALLBACK, Key.MUTE, Key.MUTE)

    told = telling(story)
    assert exchange.to_agents == [(AGENT, "callback-marked"), (AGENT, "whispers-off"), (AGENT, "whispers-on")]
    assert [e["event"] for e in told.events] == ["key", "callback_marked", "key", "key"]
    assert "cannot_answer" in [e.get("rule") for e in told.talk.events], "the runner was told"


def test_a_nuisance_call_leaves_its_agent_who_has_not_hung_up(telling, exchange):
    async def story(told: Told) -> None:
        await told.press(Key.LOW_VOLUME, Key.NUISANCE)
        told.talks.leaves(AGENT)
        await told.press(Key.LOW_VOLUME, Key.NUISANCE)  # too late: it is not this agent's any more

    told = telling(story)
    assert exchange.asked.count("Redirect") == 1
    assert [e["event"] for e in told.events] == ["key", "prompt_start", "key", "prompt_stop", "handed_over"]


# ---- what is gone ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("Getvar", AmiDown("no connection")),
        ("Getvar", AmiRefused("No such channel")),
        ("Originate", AmiDown("no connection")),
        ("announce", WorkerDown("the media worker does not answer")),
    ],
)
def test_a_prompt_that_cannot_be_played_is_not_told_as_played(telling, exchange, what, error, caplog):
    exchange.down[what] = error

    async def story(told: Told) -> None:
        await told.press(Key.LOW_VOLUME)

    told = telling(story)
    assert [e["event"] for e in told.events] == ["key", "prompt_failed"]
    assert exchange.to_agents == [] and exchange.to_caller == []
    assert "a prompt was not played to a caller" in caplog.text and CALLER not in caplog.text


def test_a_nuisance_call_that_cannot_be_moved_stays_with_its_agent(telling, exchange):
    exchange.down["Redirect"] = AmiDown("no connection")

    async def story(told: Told) -> None:
        await told.press(Key.NUISANCE)
        exchange.down.clear()
        await told.press(Key.NUISANCE)

    assert [e["event"] for e in telling(story).events] == [
        "key",
        "handed_over",
        "hand_over_failed",
        "key",
        "handed_over",
    ]


def test_nobody_is_moved_or_played_to_who_is_not_with_that_agent(telling, exchange, monkeypatch):
    """An event said that they are. Asterisk says that they are not."""
    monkeypatch.setattr(confirm, "AGAIN_S", 0.0)
    exchange.connected = ["PJSIP/agent-8019-9"]

    async def story(told: Told) -> None:
        await told.press(Key.NUISANCE)
        await told.press(Key.RECEIVER)

    assert [e["event"] for e in telling(story).events] == [
        "key", "handed_over", "hand_over_failed", "key", "prompt_failed",
    ]  # fmt: skip
    assert not {"Redirect", "Originate"} & set(exchange.asked)


def test_a_key_on_a_channel_that_is_gone_does_nothing(telling, exchange):
    async def story(told: Told) -> None:
        await told.press(Key.LOW_VOLUME, Key.NUISANCE, channel=SECOND)
        await told.press(Key.LOW_VOLUME, Key.NUISANCE, channel=CALLER)

    assert telling(story).events == []
    assert exchange.asked == [] and exchange.to_agents == []


def test_a_second_agents_keys_are_kept_without_a_number_that_is_not_theirs(telling):
    async def story(told: Told) -> None:
        told.talks.follow([ConnectedParties(CALLER, (SECOND,), "care", "normal", answer=Answer("8016"))])
        await told.press(Key.CALLBACK, channel=SECOND)

    [pressed] = [e for e in telling(story).events if e["event"] == "key"]
    assert pressed["by"] == ""


# ---- what Asterisk is asked ------------------------------------------------------------------------------------------
def test_a_prompt_goes_to_the_caller_of_the_talk_and_to_nobody_else(telling, exchange):
    async def story(told: Told) -> None:
        await told.press(Key.RECEIVER)

    telling(story)
    assert exchange.data == [f"{CALLER},qoESuw"] == [prompt_data(TALK.caller)]
    with pytest.raises(ValueError, match="is not the name of a channel"):
        prompt_data("a,qB")


def test_what_is_whispered_still_cannot_reach_a_caller():
    assert "w" not in spy_data(CALLER, whisper=False).partition(",")[2]


# ---- the tick --------------------------------------------------------------------------------------------------------
def test_a_tick_before_a_whisper_is_soft_and_within_its_three_seconds():
    plain, ticked = Whispers(recordings()), Whispers(recordings(), tick=True)
    for whisper in plain.known():
        before, after = (np.frombuffer(w.pcm(whisper), "<i2").astype(float) for w in (plain, ticked))
        assert after.size <= LONGEST_S * RATE
        lead = after[: after.size - before.size]
        assert 50 <= np.flatnonzero(np.abs(lead) > 1)[-1] * 1_000 / RATE <= TICK_S * 1_000
        assert -45 < 20 * np.log10(np.std(lead) / 32_768) < -25
        assert np.array_equal(after[lead.size :], before)


def test_the_record_says_who_pressed_what(tmp_path, telling):
    async def story(told: Told) -> None:
        await told.press(Key.CALLBACK)

    telling(story)
    [file] = (tmp_path / "talks").glob("*/*.json")
    [pressed] = [e for e in json.loads(file.read_text("utf-8"))["events"] if e["event"] == "key"]
    assert (pressed["key"], pressed["by"]) == ("callback", "8016")
