"""While caller and agent talk: both are listened to, and a soft agent's line is raised. Judged by what the phones
heard."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import time
from contextlib import suppress

import numpy as np
import pytest

from hearline.audio.level.p56 import active_speech_level, rms_dbov
from hearline.audio.wav import read_wav
from hearline.core.settings import address
from hearline.pbx.ami import Ami
from hearline.phone.judge import presence
from world import MUSIC_DBOV, RATE, SPEECH, Phones, Scenario, children_of, until

SENTENCE = "caller-ask"
SAID = read_wav(SPEECH / f"{SENTENCE}.wav")
SPOKEN_DBOV = active_speech_level(SAID, RATE).active_dbov
FIRST_MS = 4_300  # the opening has ended
SOFT_DB = -16.0  # on −23 dBov: −39, too soft
RAISED_DB = 9
ATTACHED_MS = 500


def says(*gains_db: float, every_ms: int = 4_500) -> list[dict]:
    """The sentence again and again, from 3 s after the agent's answer on."""
    wav = str(SPEECH / f"{SENTENCE}.wav")
    return [{"at_ms": 3_000 + i * every_ms, "wav": wav, "gain_db": gain} for i, gain in enumerate(gains_db)]


def talks_since(world, moment: float) -> list[dict]:
    found = (world.stack.settings.state / "talks").glob("*/*.json")
    return [json.loads(file.read_text("utf-8")) for file in found if file.stat().st_mtime >= moment]


def legs(world) -> int:
    return world.stack.console("core show channels concise").count("AudioSocket/")


def heard_at(recording: np.ndarray, from_ms: float, to_ms: float) -> float:
    """Active level (dBov) of the sentence in this part of what a phone heard."""
    part = recording[round(from_ms * RATE / 1_000) : round(to_ms * RATE / 1_000)]
    found = presence(part, SAID)
    assert found.above_chance_db > 10, found
    start = round(found.at_ms * RATE / 1_000)
    return active_speech_level(part[start : start + SAID.size], RATE).active_dbov


@pytest.fixture(scope="module")
def calls(world):
    began = time.time()
    agents = [
        world.agent(0, hangup_after_ms=16_500, say=says(SOFT_DB, SOFT_DB, SOFT_DB)),
        world.agent(1, hangup_after_ms=16_500, say=says(0.0, 0.0, 0.0)),
    ]
    ask = ((FIRST_MS, SENTENCE, 0.0),)
    calls = world.place({"one": Scenario(say=ask), "two": Scenario(say=ask, start_ms=300)}, agents, timeout=60)
    until(lambda: len(talks_since(world, began)) == 2, 5)
    by_account = {call.account: call for call in calls.values()}
    found = {}
    for talk in talks_since(world, began):
        agent = talk["events"][0]["agents"][0].split("-")[1]
        found[agent] = by_account[talk["caller"].split("/")[1].split("-")[0]], talk
    return found


def events(talk: dict, kind: str) -> list[dict]:
    return [event for event in talk["events"] if event["event"] == kind]


@pytest.mark.realtime
@pytest.mark.parametrize("agent", ["8016", "8017"])
def test_both_are_listened_to_within_half_a_second(calls, agent):
    _, talk = calls[agent]
    assert {event["side"] for event in events(talk, "sound")} == {"caller", "agent"}
    assert max(event["at_ms"] for event in events(talk, "sound")) <= ATTACHED_MS


def test_a_soft_agent_is_raised_for_the_caller(calls):
    call, talk = calls["8016"]
    assert [event["gain_db"] for event in events(talk, "agent_gain")] == [RAISED_DB]
    joined = (call.agents[0].answered_at - call.result.answered_at) * 1_000
    first = heard_at(call.recording, joined + 2_500, joined + 7_000)
    last = heard_at(call.recording, joined + 11_500, joined + 16_300)
    assert first == pytest.approx(SPOKEN_DBOV + SOFT_DB, abs=4), "raised in the middle of it"
    assert last == pytest.approx(SPOKEN_DBOV + SOFT_DB + RAISED_DB, abs=1)


def test_a_normal_agent_is_not_changed(calls):
    call, talk = calls["8017"]
    assert events(talk, "agent_gain") == []
    joined = (call.agents[0].answered_at - call.result.answered_at) * 1_000
    assert heard_at(call.recording, joined + 11_500, joined + 16_300) == pytest.approx(SPOKEN_DBOV, abs=1)


def test_the_legs_are_gone_with_the_calls(calls, world):
    until(lambda: not legs(world), 3)


# ---- what breaks in mid-call -----------------------------------------------------------------------------------------
def kill_assist(world) -> None:
    os.kill(world.assist_pid(), signal.SIGKILL)


def kill_the_server(world) -> None:
    """All of it ends, agent assist as well, and lets go of its ports; and a new one is started."""
    assist = world.assist_pid()
    pids = [assist, *children_of(assist, "hearline.media.worker")]
    os.kill(world.stack.running.server_pid, signal.SIGKILL)
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), 3)
    world.stack.start_server()


def kill_its_worker(world) -> None:
    [worker] = children_of(world.assist_pid(), "hearline.media.worker")
    os.kill(worker, signal.SIGKILL)


def cut_the_manager_interface(world) -> None:
    """Asterisk ends its connections when the interface is switched off, and takes new ones when it is on again."""
    conf = world.stack.home / "etc" / "manager.conf"
    text = conf.read_text()
    conf.write_text(text.replace("enabled = yes", "enabled = no"))
    world.stack.console("manager reload")
    time.sleep(0.5)
    conf.write_text(text)
    world.stack.console("manager reload")


BREAKS = (kill_its_worker, cut_the_manager_interface, kill_assist, kill_the_server)


def test_a_talk_is_picked_up_again(world):
    """Something is lost in mid-call, and then something else: the two go on talking, and are listened to again, each by
    one leg. That the agent is heard again shows in the line: soft by turns, it is raised and put back by turns."""
    began = time.time()
    agent, scenario = world.agent(2, hangup_after_ms=None), {"one": Scenario(say=((FIRST_MS, SENTENCE, 0.0),))}
    script, used = world.script(scenario, [agent])
    with Phones(script) as phones:
        until(lambda: legs(world) == 2, 30)
        [channel] = [line[0] for line in world.channels() if line[0].startswith("PJSIP/agent-")]
        for break_it, level_db, gain_db in zip(BREAKS, (SOFT_DB, 0.0) * 2, (RAISED_DB, 0) * 2):
            break_it(world)
            time.sleep(1.5)
            until(lambda: legs(world) == 2, 10)
            wanted_db = pytest.approx(gain_db, abs=0.1)
            assert says_until_gain_is(world, phones, agent["name"], level_db, channel, wanted_db) == wanted_db, break_it
        phones.hang_up(agent["name"])
        results = phones.wait(20)
    [call] = world.calls(results, used, scenario).values()
    assert call.outcome == "queue:care" and len(call.agents) == 1
    until(lambda: not legs(world), 3)
    [talk] = until(lambda: talks_since(world, began), 3)
    assert [event["picked_up"] for event in events(talk, "joined")] == [True], "of the last one that came"


def says_until_gain_is(world, phones: Phones, agent: str, level_db: float, channel: str, wanted_db: object) -> float:
    """The agent goes on talking, three sentences at most: a leg may come only in the middle of the first, where a new
    worker takes long to start. Tells by how many dB the line is raised in the end."""
    for _ in range(3):
        phones.say(agent, SPEECH / f"{SENTENCE}.wav", level_db)
        with suppress(AssertionError):
            until(lambda: gain_now_db(world, channel) == wanted_db, 6)
            break
    return gain_now_db(world, channel)


def gain_now_db(world, channel: str) -> float:
    """By how many dB Asterisk raises this line's sound."""

    async def ask() -> str:
        up = asyncio.Event()
        ami = Ami(
            address(world.stack.running.ami),
            "hearline-assist",
            (world.stack.home / "ami-secret").read_text(),
            lambda event: None,
            lambda: asyncio.sleep(0, up.set()),
        )
        running = asyncio.create_task(ami.run())
        try:
            async with asyncio.timeout(5):
                await up.wait()
            return (await ami.ask("Getvar", Channel=channel, Variable="VOLUME(RX)"))["Value"]
        finally:
            running.cancel()

    return 20 * math.log10(float(asyncio.run(ask()) or 1.0))


def test_a_hold_is_picked_up_again(world):
    """The manager interface, and then agent assist, is lost while an agent holds: it is still a hold, with music for
    the caller, until the agent comes back; and nothing begins anew."""
    began = time.time()
    agent, scenario = world.agent(3, hangup_after_ms=None), {"one": Scenario(keys=((1_500, "1"),))}
    script, used = world.script(scenario, [agent])
    heard_again = {}
    with Phones(script) as phones:
        until(lambda: legs(world) == 2, 30)
        phones.act(agent["name"], "hold")
        for break_it in (cut_the_manager_interface, kill_assist):
            until(lambda: legs(world) == 3, 10)  # the third plays the music
            break_it(world)
            time.sleep(1.5)
            until(lambda: legs(world) == 3, 10)
            heard_again[time.monotonic() + 0.5] = time.monotonic() + 2.0
            time.sleep(2.0)
        phones.act(agent["name"], "unhold")
        until(lambda: legs(world) == 2, 5)
        phones.hang_up(agent["name"])
        results = phones.wait(20)
    [call] = world.calls(results, used, scenario).values()
    for begins, ends in heard_again.items():
        music = call.since(begins)[: round((ends - begins) * RATE)]
        assert min(rms_dbov(part) for part in np.array_split(music, 10)) > MUSIC_DBOV
    [talk] = until(lambda: talks_since(world, began), 3)
    [joined] = events(talk, "joined")
    assert joined["picked_up"] and talk["holds"]["count"] == 1
    assert [event["event"] for event in talk["events"] if event["event"] in ("hold", "unhold")] == ["hold", "unhold"]
    assert {card["rule"] for card in events(talk, "show_card")} <= {"after_hold", "hung_up_first"}
