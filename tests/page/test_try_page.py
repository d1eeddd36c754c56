"""The page "Try it" as a newcomer uses it, with simulated calls in place of telephones: what it shows while a call goes
on, by keyboard, in both languages and themes, and when something is missing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from bench.page.floor import PIN, Floor
from bench.page.trial import RECORDED_DBOV, REPO, SOFT_DBOV, StatusServer, Visit, visit
from playwright.sync_api import Page

from conftest import windows
from hearline.audio.settings import SAMPLE_RATE_HZ
from hearline.audio.wav import read_wav
from hearline.store.records import Kept
from test_agents_page import keeps_nobody_out

OPENING = "您好，蓝智慧养老，请问有什么可以帮您？"
AGAIN = "您好，蓝智慧养老，您的电话已接通，请问有什么可以帮您？"
SAID = REPO / "sounds" / "zh" / "callers" / "caller-ask.wav"
ANSWERED_MS = 4_300  # the caller's first words, after the opening
SPOKEN_UP_MS = 12_500  # after the request to speak up

INSECURE = """Object.defineProperty(navigator, "mediaDevices", {value: undefined});
  Object.defineProperty(window, "isSecureContext", {value: false})"""
FOCUSED = """(({ dataset, id, tagName }) => dataset.voice || id || dataset.do || tagName)(document.activeElement)"""
# In place of the telephone: each call is answered at once, and what the page does with it is kept in `window.line`.
LINE = """
export class Line {
  constructor(how) { this.how = how; this.link = "off"; this.calls = []; }
  async start() {
    this.account = await this.how.account();
    this.link = window.unreachable ? "connecting" : "connected";
    this.how.changed();
  }
  call(number, { headers }) {
    const call = { state: "calling", media: "opening", keys: "", digits(keys) { this.keys += keys; },
      hangUp: () => { call.state = "over"; } };
    Object.assign(window, { line: this, call, dialled: { number, headers } });
    this.how.microphone().then((stream) => {
      window.sent = stream;
      if (window.busy) { call.state = "over"; this.how.ended(Object.assign(call, { why: "Busy" })); return; }
      call.state = "talking"; call.media = window.mute ? "opening" : "flows"; this.how.changed();
    });
    return call;
  }
  async stop() { this.link = "off"; }
}
"""


@pytest.fixture(scope="module")
def status():
    with StatusServer() as server:
        yield server


@pytest.fixture(scope="module")
def shared_floor(tmp_path_factory, status):
    floor = Floor(tmp_path_factory.mktemp("floor"))
    floor.try_it, floor.status = "anybody", ("127.0.0.1", status.port)
    with floor:
        yield floor


@dataclass
class Trial:
    """An open page, and the call that it makes."""

    page: Page
    floor: Floor
    status: StatusServer

    def ring(self) -> str:
        """Call the hotline; returns the call's id."""
        self.page.click("#call")
        self.page.wait_for_selector("body[data-stage=ivr]")
        [header] = self.page.evaluate("window.dialled.headers")
        call = header.partition(": ")[2]
        self.status.begin(call)
        return call

    def leaves(self, call: str, seen: Visit) -> None:
        """The call has left the IVR as this visit did."""
        self.floor.visits.write(Kept(call), seen.record)
        self.status.over(call, seen.record["outcome"], seen.record["heard"])

    def texts(self, selector: str) -> list[str]:
        return self.page.locator(selector).all_text_contents()


@pytest.fixture
def trial(browser, floor, status):
    """Opens the page: ``trial(locale="en-GB", …)``, see `conftest.windows`."""
    with windows(browser, floor) as window:

        def open_(**how: Any) -> Trial:
            page = window(signed_in=False, **how)
            page.route(
                "**/static/phone/line.js", lambda route: route.fulfill(body=LINE, content_type="text/javascript")
            )
            page.goto(f"{floor.url}try")
            page.wait_for_selector("#number:not(:empty)")
            return Trial(page, floor, status)

        yield open_


def soft_then_louder() -> Visit:
    return visit((ANSWERED_MS, SOFT_DBOV), (SPOKEN_UP_MS, RECORDED_DBOV))


def looks_until(seen: Visit, at_ms: int) -> list[dict[str, Any]]:
    return [look for look in seen.looks if look["at_ms"] <= at_ms]


def test_the_hotline_is_rung_at_the_number_that_is_always_open_under_an_id_of_the_pages_own(trial):
    at = trial(locale="en-GB")
    assert at.page.text_content("#ring-title").split() == ["Eldercare", "hotline", "95160"]
    call = at.ring()
    assert at.page.evaluate("window.dialled.number") == "8001"
    assert re.fullmatch(r"\d{8}-\d{9}-\d{9}-try", call)
    account = at.page.evaluate("window.line.account")
    assert account["uri"] == "sip:web-caller@hearline" and account["user"] == "web-caller" and account["password"]
    assert at.page.text_content("#call-id") == f"Call ID {call}"


def test_a_silent_caller_sees_prompt_timer_verdict_and_step(trial):
    at = trial(locale="en-GB")
    seen, call = visit(), at.ring()
    at.status.send(call, looks_until(seen, 1_000))
    at.page.wait_for_selector(f"#saying >> text={OPENING}")
    assert at.page.text_content("#step") == "opening"
    assert at.page.get_attribute("#saying", "lang") == "zh-CN"
    at.page.wait_for_selector("#picture [data-prompt=opening]")
    at.status.send(call, [look for look in seen.looks if 1_000 < look["at_ms"] <= 5_000])
    at.page.wait_for_selector("#picture [data-timer=opening]")
    left = float(at.page.text_content("#timer").split()[0])
    assert 0 < left <= 1.7, "3 s from the end of the opening, of which 1.4 are gone"
    assert at.page.text_content("#verdict") == "digital silence"
    at.page.wait_for_selector("#picture [data-verdict=no_signal]")
    at.status.send(call, [look for look in seen.looks if look["at_ms"] > 5_000])
    at.page.wait_for_selector("#picture [data-prompt=noinput-goodbye]")
    at.leaves(call, seen)
    at.page.wait_for_selector("#log >> text=let go politely")
    at.page.evaluate("window.line.how.ended(window.call)")
    at.page.wait_for_selector("#account:not([hidden])")
    assert "You said nothing" in at.page.text_content("#account-text")
    at.page.wait_for_selector("#account-facts >> text=within 0 ms")
    assert at.page.locator("#log >> text=the 3.0 s timer ran out").count() == 3
    prompts = at.page.evaluate("[...document.querySelectorAll('[data-prompt]')].map(one => one.dataset.prompt)")
    assert prompts == ["opening", "noinput-1", "noinput-2", "noinput-goodbye"]


def test_a_soft_caller_sees_that_and_then_the_agent(trial, keep):
    at = trial(locale="en-GB")
    seen, call = soft_then_louder(), at.ring()
    at.page.keyboard.press("Tab")  # the first of the buttons that speak
    at.status.send(call, looks_until(seen, 7_000))
    at.page.wait_for_selector("#verdict[data-verdict=too_soft]")
    at.page.wait_for_selector("#picture [data-verdict=too_soft]")
    assert at.page.text_content("#picture .mark-gain") == "line raised by 9 dB"
    at.status.send(call, [look for look in seen.looks if look["at_ms"] > 7_000])
    at.page.wait_for_selector("#picture [data-prompt=low-1]")
    at.page.wait_for_selector("#verdict[data-verdict=speech]")
    at.leaves(call, seen)
    at.page.wait_for_selector("body[data-stage=queue]")
    at.page.wait_for_selector("#saying >> text=养老热线")
    at.floor.ring("8016", call=call)
    at.page.wait_for_selector("body[data-stage=rings]")
    at.floor.join("8016")
    at.page.wait_for_selector("body[data-stage=talk]")
    assert at.page.text_content("#saying") == "You are talking with agent 8016"
    at.floor.hold("8016")
    at.page.wait_for_selector("#saying >> text=on hold")
    at.floor.hold("8016", None)
    at.page.wait_for_selector("#saying >> text=talking with agent 8016")
    at.page.wait_for_selector("[data-stay=hold] ~ [data-stay=talk]", state="attached")
    at.page.click("#call")
    at.page.wait_for_selector("#account:not([hidden])")
    assert at.page.text_content("#account-text") == "The hotline heard you, and agent 8016 answered your call."
    stays = at.page.evaluate("[...document.querySelectorAll('[data-stay]')].map(one => one.dataset.stay)")
    assert stays == ["queue", "rings", "talk", "hold", "talk"]
    assert at.page.evaluate("window.call.state") == "over"


def test_nothing_of_other_calls_is_shown(trial, browser, floor, status):
    """A browser reads its own calls only, and of agent assist only what is about them."""
    at = trial(locale="en-GB")
    seen, call = soft_then_louder(), at.ring()
    at.leaves(call, seen)
    at.page.wait_for_selector("body[data-stage=queue]")
    floor.join("8016")  # somebody else's call
    at.page.wait_for_timeout(400)
    assert at.page.get_attribute("body", "data-stage") == "queue"
    other = trial(locale="en-GB")
    answer = other.page.request.get(f"{floor.url}api/try/calls/{call}/events")
    assert answer.status == 404
    forged = at.page.request.get(f"{floor.url}api/try/calls/{call[:-9]}00000000-try/events")
    assert forged.status == 404


# ---- the caller's side -----------------------------------------------------------------------------------------------
MEASURE = """
async () => {
  const track = window.sent.getAudioTracks()[0].clone(), parts = [], until = Date.now() + 3800;
  const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
  while (Date.now() < until) {
    const { value } = await reader.read();
    const part = new Float32Array(value.numberOfFrames);
    value.copyTo(part, { planeIndex: 0, format: "f32-planar" });
    parts.push([part.reduce((sum, one) => sum + one * one, 0), part.length]);
    value.close();
  }
  return parts.map(([sum]) => sum).reduce((a, b) => a + b, 0) / parts[0][1] / 100;
}
"""
"""The energy of what is sent within 3.8 s, in parts of 10 ms, taken as if it had been sent in one second."""


@pytest.mark.parametrize(("voice", "dbov"), [("silent", -120), ("soft", SOFT_DBOV), ("speak", RECORDED_DBOV)])
def test_the_buttons_speak_at_the_level_that_they_name(trial, voice, dbov):
    at = trial(locale="en-GB")
    at.ring()
    at.page.click(f"[data-voice={voice}]")
    assert at.page.get_attribute(f"[data-voice={voice}]", "aria-pressed") == "true"
    said_s = read_wav(SAID).size / SAMPLE_RATE_HZ
    assert 10 * np.log10(at.page.evaluate(MEASURE) / said_s + 1e-12) == pytest.approx(dbov, abs=0.7)
    at.page.wait_for_selector("[data-voice=silent][aria-pressed=true]")


def test_before_the_call_the_buttons_say_nothing(trial):
    at = trial(locale="en-GB")
    at.page.focus("[data-voice=speak]")
    at.page.keyboard.press("Enter")
    assert at.page.get_attribute("[data-voice=speak]", "aria-pressed") == "false"
    assert at.page.get_attribute("[data-voice=speak]", "aria-disabled") == "true"


def test_the_microphone_is_asked_for_only_by_its_button(trial, browser):
    counts = "window.asked = 0; navigator.mediaDevices.getUserMedia = async () => { window.asked++; throw new " \
        "DOMException('no', 'NotAllowedError'); }"  # fmt: skip
    at = trial(locale="en-GB", script=counts)
    at.ring()
    at.page.click("[data-voice=speak]")
    assert at.page.evaluate("window.asked") == 0
    at.page.click("[data-voice=microphone]")
    at.page.wait_for_selector("#banner >> text=icon in the address bar")
    assert at.page.evaluate("window.asked") == 1
    assert at.page.get_attribute("[data-voice=microphone]", "aria-pressed") == "false"
    at.page.click("[data-voice=silent]")
    assert at.page.locator("#banner").is_hidden()


def test_all_by_keyboard(trial):
    at = trial(locale="en-GB")
    reached = []
    for _ in range(12):
        at.page.keyboard.press("Tab")
        reached.append(at.page.evaluate(FOCUSED))
    assert reached[:8] == ["language", "theme", "call", "silent", "soft", "speak", "microphone", "SUMMARY"]
    assert "agent-link" in reached
    at.page.focus("#call")
    at.page.keyboard.press("Enter")
    at.page.wait_for_selector("body[data-stage=ivr]")
    at.page.focus(".keypad summary")
    at.page.keyboard.press("Enter")
    at.page.focus("#keys button")
    at.page.keyboard.type("12#")
    at.page.keyboard.press("Enter")
    assert at.page.evaluate("window.call.keys") == "12#1"
    at.page.focus("#call")
    at.page.keyboard.press("Enter")
    at.page.wait_for_selector("body[data-stage=over]")


# ---- a second tab answers --------------------------------------------------------------------------------------------
def test_the_second_tab_is_offered_with_a_work_number_and_a_pin_that_fit(trial, floor):
    at = trial(locale="en-GB")
    at.page.wait_for_selector("#agent:not([hidden])")
    number, pin = at.page.text_content("#agent-number"), at.page.text_content("#agent-pin")
    assert (number, pin) == ("8016", PIN)
    with at.page.expect_popup() as opened:
        at.page.click("#agent-link")
    opened.value.wait_for_selector("#agent:focus")
    floor.accounts.set_pin("8016", "161616")
    try:
        floor.page._try_it._agent = ("", "", False)  # as after a restart of the page
        at.page.reload()
        at.page.wait_for_selector("#number:not(:empty)")
        assert at.page.locator("#agent").is_hidden(), "a PIN that does not fit any more is not shown"
    finally:
        floor.accounts.set_pin("8016", PIN)
        floor.page._try_it._agent = ("", "", False)


# ---- when something is missing ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("delete window.RTCPeerConnection", "recent Firefox, Chrome, Edge or Safari"),
        ("window.unreachable = true; const later = setTimeout; performance.now = "
         "(now => () => now() * 20)(performance.now.bind(performance))", "cannot reach the telephone system"),
        ("window.busy = true", "did not take the call (Busy)"),
        ("window.mute = true; const wait = window.setTimeout; window.setTimeout = (what, ms) => wait(what, ms / 20)",
         "hearline0"),
    ],
    ids=["no WebRTC", "no line", "refused", "no media"],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence_with_the_remedy(trial, script, says):
    at = trial(locale="en-GB", script=script)
    at.page.click("#call")
    at.page.wait_for_selector(f"#banner >> text={says}")
    keeps_nobody_out(at.page, says)


def test_a_page_without_a_secure_context_says_what_the_microphone_needs(trial):
    at = trial(locale="en-GB", script=INSECURE)
    at.ring()
    at.page.click("[data-voice=microphone]")
    at.page.wait_for_selector("#banner >> text=Browsers give the microphone only to pages at https://")


def test_a_server_that_goes_is_said_and_the_call_stays(trial, floor):
    at = trial(locale="en-GB")
    seen, call = visit(), at.ring()
    at.status.send(call, looks_until(seen, 2_000))
    at.page.wait_for_selector(f"#saying >> text={OPENING}")
    at.status.die(call)
    at.page.wait_for_selector("#banner >> text=The server has gone")
    assert at.page.get_attribute("body", "data-stage") == "ivr"


def test_where_it_is_off_it_says_so_and_gives_nothing(browser, tmp_path):
    with Floor(tmp_path) as floor, windows(browser, floor) as window:
        page = window(locale="en-GB", signed_in=False)
        page.goto(f"{floor.url}try")
        page.wait_for_selector("#banner >> text=HEARLINE_TRY_IT=signed-in")
        headers = {"Content-Type": "application/json"}
        assert page.request.post(f"{floor.url}api/try/phone", data="{}", headers=headers).status == 404


def test_on_a_real_box_only_for_who_is_signed_in_and_without_anybodys_pin(browser, tmp_path, status):
    floor = Floor(tmp_path)
    floor.try_it, floor.status = "signed-in", ("127.0.0.1", status.port)
    with floor, windows(browser, floor) as window:
        page = window(locale="en-GB", signed_in=False)
        page.goto(f"{floor.url}try")
        page.wait_for_selector("#banner >> text=Sign in at the agents’ page first")
        headers = {"Content-Type": "application/json"}
        assert page.request.post(f"{floor.url}api/try/phone", data="{}", headers=headers).status == 401
        page = window(locale="en-GB")
        page.goto(f"{floor.url}try")
        page.wait_for_selector("#number:not(:empty)")
        assert page.locator("#agent").is_hidden()
        assert page.request.post(f"{floor.url}api/try/phone", data="{}", headers=headers).status == 200


# ---- to be read by everybody -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["zh-CN", "en-GB"])
def test_nothing_that_axe_finds_wrong(trial, keep, theme, locale):
    at = trial(locale=locale, color_scheme=theme, height=1100)
    name = f"{theme}-{locale[:2]}"
    keep(at.page, f"try-idle-{name}", full_page=True)
    keeps_nobody_out(at.page, "idle")
    at.page.click(".keypad summary")
    seen, call = soft_then_louder(), at.ring()
    at.status.send(call, looks_until(seen, 2_000))
    at.page.wait_for_selector("#picture [data-prompt=opening]")
    keeps_nobody_out(at.page, "the opening")
    at.status.send(call, [look for look in seen.looks if 2_000 < look["at_ms"] <= 10_000])
    at.page.wait_for_selector("#picture [data-prompt=low-1]")
    at.page.click("[data-voice=speak]")
    at.page.wait_for_timeout(300)
    keep(at.page, f"try-soft-{name}", full_page=True)
    keeps_nobody_out(at.page, "too soft")
    at.status.send(call, [look for look in seen.looks if look["at_ms"] > 10_000])
    at.leaves(call, seen)
    at.page.wait_for_selector("body[data-stage=queue]")
    keeps_nobody_out(at.page, "the queue")
    at.floor.ring("8016", call=call)
    at.page.wait_for_selector("body[data-stage=rings]")
    keeps_nobody_out(at.page, "an agent's phone rings")
    at.floor.join("8016")
    at.page.wait_for_selector("body[data-stage=talk]")
    at.page.wait_for_timeout(1_500)
    keep(at.page, f"try-talk-{name}", full_page=True)
    keeps_nobody_out(at.page, "the talk")
    at.page.click("#call")
    at.page.wait_for_selector("#account:not([hidden])")
    keep(at.page, f"try-over-{name}", full_page=True)
    keeps_nobody_out(at.page, "the end")


@pytest.mark.parametrize("locale", ["zh-CN", "en-GB"])
def test_a_narrow_window_needs_no_scrolling_sideways(trial, keep, locale):
    at = trial(locale=locale, width=320, height=800, device_scale_factor=2)
    seen, call = soft_then_louder(), at.ring()
    at.status.send(call, seen.looks)
    at.page.wait_for_selector("#picture [data-prompt=low-1]")
    assert at.page.evaluate("document.documentElement.scrollWidth") <= 320
    keep(at.page, f"try-narrow-{locale[:2]}", full_page=True)
    keeps_nobody_out(at.page, "narrow")


def test_the_language_is_changed_in_the_middle_of_a_call(trial):
    at = trial()
    seen, call = visit(), at.ring()
    at.status.send(call, looks_until(seen, 5_000))
    at.page.wait_for_selector("#verdict >> text=全静音")
    at.page.click("header [data-do=language]")
    assert at.page.get_attribute("html", "lang") == "en"
    assert at.page.text_content("#verdict") == "digital silence"
    assert at.page.text_content("#saying") == OPENING
    assert at.page.locator("#log >> text=The hotline").count() == 1
    left = at.page.locator("[data-t]:visible", has_text=re.compile("[\u4e00-\u9fff]")).all_text_contents()
    assert left == []
