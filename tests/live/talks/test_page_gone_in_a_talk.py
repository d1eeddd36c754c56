"""The page that is an agent's phone goes in the middle of a talk: it is loaded again, or closed. Judged by what the
callers heard: nobody is cut off, and nobody sits in silence."""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from bench.page.browser import chromium, chromium_path, microphone

from browser_phone import BrowserPhone, Events, Relay, Speech, address_for_media, new_context, open_page
from hearline.audio.level.p56 import rms_dbov
from hearline.phone.heard import find_prompts
from hearline.phone.judge import presence, prompts_of
from web_phone import Desk
from world import MUSIC_DBOV, RATE, SOUNDS, SPEECH, Call, Phones, Scenario, silence_s, until

SILENCE_S = 3.0  # the bar
SPOKEN = 0.5  # of some sentences that somebody speaks all the time, with the pauses between their words
EDGE_S = 0.8  # until a change at one end has reached the other, jitter buffers included
LOST_S = 15  # rtp_timeout
PLAYED = prompts_of(SOUNDS / "zh" / "lanzhi")
SAYS = "caller-louder"  # not said by anybody else here
CALLERS = ("reload", "returns", "alone")


@dataclass
class Told:
    """What happened, and when; what each side heard."""

    at: dict[str, float] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=dict)
    talks: dict[str, list[dict]] = field(default_factory=dict)  # the records, by caller
    agent_says: Speech | None = None
    caller_says: Speech | None = None
    tab: object = None  # what the page heard after it was loaded again
    stolen: list[int] = field(default_factory=list)  # the answers to those who wanted to take the call
    took: str = ""  # the account that the colleague took from the queue first
    variables: str = ""  # of the channel on which the agent came back

    def heard(self, name: str, begin: str, end: str):
        sound = self.calls[name].since(self.at[begin] + EDGE_S)
        return sound[: round((self.at[end] - self.at[begin] - EDGE_S) * RATE)]


@pytest.fixture(scope="module")
def told(world, tmp_path_factory) -> Told:
    """reload: the page is loaded again in the talk, and takes its call back after some seconds. Then its socket is lost
    and comes back; the caller hangs up.
    returns: the page is closed, opened again, and does not take the call back: the agent is rung.
    alone: the page is closed for good: the caller goes back into the queue, before somebody who has waited longer.
    """
    if chromium_path() is None:
        pytest.skip("there is no Chromium: run make setup as root, or apt-get install chromium")
    told, folder, began = Told(), tmp_path_factory.mktemp("page-gone"), time.time()
    told.agent_says = Speech(folder / "agent.wav", SPEECH / "agent-reply.wav")
    told.caller_says = Speech(folder / "caller.wav", SPEECH / "caller-ask.wav", SPEECH / "caller-long.wav")
    with (
        address_for_media(),
        Relay(world.stack.running.page) as relay,
        Events(world) as asterisk,
        chromium(*microphone(told.agent_says.wav)) as browser,
    ):
        contexts = [new_context(browser) for _ in range(2)]
        phones = [open_page(context, relay.url, world.agents[n]) for n, context in enumerate(contexts)]
        _reload(world, told, phones[0], asterisk, relay)
        _closed(world, told, phones, asterisk, relay)
    told.talks = until(lambda: _talks(world, began, told.used), 5)
    return told


def _scenario(told: Told, **how) -> Scenario:
    return Scenario(keys=((1_500, "1"),), max_ms=90_000, background=str(told.caller_says.wav), **how)


def _join(phone: BrowserPhone, asterisk: Events, since: float) -> str:
    """Answer; once the two are joined, the caller's channel."""
    phone.answer()
    at = asterisk.wait_for("AgentConnect", lambda one: one["MemberName"] == phone.number, since)
    return next(one["Channel"] for seen, one in asterisk.seen if seen == at)


def _reload(world, told: Told, phone: BrowserPhone, asterisk: Events, relay: Relay) -> None:
    at, scenarios = told.at, {"reload": _scenario(told)}
    phone.page.on("dialog", lambda dialog: dialog.accept())
    phone.use()
    script, used = world.script(scenarios)
    with Phones(script) as callers:
        _join(phone, asterisk, time.monotonic())
        time.sleep(2.0)
        at["gone"] = time.monotonic()
        phone.page.reload(wait_until="commit")
        phone.see("#tel [data-tel=back]:visible")
        time.sleep(max(0.0, at["gone"] + 4.0 - time.monotonic()))
        at["back"] = phone.press("a")
        phone.see("#tel [data-tel=end]:visible")
        at["talks again"] = time.monotonic()
        time.sleep(EDGE_S + 1.5)
        at["key"] = phone.press("k")
        phone.page.keyboard.type("*4", delay=150)
        phone.page.keyboard.press("Escape")
        phone.see("[data-key=low_volume][aria-pressed=true]")
        dialog = json.loads(phone.page.evaluate("localStorage.getItem('phone-talk')"))["dialog"]
        with ThreadPoolExecutor(1) as elsewhere:  # Playwright's loop runs in this thread
            told.stolen = elsewhere.submit(asyncio.run, _steal(world, dialog)).result()
        phone.page.wait_for_selector("[data-key=low_volume][aria-pressed=false]", timeout=10_000)
        [channel] = [line[0] for line in world.channels() if line[0].startswith(f"PJSIP/web-{phone.number}-")]
        told.variables = world.stack.console(f"core show channel {channel}")
        at["cut"] = time.monotonic()
        relay.cut()
        phone.see("#tel[data-standing=lost]")
        relay.mend()
        phone.ready(20)
        time.sleep(2.0)
        at["caller leaves"] = time.monotonic()
        told.tab = phone.calls()[0]
        callers.hang_up("reload")
        at["page sees it"] = phone.idle()
        told.calls |= world.calls(callers.wait(10), used, scenarios)
    told.used |= used


async def _steal(world, dialog: dict[str, str]) -> list[int]:
    """Another agent's page tries to take this call, and knows its Call-ID and one of its tags."""
    stranger, found = world.agents[3], []
    async with Desk(world.stack.running.page) as desk:
        await desk.sign_in(stranger.number, stranger.pin)
        async with desk.phone() as phone:
            _, account = await desk.post("phone")
            user, password = account["user"], account["password"]
            assert await phone.register(user, password) == 200
            for ours, theirs in ((dialog["ours"], "guessed"), ("guessed", dialog["theirs"])):
                replaces = f"Replaces: {dialog['callId']};to-tag={theirs};from-tag={ours}"
                found.append(await phone.call(world.agents[0].number, user, password, replaces, "Require: replaces"))
        await desk.post("sign-out")
    return found


def _closed(world, told: Told, phones: list[BrowserPhone], asterisk: Events, relay: Relay) -> None:
    at, contexts = told.at, [phone.page.context for phone in phones]
    phones[0].see("body[data-link=live]")
    phones[1].use()
    scenarios = {name: _scenario(told) for name in ("one", "other")}
    script, used = world.script(scenarios)
    late, late_used = world.script({"waits": _scenario(told)})
    desk, _ = world.script({}, [world.agent(2, answer_after_ms=300, hangup_after_ms=None, max_answers=1)])
    with Phones(script) as callers:
        began = time.monotonic()
        first = _join(phones[0], asterisk, began)
        _join(phones[1], asterisk, began)
        names = {name: "returns" if f"/{account}-" in first else "alone" for name, account in used.items()}
        with Phones(late) as waiting:
            time.sleep(1.0)
            at["closed"] = time.monotonic()
            for phone in phones:
                phone.page.close()
            time.sleep(LOST_S - 7)
            again = BrowserPhone(contexts[0].new_page(), phones[0].number)
            again.page.goto(relay.url)
            again.ready()
            asterisk.wait_for("QueueCallerJoin", lambda one: one["Channel"] != first, at["closed"] + LOST_S - 1)
            with Phones(desk) as colleague:
                again.answer(20)
                at["returned"] = asterisk.wait_for(
                    "BridgeEnter",
                    lambda one: one["Channel"].startswith(f"PJSIP/web-{again.number}-"),
                    at["closed"] + 10,
                )
                name = world.agents[2].name
                told.took = colleague.wait_for("ringing", name)["remote"]
                colleague.wait_for("answered", name)
                time.sleep(3.5)
                at["colleague says"] = time.monotonic()
                colleague.say(name, SPEECH / f"{SAYS}.wav")
                time.sleep(prompts_of(SPEECH)[SAYS].size / RATE + 0.7)
                at["over"] = time.monotonic()
                waiting.hang_up("waits")
                again.press("e", "e")
                colleague.hang_up(name)
                colleague.wait(10)
            waiting.wait(10)
        results = callers.wait(20)
        told.calls |= {names[name]: call for name, call in world.calls(results, used, scenarios).items()}
    told.used |= {names[name]: account for name, account in used.items()} | late_used


def _talks(world, began: float, used: dict[str, str]) -> dict[str, list[dict]] | None:
    """The records, by the caller; None as long as one is missing."""
    found: dict[str, list[dict]] = {name: [] for name in used}
    for file in (world.stack.settings.state / "talks").glob("*/*.json"):
        if file.stat().st_mtime >= began:
            record = json.loads(file.read_text("utf-8"))
            for name, account in used.items():
                if f"/{account}-" in record["caller"]:
                    found[name].append(record)
    return found if all(found[name] for name in CALLERS) else None


@pytest.mark.parametrize("name", CALLERS)
def test_no_caller_is_cut_off_or_left_in_silence(told, name):
    call, end = told.calls[name], told.at["caller leaves" if name == "reload" else "over"]
    assert call.result.disconnected_at >= end
    assert silence_s(call) <= SILENCE_S


def test_a_page_that_was_loaded_again_takes_its_call_back(told):
    assert told.agent_says.share(told.heard("reload", "talks again", "key")) > SPOKEN
    assert told.caller_says.share(told.tab.between(told.at["talks again"] + EDGE_S, told.at["key"])) > SPOKEN


def test_the_caller_has_music_until_then(told):
    alone = told.heard("reload", "gone", "back")[round(0.7 * RATE) :]
    assert told.agent_says.share(alone) < 0.1 and rms_dbov(alone) > MUSIC_DBOV
    assert told.agent_says.share(told.heard("reload", "talks again", "key")) > SPOKEN, "and none from then on"


def test_it_is_the_same_agent_in_the_same_talk(told):
    [record] = told.talks["reload"]
    kinds = [event["event"] for event in record["events"]]
    assert kinds.count("joined") == kinds.count("came_back") == 1
    assert "transfer_began" not in kinds
    assert [one["rule"] for one in record["events"] if one["event"] == "show_card"].count("answering") == 1
    assert {"event": "hung_up", "side": "caller"}.items() <= record["events"][kinds.index("hung_up")].items()
    for name in ("HEARLINE_CALLER", "HEARLINE_CALL", "HEARLINE_QUEUE", "HEARLINE_HEARD", "HEARLINE_AGENT"):
        assert f"{name}=" in told.variables


def test_nobody_takes_a_call_without_the_secrets_of_its_page(told):
    assert told.stolen == [481, 481]


def test_the_keys_work_on(told):
    assert "low-1" in [one.id for one in find_prompts(told.heard("reload", "key", "cut"), PLAYED)]


@pytest.mark.realtime
def test_a_lost_socket_costs_nothing_and_the_page_hears_of_the_end(told):
    assert told.agent_says.share(told.heard("reload", "cut", "caller leaves")) > SPOKEN
    assert told.at["page sees it"] - told.at["caller leaves"] <= 1.0


def test_the_agent_is_rung_again(told):
    assert told.at["returned"] - told.at["closed"] < LOST_S + 8
    assert told.agent_says.share(told.heard("returns", "returned", "over")) > SPOKEN
    [record] = told.talks["returns"]
    assert "hung_up" in [event["event"] for event in record["events"]], "by the agent, at the end"
    assert [event["event"] for event in record["events"]].count("hung_up") == 1


def test_without_the_agent_the_caller_is_the_first_in_the_queue(told):
    assert told.used["alone"] in told.took
    said = told.calls["alone"].since(told.at["colleague says"])
    assert presence(said, prompts_of(SPEECH)[SAYS]).heard
