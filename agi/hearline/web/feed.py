"""Streams to open pages: passes agent assist's streams on to browsers, the newest messages only.

At most one state, one set of levels and one beat wait for a page, and a newer one replaces the one before. So a slow
browser is behind by one message at most. A browser that takes nothing for `SLOW_S` is dropped, and reconnects by
itself. The beats come from agent assist: if it hangs, the page notices that they are missing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, suppress

from aiohttp import web

from hearline.wire.event_stream import HEADERS, SLOW_S, send

CHECK_S = 1.0  # between two checks that the viewer is still signed in
MOST_PAGES = 4  # that one person may open of one agent's state
OVER = b"event: over\ndata: {}\n\n"

Source = Callable[[str, str], AbstractAsyncContextManager[AsyncIterator[tuple[str, bytes]]]]


class Watcher:
    """One open page that shows ``agent``'s state to the person ``by``."""

    def __init__(self, agent: str, by: str) -> None:
        self.agent, self.by = agent, by
        self.wake = asyncio.Event()
        self.waiting: dict[str, bytes] = {}  # by kind
        self.over = False  # a newer window has taken its place
        self.closed = False  # nothing more will be sent

    def take(self, kind: str, block: bytes) -> None:
        self.waiting[kind] = block
        self.wake.set()

    def end(self) -> None:
        self.over = True
        self.wake.set()

    def close(self) -> None:
        self.closed = True
        self.wake.set()

    def news(self) -> bytes:
        """The messages to send now, the state first."""
        self.wake.clear()
        if self.over:
            self.closed = True
            return OVER
        waiting, self.waiting = self.waiting, {}
        return waiting.pop("state", b"") + b"".join(waiting.values())


class Feed:
    """The open pages.

    Args:
        source: opens the stream of an agent's state (first argument) for a person (second); raises Refused.
        headers: of every answer.
    """

    def __init__(self, source: Source, headers: Mapping[str, str] = {}) -> None:
        self._source, self._headers = source, {**headers, **HEADERS}
        self._watchers: dict[str, list[Watcher]] = {}

    def pages(self, agent: str) -> int:
        """The number of pages of their own that this agent has open."""
        return sum(watcher.by == agent for watcher in self._watchers.get(agent, ()))

    def close(self) -> None:
        """End all streams. The pages reconnect by themselves once the server is back."""
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.close()

    async def serve(
        self, request: web.Request, agent: str, still: Callable[[], bool], by: str = ""
    ) -> web.StreamResponse:
        """Serve one page's stream. It ends when the page goes or is too slow, when agent assist's stream ends, or when
        ``still`` returns False: the viewer may no longer see it. Raises Refused if there is no stream to pass on.

        Args:
            by: the viewer, if it is not the agent.
        """
        async with self._source(agent, by or agent) as source:
            response = web.StreamResponse(headers=self._headers)
            try:
                await response.prepare(request)
            except ConnectionError:  # the page has gone meanwhile
                return response
            with self._watching(agent, by or agent) as watcher:
                reading = asyncio.create_task(self._read(source, watcher))
                try:
                    await self._pass_on(watcher, request, response, still)
                finally:
                    reading.cancel()
                    with suppress(asyncio.CancelledError):
                        await reading
        return response

    @staticmethod
    async def _read(source: AsyncIterator[tuple[str, bytes]], watcher: Watcher) -> None:
        try:
            async for kind, block in source:
                watcher.take(kind, block)
        finally:
            watcher.close()

    @staticmethod
    async def _pass_on(
        watcher: Watcher, request: web.Request, response: web.StreamResponse, still: Callable[[], bool]
    ) -> None:
        checked = time.monotonic()
        while not watcher.closed and await send(request, response, watcher.news, SLOW_S):
            if time.monotonic() - checked > CHECK_S:
                checked = time.monotonic()
                if not still():
                    break
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_S):
                    await watcher.wake.wait()

    @contextmanager
    def _watching(self, agent: str, by: str) -> Iterator[Watcher]:
        mine = self._watchers.setdefault(agent, [])
        watcher = Watcher(agent, by)
        mine.append(watcher)
        for old in [one for one in mine if one.by == watcher.by][:-MOST_PAGES]:
            old.end()
        try:
            yield watcher
        finally:
            mine.remove(watcher)
            if not mine:
                self._watchers.pop(agent, None)
