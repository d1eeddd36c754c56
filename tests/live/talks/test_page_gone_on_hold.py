"""The page that is an agent's phone is closed while the caller is on hold: it is opened again, or the desk phone rings,
or it is the queue's turn. Judged by what the callers heard: nobody sits in silence."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest
from bench.page.browser import chromium, chromium_path, microphone

from browser_phone import BrowserPhone, Events, Relay, Speech, address_for_media, new_context, open_page
from hearline.audio.level.p56 import rms_dbov
from world import MUSIC_DBOV, RATE, SPEECH, Call, Phones, Scenario, silence_s

CASES = ("returns", "desk", "queue")  # what becomes of the caller
LASTS_S = 13.5  # comeback.js
LOST_S, QUEUED_S = 15.0, 16.0  # until the desk phone rings, or else the caller is in the queue
LATE_S = 6.0  # which a slow machine may add
SILENCE_S = 3.0  # the bar
EDGE_S = 0.8  # until a change at one end has reached the other, jitter buffers included
MOST, NONE = 0.5, 0.1  # of a speech


@dataclass
class Told:
    """What happened, and when; what the callers heard."""

    at: dict[str, float] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    agent_says: Speech | None = None
    caller_says: Speech | None = None
    back: object = None  # what the page heard after it was opened again

    def after(self, what: str) -> float:
        """Seconds from the end of the pages to that."""
        return self.at[what] - self.at["closed"]


@pytest.fixture(scope="module")
def told(world, tmp_path_factory) -> Told:
    """Three agents hold their callers as their pages are closed. One opens the page again and takes the call back; one
    has a phone on the desk, too; one has nothing else."""
    if chromium_path() is None:
        pytest.skip("there is no Chromium: run make setup as root, or apt-get install chromium")
    told, folder = Told(), tmp_path_factory.mktemp("gone-on-hold")
    told.agent_says = Speech(folder / "agent.wav", SPEECH / "agent-reply.wav")
    told.caller_says = Speech(folder / "caller.wav", SPEECH / "caller-ask.wav", SPEECH / "caller-long.wav")
    with (
        address_for_media(),
        Relay(world.stack.running.page) as relay,
        Events(world) as asterisk,
        chromium(*microphone(told.agent_says.wav)) as browser,
    ):
        contexts = [new_context(browser) for _ in CASES]
        pages = [open_page(context, relay.url, world.agents[n]) for n, context in enumerate(contexts)]
        for page in pages:
            page.use()
        _story(world, told, dict(zip(CASES, pages, strict=True)), asterisk, relay.url)
    return told


def _story(world, told: Told, pages: dict[str, BrowserPhone], asterisk: Events, url: str) -> None:
    at, desk, context = told.at, world.agents[1].name, pages["returns"].page.context
    callers = {
        f"caller {n}": Scenario(keys=((1_500, "1"),), max_ms=90_000, background=str(told.caller_says.wav))
        for n in range(len(CASES))
    }
    script, used = world.script(callers, [world.agent(1, answer_after_ms=None, hangup_after_ms=None)])
    with Phones(script) as phones:
        began, channels = time.monotonic(), {}
        for case, page in pages.items():
            page.answer()
            channels[case] = _joined(page, asterisk, began)
        of = {case: next(n for n, account in used.items() if f"/{account}-" in channels[case]) for case in CASES}
        for page in pages.values():
            page.see("#tel [data-tel=hold]:visible")
            page.press("w")
            page.see("#tel [data-tel=hold][aria-pressed=true]")
        time.sleep(2.0)  # of music
        so_far, at["closed"] = len(phones.events), time.monotonic()
        for page in pages.values():
            page.page.close()
        time.sleep(3.0)  # with no page
        again = BrowserPhone(context.new_page(), pages["returns"].number)
        again.page.goto(url)
        at["offered"] = again.see("#tel [data-tel=back]:visible", LASTS_S)
        at["taken back"] = again.press("a")
        again.see("#tel [data-tel=hold]:visible")
        at["talks again"] = time.monotonic()
        at["desk"] = phones.wait_for("ringing", desk, since=so_far, timeout=LOST_S + 10)["at"]
        at["queue"] = asterisk.wait_for(
            "QueueCallerJoin", lambda one: one["Channel"] == channels["queue"], at["closed"], QUEUED_S + 10
        )
        time.sleep(3.5)  # longer than the silence that nobody may hear
        [told.back] = again.calls()
        at["over"] = time.monotonic()
        for name in callers:
            phones.hang_up(name)
        again.idle()
        again.page.close()
        found = world.calls(phones.wait(20), used, callers)
    told.calls |= {case: found[of[case]] for case in CASES}


def _joined(page: BrowserPhone, asterisk: Events, since: float) -> str:
    """Wait until the agent is joined with a caller. The caller's channel."""
    asterisk.wait_for("AgentConnect", lambda one: one["MemberName"] == page.number, since)
    connected = [one for _, one in asterisk.seen if one["Event"] == "AgentConnect"]
    return next(one["Channel"] for one in reversed(connected) if one["MemberName"] == page.number)


@pytest.mark.parametrize("case", CASES)
def test_no_caller_is_cut_off_or_left_in_silence(told, case):
    call, longest = told.calls[case], silence_s(told.calls[case])
    print(f"longest silence {longest:.1f} s")
    assert call.result.disconnected_at >= told.at["over"]
    assert longest <= SILENCE_S


def test_a_page_that_is_opened_again_is_offered_its_call(told):
    print(f"offered after {told.after('offered'):.1f} s")
    assert told.after("offered") < LASTS_S
    again, over = told.at["talks again"] + EDGE_S, told.at["over"]
    heard = told.calls["returns"].since(again)[: round((over - again) * RATE)]
    assert told.agent_says.share(heard) > MOST
    assert told.caller_says.share(told.back.between(again, over)) > MOST


def test_the_caller_has_music_until_then(told):
    begin, end = told.at["closed"] + EDGE_S, told.at["taken back"]
    alone = told.calls["returns"].since(begin)[: round((end - begin) * RATE)]
    assert rms_dbov(alone) > MUSIC_DBOV and told.agent_says.share(alone) < NONE


def test_otherwise_the_desk_phone_rings_or_the_queue_has_the_caller(told):
    print(f"desk {told.after('desk'):.1f} s, queue {told.after('queue'):.1f} s")
    assert LASTS_S < told.after("desk") < LOST_S + LATE_S
    assert LASTS_S < told.after("queue") < QUEUED_S + LATE_S
