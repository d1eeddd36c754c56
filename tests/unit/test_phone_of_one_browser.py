"""The phone in the page belongs to the browser that took it last: another one, where the same person is signed in as
well, cannot end it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from hearline.store.accounts import Accounts
from hearline.store.audit import AuditLog
from hearline.web.agent.app import Page
from hearline.web.entrance import Entrance

NUMBER, PIN = "8016", "271828"


class Assist:
    """Agent assist's interface; ``asked`` is what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def agent_stream(self, _agent: str, _by: str) -> Any:
        raise NotImplementedError

    async def command(self, name: str, number: str, sent: dict[str, Any]) -> dict[str, Any]:
        assert (name, number) == ("phone", NUMBER)
        self.asked.append(sent)
        return {}


class Browser:
    def __init__(self, url: str) -> None:
        self._url = url
        self._http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def post(self, name: str, **sent: Any) -> None:
        async with self._http.post(f"{self._url}/api/{name}", json=sent) as answer:
            assert answer.status == 200, await answer.text()

    async def sign_in(self) -> None:
        await self.post("sign-in", agent=NUMBER, pin=PIN)

    async def close(self) -> None:
        await self._http.close()


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Callable[[Browser, Browser], Awaitable[None]]], list[dict[str, Any]]]:
    """Plays a story of two browsers in which the agent is signed in; returns what agent assist was asked for."""

    async def run(story: Callable[[Browser, Browser], Awaitable[None]]) -> list[dict[str, Any]]:
        accounts, audit, assist = (
            Accounts(tmp_path / "accounts.json", cost=2**10),
            AuditLog(tmp_path / "audit"),
            Assist(),
        )
        accounts.set_pin(NUMBER, PIN)
        page = Page(assist, Entrance(accounts, audit, "", Counter()), phone="127.0.0.1:9")  # type: ignore[arg-type]
        try:
            async with TestServer(page.app()) as server:
                one, other = (Browser(str(server.make_url("")).rstrip("/")) for _ in range(2))
                try:
                    await one.sign_in()
                    await other.sign_in()
                    await story(one, other)
                    await asyncio.gather(*page._leaving)
                finally:
                    await one.close()
                    await other.close()
        finally:
            page.close()
            await asyncio.to_thread(audit.close)
        return assist.asked

    return lambda story: asyncio.run(run(story))


def test_who_signs_out_where_the_phone_is_ends_it(play):
    async def story(one: Browser, _other: Browser) -> None:
        await one.post("phone")
        await one.post("sign-out")

    assert play(story) == [{}, {"over": True}]


@pytest.mark.parametrize("what", [("sign-out", {}), ("phone", {"over": True})])
def test_what_a_browser_does_that_has_lost_the_phone_to_another_one_leaves_it_alone(play, what):
    async def story(one: Browser, other: Browser) -> None:
        await one.post("phone")
        await other.post("phone")
        await one.post(what[0], **what[1])

    assert play(story) == [{}, {}]


def test_a_browser_that_takes_it_back_has_it(play):
    async def story(one: Browser, other: Browser) -> None:
        await one.post("phone")
        await other.post("phone")
        await one.sign_in()  # another session, in the same browser
        await one.post("phone")
        await other.post("sign-out")
        await one.post("sign-out")

    assert play(story) == [{}, {}, {}, {"over": True}]


def test_a_phone_that_nobody_here_was_told_of_is_ended_by_any_sign_out(play):
    async def story(one: Browser, _other: Browser) -> None:
        await one.post("sign-out")  # as after a restart of the page's server

    assert play(story) == [{"over": True}]
