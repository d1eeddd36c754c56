"""The agent's page over HTTP: its files, signing in, and agent assist's interface for the person who is signed in."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from aiohttp import web

from hearline.web.access import WHO, Handler, routes
from hearline.web.administration import Administration
from hearline.web.entrance import Entrance
from hearline.web.feed import Feed
from hearline.web.headers import HEADERS
from hearline.wire.answers import read_json
from hearline.wire.assist_client import AssistClient, agent_path

STATIC = Path(__file__).parent.parent / "static"
MOST_BODY = 16 * 1024  # bytes
COMMANDS = ("press", "card", "call-up", "outcome", "note", "promise", "coming", "done", "volume")


class Page:
    """The handlers. ``app`` makes the application; ``close`` ends its streams and its sign-ins under way."""

    def __init__(self, assist: AssistClient, entrance: Entrance) -> None:
        self._assist, self._entrance = assist, entrance
        self.feed = Feed(assist.agent_stream, HEADERS)

    def app(self) -> web.Application:
        handlers: dict[tuple[str, str], Handler] = {
            **self._entrance.handlers(),
            **Administration(self._entrance).handlers(),
            ("GET", "/"): self._index,
            ("GET", "/api/events"): self._events,
            ("GET", "/api/phrases"): self._phrases,
            ("GET", "/api/characters"): self._characters,
            ("GET", "/api/hold-whisper"): self._hold_whisper,
            **{("POST", f"/api/{name}"): partial(self._command, name) for name in COMMANDS},
        }
        app = web.Application(middlewares=[self._entrance.guard], client_max_size=MOST_BODY)
        app.add_routes([*routes(handlers, self._entrance.who), web.static("/static", STATIC)])
        return app

    def close(self) -> None:
        self.feed.close()
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
