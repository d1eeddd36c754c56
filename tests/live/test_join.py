"""From the caller's words to the agent's: music until the join, the whisper to the agent alone, then each the other."""

from __future__ import annotations

import numpy as np
import pytest

from hearline.audio.wav import read_wav
from hearline.phone.heard import find_prompts
from hearline.phone.judge import WHOLE, presence, prompts_of
from world import SOUNDS, SPEECH, TOO_SOFT, Scenario, dead

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
