"""`hearline listen --call` on a real call: it must show what the phone sent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from hearline.audio.level.p56 import active_speech_level
from hearline.audio.wav import read_wav
from world import RATE, REPO, SPEECH, TOO_SOFT, Phones, Scenario

SAID_AT_MS = 5_500  # in the wait after `opening`, so that no prompt is on the line
MOMENT_MS = 600  # from the phone's clock to the server's: answer, AGI, media connection
GAIN_DB = TOO_SOFT  # the call stays in the IVR


def listen(world, *arguments: str) -> subprocess.Popen:
    environment = os.environ | {"HEARLINE_STATUS": world.stack.running.status, "HEARLINE_STATE": str(world.folder)}
    command = [sys.executable, "-m", "hearline", "listen", *arguments]
    return subprocess.Popen(
        command,
        cwd=REPO,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in the background have inherited that ^C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def live_call(world, account: str) -> dict:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for call in world.stack.get("/calls")["calls"]:
            if account in call["channel"]:
                return call
        time.sleep(0.05)
    raise AssertionError("the call is not among the live ones")


@pytest.fixture(scope="module")
def followed(world, tmp_path_factory):
    """A soft caller who is followed by three: to the end, by ^C, and by one who is killed."""
    picture = tmp_path_factory.mktemp("seen") / "call.png"
    said = ((SAID_AT_MS, "caller-ask", GAIN_DB),)
    script, used = world.script({"soft": Scenario(say=said, hangup_at_ms=16_000)})
    with Phones(script) as phones:
        call = live_call(world, used["soft"])
        watching = listen(world, "--call", call["call"].split("-")[2], "--json", "--png", str(picture))
        lines = [watching.stdout.readline()]
        leaves, dies = (listen(world, "--call", call["channel"], "--json") for _ in range(2))
        started = leaves.stdout.readline()
        dies.stdout.readline()
        leaves.send_signal(signal.SIGINT)
        dies.kill()
        while lines[-1] and '"over"' not in lines[-1]:
            lines.append(watching.stdout.readline())
        ended = time.monotonic()
        _, err = watching.communicate(timeout=60)
        dies.communicate(timeout=10)
        left = leaves.communicate(timeout=10)
        results = phones.wait(30)
    assert watching.returncode == 0, err
    result = results["soft"].call
    *looks, over = map(json.loads, lines)
    return {
        "call": call,
        "looks": looks,
        "over": over,
        "result": result,
        "late_s": ended - result.disconnected_at,
        "record": world.timelines()[used["soft"]],
        "picture": picture,
        "left": (leaves.returncode, started, left[1]),
        "account": used["soft"],
    }


def test_ten_looks_a_second_without_a_gap(followed):
    at = [look["at_ms"] for look in followed["looks"]]
    assert {b - a for a, b in zip(at, at[1:])} == {100}
    assert {len(look["levels_dbov"]) for look in followed["looks"][1:]} == {5}
    assert at[0] < SAID_AT_MS - MOMENT_MS and at[-1] > 15_000


def test_the_levels_are_those_that_the_phone_sent(followed):
    said = read_wav(SPEECH / "caller-ask.wav") / 32768 * 10 ** (GAIN_DB / 20)
    sent_dbov = active_speech_level(said, RATE).active_dbov
    levels = np.array([level for look in followed["looks"] for level in look["levels_dbov"]])
    at = followed["looks"][0]["at_ms"] - 20 * len(followed["looks"][0]["levels_dbov"]) + 20 * np.arange(levels.size)
    speaking = (at > SAID_AT_MS - MOMENT_MS) & (at < SAID_AT_MS + len(said) / 8 + MOMENT_MS)
    loud = levels[speaking] > -70
    assert loud.sum() * 20 == pytest.approx(len(said) / 8, rel=0.35), "but for its pauses, all of it"
    mean = 10 * np.log10(np.mean(10 ** (levels[speaking] / 10)) * speaking.sum() * 160 / len(said))
    assert mean == pytest.approx(10 * np.log10(np.mean(said**2)), abs=1.0)
    assert levels[~speaking].max() < -70, "and silence before and after"
    [last] = [look for look in followed["looks"] if look["speech_ms"]][-1:]
    assert last["active_level_dbov"] == pytest.approx(sent_dbov, abs=1.5)


def test_the_states_follow_the_speaker(followed):
    began, ended = SAID_AT_MS, SAID_AT_MS + len(read_wav(SPEECH / "caller-ask.wav")) / 8
    for look in followed["looks"]:
        if look["at_ms"] < began - MOMENT_MS or look["at_ms"] > ended + 700 + 2 * MOMENT_MS:
            assert look["state"] == "QUIET", look
    states = {look["state"] for look in followed["looks"]}
    assert {"QUIET", "SPEAKING", "STOPPING"} <= states
    [start] = [e for look in followed["looks"] for e in look["events"] if e["event"] == "speech_start"]
    assert start["onset_ms"] == pytest.approx(began, abs=MOMENT_MS)
    verdicts = [look["verdict"] for look in followed["looks"] if look["speech_ms"]]
    assert verdicts[-1] == "too_soft" and followed["looks"][0]["verdict"] == "no_signal"


def test_the_flow_is_seen_too(followed):
    steps = list(dict.fromkeys(look["step"] for look in followed["looks"]))
    recorded = [e["step"] for e in followed["record"]["events"] if e["event"] == "prompt_start"]
    assert steps == list(dict.fromkeys(recorded))
    assert any(look["timer_ms"] for look in followed["looks"])


def test_it_ends_with_the_call(followed):
    assert followed["over"] == {
        "call": followed["record"]["call"],
        "over": True,
        "outcome": followed["record"]["outcome"],
        "heard": followed["record"]["heard"],
    }
    assert followed["over"]["outcome"] == "hangup:caller"
    assert followed["late_s"] < 1
    assert followed["picture"].read_bytes().startswith(b"\x89PNG")


def test_who_leaves_or_dies_does_not_touch_the_call(followed):
    status, first, said = followed["left"]
    assert status == 0 and json.loads(first)["call"] == followed["call"]["call"] == followed["record"]["call"]
    assert "the call goes on" in said
    assert followed["result"].end("duration_ms") == pytest.approx(16_000, abs=500), "until the caller hung up"


def test_nothing_of_the_caller_is_told(followed):
    told = json.dumps([followed["looks"], followed["over"]]).replace(followed["call"]["channel"], "")
    assert followed["account"] not in told


def test_without_a_match_the_live_calls_are_listed(world):
    answer = listen(world, "--call", "nobody")
    _, err = answer.communicate(timeout=20)
    assert answer.returncode == 1 and "no call in the IVR matches 'nobody'" in err and "no calls" in err
