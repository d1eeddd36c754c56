"""Serves the interface: its routes, on a Unix socket that only our own user can open. See docs/interface.md."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
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
from hearline.core.logs import shielded
from hearline.store.accounts import Account, Accounts, Role, may_see
from hearline.wire.answers import Refused, read_json
from hearline.wire.event_stream import BEAT_S, HEADERS, SLOW_S, beat, event, send
from hearline.wire.http_server import HttpServer

log = logging.getLogger(__name__)
log.addFilter(LogLimit())

LESS = "those who use the interface may see less than there is"

MOST_BODY = 32 * 1024  # bytes; the page's server accepts half of it
MOST_EVENTS = 200  # in one write
LOOK_S = 0.25
MOST_QUERY = 100  # characters

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def no_phone(_agent: str, _over: bool) -> dict[str, Any]:
    """Refuses a password, where no phones in pages are offered."""
    raise Refused(409, "no_phone")


class Reader:
    """A reader of the events. ``number``: that of the last event sent; None: a snapshot comes first."""

    def __init__(self, number: int | None) -> None:
        self.number = number
        self.wake = asyncio.Event()


class Interface:
    """``run`` serves until cancelled. An error in it affects neither hints nor legs.

    Args:
        socket: the file of the Unix socket.
        password: see `Commands`.
    """

    def __init__(
        self,
        socket: Path,
        states: AgentStates,
        talks: TalkSessions,
        snapshots: Snapshots,
        volumes: Volumes,
        accounts: Accounts,
        password: Callable[[str, bool], Awaitable[dict[str, Any]]] = no_phone,
    ) -> None:
        self._states, self._talks, self._accounts = states, talks, accounts
        self._server = HttpServer("agent assist's interface", "HEARLINE_STATE", socket, lambda: self)
        self.snapshots, self.commands = snapshots, Commands(states, talks, snapshots, volumes, password)
        self.streams = AgentStreams(snapshots.agent, snapshots.levels)
        snapshots.present = self.streams.present
        self.events = EventLog(secrets.token_hex(4))
        self.events.added = self._wake_readers
        self._readers: set[Reader] = set()
        self._serving = False
        self._briefs: dict[str, dict[str, Any]] = {}  # by agent, as sent last
        states.changed, states.levels, states.asking_changed = self._changed, self._levels_changed, self._asked
        talks.recorded = self._recorded

    def supervisor_there(self, agent: str) -> bool:
        """True if this agent can call a supervisor in now."""
        return bool(self.snapshots.supervisor_there(agent))

    # ---- what happens -----------------------------------------------------------------------------------------------
    def _changed(self, agent: str) -> None:
        with shielded(log, LESS):
            self.streams.state_changed(agent)
            now = brief(self._states.of(agent))
            if self._briefs.get(agent) != now:
                self._briefs[agent] = now
                self.events.add("agent", time.time(), **now)

    def _levels_changed(self, agent: str) -> None:
        with shielded(log, LESS):
            self.streams.levels_changed(agent)

    def _asked(self) -> None:
        """An agent asks for a supervisor, or no longer does."""
        with shielded(log, LESS):
            for agent in self.streams.agents():
                account = self._accounts.of(agent)
                if account and account.role is Role.SUPERVISOR:
                    self.streams.state_changed(agent)

    def _recorded(self, call: str, what: dict[str, Any]) -> None:
        with shielded(log, LESS):
            self.events.add("talk", time.time(), call=call, **what)

    def _wake_readers(self) -> None:
        for reader in self._readers:
            reader.wake.set()

    # ---- the socket -------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._server.run())
            tasks.create_task(self._watch())

    def close(self) -> None:
        """End all streams."""
        self._serving = False
        self.streams.close()
        self._wake_readers()

    async def _watch(self) -> None:
        """What everybody must see at once: whether Asterisk is there, whether whispers are allowed, who has which role
        and team, which supervisors have their page open."""
        known, seen = self.snapshots.standing(), self._supervisors()
        while True:
            await asyncio.sleep(LOOK_S)
            with shielded(log, LESS):
                now, looks = self.snapshots.standing(), self._supervisors()
                if known != now:
                    self.events.add("standing", time.time(), **now)
                if looks[0] is not seen[0]:
                    self._release_those_who_cannot_come()
                if (known, seen) != (now, looks):
                    self.streams.all_changed()
                known, seen = now, looks

    def _supervisors(self) -> tuple[Mapping[str, Account], list[str]]:
        """All accounts, replaced whenever any is changed; and the supervisors who have their page open."""
        accounts = self._accounts.watched.value
        there = [n for n, one in accounts.items() if one.role is Role.SUPERVISOR and self.streams.present(n)]
        return accounts, there

    def _release_those_who_cannot_come(self) -> None:
        """Whoever accepted a request, and is no supervisor of that agent any more, does not come."""
        for one in self._states.asking():
            coming = self._accounts.of(one["coming"])
            if one["coming"] and not (coming and may_see(coming, self._accounts.of(one["agent"]))):
                self._talks.not_coming(self._states.of(one["agent"]).talk)

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
    def _must_know(self, agent: str) -> str:
        """Raises Refused for a work number that has no account, and of which no queue or phone has told us."""
        if not self._states.knows(agent) and self._accounts.of(agent) is None:
            raise Refused(404, "unknown")
        return agent

    async def _snapshot(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response(self._whole())

    def _whole(self) -> dict[str, Any]:
        return self.snapshots.everybody() | {"number": self.events.name(self.events.last)}

    async def _agent(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self.snapshots.agent(self._must_know(request.match_info["agent"])))

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        agent = self._must_know(request.match_info["agent"])
        return await self.streams.serve(request, agent, request.query.get("by", ""))

    async def _phrases(self, request: web.Request) -> web.StreamResponse:
        agent = self._must_know(request.match_info["agent"])
        found = self.snapshots.phrases(agent, request.query.get("q", "")[:MOST_QUERY])
        return web.json_response({"phrases": found})

    async def _characters(self, request: web.Request) -> web.StreamResponse:
        found = self.snapshots.characters(request.query.get("q", "")[:MOST_QUERY])
        return web.json_response({"characters": found})

    async def _hold_whisper(self, request: web.Request) -> web.StreamResponse:
        wav = await self.snapshots.hold_whisper(self._must_know(request.match_info["agent"]))
        return web.Response(body=wav, content_type="audio/wav")

    async def _command(self, request: web.Request) -> web.StreamResponse:
        sent = await read_json(request)
        by, until = sent.pop("by", None), sent.pop("until", None)
        if not isinstance(by, str) or not by:
            raise Refused(400, "unknown")
        self._must_know(by)
        # A command that we come to only after its sender has given it up is not carried out behind their back.
        if until is not None and not (isinstance(until, int | float) and time.monotonic() <= until):
            raise Refused(503, "too_late")
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
