"""The agent's page in a real call: what the agent sees in a browser, from the first ring to the end, beside what their
phone heard."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from bench.page.browser import chromium, sign_in

from hearline.audio.wav import read_wav
from hearline.earlier_calls import EarlierCalls, masked
from hearline.phone.run import Phones
from world import RATE, REPO, SPEECH, Scenario

SENTENCE = "caller-ask"
SENTENCE_MS = read_wav(SPEECH / f"{SENTENCE}.wav").size * 1_000 // RATE
KEY_MS = 1_500
JOINED_MS = 11_000  # by now, surely
TOO_SOFT_DB = -28.0
SHOWN_MS = 500  # after the phone's answer, or the hang-up: what Asterisk takes to tell is in it


@dataclass
class Seen:
    """What the page showed, and when (monotonic s)."""

    at: dict[str, float] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    levels: list[str] = field(default_factory=list)
    call: object = None
    record: dict = field(default_factory=dict)


@pytest.fixture(scope="module")
def seen(world) -> Seen:
    seen = Seen()
    account = world.agents[0]
    speaking = tuple((JOINED_MS + i * (SENTENCE_MS + 150), SENTENCE, TOO_SOFT_DB) for i in range(3))
    scenario = {"soft": Scenario(keys=((KEY_MS, "1"),), say=speaking)}
    agent = world.agent(0, answer_after_ms=3_000, hangup_after_ms=16_000)
    script, used = world.script(scenario, [agent])
    began = time.time()
    out = REPO / "page-out"
    out.mkdir(exist_ok=True)
    with chromium() as browser:
        page = browser.new_context(locale="zh-CN", viewport={"width": 1280, "height": 900}).new_page()
        page.set_default_timeout(30_000)
        sign_in(page, f"http://{world.stack.running.page}/", account.number, account.pin)

        def reached(what: str, selector: str) -> None:
            page.wait_for_selector(selector)
            seen.at[what] = time.monotonic()
            page.screenshot(path=out / f"live-{what}.png")

        with Phones(script) as phones:
            reached("ringing", "body[data-state=ringing]")
            seen.texts = {name: page.text_content(f"#{name}") for name in ("number", "queue", "heard")}
            reached("talking", "body[data-state=talking]")
            page.wait_for_selector(".meter.speaking[data-side=caller]")
            seen.levels = page.locator(".meter .meter-says").all_text_contents()
            reached("hint", "#hint-title >> text=客户声音小")
            page.keyboard.press("u")
            page.wait_for_selector("#hint-title:not(:text('客户声音小'))")
            page.click("[data-outcome=closing-inquiry]")
            page.wait_for_selector("[data-outcome=closing-inquiry][aria-pressed=true]")
            reached("after", "body[data-state=after]")
            seen.texts["own"] = page.text_content("#left-first")
            results = phones.wait(60)
    [seen.call] = world.calls(results, used, scenario).values()
    deadline = time.monotonic() + 5
    while not seen.record:
        assert time.monotonic() < deadline
        for file in (world.stack.settings.state / "talks").glob("*/*.json"):
            if file.stat().st_mtime >= began:
                seen.record = json.loads(file.read_text("utf-8"))
        time.sleep(0.1)
    return seen


def callers_number(world, account: str) -> str:
    return next(caller.number for caller in world.stack.accounts()[0] if caller.name == account)


def test_who_calls_is_seen_while_the_phone_rings(seen, world):
    [agent] = seen.call.agents
    assert seen.at["ringing"] < agent.answered_at
    assert seen.texts["number"] == masked(callers_number(world, seen.call.account))
    assert seen.texts["queue"] == "养老热线"
    assert seen.texts["heard"] == "只按了键"


def test_the_talk_is_seen_when_it_begins_and_ends(seen):
    [agent] = seen.call.agents
    assert seen.at["talking"] > agent.answered_at, "the whisper comes first"
    assert (seen.at["after"] - agent.disconnected_at) * 1_000 < SHOWN_MS
    assert seen.levels == ["说话", "安静"]


def test_the_card_for_a_soft_caller_comes_once_it_is_certain_and_the_agent_has_used_it(seen):
    first_word = seen.call.result.answered_at + JOINED_MS / 1_000
    assert 2.0 < seen.at["hint"] - first_word < 8.0
    [counts] = [event["counts"] for event in seen.record["events"] if event["event"] == "hints"]
    assert counts["caller_too_soft"]["used"] == 1


def test_the_outcome_stands_in_the_record_which_names_nobody(seen, world):
    outcomes = [event["outcome"] for event in seen.record["events"] if event["event"] == "outcome"]
    assert outcomes == ["inquiry"]
    assert callers_number(world, seen.call.account) not in json.dumps(seen.record)


def test_hanging_up_first_is_told_on_the_agents_own_page(seen):
    assert seen.texts["own"].startswith("今天有 1 次")


def test_the_call_is_known_the_next_time(seen, world):
    """Of both its parts: the door's and the talk's."""
    calls = EarlierCalls(Path(world.stack.settings.state) / "callers")
    who = calls.who(callers_number(world, seen.call.account))
    deadline = time.monotonic() + 5
    while not ((found := calls.of(who)) and found[0].talk_s):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    [one] = found
    assert (one.heard, one.ended, one.agent, one.outcome) == ("key", "queue:care", "8016", "inquiry")
    assert one.talk_s > 5
