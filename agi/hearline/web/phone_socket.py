"""The websocket of a phone in the page, passed on to Asterisk's own: SIP in both directions. Nothing else of Asterisk's
HTTP server can be reached.

Asterisk sees all these phones at this process's address, where it may trust others without a password. So only requests
that name the person's own phone as their sender are passed on; who they are is then for Asterisk to ask. A message must
have one meaning only: Asterisk would read several messages in one, skip blank lines, and join folded lines. Nor may it
have Asterisk send anything elsewhere than to this websocket.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from contextlib import suppress

import aiohttp
from aiohttp import web

from hearline.core.log_limit import LogLimit
from hearline.wire.answers import Refused

log = logging.getLogger(__name__)
log.addFilter(LogLimit())

PROTOCOL = "sip"
MOST_BYTES = 64 * 1024  # of one message
MOST_A_SECOND = 100  # messages from one browser
MOST_SOCKETS = 8  # of one person: several computers may have the page open, and a lost socket may not know it yet
CONNECT_S = 2.0
CHECK_S = 0.5  # between two checks that the person is still signed in
BEAT_S = 5.0  # between two pings; without an answer within half of that, the socket is lost
CLOSE_S = 0.5

_TOKEN = r"[-.!%*_+`'~0-9A-Za-z]+"
_START = re.compile(r"([A-Z]+) [^ ]+ SIP/2\.0|SIP/2\.0 [1-6][0-9]{2} .*")
_HEADER = re.compile(rf"({_TOKEN})[ \t]*:[ \t]*(.*)")
_SHORT = {"f": "from", "t": "to", "m": "contact", "l": "content-length"}
_ELSEWHERE = {"record-route", "path"}  # would have Asterisk send its messages to any address
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ADDRESS = re.compile(r"[^<>]*<sips?:([^@;>]+)@[^<>]*>[^<>]*")
_WITHIN = re.compile(rf'[^<>"]*<[^<>"]+>;tag={_TOKEN}')  # the receiver's address in a request within a call


class PhoneSockets:
    """Serves the websockets of phones in pages; ``close`` ends them.

    Args:
        where: host:port of Asterisk's HTTP server.
    """

    def __init__(self, where: str) -> None:
        self._url = f"ws://{where}/ws"
        self._open: dict[str, list[web.WebSocketResponse]] = {}  # by owner, the oldest first
        self._ending: set[asyncio.Task] = set()

    def close(self) -> None:
        for sockets in self._open.values():
            for socket in sockets:
                self._end(socket, aiohttp.WSCloseCode.GOING_AWAY)

    async def serve(
        self, request: web.Request, phone: str, still: Callable[[], bool], owner: str = ""
    ) -> web.StreamResponse:
        """Serve one websocket, until either side closes it or ``still`` returns False.

        Args:
            phone: the name under which it may speak, such as web-8016.
            owner: who it belongs to, where several people speak under one name.

        Raises Refused.
        """
        response = web.WebSocketResponse(
            protocols=(PROTOCOL,), heartbeat=BEAT_S, timeout=CLOSE_S, max_msg_size=MOST_BYTES, compress=False
        )
        if response.can_prepare(request).protocol != PROTOCOL:
            raise Refused(400, "not_sip")
        async with aiohttp.ClientSession() as session:
            try:
                async with asyncio.timeout(CONNECT_S):
                    asterisk = await session.ws_connect(
                        self._url,
                        protocols=(PROTOCOL,),
                        heartbeat=BEAT_S,
                        timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
                        max_msg_size=MOST_BYTES,
                    )
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                log.warning("Asterisk takes no phones of the page (HEARLINE_PHONE): %s", error or type(error).__name__)
                raise Refused(503, "phone_away") from None
            async with asterisk:
                await response.prepare(request)
                mine = self._open.setdefault(owner or phone, [])
                mine.append(response)
                for old in mine[:-MOST_SOCKETS]:
                    self._end(old, aiohttp.WSCloseCode.POLICY_VIOLATION)
                try:
                    await self._serve(response, asterisk, phone, still)
                finally:
                    mine.remove(response)
                    if not mine:
                        self._open.pop(owner or phone, None)
        return response

    async def _serve(
        self,
        browser: web.WebSocketResponse,
        asterisk: aiohttp.ClientWebSocketResponse,
        phone: str,
        still: Callable[[], bool],
    ) -> None:
        """Pass messages on until any of the three is over, then close both ends."""
        tasks = {
            asyncio.create_task(_pass_on(browser, asterisk, _Watch(phone))),
            asyncio.create_task(_pass_on(asterisk, browser, lambda _text: True)),
            asyncio.create_task(_while(still)),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with suppress(ConnectionError, RuntimeError):
                await asterisk.close()
            with suppress(ConnectionError, RuntimeError):
                await browser.close()

    def _end(self, socket: web.WebSocketResponse, code: int) -> None:
        task = asyncio.get_running_loop().create_task(_close(socket, code))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _close(socket: web.WebSocketResponse, code: int) -> None:
    with suppress(ConnectionError, RuntimeError):
        await socket.close(code=code)


async def _pass_on(
    source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
    target: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
    may: Callable[[str], bool],
) -> None:
    """Pass on what may be, until the source ends or sends what is not SIP."""
    async for message in source:
        if message.type is not aiohttp.WSMsgType.TEXT:
            return
        if not may(message.data):
            return
        with suppress(ConnectionError):
            await target.send_str(message.data)


class _Watch:
    """Called with each message of a browser's; returns False, and logs why, once its websocket must end."""

    def __init__(self, phone: str) -> None:
        self._phone = phone
        self._since, self._count = 0.0, 0

    def __call__(self, text: str) -> bool:
        if (now := time.monotonic()) >= self._since + 1:
            self._since, self._count = now, 0
        self._count += 1
        if self._count > MOST_A_SECOND:
            log.warning("a phone in a page sent more than %d messages in a second", MOST_A_SECOND)
            return False
        if not may_send(text, self._phone):
            log.warning("a phone in a page sent a request in another's name; its websocket is closed")
            return False
        return True


async def _while(still: Callable[[], bool]) -> None:
    while still():
        await asyncio.sleep(CHECK_S)


def may_send(text: str, phone: str) -> bool:
    """True if a text may come from this phone: a keep-alive, or one SIP message that is a response, a request within a
    call, or a request whose sender is the phone."""
    if not text.strip("\r\n"):
        return True
    head, _, body = text.partition("\r\n\r\n")
    first, *rest = head.split("\r\n")
    start, headers = _START.fullmatch(first), [_HEADER.fullmatch(line) for line in rest]
    if not start or not all(headers) or any(map(_CONTROL.search, (first, *rest))):
        return False
    found: dict[str, list[str]] = {}
    for header in filter(None, headers):
        name = header[1].lower()
        found.setdefault(_SHORT.get(name, name), []).append(header[2].strip())
    if found.get("content-length") != [str(len(body.encode()))]:
        return False
    contacts = found.get("contact", [])
    if found.keys() & _ELSEWHERE or len(contacts) > 1 or "," in "".join(contacts):  # Asterisk corrects only the first
        return False
    if not (method := start[1]):
        return True
    senders, receivers = found.get("from", []), found.get("to", [])
    if len(senders) != 1 or len(receivers) != 1:
        return False
    if method != "REGISTER" and _WITHIN.fullmatch(receivers[0]):  # Asterisk refuses it unless there is such a call
        return True
    address = _ADDRESS.fullmatch(senders[0])
    return address is not None and address[1] == phone
