"""The commands that people start with: `hearline demo` and `hearline stack`, as typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hearline.audio.wav import read_wav
from second_look import live_calls
from world import REPO, SPEECH, Phones

PNG = b"\x89PNG\r\n\x1a\n"


def hearline(*arguments: str, state, timeout: float = 150) -> subprocess.CompletedProcess:
    environment = os.environ | {"HEARLINE_STATE": str(state), "COLUMNS": "140"}
    return subprocess.run(
        [sys.executable, "-m", "hearline", *map(str, arguments)],
        cwd=REPO,
        env=environment,
        timeout=timeout,
        capture_output=True,
        text=True,
    )


# ---- demo ------------------------------------------------------------------------------------------------------------
@pytest.mark.realtime
def test_the_demo_goes_as_planned_and_leaves_it_all(tmp_path):
    out = tmp_path / "demo-out"
    started = time.monotonic()
    with live_calls():
        done = hearline("demo", "--out", out, state=tmp_path / "state")
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - started < 120
    assert done.stdout.count("as planned") >= 5 and "not as planned" not in done.stdout
    folders = sorted(out.iterdir())
    assert [f.name for f in folders] == ["1-speaks", "2-silent", "3-no-rtp", "4-soft-then-louder", "5-too-soft"]
    for folder in folders:
        record = json.loads((folder / "timeline.json").read_text("utf-8"))
        assert record["as_planned"] and record["faults"] == []
        assert (folder / "call.png").read_bytes().startswith(PNG)
        assert len(read_wav(folder / "caller-heard.wav")) > 8_000
        assert (folder / "agent-heard.wav").exists() == record["outcome"].startswith("queue")
        assert all(abs(timing["error_ms"]) <= 40 for timing in record["timings"])
    silent = json.loads((out / "2-silent" / "timeline.json").read_text("utf-8"))
    assert [round(t["planned_ms"]) for t in silent["timings"]] == [3_000, 3_000, 3_000, 2_000]
    assert not list((tmp_path / "state").glob("**/*")), "the demo has a stack of its own and takes it along"


# ---- stack -----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def stacks(tmp_path_factory):
    """Two, brought up at once: the folder of each, and what `up` told of it."""
    states = [tmp_path_factory.mktemp("stacks") / name for name in ("one", "two")]
    with ThreadPoolExecutor() as pool:
        try:
            ups = list(pool.map(lambda state: hearline("stack", "up", "--json", state=state), states))
            assert [up.returncode for up in ups] == [0, 0], [up.stderr for up in ups]
            yield [(state, json.loads(up.stdout)) for state, up in zip(states, ups)]
        finally:
            list(pool.map(lambda state: hearline("stack", "down", state=state), states))


def test_two_stacks_that_are_brought_up_at_once_have_an_asterisk_each(stacks):
    cards = [card for _, card in stacks]
    assert cards[0]["server"] != cards[1]["server"]
    for card in cards:  # it is this one that answers for these accounts
        caller = card["callers"][0]
        account = {"user": caller["name"], "password": caller["password"]}
        echo = {"name": "echo", "dial": f"sip:600@{card['server']}", "account": account, "hangup_at_ms": 500}
        with Phones({"callers": [echo], "agents": []}) as phones:
            assert phones.wait(20)["echo"].call.answered_at


def test_a_tester_brings_the_stack_up_calls_and_takes_it_down(stacks, tmp_path):
    stack, card = stacks[0]
    assert card["server"].startswith("127.0.0.1:")
    assert set(card["numbers"]) >= {"600", "95160", "8001", "8002", "8003", "8004", "8005"}
    assert hearline("stack", "status", state=stack).returncode == 0

    again = hearline("stack", "up", state=stack)
    assert again.returncode == 0, "up twice is up once"
    for account in (*card["callers"], *card["agents"]):
        assert account["password"] in again.stdout
    assert f"7{card['agents'][0]['number']}" in again.stdout, "how to listen in on an agent"

    caller, agent, colleague = card["callers"][0], *card["agents"][:2]
    credentials = {"user": caller["name"], "password": caller["password"]}
    with Phones(
        {
            "callers": [
                {
                    "name": "echo",
                    "dial": f"sip:600@{card['server']}",
                    "account": credentials,
                    "hangup_at_ms": 4_500,
                    "say": [{"at_ms": 500, "wav": str(SPEECH / "caller-ask.wav")}],
                    "record": str(tmp_path / "echo.wav"),
                },
                {
                    "name": "calls",
                    "dial": f"sip:8001@{card['server']}",
                    "account": credentials,
                    "keys": [{"at_ms": 1_000, "digit": "1"}],
                    "hangup_at_ms": 16_000,
                    "say": [{"at_ms": 10_000, "wav": str(SPEECH / "caller-here.wav")}],
                },
                {
                    "name": "listens",
                    "dial": f"sip:7{agent['number']}@{card['server']}",
                    "account": {"user": colleague["name"], "password": colleague["password"]},
                    "start_ms": 4_000,
                    "hangup_at_ms": 12_000,
                    "record": str(tmp_path / "listens.wav"),
                },
            ],
            "agents": [
                {
                    "name": agent["name"],
                    "answer_after_ms": 1_000,
                    "account": {"user": agent["name"], "password": agent["password"], "server": card["server"]},
                }
            ],
        }
    ) as phones:
        results = phones.wait(40)
    from hearline.phone.judge import presence

    echo = presence(read_wav(results["echo"].call.recording), read_wav(SPEECH / "caller-ask.wav"))
    assert echo.heard, echo
    spied = presence(read_wav(results["listens"].call.recording), read_wav(SPEECH / "caller-here.wav"))
    assert spied.heard, "who listens in hears what the agent hears"

    logs = hearline("stack", "logs", state=stack)
    assert "Asterisk 22" in logs.stdout and "ready" in logs.stdout
    assert hearline("stack", "down", state=stack).returncode == 0
    assert hearline("stack", "status", state=stack).returncode == 1


def test_no_caller_shows_in_the_logs(world):
    """Numbers, names, keys and speech are never in log messages."""
    log = (world.stack.home / "log" / "hearline.log").read_text()
    assert "1380000" not in log
    records = json.dumps(list(world.timelines_by_call().values()))
    assert "1380000" not in records
