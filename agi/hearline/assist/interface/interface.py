"""Serves the interface: its routes, on a Unix socket that only our own user can open. See docs/interface.md."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from hearline.assist.calls.agent_states import AgentStates
from hearline.assist.calls.sessions import TalkSessions
from hearline.assist.interface.agent_streams import AgentStreams
from hearline.assist.interface.commands import Commands
from hearline.assist.interface.event_log import EventLog
from hearline.assist.interface.snapshots import Snapshots, brief
from hearline.assist.playback.volumes import Volumes
from hearline.core.log_limit import LogLimit
from hearline.store.accounts import Accounts, Role
from hearline.wire.answers import Refused, read_json
from hearline.wire.event_stream import BEAT_S, HEADERS, SLOW_S, beat, event, send
from hearline.wire.http_server import HttpServer

log = logging.getLogger(__name__)
log.addFilter(LogLimit())

MOST_BODY = 32 * 1024  # bytes; the page's server accepts half of it
MOST_EVENTS = 200  # in one write
LOOK_S = 0.25
MOST_QUERY = 100  # characters

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Reader:
    """A reader of the events. ``number``: that of the last event sent; None: a snapshot comes first."""

    def __init__(self, number: int | None) -> None:
        self.number = number
        self.wake = asyncio.Event()


class Interface:
    """``run`` serves until cancelled. An error in it affects neither hints nor legs.

    Args:
        socket: the file of the Unix socket.
    """

    def __init__(
        self,
        socket: Path,
        states: AgentStates,
        talks: TalkSessions,
        snapshots: Snapshots,
        volumes: Volumes,
        accounts: Accounts,
    ) -> None:
        self._socket, self._states, self._accounts = socket, states, accounts
        self.snapshots, self.commands = snapshots, Commands(states, talks, snapshots, volumes)
        self.streams = AgentStreams(snapshots.agent, snapshots.levels)
        snapshots.present = self.streams.present
        self.events = EventLog(secrets.token_hex(4))
        self.events.added = self._wake_readers
        self._readers: set[Reader] = set()
        self._serving = False
        self._briefs: dict[str, dict[str, Any]] = {}  # by agent, as sent last
        states.changed, states.levels, states.asking_changed = self._changed, self.streams.levels_changed, self._asked
        talks.recorded = self._recorded

    def supervisor_there(self, agent: str) -> bool:
        """True if this agent can call a supervisor in now."""
        return bool(self.snapshots.supervisor_there(agent))

    # ---- what happens -----------------------------------------------------------------------------------------------
    def _changed(self, agent: str) -> None:
        self.streams.state_changed(agent)
        now = brief(self._states.of(agent))
        if self._briefs.get(agent) != now:
            self._briefs[agent] = now
            self.events.add("agent", time.time(), **now)

    def _asked(self) -> None:
        """An agent asks for a supervisor, or no longer does."""
        for agent in self.streams.agents():
            account = self._accounts.of(agent)
            if account and account.role is Role.SUPERVISOR:
                self.streams.state_changed(agent)

    def _recorded(self, call: str, what: dict[str, Any]) -> None:
        self.events.add("talk", time.time(), call=call, **what)

    def _wake_readers(self) -> None:
        for reader in self._readers:
            reader.wake.set()

    # ---- the socket -------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(HttpServer("agent assist's interface", self._socket, lambda: self).run())
            tasks.create_task(self._watch())

    def close(self) -> None:
        """End all streams."""
        self._serving = False
        self.streams.close()
        self._wake_readers()

    async def _watch(self) -> None:
        """Pass on to everybody at once: whether Asterisk is connected, whether whispers are allowed, and which
        supervisors have their page open."""
        known, there = self.snapshots.standing(), self._supervisors()
        while True:
            await asyncio.sleep(LOOK_S)
            if known != (known := self.snapshots.standing()):
                self.events.add("standing", time.time(), **known)
                self.streams.all_changed()
            elif there != (there := self._supervisors()):
                self.streams.all_changed()

    def _supervisors(self) -> list[str]:
        accounts = self._accounts.watched.value.values()
        return [one.number for one in accounts if one.role is Role.SUPERVISOR and self.streams.present(one.number)]

    def app(self) -> web.Application:
        self._serving = True
        app = web.Application(middlewares=[self._guard], client_max_size=MOST_BODY)
        app.add_routes(
            [
                web.get("/snapshot", self._snapshot),
                web.get("/events", self._events),
                web.get("/agents/{agent}", self._agent),
                web.get("/agents/{agent}/stream", self._stream),
                web.get("/agents/{agent}/phrases", self._phrases),
                web.get("/agents/{agent}/hold-whisper", self._hold_whisper),
                web.get("/characters", self._characters),
                web.post("/commands/{command}", self._command),
            ]
        )
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as refused:
            return web.json_response(refused.body, status=refused.status)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception:
            resource = request.match_info.route.resource
            log.exception("the interface could not answer %s", resource.canonical if resource else request.method)
            return web.json_response({"error": "broken"}, status=500)

    # ---- routes -----------------------------------------------------------------------------------------------------
    async def _snapshot(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response(self._whole())

    def _whole(self) -> dict[str, Any]:
        return self.snapshots.everybody() | {"number": self.events.name(self.events.last)}

    async def _agent(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self.snapshots.agent(request.match_info["agent"]))

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        agent = request.match_info["agent"]
        return await self.streams.serve(request, agent, request.query.get("by", ""))

    async def _phrases(self, request: web.Request) -> web.StreamResponse:
        found = self.snapshots.phrases(request.match_info["agent"], request.query.get("q", "")[:MOST_QUERY])
        return web.json_response({"phrases": found})

    async def _characters(self, request: web.Request) -> web.StreamResponse:
        found = self.snapshots.characters(request.query.get("q", "")[:MOST_QUERY])
        return web.json_response({"characters": found})

    async def _hold_whisper(self, request: web.Request) -> web.StreamResponse:
        wav = await self.snapshots.hold_whisper(request.match_info["agent"])
        return web.Response(body=wav, content_type="audio/wav")

    async def _command(self, request: web.Request) -> web.StreamResponse:
        sent = await read_json(request)
        by = sent.pop("by", None)
        if not isinstance(by, str) or not by:
            raise Refused(400, "unknown")
        return web.json_response(await self.commands.do(request.match_info["command"], by, sent))

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """All events after the one that the reader names; a snapshot first if it names none that is valid."""
        response = web.StreamResponse(headers=HEADERS)
        await response.prepare(request)
        reader = Reader(self.events.number(request.headers.get("Last-Event-ID", "")))
        self._readers.add(reader)
        try:
            while self._serving and await send(request, response, partial(self._next, reader), SLOW_S):
                with suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_S):
                        if reader.number == self.events.last:
                            await reader.wake.wait()
        finally:
            self._readers.discard(reader)
        return response

    def _next(self, reader: Reader) -> bytes:
        """The events after the last one sent to this reader; a beat if there are none."""
        reader.wake.clear()
        found = None if reader.number is None else self.events.after(reader.number, MOST_EVENTS)
        if found is None:
            whole, reader.number = self._whole(), self.events.last
            return event("snapshot", whole, time.time(), whole["number"])
        if not found:
            return beat()
        reader.number = found[-1].number
        return b"".join(event(one.kind, one.data, one.at, self.events.name(one.number)) for one in found)
