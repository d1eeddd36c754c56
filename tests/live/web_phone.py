"""A phone in a page, without a browser: signs in at the page and speaks SIP over the page's websocket."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from raw_sip import credentials

WAIT_S = 3.0


class Desk:
    """A browser with the page open, signed in or not."""

    def __init__(self, page: str) -> None:
        self.origin = f"http://{page}"
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def __aenter__(self) -> Desk:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def post(self, name: str, **sent: Any) -> tuple[int, dict[str, Any]]:
        async with self.session.post(f"{self.origin}/api/{name}", json=sent, headers={"Origin": self.origin}) as got:
            return got.status, await got.json()

    async def sign_in(self, number: str, pin: str) -> None:
        status, answer = await self.post("sign-in", agent=number, pin=pin)
        assert status == 200, answer

    async def state(self) -> dict[str, Any]:
        """The agent's state now."""
        async with self.session.get(f"{self.origin}/api/events") as stream:
            while True:
                line = (await stream.content.readline()).decode()
                if line.startswith("data:"):
                    found = json.loads(line.removeprefix("data:"))
                    if "volume_db" in found:
                        return found

    async def until(self, what: Any, seconds: float) -> float:
        """Wait until ``what`` is true of the state; returns after how many seconds it was. Raises TimeoutError."""
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(seconds), self.session.get(f"{self.origin}/api/events") as stream:
            async for line in stream.content:
                if line.startswith(b"data:"):
                    found = json.loads(line.removeprefix(b"data:"))
                    if "volume_db" in found and what(found):
                        return asyncio.get_running_loop().time() - began
        raise TimeoutError

    @asynccontextmanager
    async def phone(self, **headers: str) -> AsyncIterator[WebPhone]:
        """The websocket. Raises aiohttp.WSServerHandshakeError."""
        async with self.session.ws_connect(
            f"{self.origin}/ws", protocols=("sip",), headers={"Origin": self.origin, **headers}
        ) as socket:
            yield WebPhone(socket)


class WebPhone:
    """SIP over a websocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self._call, self._tag, self._number = secrets.token_hex(8), secrets.token_hex(4), 0
        self._host = f"{secrets.token_hex(6)}.invalid"

    async def register(self, user: str, password: str, sender: str = "", expires: int = 60) -> int:
        """Register as ``user``; returns the code of the answer to the request with the password."""
        code, answer = await self._register(sender or user, expires, "")
        if code == 401:
            answering = credentials(answer, user, password, "REGISTER", "sip:hearline")
            code, _ = await self._register(sender or user, expires, answering)
        return code

    async def _register(self, sender: str, expires: int, credentials: str) -> tuple[int, str]:
        self._number += 1
        lines = [
            "REGISTER sip:hearline SIP/2.0",
            f"Via: SIP/2.0/WS {self._host};branch=z9hG4bK{secrets.token_hex(8)}",
            "Max-Forwards: 70",
            f"From: <sip:{sender}@hearline>;tag={self._tag}",
            f"To: <sip:{sender}@hearline>",
            f"Call-ID: {self._call}",
            f"CSeq: {self._number} REGISTER",
            f"Contact: <sip:x@{self._host};transport=ws>;expires={expires}",
            *([credentials] if credentials else []),
            "Content-Length: 0",
        ]
        await self.socket.send_str("\r\n".join([*lines, "", ""]))
        return await self.answer("REGISTER")

    async def call(self, number: str, user: str, password: str, *headers: str) -> int:
        """Call a number, without SDP; returns the code of the final answer to the request with the password."""
        code, answer = await self._invite(number, user, headers)
        if code == 401:
            answering = credentials(answer, user, password, "INVITE", f"sip:{number}@hearline")
            code, _ = await self._invite(number, user, (*headers, answering))
        return code

    async def _invite(self, number: str, user: str, headers: tuple[str, ...]) -> tuple[int, str]:
        self._number += 1
        branch, to, call = secrets.token_hex(8), f"To: <sip:{number}@hearline>", f"Call-ID: {self._call}-call"

        async def send(method: str, to: str, *more: str) -> None:
            lines = [
                f"{method} sip:{number}@hearline SIP/2.0",
                f"Via: SIP/2.0/WS {self._host};branch=z9hG4bK{branch}",
                "Max-Forwards: 70",
                f"From: <sip:{user}@hearline>;tag={self._tag}",
                to,
                call,
                f"CSeq: {self._number} {method}",
                f"Contact: <sip:x@{self._host};transport=ws>",
                *more,
                "Content-Length: 0",
            ]
            await self.socket.send_str("\r\n".join([*lines, "", ""]))

        await send("INVITE", to, *headers)
        code, answer = await self.answer("INVITE")
        [to] = re.findall(r"^To:.*$", answer.replace("\r", ""), re.MULTILINE)
        await send("ACK", to)
        return code, answer

    async def answer(self, method: str) -> tuple[int, str]:
        """The final answer to the last request. Raises TimeoutError, ConnectionError if the websocket closes."""
        async with asyncio.timeout(WAIT_S):
            while True:
                message = await self.socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    raise ConnectionError(f"the websocket was closed with {self.socket.close_code}")
                found = re.match(r"SIP/2\.0 (\d{3})", message.data)
                if found and int(found[1]) >= 200 and f"CSeq: {self._number} {method}" in message.data:
                    return int(found[1]), message.data

    async def request(self, method: str, within: float = WAIT_S) -> str:
        """The next request of Asterisk's. Raises TimeoutError, ConnectionError."""
        async with asyncio.timeout(within):
            while True:
                message = await self.socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    raise ConnectionError(f"the websocket was closed with {self.socket.close_code}")
                if message.data.startswith(f"{method} "):
                    return message.data

    async def reply(self, request: str, status: str, sdp: str = "") -> None:
        """Answer a request."""
        wanted = re.findall(r"^(?:Via|From|To|Call-ID|CSeq):.*$", request.replace("\r", ""), re.MULTILINE)
        lines = [one + f";tag={self._tag}" if one.startswith("To:") else one for one in wanted]
        if sdp:
            lines += [f"Contact: <sip:x@{self._host};transport=ws>", "Content-Type: application/sdp"]
        body = sdp.replace("\n", "\r\n")
        lines = [f"SIP/2.0 {status}", *lines, f"Content-Length: {len(body)}", "", body]
        await self.socket.send_str("\r\n".join(lines))
