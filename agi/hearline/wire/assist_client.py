"""A client of agent assist's interface. docs/interface.md describes the answers."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from hearline.wire.answers import Refused
from hearline.wire.event_stream import blocks

ANSWER_S = 4.5  # a browser waits for 5 s
CONNECT_S = 1.0
SILENT_S = 3.0  # a stream that is silent for this long is over: agent assist hangs
_URL = "http://assist"  # any host will do on a Unix socket

Blocks = AsyncIterator[tuple[str, bytes]]


class AssistClient:
    """For one event loop; ``close`` at the end. All methods raise Refused: as agent assist refused the request, or with
    503 ``assist_away`` if it does not answer.

    Args:
        socket: the file of its Unix socket.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._opened: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._opened:
            await self._opened.close()

    async def command(self, name: str, by: str, sent: dict[str, Any]) -> dict[str, Any]:
        """Give a command on behalf of the person with the work number ``by``; returns the answer."""
        until = time.monotonic() + ANSWER_S
        sent = sent | {"by": by, "until": until}
        return json.loads(await self._ask("POST", f"/commands/{quote(name, safe='')}", json=sent))

    async def get(self, path: str, **query: str) -> bytes:
        """The interface's answer at this path."""
        return await self._ask("GET", path, params=query)

    @asynccontextmanager
    async def agent_stream(self, agent: str, by: str) -> AsyncIterator[Blocks]:
        """A stream of an agent's newest state and levels, for the person ``by``."""
        async with self._stream(f"{agent_path(agent)}/stream", {}, {"by": by}) as found:
            yield found

    @asynccontextmanager
    async def events(self, after: str = "") -> AsyncIterator[Blocks]:
        """A stream of the events that follow the one numbered ``after``; without a valid number a snapshot comes
        first."""
        async with self._stream("/events", {"Last-Event-ID": after} if after else {}, {}) as found:
            yield found

    async def _ask(self, method: str, path: str, **how: Any) -> bytes:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S, sock_connect=CONNECT_S)
        try:
            async with self._session().request(method, _URL + path, timeout=timeout, **how) as answer:
                body = await answer.read()
        except (TimeoutError, aiohttp.ClientError, OSError):
            raise Refused(503, "assist_away") from None
        if answer.status != 200:
            raise _refused(answer.status, body)
        return body

    @asynccontextmanager
    async def _stream(self, path: str, headers: dict[str, str], query: dict[str, str]) -> AsyncIterator[Blocks]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENT_S)
        try:
            answer = await self._session().get(_URL + path, timeout=timeout, headers=headers, params=query)
        except (TimeoutError, aiohttp.ClientError, OSError):
            raise Refused(503, "assist_away") from None
        async with answer:
            if answer.status != 200:
                raise _refused(answer.status, await answer.read())
            yield _until_it_breaks(blocks(answer.content))

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            # A connection for each request: a kept one could be gone after a restart of agent assist.
            connector = aiohttp.UnixConnector(str(self._socket), limit=0, force_close=True)
            self._opened = aiohttp.ClientSession(connector=connector)
        return self._opened


def agent_path(agent: str) -> str:
    """The path of an agent in the interface."""
    return f"/agents/{quote(agent, safe='')}"


def _refused(status: int, body: bytes) -> Refused:
    try:
        answer = json.loads(body)
        return Refused(status, answer.pop("error"), **answer)
    except (ValueError, TypeError, AttributeError, KeyError):
        return Refused(status, "broken")


async def _until_it_breaks(found: Blocks) -> Blocks:
    try:
        async for block in found:
            yield block
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
        return
