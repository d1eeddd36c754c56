"""Speech recognition on real talks: the real engine, with a model that takes everything an agent says for a forbidden
phrase (`tests/unit/tiny_recogniser.py`). The agent who speaks gets the card; the one who says nothing does not."""

from __future__ import annotations

import json
import time
from datetime import datetime

import pytest
from tests.unit.tiny_recogniser import SAYS, tiny_model

from world import SPEECH, Scenario, until

SENTENCE = "caller-ask"
AGENT_SAYS_MS = 4_000  # after its answer
LATE_MS = 1_500  # sound is passed on and recognised in pieces of 100 ms; the machine is busy with the telephones


@pytest.fixture(scope="module")
def talks(world, tmp_path_factory):
    """(call, record) by scenario."""
    model = tiny_model(tmp_path_factory.mktemp("recogniser"))
    log = world.stack.home / "log" / "hearline.log"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HEARLINE_RECOGNISER_MODEL", str(model))
        environment.setenv("HEARLINE_RECOGNISER_LEGS", "4")
        world.stack.stop_server()
        world.stack.start_server()
    try:
        until(lambda: log.read_text("utf-8").count(f"the recogniser is ready: {model}") == 1, 20)
        began = time.time()
        says = [{"at_ms": AGENT_SAYS_MS, "wav": str(SPEECH / f"{SENTENCE}.wav"), "gain_db": 0.0}]
        agents = [
            world.agent(0, hangup_after_ms=9_000, say=says),
            world.agent(1, hangup_after_ms=9_000, say=[]),
        ]
        key = ((1_500, "1"),)
        calls = world.place({"one": Scenario(keys=key), "two": Scenario(keys=key, start_ms=1_500)}, agents, timeout=60)
        folder = world.stack.settings.state / "talks"

        def records() -> list[dict]:
            return [json.loads(f.read_text("utf-8")) for f in folder.glob("*/*.json") if f.stat().st_mtime >= began]

        until(lambda: len(records()) == 2, 5)
        by_account = {call.account: call for call in calls.values()}
        found = {}
        for talk in records():
            agent = talk["events"][0]["agents"][0].split("-")[1]
            found[agent] = by_account[talk["caller"].split("/")[1].split("-")[0]], talk
        yield found
        assert SAYS not in log.read_text("utf-8")
    finally:
        world.stack.stop_server()
        world.stack.start_server()


@pytest.mark.realtime
def test_a_forbidden_phrase_is_heard_while_it_is_said_and_its_card_is_shown(talks):
    call, talk = talks["8016"]
    spoken = [event for event in talk["events"] if event["event"] == "spoken"]
    assert {(event["side"], event["group"]) for event in spoken} == {("agent", "forbidden_phrase")}
    began = datetime.fromisoformat(talk["began_at"]).timestamp() - time.time() + time.monotonic()
    [agent] = call.agents
    spoke = agent.answered_at + AGENT_SAYS_MS / 1_000
    assert 0 < (began + spoken[0]["at_ms"] / 1_000 - spoke) * 1_000 < LATE_MS
    # Once the sentence has ended: the agent was reading out the card of the greeting.
    cards = [event for event in talk["events"] if event["event"] == "show_card" and event["rule"] == "forbidden"]
    assert len(cards) == 1


def test_who_says_nothing_is_told_nothing(talks):
    _, talk = talks["8017"]
    assert not [event for event in talk["events"] if event["event"] == "spoken" or event.get("rule") == "forbidden"]
