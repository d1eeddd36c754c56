"""Streams of one agent's newest state and levels.

A stream sends the present state, not what happened before. It has two marks, "the state has changed" and "the levels
have changed", and makes a message only when it can be sent. So a slow reader is behind by one message at most.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from aiohttp import web

from hearline.wire.event_stream import BEAT_S, HEADERS, SLOW_S, beat, event, send

METER_S = 0.07  # less than the 0.1 s between two levels of a side, so that none has to wait for the one after the next


class Stream:
    """One open stream of ``agent``'s state, for the person ``by``. ``changed_at``: the time of the oldest change that
    was not sent yet, s since 1970."""

    def __init__(self, agent: str, by: str) -> None:
        self.agent, self.by = agent, by
        self.wake = asyncio.Event()
        self.changed_at: float | None = time.time()
        self.levels_at: float | None = None
        self.next_levels = 0.0  # monotonic s
        self.closed = False

    def state_changed(self) -> None:
        self.changed_at = self.changed_at or time.time()
        self.wake.set()

    def levels_changed(self) -> None:
        if self.levels_at is None:
            self.levels_at = time.time()
            wait_s = self.next_levels - time.monotonic()
            asyncio.get_running_loop().call_later(max(0.0, wait_s), self.wake.set)

    def close(self) -> None:
        self.closed = True
        self.wake.set()


class AgentStreams:
    """All open streams.

    Args:
        state, levels: return the objects to send, for an agent.
    """

    def __init__(self, state: Callable[[str], dict[str, Any]], levels: Callable[[str], dict[str, Any]]) -> None:
        self._state, self._levels = state, levels
        self._open: defaultdict[str, list[Stream]] = defaultdict(list)  # by agent

    def state_changed(self, agent: str) -> None:
        for stream in self._open.get(agent, ()):
            stream.state_changed()

    def levels_changed(self, agent: str) -> None:
        for stream in self._open.get(agent, ()):
            stream.levels_changed()

    def all_changed(self) -> None:
        for agent in self._open:
            self.state_changed(agent)

    def agents(self) -> list[str]:
        """The agents with an open stream of their state."""
        return list(self._open)

    def present(self, person: str) -> bool:
        """True if this person has a stream of their own state open, that is, their page."""
        return any(stream.by == person for stream in self._open.get(person, ()))

    def close(self) -> None:
        for streams in self._open.values():
            for stream in streams:
                stream.close()

    async def serve(self, request: web.Request, agent: str, by: str) -> web.StreamResponse:
        """Serve one stream, until its reader goes or is too slow."""
        response = web.StreamResponse(headers=HEADERS)
        await response.prepare(request)
        with self._opened(agent, by) as stream:
            while not stream.closed and await send(request, response, partial(self._news, stream), SLOW_S):
                with suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_S):
                        await stream.wake.wait()
        return response

    @contextmanager
    def _opened(self, agent: str, by: str) -> Iterator[Stream]:
        stream = Stream(agent, by)
        self._open[agent].append(stream)
        try:
            yield stream
        finally:
            self._open[agent].remove(stream)
            if not self._open[agent]:
                del self._open[agent]

    def _news(self, stream: Stream) -> bytes:
        """The message to send now; a beat if nothing is new."""
        stream.wake.clear()
        found = []
        if stream.changed_at is not None:
            found.append(event("state", self._state(stream.agent), stream.changed_at))
            stream.changed_at = None
        if stream.levels_at is not None and time.monotonic() >= stream.next_levels - 0.001:
            found.append(event("levels", self._levels(stream.agent), stream.levels_at))
            stream.levels_at, stream.next_levels = None, time.monotonic() + METER_S
        return b"".join(found) or beat()
