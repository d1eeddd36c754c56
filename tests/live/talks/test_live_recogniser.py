"""Speech recognition on real talks: the real engine, with a model that takes everything an agent says for a forbidden
phrase (`tests/unit/tiny_recogniser.py`). The agent who speaks gets the card; the one who says nothing does not. A
recogniser that is killed in the middle of a talk is back for what is said next."""

from __future__ import annotations

import os
import signal
import time
from datetime import datetime

import pytest
from tests.unit.tiny_recogniser import SAYS, tiny_model

from hearline.audio.wav import read_wav
from hearline.phone.judge import presence
from test_transfers import Floor, talks_since
from world import SPEECH, Phones, Scenario, until

SENTENCE = "caller-ask"
KEY = ((1_500, "1"),)
AGENT_SAYS_MS = 4_000  # after its answer
LATE_MS = 1_500  # sound is passed on and recognised in pieces of 100 ms; the machine is busy with the telephones


@pytest.fixture(scope="module")
def recogniser(world, tmp_path_factory):
    """The server with a recogniser: how often it has become ready so far."""
    model = tiny_model(tmp_path_factory.mktemp("recogniser"))
    log = world.stack.home / "log" / "hearline.log"

    def ready() -> int:
        return log.read_text("utf-8").count(f"the recogniser is ready: {model}")

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HEARLINE_RECOGNISER_MODEL", str(model))
        environment.setenv("HEARLINE_RECOGNISER_LEGS", "4")
        world.stack.stop_server()
        world.stack.start_server()
    try:
        until(lambda: ready() == 1, 20)
        world.wait_ready()
        yield ready
        assert SAYS not in log.read_text("utf-8")
    finally:
        world.stack.stop_server()
        world.stack.start_server()


@pytest.fixture(scope="module")
def talks(world, recogniser):
    """(call, record) by scenario."""
    began = time.time()
    says = [{"at_ms": AGENT_SAYS_MS, "wav": str(SPEECH / f"{SENTENCE}.wav"), "gain_db": 0.0}]
    agents = [
        world.agent(0, hangup_after_ms=9_000, say=says),
        world.agent(1, hangup_after_ms=9_000, say=[]),
    ]
    calls = world.place({"one": Scenario(keys=KEY), "two": Scenario(keys=KEY, start_ms=1_500)}, agents, timeout=60)
    records = until(lambda: talks_since(world, began, 2), 5)
    by_account = {call.account: call for call in calls.values()}
    found = {}
    for account, talk in records.items():
        found[talk["events"][0]["agents"][0].split("-")[1]] = by_account[account], talk
    return found


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


def test_a_recogniser_killed_in_a_talk_hears_what_is_said_after_it_was_started_anew(world, recogniser):
    """The two who talk go on hearing each other meanwhile."""
    began, ready = time.time(), recogniser()
    script, used = world.script({"caller": Scenario(keys=KEY, max_ms=60_000)}, [world.agent(0, hangup_after_ms=None)])
    moments = []  # the kill, and when it is told again which legs to hear, which it is four times a second

    def legs() -> int:
        return sum(line[5] == "ChanSpy" for line in world.channels())

    with Phones(script) as phones:
        floor = Floor(world, phones)
        agent = floor.takes(used["caller"])
        until(lambda: legs() == 2, 5)
        floor.say(agent, SENTENCE)
        time.sleep(LATE_MS / 1_000)
        killed = world.processes()["recogniser"]
        os.kill(killed, signal.SIGKILL)
        moments.append(time.time())
        until(lambda: recogniser() == ready + 1, 10)
        assert world.processes()["recogniser"] != killed and legs() == 2
        time.sleep(0.5)
        moments.append(time.time())
        floor.say(agent, SENTENCE)
        phones.hang_up(agent)
        results = phones.wait(20)
    call = world.calls(results, used, {"caller": Scenario()})["caller"]
    sentence = read_wav(SPEECH / f"{SENTENCE}.wav")
    assert presence(call.recording, sentence).heard
    [talk] = until(lambda: talks_since(world, began, 1), 5).values()
    talk_began = datetime.fromisoformat(talk["began_at"]).timestamp()
    heard = [talk_began + event["at_ms"] / 1_000 for event in talk["events"] if event["event"] == "spoken"]
    before, gone, after = (
        [at for at in heard if first <= at < last] for first, last in zip([0.0, *moments], [*moments, float("inf")])
    )
    assert before and not gone and after
    log = (world.stack.home / "log" / "hearline.log").read_text("utf-8")
    assert log.count("the recogniser is off and is started anew") == 1
