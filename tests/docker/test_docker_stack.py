"""The docker stack, brought up for real: it takes calls, survives the loss of each container, and leaves nothing.

The tests of a module share one stack and run in order.
"""

from __future__ import annotations

import pytest

from docker_stack import BRIDGE, SOUNDS, PrivateStack, Stack, callers_sentence, ended, prompts, recording
from hearline.audio.wav import read_wav
from hearline.phone.heard import find_prompts
from hearline.phone.judge import WHOLE, presence, prompts_of

SILENT = {"name": "silent", "hangup_at_ms": 6_000}
AGENT = {
    "name": "agent-8016",
    "answer_after_ms": 1_000,
    "hangup_after_ms": 14_000,
    "say": [{"at_ms": 3_400, "wav": callers_sentence("agent-greeting")}],
}
SERVICES = {"asterisk": 10_002, "hearline": 10_001}  # with their accounts
CALL_S = 60


# ---- what came up ----------------------------------------------------------------------------------------------------
def test_init_has_ended_well_and_says_what_a_phone_needs(stack):
    assert stack.inspect("init")["State"]["ExitCode"] == 0
    assert stack.sip == "127.0.0.1:5070" and "http://127.0.0.1:9673/" in stack.card
    assert stack.card.startswith("Try it       http://127.0.0.1:9673/try ")


@pytest.mark.parametrize("service", SERVICES)
def test_it_is_not_root_and_can_do_nothing_more_than_it_must(stack, service):
    with open(f"/proc/{stack.pid(service)}/status") as lines:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)
    assert set(status["Uid"].split()) == {str(SERVICES[service])}
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == "1"
    assert stack.inspect(service)["HostConfig"]["ReadonlyRootfs"]


def test_nothing_listens_but_on_loopback(stack):
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
    before, card = {name: stack.pid(name) for name in SERVICES}, stack.card
    stack.up()
    assert {name: stack.pid(name) for name in SERVICES} == before
    assert stack.card == card + card, "init has run twice, and has printed the same"


# ---- calls -----------------------------------------------------------------------------------------------------------
def test_a_caller_hears_the_opening(stack):
    assert_hears_the_opening(stack)


def assert_hears_the_opening(stack: Stack, **phones) -> None:
    with stack.phones([SILENT], **phones) as calls:
        call = calls.wait(CALL_S)["silent"].call
    assert prompts(call).get("opening", 0) >= WHOLE


def test_an_agent_hears_the_whisper_and_the_two_hear_each_other(stack):
    speaks = {
        "name": "speaks",
        "say": [
            {"at_ms": 4_500, "wav": callers_sentence("caller-wei")},
            {"at_ms": 16_000, "wav": callers_sentence("caller-here")},
        ],
    }
    with stack.phones([speaks], [AGENT]) as calls:
        results = calls.wait(CALL_S)
    caller, agent = results["speaks"].call, results["agent-8016"].call
    whispers = find_prompts(recording(agent), prompts_of(SOUNDS / "whisper"))
    assert [found.id for found in whispers if found.complete >= WHOLE and found.id.startswith("care-")]
    assert presence(recording(caller), read_wav(callers_sentence("agent-greeting"))).heard
    assert presence(recording(agent), read_wav(callers_sentence("caller-here"))).heard


def test_a_caller_whose_hearline_is_killed_reaches_an_agent(stack):
    with stack.phones([SILENT | {"hangup_at_ms": None}], [AGENT]) as calls:
        calls.wait_for("answered", "silent")
        killed = stack.kill("hearline")
        results = calls.wait(CALL_S)
    assert ended(killed)
    assert presence(recording(results["silent"].call), read_wav(callers_sentence("agent-greeting"))).heard
    stack.wait_healthy("hearline", since=killed)
    assert_hears_the_opening(stack)


def test_an_asterisk_that_is_killed_in_a_call_comes_back_and_takes_calls(stack):
    with stack.phones([SILENT]) as calls:
        calls.wait_for("answered", "silent")
        killed = stack.kill("asterisk")
        stack.wait_healthy("asterisk", since=killed)
    assert_hears_the_opening(stack)


# ---- what is left ----------------------------------------------------------------------------------------------------
def test_down_leaves_nothing(stack):
    stack.down()
    assert stack.left() == {}


# ---- behind a bridge -------------------------------------------------------------------------------------------------
def test_behind_a_bridge_a_phone_reaches_it_at_the_public_address(engine, tmp_path):
    public = "192.0.2.77"
    engine.inside("ip", "address", "add", f"{public}/32", "dev", "lo")
    opened = {"HEARLINE_PUBLIC_ADDRESS": public, "HEARLINE_PAGE_ADDRESS": public}
    with Stack(engine, BRIDGE, tmp_path, **opened) as stack:
        assert stack.sip == f"{public}:5070" and "50 phones" in stack.card
        assert f"https://{public}:9673/try" in stack.card
        assert_agents_are_helped(stack)
        assert_hears_the_opening(stack, bind=public)
    assert stack.left() == {}


# ---- the private stack -----------------------------------------------------------------------------------------------
def test_the_private_stack_runs_its_asterisk_in_a_container(engine, tmp_path):
    with PrivateStack(engine, tmp_path) as stack:
        assert_hears_the_opening(stack)
    assert stack.left() == {}
