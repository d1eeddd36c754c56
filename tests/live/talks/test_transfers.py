"""Agents hold callers, consult colleagues, transfer callers. Judged by what the phones heard, and by Asterisk's
channels."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from hearline.audio.wav import read_wav
from hearline.phone.heard import find_prompts
from hearline.phone.judge import presence, prompts_of
from world import RATE, SOUNDS, SPEECH, Phones, Scenario, dead, until

WHISPERS = prompts_of(SOUNDS / "zh" / "whisper")
SENTENCES = prompts_of(SPEECH)
ASKS, GREETS, REPLIES = "caller-ask", "agent-greeting", "agent-reply"
QUEUE = "8090"
EDGE_MS = 1_000  # until a re-INVITE has gone to and fro, music has begun, and what was said before has been played


class Floor:
    """The agents' phones while the calls go on. A moment is monotonic s."""

    def __init__(self, world, phones: Phones) -> None:
        self.world, self.phones = world, phones
        self.moments: dict[str, float] = {}
        self.legs: dict[str, set[str]] = {}

    def note(self, what: str) -> None:
        """This moment, and on which channels there is a listening leg, by phone."""
        self.moments[what] = time.monotonic()
        spied = [line[6].split(",") for line in self.world.channels() if line[5] == "ChanSpy"]
        # Who mixes into what a caller hears plays music to them.
        legs = [phone(channel) for channel, how in spied if "w" not in how or channel.startswith("PJSIP/agent-")]
        assert len(legs) == len(set(legs)), f"two legs on one channel: {legs}"
        self.legs[what] = set(legs)

    def takes(self, account: str, since: int = 0) -> str:
        """Which agent takes this caller; waits until the two are joined and listened to."""
        ringing = until(lambda: [e for e in self._rings(since) if account in e["remote"]], 30)[0]
        agent = ringing["phone"]
        self.phones.wait_for("answered", agent, call=ringing["call"])
        until(lambda: any(line[5] == "ChanSpy" and agent in line[6] for line in self.world.channels()), 8)
        return agent

    def _rings(self, since: int) -> list[dict]:
        return [e for e in self.phones.events[since:] if e["event"] == "ringing" and "remote" in e]

    def say(self, agent: str, sentence: str) -> None:
        self.phones.say(agent, SPEECH / f"{sentence}.wav")
        time.sleep(SENTENCES[sentence].size / RATE + 0.3)

    def act(self, agent: str, do: str, to: str = "", until_told: str = "") -> None:
        since = len(self.phones.events)
        self.phones.act(agent, do, f"sip:{number(to)}@{self.world.stack.sip}" if to else "")
        if until_told:
            self.phones.wait_for(until_told, agent, since=since)


def number(agent: str) -> str:
    return agent.removeprefix("agent-")


def phone(channel: str) -> str:
    return channel.removeprefix("PJSIP/").rpartition("-")[0]


class Told:
    """How a run went: which agent was who, the callers' calls, the agents' recordings and the talks' records."""


@pytest.fixture(scope="module")
def run(world) -> Told:
    """Three callers, four agents, all at once:

    one: is held and taken back, then passed on blindly to a colleague who is free.
    two: is held while a colleague is asked; taken back; handed over to the colleague after a second talk.
    three: comes when those two agents are free again. Is passed on to somebody who is busy, and to somebody who hangs
    up in the middle of the whisper; comes back each time, and is passed on to the queue.
    """
    told, began = Told(), time.time()
    agents = [world.agent(i, hangup_after_ms=None, lines=2) for i in range(4)]
    scenarios = {name: Scenario(keys=((1_500, "1"),), max_ms=90_000) for name in ("one", "two", "three")}
    script, used = world.script({name: scenarios[name] for name in ("one", "two")}, agents)
    late, late_used = world.script({"three": scenarios["three"]})
    with Phones(script) as phones:
        floor = told.floor = Floor(world, phones)
        first, second = floor.takes(used["one"]), floor.takes(used["two"])
        third, fourth = sorted({agent["name"] for agent in agents} - {first, second})
        told.first, told.second, told.third, told.fourth = first, second, third, fourth
        floor.note("joined")
        floor.act(first, "hold", until_told="held")
        floor.act(second, "consult", third, until_told="ringing")
        floor.note("held")
        time.sleep(3.5)
        floor.note("back")
        floor.act(first, "unhold", until_told="unheld")
        floor.act(second, "take_back", until_told="unheld")
        floor.say(first, GREETS)

        floor.act(second, "consult", third, until_told="answered")
        floor.note("consulted")
        floor.act(first, "hold", until_told="held")
        floor.note("holding")
        floor.say(second, ASKS)
        floor.note("handing over")
        floor.act(second, "hand_over", until_told="transferred")
        floor.note("handed over")
        since = len(phones.events)
        floor.act(first, "transfer", fourth, until_told="disconnected")
        time.sleep(0.8)
        floor.note("ringing")
        assert floor.takes(used["one"], since) == fourth
        floor.note("passed on")
        floor.say(third, GREETS)
        floor.say(fourth, REPLIES)

        with Phones(late) as later:
            again = floor.takes(late_used["three"], since)
            told.again = again
            since = len(phones.events)
            floor.act(again, "transfer", fourth, until_told="disconnected")
            told.came_back_to = [floor.takes(late_used["three"], since)]
            since = len(phones.events)
            [other] = {first, second} - {again}
            floor.act(again, "transfer", other, until_told="disconnected")
            phones.wait_for("answered", other, since=since)
            phones.hang_up(other)
            phones.wait_for("disconnected", other, since=since)
            since = len(phones.events)
            told.came_back_to.append(floor.takes(late_used["three"], since))
            since = len(phones.events)
            floor.act(again, "transfer", QUEUE, until_told="disconnected")
            told.at_last = floor.takes(late_used["three"], since)
            floor.note("from the queue")
            floor.say(told.at_last, REPLIES)
            for agent in {third, fourth, told.at_last}:
                phones.hang_up(agent)
            results = {**phones.wait(20), **later.wait(20)}
    told.used = used | late_used
    told.calls = world.calls(results, told.used, scenarios)
    told.results = results
    told.talks = until(lambda: talks_since(world, began, 3), 5)
    return told


def talks_since(world, began: float, wanted: int) -> dict[str, dict] | None:
    """The records by the caller's account, as soon as there are so many."""
    files = (world.stack.settings.state / "talks").glob("*/*.json")
    found = [json.loads(file.read_text("utf-8")) for file in files if file.stat().st_mtime >= began]
    return {phone(talk["caller"]): talk for talk in found} if len(found) >= wanted else None


def between(run: Told, caller: str, start: str, end: str, edge_ms: int = 0) -> np.ndarray:
    """What this caller heard from one moment to another, but for the edges."""
    call = run.calls[caller]
    at = [round((run.floor.moments[moment] - call.result.answered_at) * RATE) for moment in (start, end)]
    return call.recording[at[0] + edge_ms * RATE // 1_000 : at[1] - edge_ms * RATE // 1_000]


def heard(run: Told, agent: str, call: int = 1) -> np.ndarray:
    return read_wav(run.results[agent].calls[call - 1].recording)


def events(run: Told, caller: str) -> list[dict]:
    return run.talks[run.used[caller]]["events"]


def kinds(run: Told, caller: str, *wanted: str) -> list[str]:
    return [event["event"] for event in events(run, caller) if event["event"] in wanted]


def names(channels: list[str]) -> list[str]:
    return [phone(channel) for channel in channels]


def whispered(recording: np.ndarray) -> list:
    return [found for found in find_prompts(recording, WHISPERS) if found.complete > 0.3]


def music_all_the_time(sound: np.ndarray) -> bool:
    return sound.size >= RATE // 2 and not dead(sound)


# ---- hold ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("caller", ["one", "two"])
def test_who_is_held_hears_music(run, caller):
    assert music_all_the_time(between(run, caller, "held", "back", EDGE_MS))


def test_who_is_taken_back_hears_the_agent_again(run):
    assert presence(between(run, "one", "back", "consulted"), SENTENCES[GREETS]).heard


def test_a_hold_changes_nothing_about_the_legs(run):
    everybody = {run.used["one"], run.used["two"], run.first, run.second}
    assert run.floor.legs["joined"] == run.floor.legs["held"] == run.floor.legs["back"] == everybody


@pytest.mark.realtime
def test_the_talks_record_tells_of_the_holds(run):
    talk = run.talks[run.used["one"]]
    assert talk["holds"]["count"] == 2
    assert talk["holds"]["longest_by"] == number(run.first)
    held = run.floor.moments["handed over"] - run.floor.moments["holding"]
    assert talk["holds"]["longest_ms"] == pytest.approx(held * 1_000, abs=600)
    assert kinds(run, "one", "hold", "unhold") == ["hold", "unhold", "hold", "unhold"]


# ---- a blind transfer ------------------------------------------------------------------------------------------------
def test_the_caller_has_music_until_the_colleague_has_been_told(run):
    assert music_all_the_time(between(run, "one", "holding", "passed on", EDGE_MS))
    assert not [w for w in find_prompts(run.calls["one"].recording, WHISPERS) if w.complete > 0.1]


@pytest.mark.realtime
@pytest.mark.parametrize("who", ["third", "fourth"])
def test_the_colleague_is_told_of_the_caller_first(run, who):
    """Asked or not: the third is called by the second agent, the fourth by the caller who is passed on."""
    agent = getattr(run, who)
    [whisper, *_] = whispered(heard(run, agent, len(run.results[agent].calls)))
    assert whisper.id.startswith("care-") and whisper.id.endswith("-key") and whisper.start_ms < 500


def test_then_the_two_talk_and_the_first_agent_hears_nothing_of_it(run):
    caller = run.calls["one"].recording
    assert presence(between(run, "one", "passed on", "from the queue"), SENTENCES[REPLIES]).heard
    assert presence(caller, SENTENCES[GREETS]).heard
    assert not presence(heard(run, run.first), SENTENCES[REPLIES]).heard


def test_the_legs_go_with_a_caller_who_is_passed_on(run):
    assert run.first not in run.floor.legs["ringing"] and run.used["one"] in run.floor.legs["ringing"]
    both = {run.used["one"], run.fourth, run.used["two"], run.third}
    assert run.floor.legs["passed on"] == both


def test_it_is_one_talk_with_two_agents(run):
    told = [names(event["agents"]) for event in events(run, "one") if event["event"] in ("joined", "agents")]
    assert told == [[run.first], [], [run.fourth], []]
    assert [event["how"] for event in events(run, "one") if event["event"] == "transferred"] == ["blind"]


# ---- an attended transfer --------------------------------------------------------------------------------------------
def test_what_is_said_to_the_colleague_is_for_the_colleague_alone(run):
    assert presence(heard(run, run.third, len(run.results[run.third].calls)), SENTENCES[ASKS]).heard
    assert not presence(run.calls["two"].recording, SENTENCES[ASKS]).heard
    assert music_all_the_time(between(run, "two", "consulted", "handing over", EDGE_MS))


def test_who_is_handed_over_hears_the_colleague(run):
    assert presence(between(run, "two", "handing over", "from the queue"), SENTENCES[GREETS]).heard


def test_a_consultation_is_how_a_transfer_begins_and_is_given_up(run):
    told = kinds(run, "two", "transfer_began", "transfer_given_up", "transferred")
    assert told == ["transfer_began", "transfer_given_up", "transfer_began", "transferred"]
    assert "transfer" in [event.get("rule") for event in events(run, "two") if event["event"] == "show_card"]


# ---- those who are not there -----------------------------------------------------------------------------------------
def test_who_has_passed_a_caller_on_is_free_for_the_next_one(run):
    assert run.again in (run.first, run.second)


def test_a_caller_whom_nobody_takes_comes_back_and_a_queue_takes_them_too(run):
    assert run.came_back_to == [run.again] * 2
    assert presence(run.calls["three"].recording, SENTENCES[REPLIES]).heard
    told = [names(event["agents"]) for event in events(run, "three") if event["event"] in ("joined", "agents")]
    with_whom = [agent for agents in told for agent in agents]
    assert with_whom[0] == run.again and with_whom[-1] == run.at_last and with_whom.count(run.again) >= 3


def test_nobody_hears_dead_silence_while_they_are_passed_on(run):
    call = run.calls["three"]
    for began in [event["at"] for event in run.floor.phones.events if event["event"] == "transferring"][-3:]:
        sound = call.recording[round((began - call.result.answered_at + EDGE_MS / 1_000) * RATE) :]
        assert music_all_the_time(sound[: 2 * RATE])
