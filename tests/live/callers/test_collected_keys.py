"""Keys that a flow collects, pressed on a telephone: RFC 4733 in, channel variables out, and no digit anywhere else."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

import pytest

from world import Phones, Scenario, until

SECRET = "72946013"
EVERY_MS = 400
OWN_CLOCK_MS = 60  # by the server's own clock, as in test_calls.py


def keys(begin_ms: float, digits: str) -> tuple[tuple[float, str], ...]:
    return tuple((begin_ms + number * EVERY_MS, digit) for number, digit in enumerate(digits))


@pytest.fixture(scope="module")
def told(world):
    """The calls by name; the first one's channel variables while it waits in the queue; what was told of it live."""
    scenarios = {
        "whole": Scenario("8105", keys=keys(1_500, "4") + keys(2_600, SECRET + "#")),
        "whole, and speaks": Scenario(
            "8105", keys=keys(1_500, "5") + keys(2_600, SECRET), say=((3_000, "caller-ask", 0.0),), hangup_at_ms=8_000
        ),
        "half": Scenario("8105", keys=keys(1_500, "94") + keys(4_000, SECRET[:5])),
        "gone in the middle": Scenario("8105", keys=keys(1_500, "3") + keys(2_600, SECRET[:3]), hangup_at_ms=4_200),
    }
    script, used = world.script(scenarios)
    with Phones(script) as phones:
        row = until(lambda: [r for r in world.stack.get("/calls")["calls"] if used["whole"] in r["channel"]], 20)[0]
        with urllib.request.urlopen(
            f"http://{world.stack.running.status}/calls/{row['call']}/ears", timeout=20
        ) as answer:
            live = answer.read().decode() + json.dumps(world.stack.get("/calls"))
        channel = f"core show channel {row['channel']}"
        until(lambda: "HEARLINE_RESULT=queue" in world.stack.console(channel), 5)
        shown = world.stack.console(channel)
        with urllib.request.urlopen(f"http://{world.stack.running.status}/metrics", timeout=5) as answer:
            live += answer.read().decode()
        phones.hang_up("whole")
        results = phones.wait(30)
    return world.calls(results, used, scenarios), dict(re.findall(r"(HEARLINE_\w+)=(.*)", shown)), live


def collected(call) -> list[dict]:
    return [{k: v for k, v in e.items() if k != "at_ms"} for e in call.timeline["events"] if "count" in e]


def test_the_dialplan_has_what_was_keyed(told):
    calls, variables, _ = told
    assert calls["whole"].outcome == "queue:care" and calls["whole"].timeline["heard"] == "key"
    assert (variables["HEARLINE_COLLECTED_RATING"], variables["HEARLINE_COLLECTED_AGENT"]) == ("4", SECRET)
    assert variables["HEARLINE_RESULT"] == "queue"


def test_the_record_has_the_digits_of_the_rating_alone(told):
    calls, _, _ = told
    number = {"event": "collected", "name": "agent", "count": 8}
    for name, rating in (("whole", "4"), ("whole, and speaks", "5")):
        rated = {"event": "collected", "name": "rating", "count": 1, "digits": rating}
        assert collected(calls[name]) == [rated, number], name
        assert calls[name].outcome == "queue:care", name
    assert calls["whole, and speaks"].events("speech_start"), "was heard, and did not count"


@pytest.mark.realtime
def test_half_a_number_is_no_match_three_seconds_after_its_last_key(told):
    half = told[0]["half"]
    assert half.outcome == "hangup:nomatch"
    assert [e["count"] for e in half.events("nomatch")] == [1, 5], "9 is no rating"
    [timeout] = half.events("interdigit_timeout")
    assert timeout["planned_ms"] - half.events("key")[-1]["at_ms"] == pytest.approx(3_000, abs=OWN_CLOCK_MS)
    assert 0 <= timeout["at_ms"] - timeout["planned_ms"] < OWN_CLOCK_MS


def test_who_hangs_up_in_the_middle_has_said_what_was_whole(told):
    gone = told[0]["gone in the middle"]
    assert gone.outcome == "hangup:caller" and [e["name"] for e in collected(gone)] == ["rating"]


def test_no_digit_anywhere_else(world, told):
    calls, _, live = told
    assert '"flow_state": "collecting"' in live and '"over": true' in live
    written = [
        file
        for folder in (world.stack.settings.state, world.stack.home / "log")
        for file in Path(folder).rglob("*")
        if file.is_file()
    ]
    assert any(call.timeline["call"] in str(file) for call in calls.values() for file in written)
    for digits in (SECRET, SECRET[:5]):
        assert digits not in live
        assert not [file for file in written if digits.encode() in file.read_bytes()]
