"""The websocket of a phone in a page: what is passed on, and what ends it. Asterisk is played by a server here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hearline.web import phone_socket
from hearline.web.phone_socket import MOST_A_SECOND, MOST_BYTES, MOST_SOCKETS, PhoneSockets, may_send
from hearline.wire.answers import Refused

PHONE = "web-8016"


def request(sender: str, *more: str, method: str = "REGISTER", to: str = "<sip:web-8016@hearline>") -> str:
    lines = [f"{method} sip:hearline SIP/2.0", "Via: SIP/2.0/WS x.invalid", f"From: {sender}", f"To: {to}", *more]
    return "\r\n".join([*lines, "Content-Length: 0", "", ""])


MINE = request("<sip:web-8016@hearline>;tag=1")
OTHERS = request("<sip:web-8017@hearline>;tag=1")


# ---- in whose name ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text",
    [
        MINE,
        MINE.replace("From:", "f:"),
        MINE.replace("From:", "FROM :"),
        request('"Li" <sip:web-8016@hearline;transport=ws>;tag=1', method="INVITE"),
        request(
            "<sip:web-8016@hearline>", 'Contact: <sip:x@y.invalid;transport=ws>;+sip.instance="<urn:uuid:1>";expires=9'
        ),
        MINE.replace("Content-Length:", "l:"),
        MINE.replace("Length: 0", "Length: 7") + "v=0\u00e9\r\n",
        "SIP/2.0 200 OK\r\nFrom: <sip:8017@asterisk>;tag=1\r\nContent-Length: 0\r\n\r\n",
        request("<sip:k3j2h1@x.invalid>;tag=1", method="BYE", to="<sip:8017@asterisk>;tag=as1"),
        "\r\n\r\n",
    ],
)
def test_what_a_phone_may_send(text):
    assert may_send(text, PHONE)


@pytest.mark.parametrize(
    "text",
    [
        OTHERS,
        request("<sip:trunk@hearline>;tag=1", method="INVITE"),
        request("sip:web-8016@hearline;tag=1"),  # without brackets it is not clear where the address ends
        request('"<sip:web-8016@hearline>" <sip:web-8017@hearline>;tag=1'),
        request("<sip:web-8016%00@hearline>"),
        request("<sip:8017@asterisk>", "From: <sip:web-8016@hearline>"),
        request("<sip:web-8016@hearline>", "f: <sip:web-8017@hearline>"),
        request("<sip:web-8017@hearline>", "", "From: <sip:web-8016@hearline>", "To: x;tag=1"),  # in the body
        "REGISTER sip:hearline SIP/2.0\r\n\r\n",
        OTHERS.replace("\r\nFrom: ", "\r\nFrom:\r\n "),
        OTHERS.replace("\r\n", "\n"),
        request("<sip:web-8016@hearline>", "Subject: x\rFrom: <sip:web-8017@hearline>"),
        request("<sip:web-8016@hearline>", "Subject: x\0"),
        "\r\n\r\n" + OTHERS,  # Asterisk skips blank lines
        MINE + OTHERS,  # and reads two messages in one
        MINE.replace("Length: 0", f"Length: {len(OTHERS)}") + "\r\n" + OTHERS,
        MINE.replace("Length: 0", "Length: 0\r\nContent-Length: 999") + OTHERS,
        "SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n" + OTHERS,
        "SIP/2.0 200 OK\r\n\r\n" + OTHERS,
        "SIP/2.0 200 OK\r\nContent-Length: 0\r\n",
        # Asterisk would send calls, or a call's messages, to any address
        request("<sip:web-8016@hearline>", "Contact: <sip:x@y.invalid>;expires=0, <sip:900@192.0.2.9>"),
        request("<sip:web-8016@hearline>", "Contact: <sip:x@y.invalid>;expires=0", "m: <sip:900@192.0.2.9>"),
        request("<sip:web-8016@hearline>", "Record-Route: <sip:192.0.2.9;lr>", method="INVITE"),
        request("<sip:web-8016@hearline>", "Path: <sip:192.0.2.9;lr>"),
        "SIP/2.0 200 OK\r\nrecord-route: <sip:192.0.2.9;lr>\r\nContent-Length: 0\r\n\r\n",
        # "within a call", or so it seems
        request("<sip:web-8017@hearline>", to="<sip:web-8017@hearline>;tag=1"),  # Asterisk registers it nevertheless
        request("<sip:web-8017@hearline>", to="<sip:web-8017@hearline>;tag=1").replace("REGISTER", "register"),
        request("<sip:web-8017@hearline>", method="INVITE", to='"x;tag=1" <sip:600@hearline>'),
        request("<sip:web-8017@hearline>", method="INVITE", to="<sip:600@hearline;tag=1>"),
        request("<sip:web-8017@hearline>", method="INVITE", to="<sip:600@hearline>;tag="),
        request("<sip:web-8017@hearline>", method="INVITE", to="<sip:600@hearline>;tag=1;tag="),
        request("<sip:web-8017@hearline>", "t: <sip:600@hearline>;tag=1", method="INVITE"),
    ],
)
def test_what_it_may_not(text):
    assert not may_send(text, PHONE)


# ---- the sockets -----------------------------------------------------------------------------------------------------
@dataclass
class Line:
    """The page's server, and Asterisk behind it."""

    url: str
    http: aiohttp.ClientSession
    sockets: PhoneSockets
    signed_in: bool = True
    heard: list[str] = field(default_factory=list)  # by Asterisk
    lines: list[web.WebSocketResponse] = field(default_factory=list)  # Asterisk's

    def open(self, **how: object) -> aiohttp.client._WSRequestContextManager:
        return self.http.ws_connect(f"{self.url}/ws", **{"protocols": ("sip",), **how})


@asynccontextmanager
async def line(asterisk: bool = True) -> AsyncIterator[Line]:
    async def answers(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("sip",), compress=False)
        await socket.prepare(request)
        there.lines.append(socket)
        async for message in socket:
            there.heard.append(message.data)
            if message.data == "please close":
                break
            await socket.send_str(f"SIP/2.0 200 {len(message.data)}")
        return socket

    async def serves(request: web.Request) -> web.StreamResponse:
        try:
            return await there.sockets.serve(request, PHONE, lambda: there.signed_in)
        except Refused as refused:
            return web.json_response(refused.body, status=refused.status)

    theirs, ours = web.Application(), web.Application()
    theirs.add_routes([web.get("/ws", answers)])
    ours.add_routes([web.get("/ws", serves)])
    async with TestServer(theirs) as behind, TestServer(ours) as front, aiohttp.ClientSession() as http:
        where = f"127.0.0.1:{behind.port if asterisk else 1}"
        there = Line(str(front.make_url("")).rstrip("/"), http, PhoneSockets(where))
        yield there
        there.sockets.close()


def play(story: Callable[[Line], Awaitable[None]], asterisk: bool = True) -> None:
    async def run() -> None:
        async with line(asterisk) as there:
            await story(there)
            async with asyncio.timeout(2):
                while there.sockets._open or there.sockets._ending:
                    await asyncio.sleep(0.01)

    asyncio.run(run())


async def ends(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    """Wait until the socket ends; returns the code."""
    async with asyncio.timeout(3):
        while (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
    return socket.close_code


def test_sip_goes_both_ways():
    async def story(there: Line) -> None:
        async with there.open() as socket:
            assert socket.protocol == "sip"
            await socket.send_str(MINE)
            assert await socket.receive_str(timeout=2) == f"SIP/2.0 200 {len(MINE)}"
            assert there.heard == [MINE]

    play(story)


@pytest.mark.parametrize("what", [OTHERS, b"\x16\x03\x01", "x" * (MOST_BYTES + 1)])
def test_what_is_not_this_phones_sip_ends_the_socket_and_is_not_passed_on(what):
    async def story(there: Line) -> None:
        async with there.open() as socket:
            await (socket.send_bytes(what) if isinstance(what, bytes) else socket.send_str(what))
            assert await ends(socket) is not None
            async with asyncio.timeout(2):
                while not all(one.closed for one in there.lines):
                    await asyncio.sleep(0.01)
            assert there.heard == []

    play(story)


def test_a_browser_that_floods_is_stopped():
    async def story(there: Line) -> None:
        async with there.open() as socket:
            with suppress(ConnectionError):
                for _ in range(3 * MOST_A_SECOND):
                    await socket.send_str(MINE)
            await ends(socket)
            assert len(there.heard) <= MOST_A_SECOND

    play(story)


def test_it_ends_within_a_second_of_signing_out():
    async def story(there: Line) -> None:
        async with there.open() as socket:
            there.signed_in, began = False, time.monotonic()
            await ends(socket)
            assert time.monotonic() - began < 1
            await asyncio.sleep(0.05)
            assert there.lines[0].closed, "so Asterisk knows that the phone is gone"

    play(story)


def test_it_ends_with_asterisks():
    async def story(there: Line) -> None:
        async with there.open() as socket:
            await socket.send_str(request("<sip:web-8016@hearline>"))
            await there.lines[0].close()
            await ends(socket)

    play(story)


def test_a_third_window_takes_the_place_of_the_first():
    async def story(there: Line) -> None:
        first = await there.open()
        others = [await there.open() for _ in range(MOST_SOCKETS)]
        assert await ends(first) == aiohttp.WSCloseCode.POLICY_VIOLATION
        for socket in others:
            await socket.send_str(MINE)
            assert await socket.receive_str(timeout=2)
            await socket.close()
        await first.close()

    play(story)


def test_a_server_that_stops_ends_them_all():
    async def story(there: Line) -> None:
        async with there.open() as socket:
            there.sockets.close()
            assert await ends(socket) == aiohttp.WSCloseCode.GOING_AWAY

    play(story)


def test_a_browser_that_is_silent_is_lost(monkeypatch):
    monkeypatch.setattr(phone_socket, "BEAT_S", 0.2)

    async def story(there: Line) -> None:
        socket = await there.open(autoping=False)  # does not answer pings, as a machine that was unplugged
        async with asyncio.timeout(2):
            while not (there.lines and there.lines[0].closed):
                await asyncio.sleep(0.02)
        await socket.close()

    play(story)


@pytest.mark.parametrize(("asterisk", "protocols", "status"), [(False, ("sip",), 503), (True, (), 400)])
def test_who_is_refused(asterisk, protocols, status):
    async def story(there: Line) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await there.open(protocols=protocols)
        assert error.value.status == status
        assert not there.lines

    play(story, asterisk)
