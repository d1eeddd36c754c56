"""The page "Try it" without a browser: whose a call is, and what a test stack makes for it."""

from __future__ import annotations

import asyncio
import json
import stat
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from hearline.core.ids import is_call_id
from hearline.core.settings import Settings, trial_file
from hearline.ops.provision import page_card, set_up_trial
from hearline.ops.stack import Stack
from hearline.pbx.config import Account
from hearline.server.hotline import HotlineReader
from hearline.store.accounts import Accounts
from hearline.web.try_it import app
from hearline.web.try_it.calls import KEPT_S, MOST_A_MINUTE, TooMany, TryCalls
from hearline.wire.answers import Refused

AT = datetime(2026, 11, 30, 8, 30, tzinfo=UTC)
AGENT = Account("agent-8016", "8016", "secret", "271828")


def test_a_visitor_owns_the_calls_that_they_began():
    calls = TryCalls()
    mine, theirs = calls.begin("", 0, AT), calls.begin("", 1, AT)
    again = calls.begin(mine.visitor, 2, AT)
    assert again.visitor == mine.visitor != theirs.visitor
    assert is_call_id(mine.call) and mine.call.endswith("-try")
    assert calls.owns(mine.visitor, mine.call) and calls.owns(mine.visitor, again.call)
    assert not calls.owns(mine.visitor, theirs.call) and not calls.owns("", mine.call)


def test_a_word_that_was_not_given_here_is_replaced():
    calls = TryCalls()
    assert calls.begin("guessed", 0, AT).visitor != "guessed"
    assert not calls.knows("guessed", 0)


def test_calls_are_forgotten_after_an_hour():
    calls = TryCalls()
    begun = calls.begin("", 0, AT)
    assert calls.knows(begun.visitor, KEPT_S)
    assert not calls.knows(begun.visitor, KEPT_S + 1)
    calls.begin("", KEPT_S + 1, AT)
    assert not calls.owns(begun.visitor, begun.call)


def test_nobody_begins_calls_without_end():
    calls = TryCalls()
    for _ in range(MOST_A_MINUTE):
        calls.begin("", 0, AT)
    with pytest.raises(TooMany):
        calls.begin("", 30, AT)
    calls.begin("", 61, AT)


def test_visitors_leave_asterisks_sockets_to_the_agents(tmp_path, monkeypatch):
    monkeypatch.setattr(app, "MOST_SOCKETS", 2)
    set_up_trial(tmp_path, [AGENT])
    over = asyncio.Event()

    class Phones:
        async def serve(self, *_: Any, **__: Any) -> web.Response:
            await over.wait()
            return web.Response()

    entrance: Any = SimpleNamespace(must_come_from_our_page=lambda _request: None)
    nothing: Any = None
    trial = app.Trial("anybody", nothing, nothing, Path(), trial_file(tmp_path), nothing)
    tried = app.TryIt(trial, entrance, Phones())  # type: ignore[arg-type]
    visitor = tried._calls.begin("", time.monotonic(), AT).visitor
    request: Any = SimpleNamespace(cookies={app.COOKIE: visitor})
    ring = tried.handlers()["GET", "/try/ws"]

    async def story() -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(2):
                tasks.create_task(ring(request))
            await asyncio.sleep(0.2)
            with pytest.raises(Refused, match="busy"):
                await ring(request)
            over.set()
        await ring(request)

    asyncio.run(story())


def test_a_pin_that_was_changed_is_not_shown_any_more(tmp_path):
    set_up_trial(tmp_path, [AGENT])
    accounts = Accounts(tmp_path / "accounts.json", cost=2**10)
    nothing: Any = None
    trial = app.Trial("anybody", nothing, nothing, Path(), trial_file(tmp_path), accounts)
    tried = app.TryIt(trial, nothing, nothing)
    accounts.set_pin(AGENT.number, AGENT.pin)
    assert tried._test_agent(trial) == {"number": AGENT.number, "pin": AGENT.pin}
    accounts.set_pin(AGENT.number, "314159")
    assert tried._test_agent(trial) is None
    accounts.set_pin(AGENT.number, AGENT.pin)
    assert tried._test_agent(trial) == {"number": AGENT.number, "pin": AGENT.pin}


def test_a_stack_keeps_the_password_and_shows_its_first_agent(tmp_path):
    account = set_up_trial(tmp_path, [AGENT])
    assert set_up_trial(tmp_path, [AGENT]) == account and account.password
    file = trial_file(tmp_path)
    assert json.loads(file.read_text()) == {
        "phone": {"user": "web-caller", "password": account.password},
        "agent": {"number": "8016", "pin": "271828"},
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_it_is_off_unless_set_and_on_in_a_stack(tmp_path):
    settings = Settings(state=tmp_path)
    assert settings.try_it == "off" and "try_it" not in page_card(settings, "127.0.0.1")
    stack = Stack(settings)
    assert page_card(stack.settings, "127.0.0.1")["try_it"] == "http://127.0.0.1:9673/try"
    assert Stack(Settings(state=tmp_path, try_it="off")).settings.try_it == "off"


def test_the_hotline_is_what_the_flow_says():
    hotline = HotlineReader(Settings()).read()
    assert (hotline.number, hotline.dial) == ("95160", "8001")
    assert hotline.prompts["opening"].words == "您好，蓝智慧养老，请问有什么可以帮您？"
    assert hotline.prompts["opening"].ms == 3_600
    assert hotline.queues == {"care": "养老热线"} and set(hotline.callers) == {"caller-ask"}
