"""The phone in an agent's page, as Asterisk, the queues and the page see it: over the page's own websocket, by hand."""

from __future__ import annotations

import asyncio
import re
import time
from urllib.error import HTTPError
from urllib.request import urlopen

import aiohttp
import pytest

from hearline.assist.calls.web_phones import GONE_S
from hearline.pbx.config import PAUSE_REASON
from raw_sip import RawCall
from web_phone import Desk

OTHERS = (
    *("/httpstatus", "/static/asterisk.html", "/ari/channels", "/ari/api-docs/resources.json", "/mxml", "/rawman"),
    *("/manager", "/amanager", "/phoneprov/x", "/media/x", "/metrics"),
)
# A browser's answer, as far as Asterisk looks at it: no sound will come.
ANSWER = (
    """v=0
o=- 1 1 IN IP4 192.0.2.9
s=-
t=0 0
m=audio 9 UDP/TLS/RTP/SAVPF 8 101
c=IN IP4 192.0.2.9
a=rtcp-mux
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=fingerprint:sha-256 """
    + ":".join(["AB"] * 32)
    + """
a=setup:active
a=mid:audio-0
a=sendrecv
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
"""
)
HAND = "queue pause member {} queue {} reason break"


@pytest.fixture
def desk(world):
    """Agent 8019 of these tests, who has no phone on the desk."""
    return world.agents[3]


def page(world) -> Desk:
    return Desk(world.stack.running.page)


def member(world, desk, queue: str = "care") -> str:
    """What the queue says of this member."""
    [line] = [one for one in world.stack.console(f"queue show {queue}").splitlines() if f"Local/{desk.name}@" in one]
    return line


async def registered(at: Desk, phone) -> str:
    """Register; returns the password."""
    status, account = await at.post("phone")
    assert status == 200 and account["uri"] == f"sip:{account['user']}@hearline" and len(account["password"]) > 30
    assert await phone.register(account["user"], account["password"]) == 200
    return account["password"]


async def refused(at: Desk, **headers: str) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        async with at.phone(**headers):
            pass
    return error.value.status


def test_who_may_register_and_when_the_phone_is_gone(world, desk):
    other = world.agents[2]

    async def story() -> None:
        async with page(world) as mine, page(world) as stranger:
            assert await refused(stranger) == 401
            assert (await stranger.post("phone"))[0] == 401
            await mine.sign_in(desk.number, desk.pin)
            assert await refused(mine, Origin="https://elsewhere.example") == 403
            assert (await mine.state())["phone"] == {"registered": False, "paused": ""}
            async with mine.phone() as phone:
                first = await registered(mine, phone)
                assert await mine.until(lambda state: state["phone"]["registered"], 1) < 1
                assert "Not in use" in member(world, desk)
                assert await phone.register(desk.web, "not the password") == 401
                second = await registered(mine, phone)
                assert await phone.register(desk.web, first) == 401, "the password of an earlier session"
                assert await phone.register(desk.web, second) == 200
                with pytest.raises(ConnectionError):
                    await phone.register(other.web, second)
            assert await mine.until(lambda state: not state["phone"]["registered"], 1) < 1
            assert "Unavailable" in member(world, desk)
            files = [one for one in world.stack.settings.state.rglob("*") if one.is_file() and "stack" not in one.parts]
            kept = [*files, *(world.stack.home / "log").iterdir(), world.stack.home / "lib" / "astdb.sqlite3"]
            assert not [one for one in kept if second.encode() in one.read_bytes()], "the password is stored nowhere"

    asyncio.run(story())


def test_the_websocket_ends_with_the_session_and_so_does_the_password(world, desk):
    async def story() -> None:
        async with page(world) as mine:
            await mine.sign_in(desk.number, desk.pin)
            async with mine.phone() as phone:
                password = await registered(mine, phone)
                began = time.monotonic()
                assert (await mine.post("sign-out"))[0] == 200
                assert (await phone.socket.receive()).type is aiohttp.WSMsgType.CLOSE
                assert time.monotonic() - began < 1.5
            await mine.sign_in(desk.number, desk.pin)
            async with mine.phone() as phone:
                assert await phone.register(desk.web, password) == 401

    asyncio.run(story())


def status_of(address: str, path: str) -> int:
    try:
        with urlopen(f"http://{address}{path}", timeout=3) as answer:
            return answer.status
    except HTTPError as error:
        with error:
            return error.code


def test_nothing_else_of_asterisks_http_server_is_reached(world):
    here, there = world.stack.running.page, world.stack.running.phone
    for where in (here, there):
        assert {path: status_of(where, path) for path in OTHERS} == dict.fromkeys(OTHERS, 404)
    for path in ("/ws/../httpstatus", "/ws/httpstatus", "/ws%2f..%2fhttpstatus", "//ws", "/ws?x=/httpstatus"):
        assert status_of(here, path) in (401, 404), path


def test_an_agent_whose_phone_is_gone_pauses_until_it_is_back(world, desk):
    """Also over a restart of agent assist; and whoever was paused by others stays paused."""
    interface = f"Local/{desk.name}@hearline-ring/n"
    world.stack.console(HAND.format(interface, "400"))

    async def story() -> None:
        async with page(world) as mine:
            await mine.sign_in(desk.number, desk.pin)
            async with mine.phone() as phone:
                await registered(mine, phone)
                await mine.until(lambda state: state["phone"]["registered"], 1)
            gone = time.monotonic()
            await mine.until(lambda state: state["phone"]["paused"] == "phone_gone", GONE_S + 2)
            assert GONE_S - 0.5 < time.monotonic() - gone < GONE_S + 1
            assert f"paused:{PAUSE_REASON}" in member(world, desk)
            assert "paused:break" in member(world, desk, "400")

            world.stack.stop_server()
            world.stack.start_server()
            world.wait_ready()
            await mine.until(lambda state: state["phone"] == {"registered": False, "paused": "phone_gone"}, 3)
            async with mine.phone() as phone:
                await registered(mine, phone)
                back = time.monotonic()
                await mine.until(lambda state: state["phone"] == {"registered": True, "paused": ""}, 2)
                assert time.monotonic() - back < 1
                assert "paused" not in member(world, desk)
                assert "paused:break" in member(world, desk, "400")
            await mine.post("sign-out")

    try:
        asyncio.run(story())
    finally:
        world.stack.console(f"queue unpause member {interface} queue 400")


def test_a_call_rings_in_the_page_but_never_while_the_agent_talks_on_the_other_phone(world, desk):
    ring = f"channel originate Local/{desk.name}@hearline-ring application Wait 1"
    account = (desk.name, desk.password)

    async def story() -> None:
        async with page(world) as mine:
            await mine.sign_in(desk.number, desk.pin)
            async with mine.phone() as phone:
                await registered(mine, phone)
                with RawCall(world.stack.sip, "600", desk.name, account) as call:
                    assert await asyncio.to_thread(call.place) == 200
                    assert "In use" in member(world, desk)
                    world.stack.console(ring)
                    with pytest.raises(TimeoutError):
                        await phone.request("INVITE", within=0.7)
                world.wait_idle()
                world.stack.console(ring)
                invite = await phone.request("INVITE")
                assert re.search(r"^m=audio \d+ UDP/TLS/RTP/SAVPF 8", invite, re.MULTILINE), "encrypted, in A-law"
                await phone.reply(invite, "200 OK", ANSWER)
                assert "ACK" in await phone.request("ACK")
                assert "In use" in member(world, desk), "so no queue rings them"
                await phone.reply(await phone.request("BYE"), "200 OK")  # else Asterisk keeps its socket for 32 s
            await mine.post("sign-out")

    asyncio.run(story())
