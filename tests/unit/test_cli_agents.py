"""`hearline agents` and `hearline callers`, and the accounts of the private stack's agents."""

from __future__ import annotations

import json
import os
import shutil
import stat
import time

import pytest
from typer.testing import CliRunner

from hearline.cli.app import app
from hearline.cli.stack import AS_SET, _as_text
from hearline.core.files import as_owner_of
from hearline.core.settings import Settings
from hearline.ops.provision import give_pins
from hearline.ops.stack import Stack
from hearline.pbx import config
from hearline.store.accounts import Accounts
from hearline.store.earlier_calls import EarlierCalls


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("HEARLINE_STATE", str(tmp_path))
    return tmp_path


def run(*arguments: str, told: str = ""):
    return CliRunner().invoke(app, list(arguments), input=told)


def test_a_pin_is_set_from_standard_input(state):
    result = run("agents", "pin", "8016", told="271828\n")
    assert result.exit_code == 0 and "271828" not in result.output
    assert Accounts(state / "page" / "pins.json").check("8016", "271828")
    assert run("agents", "list").stdout == "8016\tagent\n"


def test_a_stack_that_is_not_up_is_down_with_its_server(state):
    result = run("stack", "status")
    assert (result.exit_code, result.stdout) == (1, "Asterisk: down\nHearline server: down\n")


def test_a_list_without_accounts_says_so_beside_the_list(state):
    result = run("agents", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith(f"no accounts in {state / 'page' / 'pins.json'}; HEARLINE_STATE must be")


@pytest.mark.parametrize(("agent", "pin"), [("8016", "12\n"), ("8016", ""), ("80/16", "271828\n")])
def test_what_cannot_be_a_pin_is_refused_with_the_reason(state, agent, pin):
    result = run("agents", "pin", agent, told=pin)
    assert result.exit_code == 2
    assert "a PIN must have 6 to 64 characters" in result.output or "not a work number" in result.output


def test_a_caller_is_forgotten_at_their_request(state):
    calls = EarlierCalls(state / "callers")
    calls.note("1.1", who=calls.who("13800005678"), at=time.time())
    calls.close()
    result = run("callers", "forget", "-", told="+86 138 0000 5678\n")
    assert (result.exit_code, result.stdout) == (0, "1 call forgotten\n")
    assert run("callers", "forget", "nobody").exit_code == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another account")
def test_what_root_writes_belongs_to_the_servers_account(tmp_path, monkeypatch):
    tmp_path.chmod(0o755)
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    os.chown(state, 10_001, 10_002)
    for above in [*tmp_path.parents][:-2]:
        above.chmod(0o755)
    monkeypatch.setenv("HEARLINE_STATE", str(state))
    with as_owner_of(state):
        calls = EarlierCalls(state / "callers")
        calls.note("1.1", who=calls.who("13800005678"), at=time.time())
        calls.close()
    assert run("agents", "pin", "8016", told="246810\n").exit_code == 0
    assert run("agents", "role", "8016", "--team", "care").exit_code == 0
    assert run("callers", "forget", "-", told="13800005678\n").exit_code == 0
    assert run("certificate", "make", "--for", "desk").exit_code == 0
    assert os.geteuid() == 0 == os.getegid()
    kept = {str(path.relative_to(state)): (path.stat().st_uid, path.stat().st_gid) for path in state.rglob("*")}
    assert {"page/pins.json", "page/key.pem", "audit", "callers/calls.sqlite"} <= kept.keys()
    assert set(kept.values()) == {(10_001, 10_002)}, kept
    assert audited(state)[0]["by"] == "uid 0"


def test_nothing_to_forget_in_is_no_success(tmp_path, monkeypatch):
    """It is another folder than the server's, most likely, and the caller is still known there."""
    monkeypatch.setenv("HEARLINE_STATE", str(tmp_path))
    result = run("callers", "forget", "-", told="13800005678\n")
    assert result.exit_code == 1 and "HEARLINE_STATE" in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_file_of_pins_is_named(tmp_path, monkeypatch, text):
    monkeypatch.setenv("HEARLINE_STATE", str(tmp_path))
    file = tmp_path / "page" / "pins.json"
    file.parent.mkdir()
    file.write_text(text)
    for result in (run("agents", "list"), run("agents", "pin", "8016", told="123456\n")):
        assert result.exit_code == 1 and f"{file}: " in result.output


# ---- the private stack -----------------------------------------------------------------------------------------------
def test_accounts_made_before_there_were_pins_get_some(tmp_path):
    config.accounts(tmp_path)
    file = tmp_path / "accounts.json"
    old = json.loads(file.read_text())
    for agent in old["agents"]:
        del agent["pin"]
    file.write_text(json.dumps(old))
    _, agents = config.accounts(tmp_path)
    assert all(agent.pin.isdigit() and len(agent.pin) == 6 for agent in agents)
    assert config.accounts(tmp_path)[1] == agents, "kept"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_stack_gives_its_agents_pins_and_leaves_those_that_were_set(tmp_path):
    stack = Stack(Settings(state=tmp_path))
    stack.home.mkdir(parents=True)
    stack.pins.set_pin("8017", "a-better-one")
    give_pins(stack.pins, stack.accounts()[1])
    by_number = {agent.number: agent.pin for agent in stack.accounts()[1]}
    assert stack.pins.check("8016", by_number["8016"])
    assert stack.pins.check("8017", "a-better-one")


def test_the_card_tells_how_to_sign_in(tmp_path):
    _, agents = config.accounts(tmp_path)
    card = {
        "server": "", "codecs": [], "callers": [], "agents": [vars(a) for a in agents], "numbers": {}, "listen_in": {},
        "pass_on": {}, "status": "", "page": "http://127.0.0.1:9673/", "pins": {a.number: a.pin for a in agents[1:]},
    }  # fmt: skip
    text = _as_text(card)
    assert "http://127.0.0.1:9673/" in text
    assert f"8017  {agents[1].pin}" in text and f"8016  {AS_SET}" in text


# ---- roles -----------------------------------------------------------------------------------------------------------
def audited(state) -> list[dict]:
    return [json.loads(line) for file in (state / "audit").iterdir() for line in file.read_text().splitlines()]


def test_roles_and_teams_are_set_shown_and_written_down(state):
    assert run("agents", "pin", "8001", "--role", "supervisor", "--team", "care", told="271828\n").exit_code == 0
    assert run("agents", "pin", "8016", "--team", "care", told="271828\n").exit_code == 0
    assert run("agents", "list").stdout == "8001\tsupervisor\tcare\n8016\tagent\tcare\n"
    assert run("agents", "role", "8016", "--role", "admin", "--team", "").stdout == "8016 is admin now\n"
    assert run("agents", "remove", "8001").exit_code == 0
    assert run("agents", "list").stdout == "8016\tadmin\n"
    assert [(line["event"], line["of"], line["role"], line["team"]) for line in audited(state)] == [
        ("pin-set", "8001", "supervisor", "care"),
        ("pin-set", "8016", "agent", "care"),
        ("role-set", "8016", "admin", ""),
        ("account-removed", "8001", "supervisor", "care"),
    ]
    assert "271828" not in json.dumps(audited(state)) and audited(state)[0]["by"].startswith("uid ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("pin", "8001", "--role", "king"), "not a role"),
        (("pin", "8001", "--role", "supervisor"), "--team"),
        (("role", "8001", "--role", "admin"), "no account"),
        (("remove", "8001"), "no account"),
    ],
)
def test_what_cannot_be_a_role_is_refused_and_nothing_is_written(state, arguments, says):
    result = run("agents", *arguments, told="271828\n")
    assert result.exit_code == 2 and says in result.output
    assert not (state / "audit").exists() and run("agents", "list").stdout == ""


def test_a_change_that_the_audit_log_cannot_take_is_told_as_a_change(state):
    run("agents", "pin", "8016", told="271828\n")
    calls = EarlierCalls(state / "callers")
    calls.note("1.1", who=calls.who("13800005678"), at=time.time())
    calls.close()
    shutil.rmtree(state / "audit")
    (state / "audit").touch()
    for arguments in (("pin", "8016"), ("role", "8016", "--role", "admin"), ("remove", "8016")):
        result = run("agents", *arguments, told="314159\n")
        assert result.exit_code == 3 and "8016 is changed, but not in the audit log: " in result.output
    assert run("agents", "list").stdout == ""
    result = run("callers", "forget", "-", told="13800005678\n")
    assert result.exit_code == 3 and "1 call forgotten, but it is not in the audit log: " in result.output


def test_a_caller_forgotten_is_written_down_without_the_number(state):
    calls = EarlierCalls(state / "callers")
    calls.note("1.1", who=calls.who("13800005678"), at=time.time())
    calls.close()
    run("callers", "forget", "-", told="13800005678\n")
    [line] = audited(state)
    assert (line["event"], line["calls"]) == ("caller-forgotten", 1) and "5678" not in json.dumps(line)
