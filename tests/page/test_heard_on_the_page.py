"""Sound from the page: during a hold, it plays the whisper that the phone does not. Judged by the browser's output. If
no whisper is coming, the page says so."""

from __future__ import annotations

import shutil
import time

import numpy as np
import pytest
from bench.page.floor import HINTS, REPO, Floor
from bench.page.loudspeaker import RATE, TAP, heard, likeness
from playwright.sync_api import expect

from hearline.assist.hints.events import Side
from hearline.audio.wav import read_wav

WHISPER = read_wav(REPO / "sounds" / "zh" / "hints" / "still-on-hold.wav").astype(float)
NOTES_S = 0.5
HOLD_S = 0.3  # until the whisper
WHOLE_S = NOTES_S + WHISPER.size / RATE


@pytest.fixture(scope="module")
def shared_floor(tmp_path_factory):
    """The shipped hints, but a whisper comes soon in a hold."""
    hints = tmp_path_factory.mktemp("flows") / "hints"
    shutil.copytree(HINTS, hints)
    rules = (hints / "rules.yaml").read_text("utf-8")
    assert rules.count("{every: 30s, ahead: 5s}") == 1
    (hints / "rules.yaml").write_text(rules.replace("{every: 30s, ahead: 5s}", "{every: 20s, ahead: 19700ms}"), "utf-8")
    with Floor(tmp_path_factory.mktemp("floor"), hints=hints) as floor:
        yield floor


@pytest.fixture
def page(window, floor):
    """In a call."""
    page = window(script=TAP)
    floor.join("8016")
    page.wait_for_selector("body[data-state=talking]")
    return page


def wait_until_heard(page, seconds: float, within_s: float = 5.0) -> None:
    """That the page has sounded for so long."""
    deadline = time.monotonic() + within_s
    while heard(page).size < seconds * RATE:
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples**2))) if samples.size else 0.0


def pitch_hz(sound: np.ndarray) -> float:
    """The strongest tone's."""
    return float(np.argmax(np.abs(np.fft.rfft(sound, RATE))))


# ---- the whisper in a hold -------------------------------------------------------------------------------------------
def test_in_a_hold_the_page_rings_and_then_says_the_whisper_just_as_the_phone_would(page, floor):
    floor.hold("8016")
    wait_until_heard(page, WHOLE_S)
    page.wait_for_timeout(1_000)
    sound = heard(page)
    alike, at, db = likeness(sound, WHISPER)
    assert alike > 0.9 and db == pytest.approx(0, abs=0.5)
    first, second = np.split(sound[at - round(NOTES_S * RATE) : at], 2)
    assert pitch_hz(first) == pytest.approx(660, abs=5) and pitch_hz(second) == pytest.approx(880, abs=5)
    assert 500 < rms(first) < 3_000
    assert rms(sound[: at - round(NOTES_S * RATE)]) < 1 and rms(sound[at + WHISPER.size :]) < 1, "and nothing else"
    assert page.evaluate("window.tap.context.state") == "suspended", "the loudspeaker is free again"


def test_of_several_windows_one_says_it(page, floor):
    pages = [page, *(page.context.new_page() for _ in range(2))]
    for other in pages[1:]:
        other.goto(floor.url)
        other.wait_for_selector("body[data-state=talking]")
        other.click("#hint-title")
        expect(other.locator("#no-sound")).to_be_empty()
    floor.hold("8016")
    page.wait_for_timeout((HOLD_S + WHOLE_S + 1.0) * 1_000)
    said = [sound for sound in map(heard, pages) if sound.size]
    assert len(said) == 1
    assert likeness(said[0], WHISPER)[0] > 0.9


@pytest.mark.parametrize("how", ["muted", "switched off", "the caller holds"])
def test_nothing_sounds(page, floor, how):
    """Where the agent has muted whispers; where the page is to be silent; where this phone does not hold."""
    if how == "muted":
        page.keyboard.press("4")
        expect(page.locator("[data-key=mute]")).to_have_attribute("aria-pressed", "true")
    elif how == "switched off":
        page.uncheck("#aloud")
        page.reload()
        page.wait_for_selector("body[data-state=talking]")
        assert not page.is_checked("#aloud"), "for good"
        page.click("#hint-title")  # the browser would let it
    expect(page.locator("#no-sound")).to_be_empty()
    floor.hold("8016", Side.CALLER if how == "the caller holds" else Side.AGENT)
    page.wait_for_timeout((HOLD_S + 1.0) * 1_000)
    assert heard(page).size == 0


@pytest.mark.parametrize("how", ["muted", "taken back"])
def test_it_stops_at_once(page, floor, how):
    floor.hold("8016")
    wait_until_heard(page, NOTES_S + 0.2)
    if how == "muted":
        page.keyboard.press("4")
    else:
        floor.hold("8016", None)
    page.wait_for_timeout(WHOLE_S * 1_000)
    assert heard(page).size < (WHOLE_S - 0.3) * RATE


def test_where_the_words_do_not_come_the_notes_are_there(page, floor):
    page.route("**/api/hold-whisper", lambda route: route.abort())
    floor.hold("8016")
    wait_until_heard(page, NOTES_S)
    page.wait_for_timeout(1_000)
    sound = heard(page)
    assert pitch_hz(sound[: round(0.25 * RATE)]) == pytest.approx(660, abs=5)
    assert rms(sound[round(NOTES_S * RATE) :]) < 1


def test_a_browser_that_keeps_the_page_silent_is_told_of_until_it_does_not(page, floor, keep):
    """Before the first click or key. Nobody is told what was whispered long ago."""
    page.reload()
    page.wait_for_selector("body[data-state=talking]")
    expect(page.locator("#no-sound")).to_contain_text("浏览器暂不允许本页播放声音")
    assert page.get_attribute(".not-heard", "role") == "status"
    floor.hold("8016")
    page.wait_for_timeout((HOLD_S + 0.7) * 1_000)
    keep(page, "silent")
    page.click("#hint-title")
    expect(page.locator("#no-sound")).to_be_empty()
    page.wait_for_timeout(300)
    assert heard(page).size == 0
    floor.hang_up("8016")
    floor.join("8016")
    floor.hold("8016")
    wait_until_heard(page, WHOLE_S)
    assert likeness(heard(page), WHISPER)[0] > 0.9


def test_a_browser_without_sound_has_the_page_all_the_same(window, floor):
    page = window(script="delete window.AudioContext")
    floor.join("8016")
    expect(page.locator("#hint-title")).to_have_text("接听")
    expect(page.locator("#no-sound")).to_contain_text("浏览器暂不允许本页播放声音")
    floor.hold("8016")
    expect(page.locator("#hint-title")).to_have_text("等候中")


# ---- no whispers -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("locale", "off", "muted"),
    [
        ("zh-CN", "尚未通过自检，通话中暂时没有耳语。", "本次通话的耳语已静音。"),
        ("en-GB", "No whispers during calls for now: the self-test has not", "Whispers are muted for this call."),
    ],
)
def test_who_would_wait_for_a_whisper_is_told_that_there_is_none(window, floor, keep, locale, off, muted):
    page = window(locale=locale)
    line = page.locator(".not-heard[role=status] #no-whispers")
    expect(line).to_be_empty()
    floor.whispers_allowed = False
    expect(line).to_contain_text(off)
    floor.join("8016")
    page.wait_for_selector("body[data-state=talking]")
    expect(line).to_contain_text(off)
    keep(page, f"no-whispers-{locale[:2]}")
    floor.whispers_allowed = True
    expect(line).to_be_empty()
    page.keyboard.press("4")
    expect(line).to_contain_text(muted)
    keep(page, f"muted-{locale[:2]}")
    page.keyboard.press("4")
    expect(line).to_be_empty()
    page.keyboard.press("4")
    expect(line).to_contain_text(muted)
    floor.hang_up("8016")
    expect(line).to_be_empty()
