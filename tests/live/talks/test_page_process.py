"""The agents' page and agent assist are processes of their own: in the middle of a talk one of them is killed, then the
other. The two who talk hear nothing of it, and the page shows the talk again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agents_page import Page
from hearline.audio.wav import read_wav
from hearline.phone.heard import find_prompts
from hearline.phone.judge import WHOLE
from world import RATE, SPEECH, Phones, Scenario, until

SENTENCE = "caller-ask"
SAID = read_wav(SPEECH / f"{SENTENCE}.wav")
FIRST_MS = 4_300  # the opening has ended
EVERY_S = SAID.size / RATE + 0.7
NOTE = "asks for a bed"
BACK_S = 8.0  # started again 0.5 s later, and then it is a Python process that begins, on a loaded machine


class Events:
    """`hearline events` in a process of its own."""

    def __init__(self, world, out: Path) -> None:
        environment = os.environ | {"HEARLINE_STATE": str(world.stack.settings.state)}
        command = [sys.executable, "-m", "hearline", "events"]
        with open(out, "w") as file:
            self._process = subprocess.Popen(command, stdout=file, env=environment)
        self._out = out

    def seen(self) -> list[dict]:
        return [json.loads(line) for line in self._out.read_text("utf-8").splitlines(keepends=True) if line[-1] == "\n"]

    def stop(self) -> None:
        self._process.terminate()  # SIGINT is ignored in whatever a shell has put into the background
        self._process.wait(5)


@pytest.fixture(scope="module")
def talk(world, tmp_path_factory):
    """The states of the page after each break, the events, when the agent said the sentence (monotonic s), which
    processes were replaced, and the call."""
    account = next(agent for agent in world.stack.accounts()[1] if agent.number == "8016")
    agent, scenario = world.agent(0, hangup_after_ms=None), {"one": Scenario(say=((FIRST_MS, SENTENCE, 0.0),))}
    script, used = world.script(scenario, [agent])
    page, events = Page(world, account), Events(world, tmp_path_factory.mktemp("events") / "events.jsonl")
    states, restarted, said = [], [], []
    try:
        with Phones(script) as phones:
            until(lambda: shown(page).get("state") == "talking", 30)
            assert page.post("note", call=shown(page)["call"]["id"], note={"matter": NOTE}) == {"kept": True}
            for pid in (world.page_pid, world.assist_pid):
                before = pid()
                others = world.server_pids()
                os.kill(before, signal.SIGKILL)
                ends = time.monotonic() + BACK_S
                said += say_until(phones, agent["name"], ends - BACK_S + 2 * EVERY_S)
                states.append(until(lambda: shown(page), max(0.1, ends - time.monotonic())))
                restarted.append((pid() != before, world.server_pids() == others))
            until(lambda: shown(page).get("state") == "talking" and shown(page)["call"]["note"]["matter"], 10)
            states.append(shown(page))
            phones.hang_up(agent["name"])
            results = phones.wait(20)
        [call] = world.calls(results, used, scenario).values()
        until(lambda: [one for one in events.seen() if one["kind"] == "agent" and one["state"] == "after"], 5)
    finally:
        seen = events.seen()
        events.stop()
    return states, seen, said, restarted, call


def shown(page: Page) -> dict:
    """The agent's state as the page shows it; empty where it shows nothing."""
    try:
        return page.state()
    except (OSError, AssertionError):
        return {}


def say_until(phones: Phones, name: str, ends: float) -> list[float]:
    """The agent says the sentence again and again; when it began each time (monotonic s)."""
    began = []
    while time.monotonic() < ends:
        began.append(time.monotonic())
        phones.say(name, SPEECH / f"{SENTENCE}.wav", 0.0)
        time.sleep(EVERY_S)
    return began


def test_the_page_shows_the_same_talk_again(talk):
    states, _, _, _, call = talk
    assert states[0]["state"] == "talking" and states[0]["call"]["id"], "after the page was killed: it is as it was"
    assert states[-1]["state"] == "talking" and states[-1]["call"]["id"] == states[0]["call"]["id"]
    assert [state["call"]["note"]["matter"] for state in (states[0], states[-1])] == [NOTE, NOTE]
    assert call.outcome == "queue:care" and len(call.agents) == 1


def test_each_was_started_again_and_no_other(talk):
    _, _, _, restarted, _ = talk
    assert restarted == [(True, True), (True, True)]


def test_the_caller_heard_every_sentence_whole(talk):
    _, _, said, _, call = talk
    whole = [one for one in find_prompts(call.recording, {SENTENCE: SAID}) if one.complete >= WHOLE]
    assert len(whole) == len(said) >= 4


def test_events_are_numbered_and_after_a_restart_a_snapshot_comes_first(talk):
    """Killing the page changes nothing; with a new agent assist the numbers begin anew."""
    _, seen, _, _, _ = talk
    runs: list[list[dict]] = []
    for one in seen:
        if one["kind"] == "snapshot":
            runs.append([])
        runs[-1].append(one)
    assert len(runs) == 2
    for run in runs:
        numbers = [int(one["number"].rpartition("-")[2]) for one in run]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    first, second = ([one["state"] for one in run if one["kind"] == "agent" and one["agent"] == "8016"] for run in runs)
    assert first[:2] == ["ringing", "talking"] and second[-1] == "after"


def test_events_name_no_caller(talk, world):
    _, seen, _, _, call = talk
    number = next(caller.number for caller in world.stack.accounts()[0] if caller.name == call.account)
    assert number not in json.dumps(seen)
