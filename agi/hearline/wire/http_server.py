"""An HTTP server that survives incomplete requests, too many connections, and a port that is in use."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import Callable, Container
from pathlib import Path
from typing import Protocol

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from hearline.core.files import private_folder
from hearline.core.log_limit import LogLimit

log = logging.getLogger(__name__)
http_log = logging.getLogger(f"{__name__}.http")

AGAIN_S = 5.0
STOP_S = 0.5
STAYS_S = 1.0  # between two looks at a socket's file
HEADER_S = 10.0  # the longest that a connection may stay without a complete request
MOST_CONNECTIONS = 2_000
ROOM_S = 0.02  # between two looks for a place
YOUNG_S = 0.1  # a connection has at least this long for its request before it may be closed to make room
ACCEPT_AGAIN_S = 1.0  # after a failure to accept, e.g. because no descriptor is left
_GONE = "Transport is closing"  # asyncio's RuntimeError for a peer that has gone while a file is sent


class _HttpLog(LogLimit):
    """Keeps requests from flooding our log, and the addresses and words of browsers out of it. A browser that has gone
    is no error."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, ConnectionError) or str(error) == _GONE:
            return False
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):  # not our fault; it quotes the request
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.msg, record.args, record.exc_info = "a request that is not HTTP: %s", (type(error).__name__,), None
        elif " from %s" in record.msg:
            record.msg, record.args = record.msg.partition(" from %s")[0], ()
        return super().filter(record)


http_log.addFilter(_HttpLog())


class Served(Protocol):
    """An application to serve; ``close`` ends its streams."""

    def app(self) -> web.Application: ...

    def close(self) -> None: ...


class HttpServer:
    """``run`` serves until cancelled.

    Args:
        name: for the log, e.g. "the agents' page".
        where: host and port, or the file of a Unix socket, which only our own user will be able to open.
        served: makes the application, whenever serving begins; may raise OSError or ValueError.
    """

    def __init__(self, name: str, where: tuple[str, int] | Path, served: Callable[[], Served]) -> None:
        self._name, self._where, self._make = name, where, served

    async def run(self) -> None:
        logged = ""
        while True:
            try:
                await self._serve()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                if logged != (logged := f"{type(error).__name__}: {error}"):
                    log.exception("%s could not be served; it is tried again", self._name)
            await asyncio.sleep(AGAIN_S)

    async def _serve(self) -> None:
        served = self._make()
        app, busy = served.app(), Busy()
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
                log.info("%s listens on %s", self._name, _shown(self._where))
                assert runner.server
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(accept(self._name, listening, runner.server, busy))
                    if isinstance(self._where, Path):
                        tasks.create_task(_stays(self._where))
        finally:
            served.close()  # otherwise the cleanup would wait for its streams
            await runner.cleanup()

    async def _listen(self) -> socket.socket:
        if isinstance(self._where, Path):
            return _listen_on_file(self._where)
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


def _listen_on_file(file: Path) -> socket.socket:
    """Listen on a Unix socket, and replace a left-over one. Its folder is private, so nobody else can open it before
    its mode is set."""
    private_folder(file.parent)
    file.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    try:
        listening.bind(str(file))
        file.chmod(0o600)
        listening.listen(128)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise OSError(f"{file}: {error}; the path of HEARLINE_STATE may be too long for a socket") from None
    return listening


async def _stays(file: Path) -> None:
    """Raises OSError once the socket's file is another one, or gone: nobody could reach us any more."""
    ours = file.stat().st_ino
    while True:
        await asyncio.sleep(STAYS_S)
        if file.stat().st_ino != ours:
            raise OSError(f"{file} was replaced by another program")


def _shown(where: tuple[str, int] | Path) -> str:
    return str(where) if isinstance(where, Path) else f"http://{where[0]}:{where[1]}"


class Busy:
    """The connections on which a request that has arrived completely, with its body, is being answered."""

    def __init__(self) -> None:
        self._now: dict[asyncio.BaseProtocol, web.Request] = {}

    @web.middleware
    async def middleware(self, request: web.Request, handler: Callable) -> web.StreamResponse:
        self._now[request.protocol] = request
        try:
            return await handler(request)
        finally:
            self._now.pop(request.protocol, None)

    def __contains__(self, connection: asyncio.BaseProtocol) -> bool:
        request = self._now.get(connection)
        return request is not None and request.content.is_eof()


def most_connections() -> int:
    """At most half of this process's descriptors, since records, legs and Asterisk need the others."""
    return min(MOST_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


async def accept(name: str, listening: socket.socket, server: web.Server, busy: Busy) -> None:
    """Accept connections up to a limit. At the limit, a new connection takes the place of the oldest one that is not
    busy and had `YOUNG_S` for its request; until there is one, new connections wait.

    asyncio's own accept loop is not used, since it logs a hundred tracebacks a second when no descriptor is left.
    """
    loop, most, quiet = asyncio.get_running_loop(), most_connections(), LogLimit()
    young: set[asyncio.BaseProtocol] = set()
    while True:
        try:
            connection, _ = await loop.sock_accept(listening)
        except OSError as error:
            if quiet.allows("accept"):
                log.error("%s takes no connections for the moment: %s", name, error)
            await asyncio.sleep(ACCEPT_AGAIN_S)
            continue
        try:
            while len(server.connections) >= most and not _make_room(server, busy, young):
                await asyncio.sleep(ROOM_S)
            _, newest = await loop.connect_accepted_socket(server, connection)
        except OSError:
            connection.close()
            continue
        except BaseException:
            connection.close()
            raise
        young.add(newest)
        loop.call_later(YOUNG_S, young.discard, newest)


def _make_room(server: web.Server, busy: Busy, young: Container[asyncio.BaseProtocol]) -> bool:
    for connection in server.connections:  # the oldest first
        if connection not in busy and connection not in young and connection.transport is not None:
            connection.transport.abort()
            return True
    return False
