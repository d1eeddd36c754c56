"""A phone counts as an agent's if a queue, or our own contexts, rang it as one. The caller's own telephone, an outside
party, and the colleague whose ringing call was picked up do not. Judged by listening legs, pages and records."""

from __future__ import annotations

import time

import pytest

from agents_page import Page
from hearline.audio.wav import read_wav
from hearline.phone.heard import find_prompts
from hearline.phone.judge import prompts_of
from test_transfers import Floor, names, talks_since
from world import SOUNDS, Phones, Scenario, until

GROUP, OUTSIDE, PICK_UP = "8190", "8191", "*8"
KEY = ((1_500, "1"),)
WHISPERS = prompts_of(SOUNDS / "zh" / "whisper") | prompts_of(SOUNDS / "zh" / "hints")


def spied(world) -> dict[str, str]:
    """ChanSpy's options by the channel that it is on."""
    return dict(line[6].split(",", 1) for line in world.channels() if line[5] == "ChanSpy")


def is_agents(channel: str) -> bool:
    return channel.startswith("PJSIP/agent-")


@pytest.fixture
def dialplan(world):
    """What an operator's own dialplan does before and after ours: a ring group that leads to the hotline, and a number
    outside."""

    def add(context: str, number: str, data: str) -> None:
        world.stack.console(f"dialplan add extension {number},1,Dial,{data} into {context}")

    outside, password = world.account()
    add("hearline-phones", GROUP, "Local/8001@hearline/n")
    add("hearline-agents", OUTSIDE, f"PJSIP/{outside}")
    yield outside, password
    world.stack.console(f"dialplan remove extension {GROUP}@hearline-phones")
    world.stack.console(f"dialplan remove extension {OUTSIDE}@hearline-agents")


def test_a_callers_own_telephone_and_somebody_outside_are_no_agents(world, dialplan):
    """The caller comes by a ring group, and is passed on to a number outside, whose phone hangs up first."""
    outside, password = dialplan
    phone = {"name": outside, "answer_after_ms": 300, "hangup_after_ms": None, "max_answers": 1}
    phone["account"] = {"user": outside, "password": password, "server": world.stack.sip}
    agent = world.agents[0]
    page, began = Page(world, agent), time.time()
    scenarios = {"grouped": Scenario(number=GROUP, keys=KEY, max_ms=60_000)}
    script, used = world.script(scenarios, [world.agent(0, hangup_after_ms=None), phone])
    with Phones(script) as phones:
        floor = Floor(world, phones)
        assert phones.wait_for("answered", agent.name, timeout=30)
        until(lambda: len(spied(world)) >= 2, 8)
        time.sleep(0.5)
        legs = spied(world)
        assert [channel for channel, how in legs.items() if "w" in how and not is_agents(channel)] == []
        assert len(legs) == 2 and sum(map(is_agents, legs)) == 1, legs
        assert page.state()["state"] == "talking"
        known = until(lambda: now if (now := page.state())["left_first_today"] is not None else None, 5)
        before = known["left_first_today"]
        floor.act(agent.name, "transfer", OUTSIDE, until_told="disconnected")
        phones.wait_for("answered", outside)
        until(lambda: page.state()["state"] == "after", 3)
        until(lambda: not spied(world), 3)
        time.sleep(1.0)
        assert spied(world) == {}
        phones.hang_up(outside)
        results = phones.wait(20)
    assert page.state()["left_first_today"] == before
    [talk] = until(lambda: talks_since(world, began, 1), 5).values()
    told = [event for event in talk["events"] if event["event"] in ("joined", "agents")]
    assert [names(event["agents"]) for event in told] == [[agent.name], []]
    assert "agent" not in [event["side"] for event in talk["events"] if event["event"] == "hung_up"]
    for who in ("grouped", outside):
        for call in results[who].calls:
            assert not [found for found in find_prompts(read_wav(call.recording), WHISPERS) if found.complete > 0.2]


def test_a_call_that_a_colleague_picks_up_is_the_colleagues(world):
    first, second = world.agents[0], world.agents[1]
    pages, began = [Page(world, first), Page(world, second)], time.time()
    scenario = {"caller": Scenario(keys=KEY, max_ms=60_000)}
    script, used = world.script(scenario, [world.agent(0, answer_after_ms=60_000, hangup_after_ms=None)])
    picks, _ = world.script({"picker": Scenario(number=PICK_UP, max_ms=6_000)})
    [picker] = picks["callers"]
    picker["account"] = {"user": second.name, "password": second.password}
    with Phones(script) as phones:
        phones.wait_for("ringing", first.name)
        until(lambda: pages[0].state()["state"] == "ringing", 3)
        with Phones(picks) as later:
            until(lambda: pages[1].state()["state"] == "talking", 6)
            state = pages[1].state()
            assert state["call"]["passed_on_by"] == ""
            until(lambda: pages[0].state()["state"] == "idle", 2)
            legs = until(lambda: len(now := spied(world)) == 2 and now, 5)
            assert [channel.rpartition("-")[0] for channel in legs if is_agents(channel)] == [f"PJSIP/{second.name}"]
            later.wait(15)
        phones.wait(20)
    [talk] = until(lambda: talks_since(world, began, 1), 5).values()
    assert names(talk["events"][0]["agents"]) == [second.name]
