"""The server is stopped in good order while a caller is in the IVR: the caller goes to the queue, and the record says
so."""

from __future__ import annotations

import time

from hearline.audio.wav import read_wav
from hearline.phone.judge import prompts_of
from world import RATE, SOUNDS, Phones, Scenario, World, dead

STOP_S = 3.0
OPENING_S = len(prompts_of(SOUNDS / "zh" / "lanzhi")["opening"]) / RATE


def test_a_silent_caller_is_in_the_queue_and_on_record(world: World):
    script, used = world.script({"silent": Scenario("8001")})
    try:
        with Phones(script) as phones:
            answered = phones.wait_for("answered", "silent", timeout=20)
            time.sleep(max(0.0, answered["at"] + OPENING_S + 1.5 - time.monotonic()))  # in the first wait
            stopped = time.monotonic()
            world.stack.stop_server()
            time.sleep(max(0.0, stopped + STOP_S + 3.0 - time.monotonic()))
            phones.hang_up("silent")
            call = phones.wait(20)["silent"].call
    finally:
        world.stack.start_server()
    after = read_wav(call.recording)[round((stopped + STOP_S - call.answered_at) * RATE) :]
    assert after.size > 2 * RATE and not dead(after), "no music"
    record = world.timelines()[used["silent"]]
    assert (record["outcome"], record["queue"]) == ("queue:lost_media", "care")
    assert record["duration_ms"] >= OPENING_S * 1_000
    assert "prompt_start" in {event["event"] for event in record["events"]}
