"""A member of a FreePBX queue is an agent like any other: the member is an extension with a person's name, and the
extension's hint stands for the phone. Judged by the agent's page, the listening legs, the talk's record and what the
phones heard."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from datetime import datetime
from urllib.error import HTTPError

import pytest

from agents_page import Page
from hearline.audio.wav import read_wav
from hearline.pbx.config import Account
from hearline.phone.heard import find_prompts
from hearline.phone.judge import WHOLE, prompts_of
from hearline.phone.run import CallResult
from test_listening_legs import kill_assist
from test_transfers import talks_since
from test_who_is_an_agent import spied
from world import SOUNDS, Phones, Scenario, until

DESK, NUMBER, NAME = "desk-8021", "8021", "Zhang San"
QUEUE = "400"
BY_FLOW, AT_ONCE = "8181", "8182"
DESKS = """
[desk-8021](phone)
context = hearline-agents
auth = desk-8021
aors = desk-8021
[desk-8021]
type = auth
auth_type = userpass
username = desk-8021
password = {password}
[desk-8021]
type = aor
max_contacts = 1
"""
WHISPER = "callback-marked"
WHISPERS = prompts_of(SOUNDS / "zh" / "hints") | prompts_of(SOUNDS / "zh" / "whisper")
SOON_MS = 500


@pytest.fixture(scope="module")
def desk(world):
    """The agent's phone, and their account for the page."""
    account = Account(DESK, NUMBER, secrets.token_urlsafe(12), secrets.token_hex(4))
    world.stack.pins.set_pin(NUMBER, account.pin)
    until(lambda: is_known(world, account), 5)
    with world.endpoints(DESKS.format(password=account.password)):
        yield account
    world.stack.pins.remove(NUMBER)


def is_known(world, account: Account) -> bool:
    """True once agent assist has read of the account, too."""
    try:
        return Page(world, account).state()["agent"] == account.number
    except HTTPError as error:
        error.close()
        return False


def phone(world, desk: Account) -> dict:
    account = {"user": DESK, "password": desk.password, "server": world.stack.sip}
    return {"name": DESK, "answer_after_ms": 1_500, "hangup_after_ms": None, "account": account}


@dataclass
class Seen:
    """What the agent's page was told, the legs that were there (`spied`), the talk's record, and the phones' calls."""

    told: list[dict]
    legs: dict[str, str]
    record: dict
    caller: CallResult
    agent: CallResult

    def first(self, state: str) -> dict:
        return next(told for told in self.told if told["state"] == state)

    def events(self, kind: str) -> list[dict]:
        return [event for event in self.record["events"] if event["event"] == kind]


@pytest.fixture(scope="module", params=[BY_FLOW, AT_ONCE])
def seen(world, desk, request) -> Seen:
    """A caller in the queue, by the flow or without the IVR; the agent answers and marks the call on the page."""
    began = time.time()
    script, _ = world.script({"caller": Scenario(number=request.param, keys=((1_500, "1"),))}, [phone(world, desk)])
    with Phones(script) as phones, Page(world, desk) as page:

        def shows(state: str) -> dict | None:
            return page.told[-1] if page.told and page.told[-1]["state"] == state else None

        until(lambda: shows("ringing"), 20)
        phones.wait_for("answered", DESK)
        call = until(lambda: shows("talking"), 5)["call"]["id"]
        legs = until(lambda: now if len(now := spied(world)) == 2 else None, 5)
        time.sleep(1.0)
        page.post("press", call=call, key="callback")
        time.sleep(3.0)
        phones.hang_up("caller")
        until(lambda: shows("after"), 5)
        results = phones.wait(20)
    [record] = until(lambda: talks_since(world, began, 1), 5).values()
    return Seen(page.told, legs, record, results["caller"].call, results[DESK].calls[-1])


def test_the_page_of_the_extension_shows_the_call_from_the_first_ring_on(seen):
    for state in ("ringing", "talking", "after"):
        told = seen.first(state)
        assert (told["agent"], told["call"]["queue"]) == (NUMBER, QUEUE)


@pytest.mark.realtime
def test_a_card_comes_within_half_a_second_after_the_join(seen):
    [card, *_] = seen.events("show_card")
    joined = datetime.fromisoformat(seen.record["began_at"]).timestamp() - time.time() + time.monotonic()
    assert card["rule"] == "answering" and card["at_ms"] <= SOON_MS
    assert (joined - seen.agent.answered_at) * 1_000 + card["at_ms"] <= SOON_MS, "as long after the agent's answer"
    assert any(told["card"] and told["card"]["rule"] == "answering" for told in seen.told)


@pytest.mark.realtime
def test_both_are_listened_to_within_half_a_second(seen):
    assert {event["side"] for event in seen.events("sound")} == {"caller", "agent"}
    assert max(event["at_ms"] for event in seen.events("sound")) <= SOON_MS


def test_only_the_agents_phone_can_be_whispered_to(seen):
    whispered = [channel for channel, how in seen.legs.items() if "w" in how]
    assert [channel.rpartition("-")[0] for channel in whispered] == [f"PJSIP/{DESK}"]


def test_the_agent_hears_the_whisper_and_the_caller_does_not(seen):
    heard = find_prompts(read_wav(seen.agent.recording), WHISPERS)
    assert [found.id for found in heard if found.complete >= WHOLE] == [WHISPER]
    assert not [found for found in find_prompts(read_wav(seen.caller.recording), WHISPERS) if found.complete > 0.1]


def test_the_agent_is_the_extension_and_the_persons_name_is_nowhere(seen, world):
    assert [event["by"] for event in seen.events("key")] == [NUMBER]
    log = (world.stack.home / "log" / "hearline.log").read_text("utf-8", "replace")
    for text in (json.dumps(seen.told), json.dumps(seen.record), log):
        assert NAME not in text


def test_a_talk_goes_on_when_agent_assist_begins_anew(world, desk):
    """It knows nobody then: whose phone that is, the queue's list and the hint have to tell."""
    script, _ = world.script({"caller": Scenario(number=AT_ONCE)}, [phone(world, desk)])
    with Phones(script) as phones:
        phones.wait_for("answered", DESK)
        legs = until(lambda: now if len(now := spied(world)) == 2 else None, 5)
        kill_assist(world)
        until(lambda: not spied(world), 3)
        assert until(lambda: now if len(now := spied(world)) == 2 else None, 10) == legs
        until(lambda: is_known(world, desk), 5)
        with Page(world, desk) as page:
            until(lambda: page.told and page.told[-1]["state"] == "talking", 3)
        phones.hang_up("caller")
        phones.wait(20)


def test_a_member_whose_hint_names_no_phone_is_named_with_the_remedy(world):
    """FreePBX's agents come to a queue, and leave it, at any time."""
    member, hint = "Local/8022@from-queue/n", "hint:8022@ext-local"

    def missing() -> list[str]:
        return world.stack.readiness()["assist"]["missing"]

    def comes() -> None:
        world.stack.console(f'queue add member {member} to {QUEUE} penalty 0 as "Li Si" state_interface {hint}')

    assert missing() == []
    try:
        comes()
        [named] = until(missing, 5)
        assert f"[{QUEUE}]" in named and hint in named and "exten => 8022,hint,PJSIP/8022" in named
        assert "Li Si" not in named
        world.stack.console(f"queue remove member {member} from {QUEUE}")
        world.stack.console("dialplan add extension 8022,hint,PJSIP/desk-8022 into ext-local")
        comes()
        until(lambda: missing() == [], 5)
    finally:
        world.stack.console(f"queue remove member {member} from {QUEUE}")
        world.stack.console("dialplan remove extension 8022@ext-local")
