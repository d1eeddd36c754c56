"""The page "Try it" on a real call: a Chromium rings the hotline, without a softphone, and is judged by what its tab
heard and what its page showed."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

import numpy as np
import pytest
from bench.page.browser import chromium, chromium_path
from bench.page.tab_sound import TAP, Sound, sounds
from playwright.sync_api import Page

from browser_phone import Speech, address_for_media
from hearline.audio.wav import read_wav
from hearline.phone.heard import HeardPrompt, find_prompts
from hearline.phone.judge import prompts_of
from world import RATE, REPO, SOUNDS, SPEECH, TOLERANCE_MS, Phones, until

WAIT_MS = 3_000
PROMPTS = prompts_of(SOUNDS / "zh" / "lanzhi")
OPENING_MS = PROMPTS["opening"].size * 1_000 // RATE
SPOKEN = 0.25  # of the seconds in which somebody says one sentence
BROWSER_MS = 250  # a jitter buffer of its own, which grows and shrinks; on a loaded machine by much


@dataclass
class Seen:
    """What the page showed at each moment, and what the tab heard."""

    at: dict[str, float] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    call: str = ""
    tab: list[Sound] = field(default_factory=list)
    heard: list[HeardPrompt] = field(default_factory=list)
    record: dict = field(default_factory=dict)
    agent_heard: np.ndarray = field(default_factory=lambda: np.zeros(0))
    account: str = ""


def shows(page: Page, selector: str, within_s: float = 10.0) -> float:
    page.wait_for_selector(selector, timeout=within_s * 1_000)
    return time.monotonic()


@pytest.fixture(scope="module")
def seen(world) -> Seen:
    """One call: silent through the opening and the first wait, soft after the second prompt, then loud; an agent's
    softphone answers, and both speak."""
    if chromium_path() is None:
        pytest.skip("there is no Chromium: run make setup as root, or apt-get install chromium")
    seen = Seen()
    agent = world.agents[1]
    script, _ = world.script({}, [world.agent(1, answer_after_ms=500, hangup_after_ms=None, max_answers=1)])
    with address_for_media(), chromium() as browser, Phones(script) as phones:
        phones.wait_for("registered", agent.name)
        page = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 1000}).new_page()
        page.add_init_script(TAP)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"http://{world.stack.running.page}/try")
        shows(page, "#number:not(:empty)")
        page.click("#call")
        seen.at["pressed"] = time.monotonic()
        seen.at["answered"] = shows(page, "body[data-stage=ivr]")
        seen.at["opening"] = shows(page, "#picture [data-prompt=opening]")
        seen.shown["step"] = page.text_content("#step")
        seen.at["again"] = shows(page, "#picture [data-prompt=noinput-1]", 12)
        seen.shown["silent"] = page.text_content("#verdict")
        seen.shown["timers"] = page.text_content("#log")
        shows(page, "#picture [data-timer=connected]", 10)
        page.click("[data-voice=soft]")
        seen.at["soft"] = shows(page, "#verdict[data-verdict=too_soft]", 10)
        seen.at["asked"] = shows(page, "#picture [data-prompt=low-1]", 10)
        shows(page, "#picture [data-timer=louder]", 10)
        page.screenshot(path=REPO / "page-out" / "live-try-soft.png", full_page=True)
        page.click("[data-voice=speak]")
        seen.at["queue"] = shows(page, "body[data-stage=queue], body[data-stage=rings]", 10)
        seen.at["talk"] = shows(page, "body[data-stage=talk]", 10)
        joined = phones.wait_for("answered", agent.name)["at"]
        time.sleep(3.5)  # the whisper before the join
        seen.at["says"] = time.monotonic()
        page.click("[data-voice=speak]")
        phones.say(agent.name, SPEECH / "agent-greeting.wav")
        time.sleep(4.5)
        page.screenshot(path=REPO / "page-out" / "live-try-talk.png", full_page=True)
        seen.call = page.text_content("#call-id").split()[-1]
        seen.tab = [sound for sound in sounds(page) if sound.call]
        page.click("#call")
        shows(page, "#account:not([hidden])")
        shows(page, "#account-facts >> text=of its plan")
        seen.account = page.text_content("#account")
        page.screenshot(path=REPO / "page-out" / "live-try-over.png", full_page=True)
        results = phones.wait(10)
        assert faults == []
    heard = read_wav(results[agent.name].calls[0].recording)
    seen.agent_heard = heard[max(0, round((seen.at["says"] - joined) * RATE)) :]
    seen.heard = [one for one in find_prompts(seen.tab[0].samples, PROMPTS) if one.complete > 0.5]
    seen.record = until(lambda: world.timelines_by_call().get(seen.call), 5)
    return seen


def test_a_press_of_one_button_is_a_call_whose_opening_is_heard_in_the_tab(seen):
    assert [one.id for one in seen.heard] == ["opening", "noinput-1", "low-1"]
    assert seen.at["answered"] - seen.at["pressed"] < 3
    assert seen.heard[0].complete > 0.9


def test_the_call_has_the_id_that_the_page_made(seen):
    assert re.fullmatch(r"\d{8}-\d{9}-\d{9}-try", seen.call)
    assert seen.record["call"] == seen.call and seen.record["outcome"] == "queue:care" and seen.record["heard"] == "low"


def test_silence_is_followed_by_the_second_prompt_after_three_seconds(seen):
    opening, again = seen.heard[:2]
    wait_ms = again.start_ms - opening.start_ms - OPENING_MS
    assert wait_ms == pytest.approx(WAIT_MS, abs=TOLERANCE_MS + BROWSER_MS)


def test_the_picture_shows_step_and_verdict_while_it_happens(seen):
    assert seen.shown["step"] == "opening"
    assert seen.shown["silent"].startswith("digital silence")
    assert "the 3.0 s timer ran out" in seen.shown["timers"]
    first = next(event for event in seen.record["events"] if event["event"] == "prompt_start")
    assert first["prompt"] == "opening"
    assert seen.at["opening"] - seen.at["answered"] < 1.5


def test_soft_speech_is_judged_too_soft_and_answered_by_the_request_to_speak_up(seen):
    judged = [e for e in seen.record["events"] if e["event"] == "verdict" and e["verdict"] == "too_soft"]
    assert judged[-1]["level_dbov"] == pytest.approx(-50, abs=2.5)
    assert "low-1" in [one.id for one in seen.heard]


def test_speech_leads_to_the_queue_and_the_agent_who_answers_is_heard_and_hears(seen, tmp_path):
    """Judged piece by piece: a jitter buffer may stretch a pause."""
    greeting, asked = (Speech(tmp_path / name, SPEECH / f"{name}.wav") for name in ("agent-greeting", "caller-ask"))
    assert greeting.share(seen.tab[0].since(seen.at["says"])) > SPOKEN
    assert asked.share(seen.agent_heard) > SPOKEN


def test_the_account_at_the_end_is_what_happened(seen, world):
    agent = world.agents[1].number
    assert f"agent {agent} answered your call" in seen.account
    assert "a voice that is too soft" in seen.account
    late = int(re.search(r"within (\d+) ms of its plan", seen.account)[1])
    assert late <= TOLERANCE_MS
