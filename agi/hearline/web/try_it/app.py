""" "Try it": a page on which a newcomer rings the hotline from the browser, and sees the call while it goes on.

It is for test stacks. On a box with real callers it is off unless `HEARLINE_TRY_IT` is set, and then it is for those
who are signed in at the agents' page.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from hearline.core.files import read_text
from hearline.store.accounts import Accounts
from hearline.web.access import Handler
from hearline.web.entrance import Entrance
from hearline.web.headers import HEADERS
from hearline.web.phone_socket import PhoneSockets
from hearline.web.try_it.calls import KEPT_S, TooMany, TryCalls
from hearline.web.try_it.hotline import Hotline
from hearline.web.try_it.relay import CallRelay
from hearline.wire.answers import Refused
from hearline.wire.event_stream import BEAT_S, SLOW_S, beat, event, send
from hearline.wire.event_stream import HEADERS as STREAM_HEADERS

COOKIE = "hearline-try"
CALL_HEADER = "X-Hearline-Call"  # of the INVITE: the call's id; see extensions.conf, context hearline-try
INDEX = Path(__file__).parent.parent / "static" / "try" / "index.html"
HOST = "hearline"  # in the browser's SIP addresses
MOST_STREAMS = 6  # the server lets eight calls be followed, `hearline listen --call` included
MOST_WAITING = 400  # events for a slow reader
MOST_SOCKETS = 40  # of all visitors: the agents' phones share Asterisk's HTTP server with them


@dataclass(frozen=True)
class Trial:
    """What the page needs.

    Args:
        mode: ``signed-in`` or ``anybody``, see `core.settings`.
        hotline: reads what is rung; waits for the disk. Raises OSError, ValueError.
        sounds: the folder of the recorded callers.
        set_up: the file with the account to ring with, and the work number and PIN of a test agent for the visitor's
            second tab; `ops.provision` writes it.
    """

    mode: str
    hotline: Callable[[], Hotline]
    relay: CallRelay
    sounds: Path
    set_up: Path
    accounts: Accounts


class TryIt:
    """The handlers. Without a ``trial`` the page is off.

    Args:
        phones: passes websockets on to Asterisk; None: Asterisk takes none.
    """

    def __init__(self, trial: Trial | None, entrance: Entrance, phones: PhoneSockets | None) -> None:
        self._trial, self._entrance, self._phones = trial, entrance, phones
        self._calls = TryCalls()
        self._streams: set[asyncio.Event] = set()
        self._sockets = 0
        self._agent: tuple[str, str, str] | None = None  # number, PIN and account's stamp that were checked last …
        self._agent_valid = False  # … and whether that was the PIN

    def handlers(self) -> dict[tuple[str, str], Handler]:
        return {
            ("GET", "/try"): self._index,
            ("GET", "/try/ws"): self._phone_socket,
            ("GET", "/api/try"): self._about,
            ("POST", "/api/try/phone"): self._phone,
            ("GET", "/api/try/calls/{call}/events"): self._events,
            ("GET", "/api/try/callers/{name}"): self._caller,
        }

    def close(self) -> None:
        """End all streams."""
        for over in self._streams:
            over.set()

    def _admitted(self, request: web.Request) -> Trial:
        """Raises Refused."""
        if self._trial is None:
            raise Refused(404, "try_off")
        if self._trial.mode != "anybody" and self._entrance.who(request) is None:
            raise Refused(401, "signed_out")
        return self._trial

    # ---- the page ---------------------------------------------------------------------------------------------------
    async def _index(self, _request: web.Request) -> web.StreamResponse:
        return web.FileResponse(INDEX)

    async def _about(self, request: web.Request) -> web.StreamResponse:
        """The hotline, its prompts, the recorded callers; on a test stack also an agent for the second tab."""
        trial = self._admitted(request)
        try:
            hotline = await asyncio.to_thread(trial.hotline)
        except (OSError, ValueError):
            raise Refused(503, "no_hotline") from None
        agent = await asyncio.to_thread(self._test_agent, trial) if trial.mode == "anybody" else None
        return web.json_response(asdict(hotline) | {"agent": agent})

    async def _caller(self, request: web.Request) -> web.StreamResponse:
        """A recorded caller, as a WAV file."""
        trial, name = self._admitted(request), request.match_info["name"]
        if not name.replace("-", "").isalnum() or not name.isascii():
            raise Refused(404, "unknown")
        file = trial.sounds / f"{name}.wav"
        if not await asyncio.to_thread(file.is_file):
            raise Refused(404, "unknown")
        return web.FileResponse(file)

    def _test_agent(self, trial: Trial) -> dict[str, str] | None:
        """The agent whose PIN the test stack shows anyway; None if the PIN was changed since. Waits for the disk."""
        try:
            agent = json.loads(read_text(trial.set_up))["agent"]
            number, pin = str(agent["number"]), str(agent["pin"])
            account = trial.accounts.of(number)
            found = number, pin, account.stamp if account else ""
            if found != self._agent:  # checking a PIN is expensive on purpose
                self._agent, self._agent_valid = found, trial.accounts.check(number, pin)
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return {"number": number, "pin": pin} if self._agent_valid else None

    # ---- a call -----------------------------------------------------------------------------------------------------
    async def _phone(self, request: web.Request) -> web.StreamResponse:
        """What the browser needs to ring: an account, and the id under which its call will be known."""
        trial = self._admitted(request)
        user, password = await self._account(trial)
        try:
            begun = self._calls.begin(request.cookies.get(COOKIE, ""), time.monotonic(), datetime.now(UTC))
        except TooMany:
            raise Refused(429, "busy", wait_s=60) from None
        address = _for_media(self._entrance.address(request))
        line = {"user": user, "password": password, "uri": f"sip:{user}@{HOST}", "ice": [], "address": address}
        response = web.json_response(line | {"call": begun.call, "headers": [f"{CALL_HEADER}: {begun.call}"]})
        response.set_cookie(
            COOKIE,
            begun.visitor,
            max_age=round(KEPT_S),
            httponly=True,
            samesite="Strict",
            secure=self._entrance.secure(request),
        )
        return response

    async def _account(self, trial: Trial) -> tuple[str, str]:
        """User and password to ring with. Raises Refused."""
        try:
            phone = json.loads(await asyncio.to_thread(read_text, trial.set_up))["phone"]
            user, password = str(phone["user"]), str(phone["password"])
        except (OSError, ValueError, TypeError, KeyError):
            raise Refused(409, "no_phone") from None
        if self._phones is None:
            raise Refused(409, "no_phone")
        return user, password

    async def _phone_socket(self, request: web.Request) -> web.StreamResponse:
        """The websocket of a browser that rings. It has a path of its own, since the same browser may be signed in as
        an agent, with a phone of its own."""
        trial, visitor = self._admitted(request), request.cookies.get(COOKIE, "")
        self._entrance.must_come_from_our_page(request)
        if self._phones is None or not self._calls.knows(visitor, time.monotonic()):
            raise Refused(404, "unknown")
        user, _ = await self._account(trial)

        def still() -> bool:
            return trial.mode == "anybody" or self._entrance.who(request) is not None

        if self._sockets >= MOST_SOCKETS:
            raise Refused(429, "busy", wait_s=60)
        self._sockets += 1
        try:
            return await self._phones.serve(request, user, still, owner=f"visitor {visitor}")
        finally:
            self._sockets -= 1

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """The visitor's own call as it goes on: `relay.CallRelay.follow` has the events. ``end`` comes last."""
        trial, call = self._admitted(request), request.match_info["call"]
        if not self._calls.owns(request.cookies.get(COOKIE, ""), call):
            raise Refused(404, "unknown")
        if len(self._streams) >= MOST_STREAMS:
            raise Refused(429, "busy", wait_s=60)
        response = web.StreamResponse(headers={**HEADERS, **STREAM_HEADERS})
        over, wake, waiting = asyncio.Event(), asyncio.Event(), list[bytes]()

        def tell(kind: str, data: dict[str, Any]) -> None:
            if len(waiting) >= MOST_WAITING:  # it reads, but too slowly
                over.set()
            waiting.append(event(kind, data, time.time()))
            wake.set()

        def news() -> bytes:
            block = b"".join(waiting)
            waiting.clear()
            return block

        self._streams.add(over)
        following = asyncio.create_task(trial.relay.follow(call, tell))
        following.add_done_callback(lambda _: wake.set())
        try:
            await response.prepare(request)
            while not over.is_set():
                ended = following.done()
                wake.clear()
                if ended:
                    tell("end", {})
                if not await send(request, response, news, SLOW_S) or ended:
                    break
                try:
                    async with asyncio.timeout(BEAT_S):
                        await wake.wait()
                except TimeoutError:
                    waiting.append(beat())
        except ConnectionError:  # the browser has gone
            pass
        finally:
            self._streams.discard(over)
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
        return response


def _for_media(address: str) -> str:
    """A browser's address as Asterisk's media can reach it: on this machine Asterisk speaks IPv4."""
    try:
        known = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return ""
    known = getattr(known, "ipv4_mapped", None) or known
    return "127.0.0.1" if known.is_loopback else str(known)
