"""The agent's page over HTTP: its files, signing in, and agent assist's interface for the person who is signed in."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path

from aiohttp import web

from hearline.core.web_phones import web_phone
from hearline.web.access import WHO, Handler, routes
from hearline.web.administration import Administration
from hearline.web.entrance import Entrance
from hearline.web.feed import Feed
from hearline.web.headers import HEADERS
from hearline.web.phone_socket import PhoneSockets
from hearline.web.try_it.app import Trial, TryIt
from hearline.wire.answers import Refused, read_json
from hearline.wire.assist_client import AssistClient, agent_path

STATIC = Path(__file__).parent.parent / "static"
MOST_BODY = 16 * 1024  # bytes
COMMANDS = ("press", "card", "call-up", "outcome", "note", "promise", "coming", "done", "volume")


class Page:
    """The handlers. ``app`` makes the application; ``close`` ends its streams and its sign-ins under way.

    Args:
        phone: host:port of Asterisk's HTTP server, for phones in the page; '' for none.
        trial: what the page "Try it" needs; None: it is off.
    """

    def __init__(self, assist: AssistClient, entrance: Entrance, phone: str = "", trial: Trial | None = None) -> None:
        self._assist, self._entrance = assist, entrance
        self._phones = PhoneSockets(phone) if phone else None
        self._try_it = TryIt(trial, entrance, self._phones)
        self._leaving: set[asyncio.Task] = set()
        self._phone_at: dict[str, str] = {}  # by work number: the browser that was told the phone's password
        self.feed = Feed(assist.agent_stream, HEADERS)

    def app(self) -> web.Application:
        handlers: dict[tuple[str, str], Handler] = {
            **self._entrance.handlers(),
            **Administration(self._entrance).handlers(),
            **self._try_it.handlers(),
            ("GET", "/"): self._index,
            ("GET", "/ws"): self._phone_socket,
            ("GET", "/api/events"): self._events,
            ("GET", "/api/phrases"): self._phrases,
            ("GET", "/api/characters"): self._characters,
            ("GET", "/api/hold-whisper"): self._hold_whisper,
            ("POST", "/api/sign-out"): self._sign_out,
            ("POST", "/api/phone"): self._phone,
            **{("POST", f"/api/{name}"): partial(self._command, name) for name in COMMANDS},
        }
        app = web.Application(middlewares=[self._entrance.guard], client_max_size=MOST_BODY)
        app.add_routes([*routes(handlers, self._entrance.who), web.static("/static", STATIC)])
        return app

    def close(self) -> None:
        self.feed.close()
        self._try_it.close()
        if self._phones:
            self._phones.close()
        self._entrance.close()

    @staticmethod
    def _agent(request: web.Request) -> str:
        """The work number of the person who is signed in."""
        return request[WHO].number

    async def _index(self, _request: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / "index.html")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """The stream of one's own state, or of the state of the ``agent`` that the request names."""
        whose = self._entrance.seen(request)
        still = partial(self._entrance.still_sees, request, whose)
        return await self.feed.serve(request, whose.number, still, by=self._agent(request))

    async def _sign_out(self, request: web.Request) -> web.StreamResponse:
        """Sign out. The password of the phone in this page is of no use any more."""
        who = self._entrance.who(request)
        response = await self._entrance.sign_out(request)
        if who and self._phones and not self._phone_is_elsewhere(request, who.number):
            task = asyncio.create_task(self._end_phone(who.number))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
        return response

    async def _phone(self, request: web.Request) -> web.StreamResponse:
        """A new password for the phone in one's own page; or, with ``over``, the page has given the phone up."""
        number = self._agent(request)
        over = bool((await read_json(request)).get("over"))
        if over and self._phone_is_elsewhere(request, number):
            return web.json_response({})
        response = await self._command("phone", request)
        if over:
            self._phone_at.pop(number, None)
        else:
            self._phone_at[number] = self._entrance.browser(request, number)
        return response

    def _phone_is_elsewhere(self, request: web.Request, number: str) -> bool:
        """True if another browser has taken this person's phone: it may be in a talk with it."""
        return self._phone_at.get(number, mine := self._entrance.browser(request, number)) != mine

    async def _end_phone(self, number: str) -> None:
        self._phone_at.pop(number, None)
        with suppress(Refused):  # there is no phone; or agent assist is away, and will not know the session either
            await self._assist.command("phone", number, {"over": True})

    async def _phone_socket(self, request: web.Request) -> web.StreamResponse:
        """The websocket of the phone in one's own page."""
        if self._phones is None:
            raise Refused(404, "no_phone")
        self._entrance.must_come_from_our_page(request)
        still = partial(self._entrance.still_there, request)
        return await self._phones.serve(request, web_phone(self._agent(request)), still)

    async def _phrases(self, request: web.Request) -> web.StreamResponse:
        """All cards in the order of their sections, or those that match ``q``, the best first."""
        query = request.query.get("q", "")
        return _json(await self._assist.get(f"{agent_path(self._agent(request))}/phrases", q=query))

    async def _characters(self, request: web.Request) -> web.StreamResponse:
        return _json(await self._assist.get("/characters", q=request.query.get("q", "")))

    async def _hold_whisper(self, request: web.Request) -> web.StreamResponse:
        """The whisper that the agent's phone does not play because it holds, as a WAV file."""
        wav = await self._assist.get(f"{agent_path(self._agent(request))}/hold-whisper")
        return web.Response(body=wav, content_type="audio/wav")

    async def _command(self, name: str, request: web.Request) -> web.StreamResponse:
        """Pass a command on to agent assist, which carries it out or refuses it."""
        sent = await read_json(request)
        if request.transport is None or request.transport.is_closing():
            raise ConnectionResetError  # whoever asked has given it up
        return web.json_response(await self._assist.command(name, self._agent(request), sent))


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json", charset="utf-8")
