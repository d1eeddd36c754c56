"""The page in the assist process: on an address of its own, and for itself. Whatever becomes of it, hints and legs go
on."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import Callable
from typing import Protocol

from aiohttp import web

from hearline.core.log_limit import LogLimit
from hearline.web.feed import Feed

log = logging.getLogger(__name__)
http_log = logging.getLogger(f"{__name__}.http")
http_log.addFilter(LogLimit())  # whatever is sent to us, our log does not grow by it

AGAIN_S = 5.0
LOOK_S = 0.25
STOP_S = 0.5
HEADER_S = 10.0  # so long a connection may be there without a whole request on it
MOST_CONNECTIONS = 2_000
ACCEPT_AGAIN_S = 1.0  # where no descriptor is left


class Page(Protocol):
    """What is served: an application, and the news for the browsers that have it open."""

    feed: Feed

    def app(self) -> web.Application: ...

    def close(self) -> None: ...


class PageServer:
    """``run`` until cancelled.

    Args:
        page: made when it is first needed; may raise OSError or ValueError.
        matters: what whoever looks at a call must know at once when it changes: whether Asterisk is there, and so on.
    """

    def __init__(self, where: tuple[str, int], page: Callable[[], Page], matters: Callable[[], object]) -> None:
        self._where, self._make, self._matters = where, page, matters

    async def run(self) -> None:
        told = ""
        while True:
            try:
                await self._serve()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                if told != (told := f"{type(error).__name__}: {error}"):
                    log.exception("the agents' page is not there; hints go on, and it is tried again")
            await asyncio.sleep(AGAIN_S)

    async def _serve(self) -> None:
        page = self._make()
        app, busy = page.app(), Busy()
        app.middlewares.insert(0, busy.middleware)
        runner = web.AppRunner(
            app,
            access_log=None,
            logger=http_log,
            handle_signals=False,
            shutdown_timeout=STOP_S,
            keepalive_timeout=HEADER_S,
        )
        await runner.setup()
        try:
            with await self._listen() as listening:
                log.info("the agents' page is on http://%s:%d", *self._where)
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(accept(listening, runner.server, busy))
                    tasks.create_task(self._tell_what_matters(page))
        finally:
            page.close()  # else its streams would be waited for
            await runner.cleanup()

    async def _listen(self) -> socket.socket:
        [(family, kind, protocol, _, where), *_] = await asyncio.get_running_loop().getaddrinfo(
            *self._where, type=socket.SOCK_STREAM
        )
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(where)
            listening.listen(128)
            listening.setblocking(False)
        except OSError:
            listening.close()
            raise
        return listening

    async def _tell_what_matters(self, page: Page) -> None:
        known = self._matters()
        while True:
            await asyncio.sleep(LOOK_S)
            if known != (known := self._matters()):
                page.feed.all_changed()


class Busy:
    """The connections on which a request is being answered."""

    def __init__(self) -> None:
        self._now: set[asyncio.BaseProtocol] = set()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Callable) -> web.StreamResponse:
        self._now.add(request.protocol)
        try:
            return await handler(request)
        finally:
            self._now.discard(request.protocol)

    def __contains__(self, connection: asyncio.BaseProtocol) -> bool:
        return connection in self._now


def most_connections() -> int:
    """Half of the descriptors that this process may have at most: records, legs and Asterisk need theirs."""
    return min(MOST_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


async def accept(listening: socket.socket, server: web.Server, busy: Busy) -> None:
    """Take connections, no more than there may be: where all places are taken, the one that has been idle for longest
    makes room, and where none is idle, whoever comes next waits.

    asyncio's own way of accepting writes a hundred tracebacks a second where no descriptor is left.
    """
    loop, most, quiet = asyncio.get_running_loop(), most_connections(), LogLimit()
    while True:
        while len(server.connections) >= most and not _make_room(server, busy):
            await asyncio.sleep(0.1)
        try:
            connection, _ = await loop.sock_accept(listening)
        except OSError as error:
            if quiet.allows("accept"):
                log.error("the agents' page takes no connection for the moment: %s", error)
            await asyncio.sleep(ACCEPT_AGAIN_S)
            continue
        try:
            await loop.connect_accepted_socket(server, connection)
        except OSError:
            connection.close()


def _make_room(server: web.Server, busy: Busy) -> bool:
    for connection in server.connections:  # the oldest first
        if connection not in busy and connection.transport is not None:
            connection.transport.abort()
            return True
    return False
