"""An agent with a phone on the desk and one in the page: both ring, and whichever answers first gets the whisper and
the caller. Judged by what the phones, the tab and the callers heard."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import pytest
from bench.page.browser import chromium, chromium_path, microphone
from bench.page.tab_sound import Sound

from browser_phone import BrowserPhone, Events, Relay, Speech, address_for_media, new_context, open_page
from hearline.audio.level.p56 import rms_dbov
from hearline.audio.wav import read_wav
from hearline.phone.heard import find_prompts
from hearline.phone.judge import presence, prompts_of
from world import MUSIC_DBOV, RATE, SOUNDS, SPEECH, Call, Phones, Scenario, silence_s

DESK_RING_S, RING_S, STOPS_S, SPEECH_S, SILENCE_S = 0.02, 0.3, 1.0, 0.5, 3.0  # the bars
SLOW = 3  # how much more a slow machine may take, with other tests beside it
EDGE_S = 0.8  # until a change at one end has reached the other, jitter buffers included
MOST, NONE = 0.5, 0.1  # of a speech
WHISPERS = prompts_of(SOUNDS / "zh" / "whisper")
DESK_SAYS = "caller-here"


@dataclass
class Told:
    """What happened, and when; what each side heard. Moments and calls go by which phone has answered: page, desk."""

    at: dict[str, float] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    rings: dict[str, Sound] = field(default_factory=dict)
    tab: Sound | None = None  # what the page heard of the call that it answered
    desk: np.ndarray | None = None  # what the desk phone heard of the call that it answered
    agent_says: Speech | None = None
    caller_says: Speech | None = None

    def caller_heard(self, begin: str, end: str) -> np.ndarray:
        heard = self.calls["page"].since(self.at[begin] + EDGE_S)
        return heard[: round((self.at[end] - self.at[begin] - EDGE_S) * RATE)]


@pytest.fixture(scope="module")
def told(world, tmp_path_factory) -> Told:
    """page: the page answers, holds, takes back, and hangs up. desk: the desk phone answers, and hangs up."""
    if chromium_path() is None:
        pytest.skip("there is no Chromium: run make setup as root, or apt-get install chromium")
    told, folder = Told(), tmp_path_factory.mktemp("both-phones")
    told.agent_says = Speech(folder / "agent.wav", SPEECH / "agent-reply.wav", SPEECH / "agent-greeting.wav")
    told.caller_says = Speech(folder / "caller.wav", SPEECH / "caller-ask.wav", SPEECH / "caller-long.wav")
    with (
        address_for_media(),
        Relay(world.stack.running.page) as relay,
        Events(world) as asterisk,
        chromium(*microphone(told.agent_says.wav)) as browser,
    ):
        phone = open_page(new_context(browser), relay.url, world.agents[0])
        phone.use()
        _page_answers(world, told, phone, asterisk)
        phone.page.close()
        phone = open_page(new_context(browser), relay.url, world.agents[0])
        phone.use()
        _desk_answers(world, told, phone, asterisk)
        phone.page.close()
    return told


def _scenario(told: Told) -> Scenario:
    return Scenario(keys=((1_500, "1"),), max_ms=60_000, background=str(told.caller_says.wav))


def _ring(world, told: Told, phone: BrowserPhone, asterisk: Events, phones: Phones, name: str) -> None:
    """Wait until the queue, the desk phone and the page ring."""
    told.at[f"{name} queue rings"] = asterisk.wait_for(
        "AgentCalled", lambda one: one["MemberName"] == phone.number, told.at[name]
    )
    told.at[f"{name} desk rings"] = phones.wait_for("ringing", world.agents[0].name)["at"]
    phone.see("#tel [data-tel=answer]:visible")


def _page_answers(world, told: Told, phone: BrowserPhone, asterisk: Events) -> None:
    at, scenarios, desk = told.at, {"page": _scenario(told)}, world.agents[0].name
    at["page"] = time.monotonic()
    script, used = world.script(scenarios, [world.agent(0, answer_after_ms=None, hangup_after_ms=None)])
    with Phones(script) as phones:
        _ring(world, told, phone, asterisk, phones, "page")
        time.sleep(1.0)  # it rings for a while
        at["page answered"] = phone.answer()
        at["page joined"] = asterisk.wait_for("AgentConnect", lambda one: one["MemberName"] == phone.number, at["page"])
        at["desk stops"] = phones.wait_for("disconnected", desk)["at"]
        phone.see("#tel [data-tel=hold]:visible")
        time.sleep(EDGE_S + 2.0)
        at["hold"] = phone.press("w")
        phone.see("#tel [data-tel=hold][aria-pressed=true]")
        time.sleep(EDGE_S + 5.0)
        at["take back"] = phone.press("w")
        phone.see("#tel [data-tel=hold][aria-pressed=false]")
        time.sleep(EDGE_S + 2.0)
        [told.tab], [told.rings["page"]] = phone.calls(), phone.rings()
        at["page hangs up"] = phone.press("e", "e")
        phones.wait_for("disconnected", "page")
        phone.idle()
        told.calls |= world.calls(phones.wait(20), used, scenarios)


def _desk_answers(world, told: Told, phone: BrowserPhone, asterisk: Events) -> None:
    at, scenarios, desk = told.at, {"desk": _scenario(told)}, world.agents[0].name
    at["desk"] = time.monotonic()
    script, used = world.script(scenarios, [world.agent(0, answer_after_ms=2_000, hangup_after_ms=None, max_answers=1)])
    with Phones(script) as phones:
        _ring(world, told, phone, asterisk, phones, "desk")
        at["desk answered"] = phones.wait_for("answered", desk)["at"]
        phone.page.wait_for_selector("#tel [data-tel=answer]", state="hidden")
        at["page stops"] = time.monotonic()
        at["desk joined"] = asterisk.wait_for("AgentConnect", lambda one: one["MemberName"] == phone.number, at["desk"])
        [told.rings["desk"]] = phone.rings()
        at["desk says"] = time.monotonic()
        phones.say(desk, SPEECH / f"{DESK_SAYS}.wav")
        time.sleep(prompts_of(SPEECH)[DESK_SAYS].size / RATE + 2 * EDGE_S)
        at["desk hangs up"] = time.monotonic()
        phones.hang_up(desk)
        phones.wait_for("disconnected", "desk")
        results = phones.wait(20)
    told.calls |= world.calls(results, used, scenarios)
    told.desk = read_wav(results[desk].call.recording)


def _delays(told: Told) -> dict[str, float]:
    """What the bars are about, s."""
    at = told.at
    joined = at["page joined"]
    return {
        "desk ring": max(at[f"{name} desk rings"] - at[f"{name} queue rings"] for name in ("page", "desk")),
        "page ring": max(told.rings[name].first_heard - at[f"{name} queue rings"] for name in ("page", "desk")),
        "desk stops": at["desk stops"] - at["page answered"],
        "page stops": at["page stops"] - at["desk answered"],
        "agent hears": told.caller_says.first_s(told.tab.between(joined, joined + 3)),
        "caller hears": told.agent_says.first_s(told.calls["page"].since(joined)[: 3 * RATE]),
    }


BARS = {
    **{"desk ring": DESK_RING_S, "page ring": RING_S, "desk stops": STOPS_S, "page stops": STOPS_S},
    **{"agent hears": SPEECH_S, "caller hears": SPEECH_S},
}


@pytest.mark.realtime
def test_both_ring_and_stop_and_speech_begins_in_time(told):
    found = _delays(told)
    print({what: round(1_000 * delay) for what, delay in found.items()}, "ms")
    assert {what: delay for what, delay in found.items() if delay > SLOW * max(BARS[what], 0.1)} == {}


def test_the_first_to_answer_alone_gets_the_whisper(told):
    before = told.tab.between(told.at["page answered"] - 1, told.at["page joined"] + 0.5)
    [in_page] = find_prompts(before, WHISPERS)
    joined = round((told.at["desk joined"] - told.at["desk answered"] + 0.5) * RATE)
    [at_desk] = find_prompts(told.desk[:joined], WHISPERS)
    assert min(in_page.complete, at_desk.complete) > 0.9
    for name, whisper in (("page", in_page), ("desk", at_desk)):
        assert presence(told.calls[name].recording, WHISPERS[whisper.id]).absent


def test_at_the_desk_both_hear_each_other(told):
    talk = told.desk[round((told.at["desk says"] - told.at["desk answered"] + EDGE_S) * RATE) :]
    assert told.caller_says.share(talk) > MOST
    assert presence(told.calls["desk"].since(told.at["desk says"]), prompts_of(SPEECH)[DESK_SAYS]).heard


def test_the_caller_has_music_on_hold_and_then_the_agent_again(told):
    held, after = told.caller_heard("hold", "take back"), told.caller_heard("take back", "page hangs up")
    assert rms_dbov(held) > MUSIC_DBOV and told.agent_says.share(held) < NONE
    assert told.agent_says.share(after) > MOST
    assert told.caller_says.share(told.tab.between(told.at["take back"] + EDGE_S, told.at["page hangs up"])) > MOST
    assert silence_s(told.calls["page"]) <= SILENCE_S


@pytest.mark.parametrize("name", ["page", "desk"])
def test_an_agent_who_hangs_up_ends_the_call(told, name):
    end = told.calls[name].result.disconnected_at - told.at[f"{name} hangs up"]
    assert 0 <= end <= SLOW * STOPS_S
