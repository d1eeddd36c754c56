"""A soft caller's line is raised for the agent, and only callers who are too soft even then are asked to speak up.
Levels are measured by ITU-T P.56 in what the agents' phones heard."""

from __future__ import annotations

import numpy as np
import pytest

from hearline.audio.level.p56 import active_speech_level, rms_dbov
from hearline.audio.wav import read_wav
from hearline.phone.heard import find_prompts
from hearline.phone.judge import presence, prompts_of
from world import RATE, SOUNDS, SPEECH, Scenario

SOFT_DB = -19.0  # on recordings of −23 dBov: −42 dBov, too soft until the line is raised
MAX_DB = 9
SENTENCE = "caller-ask"
# The beginning: after 2 s of it the agent may be whispered to, over the rest.
SAID = read_wav(SPEECH / f"{SENTENCE}.wav")[: round(1.9 * RATE)]
SPOKEN_DBOV = active_speech_level(SAID, RATE).active_dbov
FIRST_MS = 4_300  # the opening has ended
WHISPERS = prompts_of(SOUNDS / "zh" / "whisper")


@pytest.fixture(scope="module")
def calls(world, line_noise):
    """Four callers, each joined with an agent to whom those who speak say their sentence once more."""
    agents = [world.agent(i, hangup_after_ms=14_000) for i in range(4)]

    def twice(gain_db: float) -> tuple:
        return (FIRST_MS, SENTENCE, gain_db), (FIRST_MS + 12_500, SENTENCE, gain_db)

    return world.place(
        {
            "normal": Scenario(say=twice(0.0)),
            "soft": Scenario(say=twice(SOFT_DB), start_ms=2_000),
            # Without gain this one is asked to speak up; a key leads to the agent all the same.
            "soft, gain off": Scenario("8104", say=twice(SOFT_DB), keys=((FIRST_MS + 6_500, "1"),), start_ms=4_000),
            "noise": Scenario(background=line_noise["street"]),
        },
        agents,
        timeout=80,
    )


def agent_heard(call) -> np.ndarray:
    assert len(call.agents) == 1, f"{call.name} was joined with one agent"
    return read_wav(call.agents[0].recording)


def level_at_the_agent(call) -> float:
    """Active level (dBov) of the caller's sentence as the agent heard it."""
    recording = agent_heard(call)
    found = presence(recording, SAID)
    assert found.above_chance_db > 10, f"{call.name}: the agent did not hear the sentence: {found}"
    start = round(found.at_ms * RATE / 1_000)
    return active_speech_level(recording[start : start + SAID.size], RATE).active_dbov


def gains(call) -> list[int]:
    return [event["gain_db"] for event in call.events("gain")]


def test_a_soft_caller_goes_straight_to_the_queue(calls):
    call = calls["soft"]
    assert call.outcome == "queue:care" and call.prompts == ["opening"]
    assert {event["verdict"] for event in call.events("verdict")} == {"too_soft"}
    assert gains(call) == [MAX_DB] and call.timeline["gain_db"] == MAX_DB


def test_without_gain_the_same_caller_is_asked(calls):
    call = calls["soft, gain off"]
    assert call.prompts == ["opening", "low-1"]
    assert gains(call) == [] and call.timeline["gain_db"] == 0


def test_the_agent_hears_the_soft_caller_raised_by_the_gain(calls):
    raised, plain = level_at_the_agent(calls["soft"]), level_at_the_agent(calls["soft, gain off"])
    assert plain == pytest.approx(SPOKEN_DBOV + SOFT_DB, abs=1)
    assert raised - plain == pytest.approx(MAX_DB, abs=1)


def test_a_normal_caller_is_not_changed(calls):
    call = calls["normal"]
    assert gains(call) == [] and call.timeline["gain_db"] == 0
    assert level_at_the_agent(call) == pytest.approx(SPOKEN_DBOV, abs=1)


def test_noise_alone_is_not_raised(calls, line_noise):
    call = calls["noise"]
    assert call.outcome == "queue:care"
    assert gains(call) == [] and call.timeline["gain_db"] == 0
    joined = agent_heard(call)[-8 * RATE :]
    assert rms_dbov(joined) == pytest.approx(rms_dbov(read_wav(line_noise["street"])), abs=1.5)


@pytest.mark.parametrize(("name", "told"), [("soft", "normal"), ("normal", "normal"), ("soft, gain off", "low")])
def test_a_raised_caller_is_a_normal_one_to_the_agent(calls, name, told):
    [whisper] = [w for w in find_prompts(agent_heard(calls[name]), WHISPERS) if w.complete > 0.5]
    assert whisper.id.endswith(f"-{told}")


def test_an_asterisk_that_cannot_raise_a_line_goes_on_without(world):
    world.stack.console("module unload func_volume.so")
    try:
        call = world.place({"soft": Scenario(say=((FIRST_MS, SENTENCE, SOFT_DB),), hangup_at_ms=11_000)}, timeout=30)
    finally:
        world.stack.console("module load func_volume.so")
    assert call["soft"].outcome == "queue:care"
    assert "could not be raised by 9 dB" in (world.stack.home / "log" / "hearline.log").read_text()
