"""Hints on real calls: what comes, when, and who hears it. Each rule has a talk in which it must come and one like it
in which it must not. Times and whispers by the phones, cards by the record."""

from __future__ import annotations

import json
import time
from datetime import datetime

import pytest

from hearline.audio.wav import read_wav
from hearline.phone.heard import find_prompts
from hearline.phone.judge import prompts_of
from world import RATE, SOUNDS, SPEECH, Scenario

SENTENCE = "caller-ask"
SENTENCE_MS = read_wav(SPEECH / f"{SENTENCE}.wav").size * 1_000 // RATE
WHISPERS = prompts_of(SOUNDS / "zh" / "hints")
KEY_MS = 1_500  # leads on at once; the two are joined some 5 s later
JOINED_MS = 9_000  # by now, surely
TOO_SOFT_DB = -28.0  # on −23 dBov: raising the line by 9 dB is not enough
AGENT_SAYS_MS = 6_000  # after its answer
LATE_MS = 400


def speaking(gain_db: float) -> tuple[tuple[float, str, float], ...]:
    """Three sentences, one upon the other."""
    return tuple((JOINED_MS + i * (SENTENCE_MS + 150), SENTENCE, gain_db) for i in range(3))


@pytest.fixture(scope="module")
def talks(world):
    """(call, record) by scenario."""
    began = time.time()
    asks = [{"at_ms": AGENT_SAYS_MS, "wav": str(SPEECH / f"{SENTENCE}.wav"), "gain_db": 0.0}]
    agents = [world.agent(i, hangup_after_ms=17_000, say=asks) for i in range(4)]
    key = ((KEY_MS, "1"),)
    calls = world.place(
        {
            "too soft": Scenario(keys=key, say=speaking(TOO_SOFT_DB)),
            "normal": Scenario(keys=key, say=speaking(0.0), start_ms=1_500),
            "silent": Scenario(keys=key, start_ms=3_000),
        },
        agents[:3],
        timeout=60,
    )
    folder = world.stack.settings.state / "talks"

    def records() -> dict[str, dict]:
        found = [json.loads(f.read_text("utf-8")) for f in folder.glob("*/*.json") if f.stat().st_mtime >= began]
        return {talk["caller"].split("/")[1].split("-")[0]: talk for talk in found}

    deadline = time.monotonic() + 5
    while len(records()) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return {name: (call, records()[call.account]) for name, call in calls.items()}


def shown(talk: dict, rule: str) -> list[dict]:
    return [event for event in talk["events"] if event["event"] == "show_card" and event["rule"] == rule]


def moment(talk: dict, event: dict) -> float:
    """When it was, on the phones' clock (monotonic s)."""
    began = datetime.fromisoformat(talk["began_at"]).timestamp()
    return began + event["at_ms"] / 1_000 - time.time() + time.monotonic()


def whispers(recording) -> list[str]:
    return [found.id for found in find_prompts(read_wav(recording), WHISPERS) if found.complete > 0.9]


def test_the_agent_is_told_of_a_caller_who_is_too_soft_and_only_the_agent(talks):
    call, talk = talks["too soft"]
    assert len(shown(talk, "caller_too_soft")) == 1
    assert whispers(call.agents[0].recording) == ["caller-too-soft"]
    assert not [w for w in find_prompts(call.recording, WHISPERS) if w.complete > 0.1]


def test_of_a_normal_caller_nothing_is_whispered(talks):
    call, talk = talks["normal"]
    assert not shown(talk, "caller_too_soft")
    assert whispers(call.agents[0].recording) == []


def test_a_caller_who_does_not_answer_for_three_seconds(talks):
    call, talk = talks["silent"]
    [card] = shown(talk, "caller_silent")
    agent_ended = call.agents[0].answered_at + (AGENT_SAYS_MS + SENTENCE_MS) / 1_000
    assert (moment(talk, card) - agent_ended) * 1_000 == pytest.approx(3_000, abs=LATE_MS)


@pytest.mark.parametrize("name", ["too soft", "normal"])
def test_who_speaks_is_not_taken_for_silent(talks, name):
    assert not shown(talks[name][1], "caller_silent")


@pytest.mark.parametrize("name", ["too soft", "normal", "silent"])
def test_every_talk_begins_with_the_greeting_and_ends_with_who_hung_up(talks, name):
    _, talk = talks[name]
    assert shown(talk, "answering")
    assert [event["side"] for event in talk["events"] if event["event"] == "hung_up"] == ["agent"]
