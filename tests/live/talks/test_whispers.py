"""Only the agent hears whispers: a tone proves it before there are any, and the phones' recordings show it, even while
the caller's phone sends nothing at all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest

from hearline.assist.selftest.whisper_selftest import Found, WhisperSelfTest, whisper_to
from hearline.audio.wav import read_wav
from hearline.core.settings import address
from hearline.media.worker_client import WorkerClient
from hearline.pbx.ami import Ami
from hearline.phone.heard import find_prompts
from hearline.phone.judge import WHOLE, prompts_of
from world import SOUNDS, SPEECH, TASKS_OF, Scenario, until

WHISPERS = prompts_of(SOUNDS / "zh" / "hints")
TOO_SOFT_DB = -28.0  # on −23 dBov: raising the line by 9 dB is not enough
SENTENCE = str(SPEECH / "caller-ask.wav")


# ---- the proof -------------------------------------------------------------------------------------------------------
def test_this_asterisk_has_passed(world):
    until(lambda: world.stack.get("/ready")["assist"].get("whispers"), 15)
    standing = world.stack.get("/ready")["assist"]
    assert standing["connected"] and standing["asterisk"].startswith("22.")
    assert world.tasks(TASKS_OF["agent assist"])["Service.run"] == 1, "what is looked through for leaks"
    assert standing["silent_callers"] == "", "the private Asterisk mixes every call in softmix, or needs not to"
    assert world.metric("hearline_whispers_allowed") == world.metric("hearline_whispers_over_silence") == 1


def barge(channel: str) -> str:
    """What `spy_data` never makes: in a bridge of two both hear what is said."""
    return f"{channel},qoESuB"


def listen_only(channel: str) -> str:
    return f"{channel},qoESu"


TRIES = {
    "as in a talk": ("softmix", whisper_to),
    "as in a talk, in a bridge of two": ("simple", whisper_to),
    "barge": ("simple", barge),
    "listen only": ("softmix", listen_only),
}


@pytest.fixture(scope="module")
def found(world) -> dict[str, Found]:
    """What the tone tells, by try."""
    return asyncio.run(loop_calls(world))


async def loop_calls(world) -> dict[str, Found]:
    """With a media worker and a connection of our own; each leaves nothing behind."""
    up, loop, found = asyncio.Event(), asyncio.get_running_loop(), {}
    settings, secret = world.stack.settings, (world.stack.home / "ami-secret").read_text()
    where = address(world.stack.running.ami)
    ami = Ami(where, "hearline-assist", secret, lambda event: None, lambda: asyncio.sleep(0, up.set()))
    line = WorkerClient(
        "127.0.0.1:0",
        settings.allow,
        on_reports=lambda reports: [loop.call_soon_threadsafe(call.hear, report) for report in reports],
    )
    await asyncio.to_thread(line.start)
    running = asyncio.create_task(ami.run())
    try:
        async with asyncio.timeout(5):
            await up.wait()
        for name, (bridge, spy) in TRIES.items():
            with bridge_of_two(world) if bridge == "simple" else nullcontext():
                call = WhisperSelfTest(ami, line, spy)
                found[name] = await call.run()
                until(lambda: not world.channels(), 2)
    finally:
        running.cancel()
        await asyncio.to_thread(line.stop)
    return found


@contextmanager
def bridge_of_two(world) -> Iterator[None]:
    """As an Asterisk has it that knows nothing of us."""
    world.stack.console("module load bridge_simple.so")
    try:
        assert "simple_bridge" in world.stack.console("bridge technology show")
        yield
    finally:
        world.stack.console("module unload bridge_simple.so")
        assert "simple_bridge" not in world.stack.console("bridge technology show")


@pytest.mark.parametrize("name", ["as in a talk", "as in a talk, in a bridge of two"])
def test_the_agent_hears_a_whispered_tone_and_the_caller_does_not(found, name):
    assert found[name].fault == "" and found[name].below_db >= 60


def test_a_spy_that_barges_in_is_found_out(found):
    assert found["barge"].leaks and found["barge"].fault.startswith("the caller would hear a whisper")


def test_a_spy_that_whispers_to_nobody_is_found_out(found):
    assert not found["listen only"].leaks
    assert found["listen only"].fault.startswith("an agent would not hear a whisper")


# ---- on calls --------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def calls(world):
    """Two agents who speak too softly; one caller's phone sends silence, the other one's nothing at all."""
    softly = [{"at_ms": 5_500 + i * 3_000, "wav": SENTENCE, "gain_db": TOO_SOFT_DB} for i in range(2)]
    agents = [world.agent(i, hangup_after_ms=17_000, say=softly) for i in (0, 1)]
    key = ((1_500, "1"),)
    return world.place(
        {"silence": Scenario(keys=key), "no RTP": Scenario(keys=key, rtp="none", start_ms=2_000)}, agents, timeout=60
    )


@pytest.mark.realtime
@pytest.mark.parametrize("name", ["silence", "no RTP"])
def test_a_whisper_is_heard_whole_by_the_agent_and_not_by_the_caller(calls, name):
    call = calls[name]
    [agent] = call.agents
    [whisper] = [w for w in find_prompts(read_wav(agent.recording), WHISPERS) if w.complete > 0.1]
    assert whisper.id == "agent-too-soft" and whisper.complete >= WHOLE
    assert not [w for w in find_prompts(call.recording, WHISPERS) if w.complete > 0.1]


def test_a_phone_that_sends_nothing_sent_nothing(calls):
    assert calls["no RTP"].result.end("tx_packets") < 20, "the events of its one key"
    assert calls["silence"].result.end("tx_packets") > 500
