"""A hotline's flow is broken when the server starts: callers reach an agent, and hear no other flow's prompts."""

from __future__ import annotations

import pytest

from hearline.audio.level.p56 import rms_dbov
from hearline.audio.wav import read_wav
from hearline.phone.heard import find_prompts
from hearline.phone.judge import presence, prompts_of
from world import MUSIC_DBOV, RATE, SOUNDS, SPEECH, Scenario, World, until

PROMPTS = prompts_of(SOUNDS / "zh" / "lanzhi")
GREETING = read_wav(SPEECH / "agent-greeting.wav")
GREETING_MS = 3_500  # from the answer: the whisper is over
SEEN_S = 5.0  # until an edit counts: two looks, and the prompts that are read


@pytest.fixture(scope="module")
def broken(world: World):
    """The server, started with a typo in hotline.yaml; mended again when it is over."""
    file = world.flows / "hotline.yaml"
    shipped = file.read_text("utf-8")
    world.stack.stop_server()
    file.write_text(shipped.replace("begin: opening", "begin： opening"), "utf-8")
    said: list[str] = []
    world.stack.start_server(said.append)
    yield said
    file.write_text(shipped, "utf-8")
    until(world.stack.ready, SEEN_S)


def test_callers_reach_an_agent_and_hear_nothing_but_music_until_then(world, broken):
    say = [{"at_ms": GREETING_MS, "wav": str(SPEECH / "agent-greeting.wav")}]
    agent = world.agent(0, answer_after_ms=4_000, hangup_after_ms=10_000, say=say)
    call = world.place({"caller": Scenario("95160", max_ms=25_000)}, [agent], timeout=60)["caller"]
    assert [prompt for prompt in find_prompts(call.recording, PROMPTS) if prompt.complete > 0.1] == []
    assert call.timeline is None, "no flow was run"
    [joined] = call.agents
    music = call.recording[RATE // 2 : round((joined.answered_at - call.result.answered_at) * RATE)]
    assert min(rms_dbov(music[at : at + RATE]) for at in range(0, len(music) - RATE, RATE)) > MUSIC_DBOV
    assert presence(call.recording, GREETING).heard


def test_it_says_which_file_and_line(world, broken):
    ready = world.stack.readiness()
    assert ready["ready"] is False and "hotline.yaml" in ready["flows_not_loaded"]
    assert "hotline.yaml:" in ready["rejected_flows"]["hotline.yaml"]
    assert "a full-width colon" in ready["rejected_flows"]["hotline.yaml"]
    assert world.metric("hearline_flows_not_loaded") >= 1
    assert any("hotline.yaml" in line for line in broken), "who starts a stack reads it"


def test_mended_it_answers_without_a_restart(world, broken):
    file = world.flows / "hotline.yaml"
    file.write_text(file.read_text("utf-8").replace("begin：", "begin:"), "utf-8")
    until(world.stack.ready, SEEN_S)
    call = world.place({"mended": Scenario("8001", hangup_at_ms=3_500)}, timeout=20)["mended"]
    assert call.prompts == ["opening"]
