"""Keys that agents press during a call, judged by what both phones heard. Codes are pressed on the phones; the agents'
page runs the same actions."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass

import pytest

from hearline.audio.wav import read_wav
from hearline.pbx.config import KEY_CODES
from hearline.phone.heard import HeardPrompt, find_prompts
from hearline.phone.judge import WHOLE, prompts_of
from hearline.phone.run import CallResult
from world import SOUNDS, TOLERANCE_MS, Call, Phones, Scenario, until

CODES = {key: code for code, key in KEY_CODES.items()}
LANZHI, WHISPERS = (prompts_of(SOUNDS / "zh" / name) for name in ("lanzhi", "hints"))
PROMPTS = {name: LANZHI[name] for name in LANZHI if name.startswith(("low", "nuisance"))}
PROMPTS["speakerphone"] = LANZHI["speakerphone"]
KEY_MS = 1_500  # a caller's: leads to the queue at once
PRESS_S = 0.24  # so long a phone sends a key
FREED_S = 0.5  # from when the last key goes down
SOFTLY_DB = (-18, -6)  # an agent hears a prompt so much under what the caller hears


@dataclass
class Told:
    """A call with its talk's record and its first agent's phone."""

    call: Call
    talk: dict
    agent: str
    agent_call: CallResult

    def events(self, kind: str) -> list[dict]:
        return [event for event in self.talk["events"] if event["event"] == kind]

    @property
    def caller_heard(self) -> list[HeardPrompt]:
        return audible(self.call.recording)

    @property
    def agent_heard(self) -> list[HeardPrompt]:
        return audible(read_wav(self.agent_call.recording))

    @property
    def whispers(self) -> list[str]:
        found = find_prompts(read_wav(self.agent_call.recording), WHISPERS)
        return [whisper.id for whisper in found if whisper.complete > 0.9]


def audible(recording) -> list[HeardPrompt]:
    return [found for found in find_prompts(recording, PROMPTS) if found.complete > 0.1]


def press(phones: Phones, phone: str, code: str) -> None:
    for digit in code:
        phones.key(phone, digit)
        time.sleep(PRESS_S + 0.06)  # one after the other, as a finger does


def agent_of(world, account: str) -> str:
    """The agent's phone that is connected with this caller."""
    for channel in [line[0] for line in world.channels() if line[0].startswith("PJSIP/agent-")]:
        if f"HEARLINE_CALLER=PJSIP/{account}-" in world.stack.console(f"core show channel {channel}"):
            return re.match(r"PJSIP/(.+)-", channel)[1]
    raise AssertionError(f"{account} has no agent")


def legs(world) -> int:
    return world.stack.console("core show channels concise").count("AudioSocket/")


@pytest.fixture(scope="module")
def told(world):
    """Four callers, four agents, who press what the scenario's name says."""
    began = time.time()
    key = ((KEY_MS, "1"),)
    scenarios = {
        "low volume": Scenario(keys=key),
        "receiver": Scenario(keys=key, rtp="none"),
        "nuisance": Scenario(keys=key),
        "marks": Scenario(keys=key),
    }
    agents = [world.agent(i, hangup_after_ms=None, rtp="speech_only") for i in range(4)]  # they send keys, and no sound
    script, used = world.script(scenarios, agents)
    with Phones(script) as phones:
        until(lambda: legs(world) == 8, 30)
        agents = {name: agent_of(world, account) for name, account in used.items()}
        start = time.monotonic() + 0.5

        def at(seconds: float, name: str, code: str) -> None:
            time.sleep(max(0.0, start + seconds - time.monotonic()))
            press(phones, agents.get(name, name), code)

        at(0.0, "nuisance", CODES["nuisance"])
        at(0.6, "low volume", CODES["low_volume"])
        at(1.2, "receiver", CODES["receiver"])
        press(phones, "marks", CODES["nuisance"] + CODES["low_volume"])  # the caller's phone: no effect
        at(3.0, "marks", CODES["callback"])
        at(4.2, "marks", CODES["ask_hold"])
        at(5.4, "marks", CODES["mute"])
        at(6.5, "low volume", CODES["low_volume"])
        at(7.3, "marks", CODES["mute"])
        at(8.2, "", "")
        second = agents["nuisance"]  # free again: takes over
        phones.act(agents["receiver"], "transfer", f"sip:{second.removeprefix('agent-')}@{world.stack.sip}")
        at(9.2, "marks", CODES["nuisance"])
        at(12.0, "", "")
        press(phones, "marks", "1")  # there is some business after all
        at(13.2, "low volume", CODES["low_volume"])
        at(13.8, second, CODES["receiver"])
        at(15.8, "low volume", CODES["low_volume"])  # stops it
        at(17.0, "low volume", CODES["supervisor"])
        at(20.5, "", "")
        for account in agents.values():
            phones.hang_up(account)
        results = phones.wait(30)
    calls = world.calls(results, used, scenarios)
    records = talks_since(world, began)
    return {
        name: Told(call, records[call.account][0], agents[name], results[agents[name]].calls[0])
        for name, call in calls.items()
    } | {"phones": results, "events": phones.events, "second talks": records[used["marks"]][1:]}


def talks_since(world, moment: float) -> dict[str, list[dict]]:
    """By the caller's account, in order."""
    found: dict[str, list[dict]] = {}
    files = (world.stack.settings.state / "talks").glob("*/*.json")
    for talk in sorted(
        (json.loads(f.read_text("utf-8")) for f in files if f.stat().st_mtime >= moment), key=lambda t: t["began_at"]
    ):
        found.setdefault(talk["caller"].split("/")[1].split("-")[0], []).append(talk)
    return found


# ---- prompts ---------------------------------------------------------------------------------------------------------
@pytest.mark.realtime
def test_the_caller_hears_the_prompts_one_after_the_other_whole_until_one_is_stopped(told):
    first, second, third = told["low volume"].caller_heard
    assert [first.id, second.id, third.id] == ["low-1", "low-2", "low-move"]
    assert first.complete >= WHOLE and second.complete >= WHOLE
    assert 0.3 < third.complete < 0.7, "stopped by the same key"
    starts = [(event["event"], event["prompt"]) for event in told["low volume"].talk["events"] if "prompt" in event]
    assert starts == [
        (event, f"zh/lanzhi/{prompt}")
        for prompt, end in (("low-1", "prompt_end"), ("low-2", "prompt_end"), ("low-move", "prompt_stop"))
        for event in ("prompt_start", end)
    ]


@pytest.mark.realtime
def test_a_caller_who_sends_no_rtp_hears_it_whole(told):
    for prompt in told["receiver"].caller_heard:
        assert prompt.id == "speakerphone" and prompt.complete >= WHOLE


@pytest.mark.realtime
def test_the_agents_hear_softly_that_it_plays(told):
    heard = told["low volume"].agent_heard
    assert [prompt.id for prompt in heard] == ["low-1", "low-2", "low-move"]
    assert heard[0].complete >= WHOLE and heard[2].complete < 0.7
    for prompt in (*heard, *told["receiver"].agent_heard):
        assert SOFTLY_DB[0] < prompt.level_db < SOFTLY_DB[1]
    assert [prompt.id for prompt in told["receiver"].agent_heard] == ["speakerphone"], "a caller without RTP"


def test_the_keys_work_for_who_takes_over(told):
    assert len(told["receiver"].caller_heard) == 2
    numbers = [told[name].agent.removeprefix("agent-") for name in ("receiver", "nuisance")]
    assert [event["by"] for event in told["receiver"].events("key")] == numbers
    taken_over = told["phones"][told["nuisance"].agent].calls[1]
    assert [prompt.id for prompt in audible(read_wav(taken_over.recording))] == ["speakerphone"]


def test_nobody_else_hears_it(told):
    assert not told["marks"].agent_heard
    assert [prompt.id for prompt in told["marks"].caller_heard] == ["nuisance-1"]


def test_who_pressed_is_kept_by_work_number(told):
    talk = told["low volume"]
    number = talk.agent.removeprefix("agent-")
    assert [(event["key"], event["by"]) for event in talk.events("key")] == [
        *[("low_volume", number)] * 4,
        ("supervisor", number),
    ]


def test_no_key_of_the_agents_reaches_a_caller_and_none_of_the_callers_does_anything(told):
    callers = {"low volume", "receiver", "nuisance", "marks"}
    assert not [event for event in told["events"] if event["event"] == "heard_key" and event["phone"] in callers]
    assert [event["key"] for event in told["marks"].events("key")] == [
        *("callback", "ask_hold", "mute", "mute", "nuisance")
    ]


# ---- marks and whispers ----------------------------------------------------------------------------------------------
def test_a_call_is_marked_to_be_called_back(told):
    marks = told["marks"]
    assert len(marks.events("callback_marked")) == 1
    assert [event["card"] for event in marks.events("show_card") if event["rule"] == "cannot_answer"] == [
        "cannot-answer-now"
    ]


def test_before_a_hold_the_agent_calls_for_its_card(told):
    shown = [event["card"] for event in told["marks"].events("show_card") if event["rule"] == "asking_to_hold"]
    assert shown == ["please-wait"]


def test_who_calls_a_supervisor_hears_that_none_is_there(told):
    assert len(told["low volume"].events("supervisor_away")) == 1
    assert told["low volume"].whispers == ["supervisor-away"]


def test_the_agent_hears_what_the_key_has_done(told):
    assert told["marks"].whispers == ["callback-marked", "whispers-off", "whispers-on"]
    assert not [w for w in find_prompts(told["marks"].call.recording, WHISPERS) if w.complete > 0.1]


# ---- nuisance calls --------------------------------------------------------------------------------------------------
@pytest.mark.realtime
def test_a_nuisance_call_is_asked_and_let_go(told, world):
    nuisance = told["nuisance"]
    question, goodbye = nuisance.caller_heard
    assert [question.id, goodbye.id] == ["nuisance-1", "nuisance-goodbye"]
    assert question.complete >= WHOLE and goodbye.complete >= WHOLE
    phone = nuisance.call.result
    still_ms = world.still_ms(phone)
    assert goodbye.start_ms - question.end_ms == pytest.approx(3_000, abs=TOLERANCE_MS + still_ms)
    [record] = nuisance_calls(world, nuisance.call.account)
    assert record["outcome"] == "hangup:nuisance"
    ended, hung_up = ([e for e in record["events"] if e["event"] == kind][-1] for kind in ("prompt_end", "hangup"))
    assert hung_up["at_ms"] - ended["at_ms"] == pytest.approx(2_000, abs=TOLERANCE_MS)
    gone_ms = (phone.disconnected_at - phone.answered_at) * 1_000
    assert gone_ms - goodbye.end_ms == pytest.approx(2_000, abs=150 + still_ms), "the phone plays some packets late"


@pytest.mark.realtime
def test_the_agent_is_free_at_once(told):
    for name in ("nuisance", "marks"):
        agent = told[name].agent_call
        pressed = [event["at"] for event in agent.events if event["event"] == "key"][-1]
        assert 0 < agent.disconnected_at - pressed < FREED_S, name
        assert agent.end("by") == "far"
        assert not told[name].events("hung_up"), "nobody hung up first"


def test_a_key_of_the_callers_leads_back_to_an_agent(told, world):
    [record] = nuisance_calls(world, told["marks"].call.account)
    assert record["outcome"] == "queue:care"
    [talk] = told["second talks"]
    assert talk["events"][0]["heard"] == "key"


def nuisance_calls(world, account: str) -> list[dict]:
    return [
        record
        for record in world.timelines_by_call().values()
        if record["channel"].startswith(f"PJSIP/{account}-")
        and "nuisance-1" in [event.get("prompt") for event in record["events"]]
    ]


def test_where_hearline_is_not_there_a_nuisance_call_goes_to_the_queue(world):
    scenario = {"one": Scenario(keys=((KEY_MS, "1"),))}
    script, used = world.script(scenario, [world.agent(i, hangup_after_ms=9_000) for i in range(2)])
    with Phones(script) as phones:
        until(lambda: legs(world) == 2, 30)
        world.stack.stop_server()
        try:
            [caller] = [line[0] for line in world.channels() if line[0].startswith(f"PJSIP/{used['one']}-")]
            world.stack.console(f"channel redirect {caller} hearline-nuisance,s,1")
            results = phones.wait(30)
        finally:
            world.stack.start_server()
    answered = [call for name, result in results.items() if name != "one" for call in result.calls if call.answered_at]
    assert len(answered) == 2
