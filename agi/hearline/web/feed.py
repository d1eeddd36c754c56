"""News for the pages that are open: server-sent events, the newest state only.

A page is not sent what happened but how things stand: what waits for it is two marks, "the state has changed" and "the
levels have", and what is sent is made when it can be sent. So a slow reader is behind by one message at most; one who
takes none for `SLOW_S` is dropped, and comes back by itself.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from aiohttp import web

BEAT_S = 0.5  # a page that hears nothing for 1.5 s takes the connection for lost
METER_S = 0.07  # less than from one level of a side to the next, 0.1 s: else each would wait for the next but one
SLOW_S = 3.0
CHECK_S = 1.0  # is who looks still signed in?
MOST_PAGES = 4  # of one desk, by one person
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx must not hold back what is to be seen at once
}


class Watcher:
    """One open page, with ``agent``'s desk on it. ``changed_at``: when the oldest change that it has not been sent was,
    s since 1970.

    Args:
        by: who looks at it: the agent, or somebody who may see their desk.
    """

    def __init__(self, agent: str, by: str = "") -> None:
        self.agent, self.by = agent, by or agent
        self.wake = asyncio.Event()
        self.changed_at: float | None = time.time()
        self.levels_at: float | None = None
        self.next_levels = 0.0  # monotonic s
        self.over = False  # another window has its place
        self.closed = False  # the server goes

    def state_changed(self) -> None:
        self.changed_at = self.changed_at or time.time()
        self.wake.set()

    def levels_changed(self) -> None:
        if self.levels_at is None:
            self.levels_at = time.time()
            wait_s = self.next_levels - time.monotonic()
            asyncio.get_running_loop().call_later(max(0.0, wait_s), self.wake.set)

    def end(self) -> None:
        self.over = True
        self.wake.set()


class Feed:
    """The open pages.

    Args:
        view: an agent's state.
        levels: an agent's levels.
        headers: of every answer.
    """

    def __init__(
        self,
        view: Callable[[str], dict[str, Any]],
        levels: Callable[[str], dict[str, Any]],
        headers: Mapping[str, str] = {},
    ) -> None:
        self._view, self._levels, self._headers = view, levels, {**headers, **HEADERS}
        self._watchers: dict[str, list[Watcher]] = {}

    def changed(self, agent: str) -> None:
        for watcher in self._watchers.get(agent, ()):
            watcher.state_changed()

    def levels_changed(self, agent: str) -> None:
        for watcher in self._watchers.get(agent, ()):
            watcher.levels_changed()

    def pages(self, agent: str) -> int:
        """How many this agent has open of their own desk."""
        return sum(watcher.by == agent for watcher in self._watchers.get(agent, ()))

    def close(self) -> None:
        """End all streams; the pages come back by themselves when there is a server again."""
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.closed = True
                watcher.wake.set()

    def all_changed(self) -> None:
        for agent in self._watchers:
            self.changed(agent)

    async def serve(
        self, request: web.Request, agent: str, still: Callable[[], bool], by: str = ""
    ) -> web.StreamResponse:
        """One page's stream, until it goes, is too slow, or ``still`` says that it may not be seen any more. ``by``:
        who looks at it, where that is not the agent."""
        response = web.StreamResponse(headers=self._headers)
        await response.prepare(request)
        with self._watching(agent, by) as watcher:
            checked = time.monotonic()
            while not watcher.closed and await self._room(request.transport):
                if time.monotonic() - checked > CHECK_S:
                    checked = time.monotonic()
                    if not still():
                        break
                try:
                    await response.write(self._news(watcher))
                except ConnectionError:
                    break
                if watcher.over:
                    break
                with suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_S):
                        await watcher.wake.wait()
        return response

    @staticmethod
    async def _room(transport: asyncio.Transport | None) -> bool:
        """Wait until all that was sent is on its way; False: it has gone, or is too slow and is dropped."""
        until = time.monotonic() + SLOW_S
        while transport and not transport.is_closing():
            if not transport.get_write_buffer_size():
                return True
            if time.monotonic() > until:
                transport.abort()
                break
            await asyncio.sleep(METER_S)
        return False

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

    def _news(self, watcher: Watcher) -> bytes:
        """What is to be sent now; a beat where nothing is new."""
        watcher.wake.clear()
        if watcher.over:
            return b"event: over\ndata: {}\n\n"
        found = []
        if watcher.changed_at is not None:
            found.append(_event("state", self._view(watcher.agent), watcher.changed_at))
            watcher.changed_at = None
        if watcher.levels_at is not None and time.monotonic() >= watcher.next_levels - 0.001:
            found.append(_event("levels", self._levels(watcher.agent), watcher.levels_at))
            watcher.levels_at, watcher.next_levels = None, time.monotonic() + METER_S
        return b"".join(found) or _event("beat", {}, time.time())


def _event(kind: str, data: dict[str, Any], at: float) -> bytes:
    """``now``: our clock at sending; ``at``: when it happened; both in ms since 1970."""
    told = data | {"now": round(time.time() * 1_000, 1), "at": round(at * 1_000, 1)}
    return f"event: {kind}\ndata: {json.dumps(told, ensure_ascii=False)}\n\n".encode()
