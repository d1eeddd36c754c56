"""Who dials 7 and an agent's number listens to that agent, and to nobody whose account's name merely begins alike."""

from __future__ import annotations

import pytest

from hearline.phone.judge import presence, prompts_of
from world import SPEECH, Call, Phones, Scenario, World

BEGINS_ALIKE = "agent-8016-b"
ECHO, LISTEN_IN = "600", "78016"
ALIKE_SAYS, AGENT_SAYS = "caller-ask", "agent-reply"
SENTENCES = prompts_of(SPEECH)


@pytest.fixture(scope="module")
def calls(world: World) -> dict[str, Call]:
    """An account by such a name speaks all the time. Somebody listens in before the agent has a call, somebody else
    while the agent speaks."""
    password = "only for this test"
    account = (
        f"[{BEGINS_ALIKE}](phone)\ncontext = hearline-phones\nauth = {BEGINS_ALIKE}\n"
        f"[{BEGINS_ALIKE}]\ntype = auth\nauth_type = userpass\nusername = {BEGINS_ALIKE}\npassword = {password}\n"
    )
    again = tuple((at, ALIKE_SAYS, 0.0) for at in range(500, 14_000, 4_000))
    scenarios = {
        "alike": Scenario(ECHO, say=again, hangup_at_ms=15_000),
        "too early": Scenario(LISTEN_IN, start_ms=1_000, hangup_at_ms=6_000),
        "agent": Scenario(ECHO, say=((4_000, AGENT_SAYS, 0.0),), start_ms=7_000, hangup_at_ms=9_000),
        "listener": Scenario(LISTEN_IN, start_ms=8_000, max_ms=12_000),
    }
    script, used = world.script(scenarios)
    first, second, third = world.agents[:3]
    passwords = {BEGINS_ALIKE: password} | {agent.name: agent.password for agent in (first, second, third)}
    accounts = {"alike": BEGINS_ALIKE, "too early": second.name, "agent": first.name, "listener": third.name}
    for caller in script["callers"]:
        user = accounts[caller["name"]]
        caller["account"] = {"user": user, "password": passwords[user]}
    with world.endpoints(account), Phones(script) as phones:
        return world.calls(phones.wait(40), used, scenarios)


def test_the_agent_is_heard_and_nobody_else(calls):
    heard = calls["listener"].recording
    assert presence(heard, SENTENCES[AGENT_SAYS]).heard
    assert not presence(heard, SENTENCES[ALIKE_SAYS]).heard
    assert calls["listener"].result.end("by") == "far", "it ends with the agent's call"


def test_while_the_agent_has_no_call_there_is_nothing_to_listen_to(calls):
    assert presence(calls["alike"].recording, SENTENCES[ALIKE_SAYS]).heard, "somebody spoke"
    early = calls["too early"].result
    assert early.end("by") == "far" and early.end("duration_ms") < 1_500
