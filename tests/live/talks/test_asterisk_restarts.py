"""Asterisk restarts in the middle of a talk: that call is lost, but nothing else."""

from __future__ import annotations

import json
import time

import pytest

from world import SPEECH, Phones, Scenario, until

ATTACHED_MS = 500
SENTENCE = str(SPEECH / "caller-ask.wav")
KEY = ((1_500, "1"),)


@pytest.fixture(scope="module")
def talks(world):
    """The records of the talk that was cut, and of the one after it; what operators were told in between."""
    began = time.time()
    says = [{"at_ms": 3_000, "wav": SENTENCE}]
    agent = world.agent(0, hangup_after_ms=9_000, say=says)
    script, _ = world.script({"cut": Scenario(keys=KEY, hangup_at_ms=14_000)}, [agent])
    with Phones(script):
        until(lambda: channels(world, "AudioSocket/") == 2, 20)
        world.stack.console("core restart now")
        until(lambda: not standing(world)["connected"], 5)
        until(lambda: standing(world)["connected"] and standing(world)["whispers"], 20)
        left = channels(world, "PJSIP/")
        until(lambda: records(world, began), 3)
        [cut] = records(world, began)
    call = world.place({"next": Scenario(keys=KEY)}, [world.agent(1, hangup_after_ms=6_000, say=says)])["next"]
    until(lambda: len(records(world, began)) == 2, 5)
    [after] = [talk for talk in records(world, began) if talk != cut]
    return left, cut, call, after


def test_the_talk_that_was_cut_is_over(talks):
    left, cut, _, _ = talks
    assert left == 0
    assert [event["event"] for event in cut["events"]].count("joined") == 1 and cut["events"][-1]["event"] == "ended"


@pytest.mark.realtime
def test_the_next_call_is_served_and_both_sides_are_listened_to_at_once(talks):
    _, _, call, after = talks
    assert call.outcome == "queue:care" and len(call.agents) == 1
    came = {event["side"]: event["at_ms"] for event in after["events"] if event["event"] == "sound"}
    assert came.keys() == {"caller", "agent"} and max(came.values()) <= ATTACHED_MS


def standing(world) -> dict:
    """Of agent assist, as operators see it."""
    return world.stack.get("/ready")["assist"]


def records(world, since: float) -> list[dict]:
    found = (world.stack.settings.state / "talks").glob("*/*.json")
    return [json.loads(file.read_text("utf-8")) for file in found if file.stat().st_mtime >= since]


def channels(world, prefix: str) -> int:
    return sum(channel[0].startswith(prefix) for channel in world.channels())
