"""An HTTP server that survives half handshakes and requests, too many connections, and a port that is in use."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from hearline.core.files import private_folder
from hearline.core.log_limit import LogLimit

if TYPE_CHECKING:
    from hearline.wire.tls import Tls

log = logging.getLogger(__name__)
http_log = logging.getLogger(f"{__name__}.http")

AGAIN_S = 5.0
STOP_S = 0.5
STAYS_S = 1.0  # between two looks at a socket's file
HEADER_S = 10.0  # the longest that a connection may stay without a complete request, or a complete handshake
TLS_CLOSE_S = 2.0  # the longest wait for a browser's part in closing a connection
MOST_CONNECTIONS = 2_000
ROOM_S = 0.02  # between two looks for a place
YOUNG_S = 0.1  # a connection has at least this long for its request before it may be closed to make room
ACCEPT_AGAIN_S = 1.0  # after a failure to accept, e.g. because no descriptor is left
_HANDSHAKE = b"\x16"  # the first byte of every TLS connection
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


class CannotListen(OSError):
    """The message names the setting."""


class HttpServer:
    """``run`` serves until cancelled.

    Args:
        name: for the log, e.g. "the agents' page".
        setting: the name of the setting that holds ``where``, for error messages.
        where: host and port, or the file of a Unix socket, which only our own user will be able to open.
        served: makes the application, whenever serving begins; may raise OSError or ValueError.
        tls: for https. Who asks in plain HTTP is then sent to https.
    """

    def __init__(
        self,
        name: str,
        setting: str,
        where: tuple[str, int] | Path,
        served: Callable[[], Served],
        tls: Tls | None = None,
    ) -> None:
        self._name, self._setting, self._where, self._make, self._tls = name, setting, where, served, tls

    async def run(self) -> None:
        logged = ""
        while True:
            try:
                await self._serve()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                if logged != (logged := f"{type(error).__name__}: {error}"):
                    unforeseen = not isinstance(error, CannotListen)
                    log.error("%s cannot be served, and is tried again: %s", self._name, error, exc_info=unforeseen)
            await asyncio.sleep(AGAIN_S)

    async def _serve(self) -> None:
        if self._tls and self._tls.context is None:
            raise CannotListen(self._tls.fault)
        served = self._make()
        app, busy = served.app(), Busy()
        app.middlewares.insert(0, busy.middleware)
        how: dict = {"access_log": None, "logger": http_log, "keepalive_timeout": HEADER_S}
        runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=STOP_S, **how)
        elsewhere = web.Server(_to_https, **how)
        await runner.setup()
        try:
            with await self._listen() as listening:
                log.info("%s listens on %s", self._name, _shown(self._where, self._tls))
                assert runner.server
                door = Door(self._name, runner.server, busy, self._tls, elsewhere)
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(door.accept(listening))
                    if isinstance(self._where, Path):
                        tasks.create_task(_stays(self._where))
        finally:
            served.close()  # otherwise the cleanup would wait for its streams
            await elsewhere.shutdown(STOP_S)
            await runner.cleanup()

    async def _listen(self) -> socket.socket:
        if isinstance(self._where, Path):
            return _listen_on_file(self._where, self._setting)
        host, port = self._where
        [(family, kind, protocol, _, where), *_] = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(where)
            listening.listen(128)
            listening.setblocking(False)
        except OSError as error:
            listening.close()
            raise CannotListen(f"{self._setting}: cannot listen on {host}:{port}: {error.strerror}") from None
        return listening


def _listen_on_file(file: Path, setting: str) -> socket.socket:
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
        raise CannotListen(f"{setting}: {file}: {error}; the path may be too long for a socket") from None
    return listening


async def _stays(file: Path) -> None:
    """Raises OSError once the socket's file is another one, or gone: nobody could reach us any more."""
    ours = file.stat().st_ino
    while True:
        await asyncio.sleep(STAYS_S)
        if file.stat().st_ino != ours:
            raise OSError(f"{file} was replaced by another program")


def _shown(where: tuple[str, int] | Path, tls: Tls | None) -> str:
    return str(where) if isinstance(where, Path) else f"{'https' if tls else 'http'}://{where[0]}:{where[1]}"


async def _to_https(request: web.BaseRequest) -> web.StreamResponse:
    """Answer a request in plain HTTP on the port of https. What was sent has crossed the network in the clear, so only
    who asks for a page is sent on. (For a while: a browser would keep a permanent redirect, also after TLS is gone.)"""
    host = request.headers.get("Host", "")
    answer = web.Response(status=400, text="This page is served over TLS alone: use https.\n")
    if request.method in ("GET", "HEAD") and host:
        answer.set_status(307)
        answer.headers["Location"] = f"https://{host}{request.path_qs}"
    answer.headers["Cache-Control"] = "no-store"
    answer.force_close()
    return answer


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

    def __contains__(self, connection: asyncio.BaseProtocol | None) -> bool:
        request = self._now.get(connection) if connection else None
        return request is not None and request.content.is_eof()


def most_connections() -> int:
    """At most half of this process's descriptors, since records, legs and Asterisk need the others."""
    return min(MOST_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


class _Place:
    """A connection, from its arrival on. ``since``: when it arrived, or its handshake was complete."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.task: asyncio.Task[None] | None = None  # until it is handed to the protocol
        self.protocol: asyncio.BaseProtocol | None = None

    @property
    def transport(self) -> asyncio.Transport | None:
        return getattr(self.protocol, "transport", None)

    @property
    def is_taken(self) -> bool:
        return self.task is not None or self.transport is not None

    def give_up(self) -> None:
        if self.task is not None:
            self.task.cancel()
        elif self.transport is not None:
            self.transport.abort()


class Door:
    """Accepts connections up to a limit. At the limit, a new connection takes the place of the oldest one that is not
    busy and had `YOUNG_S` for its handshake or its request; until there is one, new connections wait.

    asyncio's own accept loop is not used, since it logs a hundred tracebacks a second when no descriptor is left.

    Args:
        tls: with it, each handshake is a task of its own, so that a slow one holds up nobody.
        elsewhere: answers whoever speaks plain HTTP where TLS is spoken.
    """

    def __init__(
        self, name: str, server: web.Server, busy: Busy, tls: Tls | None = None, elsewhere: web.Server | None = None
    ) -> None:
        self._name, self._server, self._busy, self._tls, self._elsewhere = name, server, busy, tls, elsewhere
        self._places: list[_Place] = []  # the oldest first
        self._quiet = LogLimit()

    async def accept(self, listening: socket.socket) -> None:
        """Accept until cancelled."""
        loop, most = asyncio.get_running_loop(), most_connections()
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    connection, _ = await loop.sock_accept(listening)
                except OSError as error:
                    if self._quiet.allows("accept"):
                        log.error("%s takes no connections for the moment: %s", self._name, error)
                    await asyncio.sleep(ACCEPT_AGAIN_S)
                    continue
                try:
                    while len(self._taken()) >= most and not self._make_room(loop.time()):
                        await asyncio.sleep(ROOM_S)
                except BaseException:
                    connection.close()
                    raise
                place = _Place(loop.time())
                self._places.append(place)
                place.task = tasks.create_task(self._let_in(connection, place))

    def _taken(self) -> list[_Place]:
        self._places = [place for place in self._places if place.is_taken]
        return self._places

    def _make_room(self, now: float) -> bool:
        for place in self._places:
            if place.protocol not in self._busy and now - place.since >= YOUNG_S:
                place.give_up()
                self._places.remove(place)
                return True
        return False

    async def _let_in(self, connection: socket.socket, place: _Place) -> None:
        """Hand a connection to the protocol, after the handshake where there is one."""
        try:
            place.protocol = await self._protocol(connection)
            place.since = asyncio.get_running_loop().time()
        except OSError:  # gone, too slow, or no TLS that we speak: nobody's fault here
            connection.close()
        except Exception:  # whatever it is, everybody else's connections go on
            connection.close()
            if self._quiet.allows("let in"):
                log.exception("%s could not take a connection", self._name)
        except BaseException:
            connection.close()
            raise
        finally:
            place.task = None

    async def _protocol(self, connection: socket.socket) -> asyncio.BaseProtocol:
        """Raises OSError."""
        loop = asyncio.get_running_loop()
        if self._tls is None:
            return (await loop.connect_accepted_socket(self._server, connection))[1]
        async with asyncio.timeout(HEADER_S):
            first = await _first_byte(connection)
        if first and first != _HANDSHAKE and self._elsewhere:
            return (await loop.connect_accepted_socket(self._elsewhere, connection))[1]
        _, protocol = await loop.connect_accepted_socket(
            self._server,
            connection,
            ssl=self._tls.context,
            ssl_handshake_timeout=HEADER_S,
            ssl_shutdown_timeout=TLS_CLOSE_S,
        )
        return protocol


async def _first_byte(connection: socket.socket) -> bytes:
    """The first byte that the peer sends, which stays to be read; empty if it has closed the connection. Raises
    OSError."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            readable = asyncio.Event()
            loop.add_reader(connection, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(connection)
