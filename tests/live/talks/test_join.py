"""From the caller's words to the agent's: music until the join, the whisper for the agent only, then both hear each
other."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import numpy as np
import pytest

from hearline.audio.wav import read_wav
from hearline.phone.heard import find_prompts
from hearline.phone.judge import WHOLE, presence, prompts_of
from hearline.phone.run import Phones
from world import SOUNDS, SPEECH, TOO_SOFT, Call, Scenario, dead, until

WHISPERS = prompts_of(SOUNDS / "zh" / "whisper")
GREETING_MS, ANSWER_MS = 3_500, 24_000


@pytest.fixture(scope="module")
def joined(world):
    """Three callers for two agents: one speaks, one presses a key on a phone that sends no RTP, one is too soft first
    and has to wait until an agent is free."""
    agents = [
        world.agent(
            i,
            hangup_after_ms=14_000,
            answer_after_ms=4_000,
            say=[{"at_ms": GREETING_MS, "wav": str(SPEECH / "agent-greeting.wav")}],
        )
        for i in (0, 1)
    ]
    return world.place(
        {
            "speaks": Scenario(say=((4_300, "caller-ask", 0.0), (20_500, "caller-here", 0.0))),
            "key": Scenario(keys=((4_500, "1"),), rtp="none", start_ms=300),
            "soft": Scenario(say=((4_300, "caller-ask", TOO_SOFT), (14_000, "caller-louder", 0.0)), start_ms=600),
        },
        agents,
        timeout=80,
    )


def agent_of(call) -> np.ndarray:
    assert len(call.agents) == 1, f"{call.name} was joined with one agent"
    return read_wav(call.agents[0].recording)


def joined_ms(call) -> float:
    """When the agent's phone was picked up, in the caller's recording."""
    return (call.agents[0].answered_at - call.result.answered_at) * 1_000


@pytest.mark.realtime
@pytest.mark.parametrize(("name", "told"), [("speaks", "normal"), ("key", "key"), ("soft", "low")])
def test_the_agent_is_told_first_and_alone(joined, name, told):
    call = joined[name]
    heard = [w for w in find_prompts(agent_of(call), WHISPERS) if w.complete > 0.5]
    assert [w.id.split("-")[0] for w in heard] == ["care"], heard
    whisper = heard[0]
    assert whisper.id.endswith(f"-{told}")
    assert whisper.complete >= WHOLE
    assert whisper.end_ms - whisper.start_ms <= 3_000
    assert whisper.start_ms < 500, "it begins at once"
    leak = presence(call.recording, WHISPERS[whisper.id])
    assert leak.absent, f"the caller heard it: {leak}"


def test_the_wait_that_is_told_is_true(joined):
    for call in (joined["speaks"], joined["key"], joined["soft"]):
        [whisper] = [w for w in find_prompts(agent_of(call), WHISPERS) if w.complete > 0.5]
        said = int(whisper.id.split("-")[1])
        queued = call.events("route")[0]["at_ms"] + call.heard[0].start_ms
        waited = (joined_ms(call) - queued) / 1_000
        assert said <= waited + 1 and waited < said + 7, f"{call.name} waited {waited:.1f} s, the agent was told {said}"


@pytest.mark.parametrize("name", ["speaks", "key", "soft"])
def test_the_caller_hears_music_until_the_join_never_dead_silence(joined, name):
    call = joined[name]
    begins = call.events("route")[0]["at_ms"] + call.heard[0].start_ms + 500
    ends = joined_ms(call) + 2_000  # the whisper still plays to the agent
    waiting = call.recording[round(begins * 8) : round(ends * 8)]
    assert not dead(waiting)


def test_the_agent_hears_nothing_of_the_music(joined):
    music = read_wav(SOUNDS / "music" / "waiting.wav")[: 8 * 8_000]
    assert presence(agent_of(joined["speaks"]), music).absent


@pytest.mark.parametrize("name", ["speaks", "key", "soft"])
def test_then_the_caller_hears_the_agent(joined, name):
    greeting = presence(joined[name].recording, read_wav(SPEECH / "agent-greeting.wav"))
    assert greeting.heard, greeting


def test_and_the_agent_hears_the_caller(joined):
    answer = presence(agent_of(joined["speaks"]), read_wav(SPEECH / "caller-here.wav"))
    assert answer.heard, answer


# ---- an agent who is gone before the join ----------------------------------------------------------------------------
GONE_AFTER_S = (0.6, 1.2, 2.0)  # in the whisper
QUEUE = "8090"


@dataclass
class Deserted:
    """``answers``: who picked up, in order. The talks' records of the caller."""

    call: Call
    answers: list[dict]
    results: dict
    talks: list[dict]

    def whisper(self, number: int) -> str:
        """What the agent was told who picked up as that number, if whole."""
        answer = self.answers[number]
        recording = self.results[answer["phone"]].calls[answer["call"] - 1].recording
        return next((w.id for w in find_prompts(read_wav(recording), WHISPERS) if w.complete >= WHOLE), "")


@pytest.fixture(scope="module")
def deserted(world):
    """Three times an agent picks up and hangs up during the whisper. The fourth stays, and passes the caller on to the
    queue; the fifth stays as well."""
    agents = [world.agent(i, hangup_after_ms=None) for i in (0, 1)]
    scenarios = {"waits": Scenario(keys=((1_500, "1"),), max_ms=90_000)}
    script, used = world.script(scenarios, agents)
    answers = []
    with Phones(script) as phones:

        def next_answer():
            seen = answers[-1]["at"] if answers else 0
            picked_up = [e for e in phones.events if e["event"] == "answered" and e["phone"] not in used]
            return next((e for e in picked_up if e["at"] > seen), None)

        for gone_after_s in (*GONE_AFTER_S, None, None):
            answers.append(until(next_answer, 30))
            agent = answers[-1]["phone"]
            if gone_after_s:
                time.sleep(max(0, answers[-1]["at"] + gone_after_s - time.monotonic()))
                phones.hang_up(agent)
                continue
            time.sleep(4)
            if len(answers) == len(GONE_AFTER_S) + 1:
                phones.say(agent, SPEECH / "agent-greeting.wav")
                time.sleep(4)
                phones.act(agent, "transfer", f"sip:{QUEUE}@{world.stack.sip}")
        phones.hang_up(agent)
        results = phones.wait(20)
    time.sleep(0.5)  # the record is written
    files = (world.stack.settings.state / "talks").glob("*/*.json")
    talks = [json.loads(file.read_text("utf-8")) for file in files]
    call = world.calls(results, used, scenarios)["waits"]
    return Deserted(call, answers, results, [talk for talk in talks if used["waits"] in talk["caller"]])


def test_a_caller_whose_agent_is_gone_before_the_join_waits_on_with_music(deserted):
    call = deserted.call
    begins = call.events("route")[0]["at_ms"] + call.heard[0].start_ms + 500
    ends = (
        deserted.answers[3]["at"] - call.result.answered_at
    ) * 1_000 + 1_500  # the whisper still plays to the fourth
    assert not dead(call.recording[round(begins * 8) : round(ends * 8)])
    assert not [w for w in find_prompts(call.recording, WHISPERS) if w.complete > 0.1]


def test_the_next_agent_rings_and_is_joined(deserted):
    assert len({answer["phone"] for answer in deserted.answers[:4]}) == 2, "the queue's strategy says in which order"
    assert presence(deserted.call.recording, read_wav(SPEECH / "agent-greeting.wav")).heard


def test_the_record_holds_the_agents_who_were_joined(deserted):
    [talk] = deserted.talks
    [joined] = [event for event in talk["events"] if event["event"] == "joined"]
    assert [channel.rpartition("-")[0] for channel in joined["agents"]] == [f"PJSIP/{deserted.answers[3]['phone']}"]


def test_the_wait_that_is_told_is_that_since_the_caller_last_talked_with_somebody(deserted):
    first, again = deserted.whisper(3).split("-"), deserted.whisper(4).split("-")
    assert first[0] == "care" and int(first[1]) >= 5
    assert again[:2] == ["care", "0"]
