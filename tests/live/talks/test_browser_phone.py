"""The phone in the agent's page on real calls: a Chromium whose microphone plays a file, judged as the softphones are,
by what the tab and the callers heard, and when."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import pytest
from bench.page.browser import chromium, chromium_path, microphone
from bench.page.tab_sound import Sound

from browser_phone import (
    BrowserPhone,
    Events,
    Relay,
    Speech,
    address_for_media,
    new_context,
    open_page,
)
from hearline.audio.level.p56 import rms_dbov
from hearline.audio.wav import read_wav
from hearline.phone.heard import find_prompts
from hearline.phone.judge import presence, prompts_of
from world import MUSIC_DBOV, RATE, REPO, SOUNDS, SPEECH, Call, Phones, Scenario, until

RING_S, SPEECH_S, BACK_S, GONE_S = 0.3, 0.5, 3.0, 1.0  # the bars
EDGE_S = 0.6  # until a change at one end has reached the other, jitter buffers included
CUT_S = 10.0
MOST, NONE = 0.5, 0.05  # of a speech, which the browser's noise suppression and A-law have changed
TOO_SOFT_DB = -28.0
JOINING, HINTS = prompts_of(SOUNDS / "zh" / "whisper"), prompts_of(SOUNDS / "zh" / "hints")
PLAYED = prompts_of(SOUNDS / "zh" / "lanzhi")
COLLEAGUE = "caller-here"  # said by the colleague


@dataclass
class Told:
    """What happened, and when; what each side heard."""

    at: dict[str, float] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    tab: dict[str, Sound] = field(default_factory=dict)
    rings: dict[str, Sound] = field(default_factory=dict)
    colleague: list[tuple[float, np.ndarray]] = field(default_factory=list)  # answered, heard
    agent_says: Speech | None = None
    caller_says: Speech | None = None
    seen: dict[str, str] = field(default_factory=dict)

    def tab_heard(self, call: str, begin: str, end: str) -> np.ndarray:
        return self.tab[call].between(self.at[begin] + EDGE_S, self.at[end])

    def caller_heard(self, name: str, begin: str, end: str) -> np.ndarray:
        heard = self.calls[name].since(self.at[begin] + EDGE_S)
        return heard[: round((self.at[end] - self.at[begin] - EDGE_S) * RATE)]


@pytest.fixture(scope="module")
def told(world, tmp_path_factory) -> Told:
    """The agent 8016 takes, in the browser:

    first: chooses another microphone, mutes, holds, presses *4, loses the socket for 10 s, is loaded anew and takes the
    talk back, passes the caller on unasked to a colleague.
    soft: a caller who is too soft; asks the colleague first, and then connects the two.
    their end, our end: a colleague calls, and one of the two hangs up.
    Then a second window opens, takes the phone, and both are closed.
    """
    if chromium_path() is None:
        pytest.skip("there is no Chromium: run make setup as root, or apt-get install chromium")
    told, folder = Told(), tmp_path_factory.mktemp("browser-phone")
    told.agent_says = Speech(folder / "agent.wav", SPEECH / "agent-reply.wav", SPEECH / "agent-greeting.wav")
    told.caller_says = Speech(
        folder / "caller.wav", SPEECH / "caller-ask.wav", SPEECH / "caller-long.wav", SPEECH / "caller-louder.wav"
    )
    account = world.agents[0]
    with (
        address_for_media(),
        Relay(world.stack.running.page) as relay,
        Events(world) as asterisk,
        chromium(*microphone(told.agent_says.wav)) as browser,
    ):
        context = new_context(browser)
        phone = open_page(context, relay.url, account)
        phone.page.on("dialog", lambda dialog: dialog.accept())  # whether to leave the page in a talk
        phone.use()
        told.at["registered"] = time.monotonic()
        _first(world, told, phone, asterisk, relay, str(told.caller_says.wav))
        _soft(world, told, phone, asterisk, str(told.caller_says.wav))
        _direct(world, told, phone)
        _windows(world, told, phone, relay.url, account)
    return told


def _scenario(wav: str, **how) -> Scenario:
    return Scenario(max_ms=90_000, background=wav, keys=((1_500, "1"),), **how)


def _ring(told: Told, phone: BrowserPhone, asterisk: Events, name: str, since: float) -> None:
    """The queue rings the agent, who answers, hears the whisper, and is joined with the caller."""
    told.at[f"{name} rung"] = asterisk.wait_for("AgentCalled", lambda one: one["MemberName"] == phone.number, since)
    told.at[f"{name} answered"] = phone.answer()
    told.at[f"{name} joined"] = asterisk.wait_for("AgentConnect", lambda one: one["MemberName"] == phone.number, since)


def _first(world, told: Told, phone: BrowserPhone, asterisk: Events, relay: Relay, wav: str) -> None:
    at, scenarios, began = told.at, {"first": _scenario(wav)}, time.monotonic()
    script, used = world.script(scenarios)
    later, _ = world.script({}, [world.agent(1, answer_after_ms=300, hangup_after_ms=None, max_answers=1)])
    with Phones(script) as phones:
        _ring(told, phone, asterisk, "first", began)
        phone.page.screenshot(path=REPO / "page-out" / "live-browser-phone.png")
        time.sleep(2.0)
        phone.page.click("#tel-settings")
        phone.page.select_option("#phone-microphone", label="Fake Audio Input 2")
        phone.page.keyboard.press("Escape")
        at["switched"] = time.monotonic()
        time.sleep(EDGE_S + 1.2)
        at["mute"] = phone.press("m")
        time.sleep(EDGE_S + 1.0)
        at["unmute"] = phone.press("m")
        time.sleep(EDGE_S + 1.2)
        at["hold"] = phone.press("w")
        time.sleep(EDGE_S + 2.0)
        at["unhold"] = phone.press("w")
        time.sleep(EDGE_S + 1.2)
        at["keys"] = phone.press("k")
        phone.page.keyboard.type("*4", delay=150)
        phone.page.keyboard.press("Escape")
        phone.see("[data-key=low_volume][aria-pressed=true]")
        phone.page.wait_for_selector("[data-key=low_volume][aria-pressed=false]", timeout=10_000)
        at["cut"] = time.monotonic()
        relay.cut()
        time.sleep(CUT_S)
        told.seen["cut"] = phone.page.text_content("#tel-state")
        phone.page.screenshot(path=REPO / "page-out" / "live-browser-phone-cut.png")
        relay.mend()
        at["mended"] = time.monotonic()
        at["back"] = phone.ready(20)
        phone.see("body[data-link=live]")
        time.sleep(1.5)
        [told.tab["first"]], [told.rings["first"]] = phone.calls(), phone.rings()
        at["reload"] = time.monotonic()
        phone.page.reload(wait_until="commit")
        phone.see("#tel [data-tel=back]:visible")
        at["taken back"] = phone.press("a")
        time.sleep(EDGE_S + 2.5)
        [told.tab["first again"]] = phone.calls()
        at["pass"] = time.monotonic()
        with Phones(later) as colleague:
            phone.press("t")
            phone.page.fill("#tel-number", world.agents[1].number)
            phone.page.click("[data-tel=pass]")
            answered = colleague.wait_for("answered", world.agents[1].name)["at"]
            at["passed"] = phone.idle()
            time.sleep(3.0)  # a whisper
            at["colleague says"] = time.monotonic()
            colleague.say(world.agents[1].name, SPEECH / f"{COLLEAGUE}.wav")
            time.sleep(EDGE_S + 1.6)
            at["first over"] = time.monotonic()
            phones.hang_up("first")
            results = colleague.wait(10)
        told.colleague.append((answered, read_wav(results[world.agents[1].name].calls[0].recording)))
        told.calls |= world.calls(phones.wait(20), used, scenarios)


def _soft(world, told: Told, phone: BrowserPhone, asterisk: Events, wav: str) -> None:
    at, began = told.at, time.monotonic()
    say = tuple((7_000 + 3_200 * n, "caller-ask", TOO_SOFT_DB) for n in range(6))
    scenarios = {"soft": Scenario(keys=((1_500, "1"),), say=say, max_ms=90_000)}
    script, used = world.script(scenarios)
    later, _ = world.script({}, [world.agent(1, answer_after_ms=300, hangup_after_ms=None, max_answers=1)])
    with Phones(script) as phones:
        _ring(told, phone, asterisk, "soft", began)
        phone.press("m")  # while both speak at once, a soft voice is not judged
        phone.see("#hint-title >> text=客户声音太小", 15)
        time.sleep(HINTS["caller-too-soft"].size / RATE + 0.8)
        phone.press("m")
        at["consult"] = time.monotonic()
        with Phones(later) as colleague:
            phone.press("t")
            phone.page.fill("#tel-number", world.agents[1].number)
            phone.page.keyboard.press("Enter")
            answered = at["consulted"] = colleague.wait_for("answered", world.agents[1].name)["at"]
            at["asked"] = phone.see("#tel [data-tel=join]:visible")  # the colleague has heard the whisper
            time.sleep(EDGE_S + 1.5)
            at["join"] = phone.press("j")
            at["handed over"] = phone.idle()
            told.tab["soft"], told.rings["soft"] = phone.calls()[1], phone.rings()[0]
            time.sleep(1.0)
            at["colleague says again"] = time.monotonic()
            colleague.say(world.agents[1].name, SPEECH / f"{COLLEAGUE}.wav")
            time.sleep(EDGE_S + 1.2)
            colleague.hang_up(world.agents[1].name)
            results = colleague.wait(10)
        told.colleague.append((answered, read_wav(results[world.agents[1].name].calls[0].recording)))
        told.calls |= world.calls(phones.wait(20), used, scenarios)


def _direct(world, told: Told, phone: BrowserPhone) -> None:
    account = world.agents[2]
    for end in ("their end", "our end"):
        script, _ = world.script({end: Scenario(number=phone.number, max_ms=20_000)})
        [caller] = script["callers"]
        caller["account"] = {"user": account.name, "password": account.password}
        with Phones(script) as phones:
            phone.answer()
            phones.wait_for("answered", end)
            time.sleep(1.0)
            told.at[end] = time.monotonic()
            if end == "their end":
                phones.hang_up(end)
                told.at[f"{end} seen"] = phone.idle()
            else:
                phone.press("e", "e")
                told.at[f"{end} seen"] = phones.wait_for("disconnected", end)["at"]
            phones.wait(10)


def _windows(world, told: Told, phone: BrowserPhone, url: str, account) -> None:
    other = phone.page.context.new_page()
    other.goto(url)
    second = BrowserPhone(other, phone.number)
    second.see("#tel[data-standing=elsewhere]")
    told.seen["contacts"] = world.stack.console("pjsip show contacts")
    other.click("#tel [data-tel=here]")
    second.ready()
    phone.see("#tel[data-standing=elsewhere]")
    other.close()
    told.at["closed"] = time.monotonic()
    told.at["first window again"] = phone.ready()
    until(lambda: _available(world, phone.number), 3)
    told.at["last closed"] = time.monotonic()
    phone.page.close()
    until(lambda: not _available(world, phone.number), 10)
    told.at["unavailable"] = time.monotonic()


def _available(world, number: str) -> bool:
    [member] = [line for line in world.stack.console("queue show care").splitlines() if f"hint:{number}@" in line]
    return "Unavailable" not in member and "paused" not in member


# ---- ring and answer -------------------------------------------------------------------------------------------------
@pytest.mark.realtime
@pytest.mark.parametrize("name", ["first", "soft"])
def test_it_rings_as_soon_as_the_queue_rings_it(told, name):
    assert 0 <= told.rings[name].first_heard - told.at[f"{name} rung"] <= RING_S


@pytest.mark.realtime
@pytest.mark.parametrize("name", ["first", "soft"])
def test_the_whisper_before_the_join_is_heard_in_the_tab_alone(told, name):
    before = told.tab[name].between(told.at[f"{name} answered"] - 1, told.at[f"{name} joined"] + 0.5)
    [whisper] = find_prompts(before, JOINING)
    assert whisper.complete > 0.97
    begun = max(told.at[f"{name} answered"] - 1, told.tab[name].began) + whisper.start_ms / 1_000
    assert begun - told.at[f"{name} answered"] <= SPEECH_S
    assert presence(told.calls[name].recording, JOINING[whisper.id]).absent


@pytest.mark.realtime
def test_both_hear_each_other_at_once(told):
    joined = told.at["first joined"]
    assert told.caller_says.first_s(told.tab["first"].between(joined, joined + 2)) <= SPEECH_S
    assert told.agent_says.first_s(told.calls["first"].since(joined)[: 2 * RATE]) <= SPEECH_S


# ---- in the talk -----------------------------------------------------------------------------------------------------
def test_another_microphone_can_be_chosen(told):
    assert told.agent_says.share(told.caller_heard("first", "switched", "mute")) > MOST


def test_a_muted_agent_is_silent(told):
    assert rms_dbov(told.caller_heard("first", "mute", "unmute")) < MUSIC_DBOV
    assert told.caller_says.share(told.tab_heard("first", "mute", "unmute")) > MOST, "the agent goes on hearing"
    assert told.agent_says.share(told.caller_heard("first", "unmute", "hold")) > MOST


def test_a_hold_gives_the_caller_music_and_both_silence_each_other(told):
    held = told.caller_heard("first", "hold", "unhold")
    assert rms_dbov(held) > MUSIC_DBOV and told.agent_says.share(held) < NONE
    assert told.caller_says.share(told.tab_heard("first", "hold", "unhold")) < NONE
    assert told.agent_says.share(told.caller_heard("first", "unhold", "keys")) > MOST
    assert told.caller_says.share(told.tab_heard("first", "unhold", "keys")) > MOST


def test_the_keypad_reaches_hearline(told):
    assert "low-1" in [one.id for one in find_prompts(told.caller_heard("first", "keys", "cut"), PLAYED)]


def test_a_whisper_in_the_talk_is_heard_in_the_tab_alone(told):
    talk = told.tab_heard("soft", "soft joined", "consult")
    assert [one.id for one in find_prompts(talk, HINTS) if one.complete > 0.97] == ["caller-too-soft"]
    assert presence(told.calls["soft"].recording, HINTS["caller-too-soft"]).absent


def test_without_the_socket_the_talk_goes_on(told):
    assert told.agent_says.share(told.caller_heard("first", "cut", "mended")) > MOST
    assert told.caller_says.share(told.tab_heard("first", "cut", "mended")) > MOST
    assert told.agent_says.share(told.caller_heard("first", "mended", "reload")) > MOST
    assert told.caller_says.share(told.tab_heard("first", "mended", "reload")) > MOST


@pytest.mark.realtime
def test_a_talk_goes_on_after_the_page_was_loaded_anew(told):
    back = told.at["taken back"]
    assert told.caller_says.first_s(told.tab["first again"].since(back)) <= BACK_S
    assert told.agent_says.first_s(told.calls["first"].since(back)) <= BACK_S


def test_the_line_is_back_soon_after_the_socket(told):
    assert told.at["back"] - told.at["mended"] <= BACK_S
    assert told.seen["cut"]


# ---- transfers and the end -------------------------------------------------------------------------------------------
def test_a_caller_who_is_passed_on_unasked_talks_to_the_colleague(told):
    answered, heard = told.colleague[0]
    after = heard[round((told.at["colleague says"] - answered) * RATE) :]
    assert told.caller_says.share(after[: 2 * RATE]) > MOST
    assert presence(told.calls["first"].since(told.at["colleague says"]), read_wav(SPEECH / f"{COLLEAGUE}.wav")).heard


def test_a_colleague_is_asked_first_while_the_caller_hears_music(told):
    answered, heard = told.colleague[1]
    asked = heard[round((told.at["asked"] + EDGE_S - answered) * RATE) : round((told.at["join"] - answered) * RATE)]
    assert told.agent_says.share(asked) > MOST
    waiting = told.caller_heard("soft", "consulted", "join")
    assert rms_dbov(waiting) > MUSIC_DBOV and told.agent_says.share(waiting) < NONE
    assert presence(
        told.calls["soft"].since(told.at["colleague says again"]), read_wav(SPEECH / f"{COLLEAGUE}.wav")
    ).heard


@pytest.mark.parametrize("end", ["their end", "our end"])
def test_whoever_hangs_up_the_other_sees_it_at_once(told, end):
    assert told.at[f"{end} seen"] - told.at[end] <= GONE_S


# ---- windows ---------------------------------------------------------------------------------------------------------
def test_one_window_holds_the_phone(told):
    assert told.seen["contacts"].count("web-8016/") == 1
    assert told.at["first window again"] - told.at["closed"] <= 2.0


def test_without_a_window_the_agent_is_unavailable(told):
    assert told.at["unavailable"] - told.at["last closed"] <= GONE_S
