"""The docker stack, brought up for real on either kind of network: it takes calls, survives the loss of each container,
and leaves nothing.

The tests share one stack at a time, and run in order.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from bench.page.browser import chromium_path
from bench.page.tab_sound import LOUD, sounds

from docker_engine import PUBLIC
from docker_stack import (
    HOST,
    RUNNING,
    SERVICES,
    SOUNDS,
    PrivateStack,
    Stack,
    callers_sentence,
    ended,
    kill,
    prompts,
    recording,
)
from hearline.audio.wav import read_wav
from hearline.phone.heard import RATE, find_prompts
from hearline.phone.judge import WHOLE, presence, prompts_of

SILENT = {"name": "silent", "hangup_at_ms": 6_000}
AGENT = {
    "name": "agent-8016",
    "answer_after_ms": 1_000,
    "hangup_after_ms": 14_000,
    "say": [{"at_ms": 3_400, "wav": callers_sentence("agent-greeting")}],
}
SPEAKS = {
    "name": "speaks",
    "say": [
        {"at_ms": 4_500, "wav": callers_sentence("caller-wei")},
        {"at_ms": 16_000, "wav": callers_sentence("caller-here")},
    ],
}
CALL_S = 60
OPENING_S = 3.0  # from a click in the browser
IN_A_TAB = 0.9  # of a prompt: a browser's jitter buffer stretches and shortens
BY_BOTH = {"hearline/ami-secret", "hearline/page/pins.json", "hearline/page/try.json"}
CERTIFICATE = {"hearline/page/certificate.pem", "hearline/page/key.pem"}  # where others can reach the page


# ---- what came up ----------------------------------------------------------------------------------------------------
def test_init_has_ended_well_and_says_what_a_phone_needs(stack):
    assert stack.inspect("init")["State"]["ExitCode"] == 0
    if stack.file == HOST:
        assert stack.sip == "127.0.0.1:5070" and "http://127.0.0.1:9673/" in stack.card
        assert stack.try_it == "http://127.0.0.1:9673/try"
    else:
        assert stack.sip == f"{PUBLIC}:5070" and "50 phones" in stack.card
        assert stack.try_it == f"https://{PUBLIC}:9673/try"


@pytest.mark.parametrize("service", RUNNING)
def test_it_is_not_root_and_can_do_nothing_more_than_it_must(stack, service):
    with open(f"/proc/{stack.pid(service)}/status") as lines:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)
    assert set(status["Uid"].split()) == {str(SERVICES[service])}
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == "1"
    assert stack.inspect(service)["HostConfig"]["ReadonlyRootfs"]


def test_each_service_reads_the_secrets_that_it_needs_and_no_others(stack):
    """`init` has written them, so it reads its own again."""
    assert stack.inspect("init")["Config"]["User"] == f"{SERVICES['init']}:{SERVICES['init']}"
    readers = stack.readers()
    shared = BY_BOTH | (set() if stack.file == HOST else CERTIFICATE)
    etc = {file for file in readers if file.startswith("etc/")}
    assert {"etc/manager.conf", "etc/pjsip.conf"} <= etc and shared | {"accounts/accounts.json"} <= readers.keys()
    wanted = {
        file: {"init", "hearline"}
        if file in shared
        else {"init", "asterisk"}
        if file in etc
        else {"init" if file.startswith("accounts/") else file.partition("/")[0]}
        for file in readers
    }
    assert readers == wanted


def test_nothing_listens_but_on_loopback(stack):
    if stack.file != HOST:
        pytest.skip("what it publishes is in the compose file")
    listening = [line.split()[3] for line in stack.engine.inside("ss", "-Hltn").splitlines()]
    ports = {int(address.rpartition(":")[2]) for address in listening if address.startswith("127.0.0.1:")}
    assert {4573, 9092, 9192, 9573, 9673, 5038, 8088} <= ports
    assert [address for address in listening if not address.startswith("127.0.0.1:")] == []


def test_agent_assist_and_the_page_are_there(stack):
    assert_agents_are_helped(stack)


def assert_agents_are_helped(stack: Stack) -> None:
    stack.wait_whispers()
    assert "<html" in stack.page()


def test_accounts_are_managed_in_the_servers_container(stack):
    listed = stack.compose("exec", "-T", "hearline", "hearline", "agents", "list")
    assert [line.split("\t")[0] for line in listed.splitlines()] == ["8016", "8017", "8018", "8019"]


def test_up_again_keeps_accounts_and_containers(stack):
    before, card = {name: stack.pid(name) for name in RUNNING}, stack.card
    stack.up()
    assert {name: stack.pid(name) for name in RUNNING} == before
    assert stack.card == card + card, "init has run twice, and has printed the same"


# ---- calls -----------------------------------------------------------------------------------------------------------
def test_a_caller_hears_the_opening(stack):
    assert_hears_the_opening(stack)


def assert_hears_the_opening(stack: Stack) -> None:
    with stack.phones([SILENT]) as calls:
        call = calls.wait(CALL_S)["silent"].call
    assert prompts(call).get("opening", 0) >= WHOLE


@pytest.mark.skipif(chromium_path() is None, reason="there is no Chromium: apt-get install chromium")
def test_a_browser_rings_from_try_it_and_hears_the_opening(stack, record_property):
    with stack.browser() as page:
        page.goto(stack.try_it)
        page.wait_for_selector("#number:not(:empty)")
        clicked = time.monotonic()
        page.click("#call")
        page.wait_for_selector("#picture [data-timer=opening]", timeout=15_000)
        [call] = [sound for sound in sounds(page) if sound.call]
    [opening] = [one for one in find_prompts(call.samples, prompts_of(SOUNDS / "lanzhi")) if one.id == "opening"]
    assert opening.complete > IN_A_TAB
    seconds = call.began + opening.start_ms / 1_000 - clicked
    record_property("seconds from the click to the opening", round(seconds, 2))
    assert seconds < OPENING_S


def test_an_agent_hears_the_whisper_and_the_two_hear_each_other(stack):
    with stack.phones([SPEAKS], [AGENT]) as calls:
        results = calls.wait(CALL_S)
    caller, agent = results["speaks"].call, results["agent-8016"].call
    whispers = find_prompts(recording(agent), prompts_of(SOUNDS / "whisper"))
    assert [found.id for found in whispers if found.complete >= WHOLE and found.id.startswith("care-")]
    assert presence(recording(caller), read_wav(callers_sentence("agent-greeting"))).heard
    assert presence(recording(agent), read_wav(callers_sentence("caller-here"))).heard


def test_a_caller_whose_hearline_is_killed_reaches_an_agent(stack):
    killed = stack.pid("hearline")
    with stack.phones([SILENT | {"hangup_at_ms": None}], [AGENT]) as calls:
        calls.wait_for("answered", "silent")
        kill(killed)
        results = calls.wait(CALL_S)
    assert ended(killed)
    assert presence(recording(results["silent"].call), read_wav(callers_sentence("agent-greeting"))).heard
    stack.wait_healthy("hearline", since=killed)
    assert_hears_the_opening(stack)


def test_a_call_goes_on_while_agent_assist_and_page_are_killed(stack):
    """In the opening, and again in the talk."""
    killed = stack.parts()
    with stack.phones([SPEAKS], [AGENT]) as calls:
        calls.wait_for("answered", "speaks")
        kill(*killed)
        calls.wait_for("answered", "agent-8016")
        killed += (again := stack.parts())
        kill(*again)
        results = calls.wait(CALL_S)
    caller, agent = results["speaks"].call, results["agent-8016"].call
    assert len(set(killed)) == 4 and all(map(ended, killed))
    assert prompts(caller).get("opening", 0) >= WHOLE
    assert presence(recording(caller), read_wav(callers_sentence("agent-greeting"))).heard
    assert presence(recording(agent), read_wav(callers_sentence("caller-here"))).heard
    assert_agents_are_helped(stack)


def test_an_asterisk_that_is_killed_in_a_call_comes_back_and_takes_calls(stack):
    killed = stack.pid("asterisk")
    with stack.phones([SILENT]) as calls:
        calls.wait_for("answered", "silent")
        kill(killed)
        call = calls.wait(CALL_S)["silent"].call
    assert prompts(call).get("opening", 0) < WHOLE
    assert np.abs(recording(call)[-RATE:]).max() < LOUD, "nothing more is heard"
    stack.wait_healthy("asterisk", since=killed)
    assert_hears_the_opening(stack)


# ---- what is left ----------------------------------------------------------------------------------------------------
def test_down_leaves_nothing(stack):
    stack.down()
    assert stack.left() == {}


# ---- the private stack -----------------------------------------------------------------------------------------------
def test_the_private_stack_runs_its_asterisk_in_a_container(engine, tmp_path):
    with PrivateStack(engine, tmp_path) as stack:
        assert_hears_the_opening(stack)
    assert stack.left() == {}
