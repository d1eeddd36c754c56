"""The FastAGI server: Asterisk connects, names a script, and the script runs in a thread of its own.

A connection gets its thread only when its headers are complete. Until then it costs a few kilobytes. If there are too
many of these, the oldest is closed to make room, since Asterisk sends its headers at once. The number of sessions is
limited for each script separately, so that any number of calls leaves room for the guard's question.

Any failure ends the session without a result; the dialplan then sends the caller to the queue.
"""

from __future__ import annotations

import logging
import re
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping

from asterisk.agi import AGIException, AGIHangup

from hearline.core.peers import is_allowed
from hearline.pbx.agi import AgiSession

log = logging.getLogger(__name__)

Script = Callable[[AgiSession], None]
STARTS = b"agi_"  # the first line of every request
HEADER_PATIENCE_S = 5.0
_SCRIPT = re.compile(rb"^agi_network_script: *([^?\n]*)", re.M)  # the first match: anything a caller adds comes later
LOOK_S = 0.5  # the serving thread wakes up at least this often
STUCK_S = 3.0
HEADER_BYTES = 16 * 1024
MAX_STARTING = 1_024  # connections whose headers are not complete
ACCEPTED_AT_ONCE = 64
SESSIONS = 256  # the default limit for a script
THREAD_STACK = 256 * 1024  # bytes; enough, since sessions do not recurse
BACKLOG = 4_096  # Linux drops connections beyond this, and Asterisk's kernel retries only after a second
EXHAUSTED_S = 0.1  # pause while no file descriptor is left for a connection


class FastAgiServer:
    """Serves ``scripts`` by name (the path of ``agi://host:port/NAME``).

    Args:
        address: (host, port); port 0 takes any free one.
        networks: the networks that may connect.
        sessions: how many sessions of a script may run at once, by name; ``SESSIONS`` for the others.
    """

    def __init__(
        self,
        address: tuple[str, int],
        scripts: Mapping[str, Script],
        networks: list,
        sessions: Mapping[str, int] | None = None,
    ) -> None:
        self._scripts, self._networks = scripts, networks
        places = dict.fromkeys(scripts, SESSIONS) | dict(sessions or {})
        self._places = {name: threading.BoundedSemaphore(places[name]) for name in scripts}
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._listener = socket.create_server(address, family=family, backlog=BACKLOG)
        self._listener.setblocking(False)
        self.server_address = self._listener.getsockname()[:2]
        self._starting: dict[socket.socket, tuple[float, bytearray]] = {}  # oldest first: (deadline, bytes so far)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._end, self._ended = socket.socketpair()
        self._selector.register(self._ended, selectors.EVENT_READ)
        self._sessions: set[threading.Thread] = set()
        self._thread: threading.Thread | None = None
        self._exhausted = False
        self._looked = time.monotonic()

    @property
    def accepts(self) -> bool:
        """True while the serving thread is running and not stuck."""
        return time.monotonic() - self._looked < STUCK_S

    def serve_in_thread(self) -> threading.Thread:
        threading.stack_size(THREAD_STACK)
        self._thread = threading.Thread(target=self._serve, name="fastagi", daemon=True)
        self._thread.start()
        return self._thread

    def shutdown(self) -> None:
        """Accept no further connections; sessions continue."""
        self._end.close()
        if self._thread:
            self._thread.join()

    def settle(self, within_s: float) -> bool:
        """Wait until all sessions have ended. Returns False if that takes longer than ``within_s``."""
        deadline = time.monotonic() + within_s
        for session in list(self._sessions):
            session.join(max(0.0, deadline - time.monotonic()))
        return not self._sessions

    def server_close(self) -> None:
        for connection in list(self._starting):
            self._drop(connection)
        self._selector.close()
        self._listener.close()
        self._end.close()
        self._ended.close()

    # ---- in the serving thread --------------------------------------------------------------------------------------
    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select(LOOK_S):
                if key.fileobj is self._ended:
                    return
                try:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj in self._starting:  # unless dropped meanwhile to make room
                        self._read(key.fileobj)
                except Exception:
                    log.exception("an AGI connection failed; its caller goes to the queue")
            self._drop_the_late()
            self._looked = time.monotonic()

    def _drop_the_late(self) -> None:
        now = time.monotonic()
        while self._starting and (oldest := next(iter(self._starting))) and self._starting[oldest][0] <= now:
            log.info("an AGI connection was closed: its headers did not come in time")
            self._drop(oldest)

    def _drop(self, connection: socket.socket) -> None:
        self._forget(connection)
        connection.close()

    def _forget(self, connection: socket.socket) -> None:
        if self._starting.pop(connection, None):
            self._selector.unregister(connection)

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, peer = self._listener.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError as error:
                if not self._exhausted:
                    log.error("AGI connections cannot be accepted: %s; callers go to the queue", error.strerror)
                self._exhausted = True
                time.sleep(EXHAUSTED_S)
                return
            self._exhausted = False
            if not is_allowed(peer[0], self._networks):
                log.warning("refused an AGI connection from an address that HEARLINE_ALLOW does not list")
                connection.close()
                continue
            if len(self._starting) >= MAX_STARTING:
                self._drop(next(iter(self._starting)))
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(connection, selectors.EVENT_READ)
            self._starting[connection] = time.monotonic() + HEADER_PATIENCE_S, bytearray()
            self._read(connection)  # most have sent their headers already

    def _read(self, connection: socket.socket) -> None:
        _, data = self._starting[connection]
        try:
            came = connection.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            came = b""
        data += came
        if not came or len(data) > HEADER_BYTES or not data.startswith(STARTS[: len(data)]):
            log.info("an AGI connection was closed: it did not begin with AGI headers")
            self._drop(connection)
        elif b"\n\n" in data or b"\n\r\n" in data:
            self._forget(connection)
            self._begin(connection, bytes(data))

    def _begin(self, connection: socket.socket, headers: bytes) -> None:
        """Give the session its thread."""
        found = _SCRIPT.search(headers)
        name = found[1].decode("latin-1").strip() if found else ""
        place = self._places.get(name)
        if place is None:
            log.error("Asterisk asked for an AGI script that does not exist; known: %s", ", ".join(self._scripts))
        elif not place.acquire(blocking=False):
            log.error("too many AGI sessions of %s: refused another, its caller goes to the queue", name)
        else:
            try:
                run = threading.Thread(
                    target=self._run, args=(name, connection, headers), name=f"agi {name}", daemon=True
                )
                self._sessions.add(run)
                run.start()
                return
            except RuntimeError:  # no thread could be started
                self._sessions.discard(run)
                place.release()
                log.exception("an AGI session failed; the caller goes to the queue")
        connection.close()

    # ---- in the session's thread ------------------------------------------------------------------------------------
    def _run(self, name: str, connection: socket.socket, headers: bytes) -> None:
        try:
            agi = AgiSession(connection, HEADER_PATIENCE_S, headers)
        except AGIException as error:
            log.info("an AGI connection was closed at its start: %s", type(error).__name__)
        else:
            self._serve_call(name, agi)
        finally:
            connection.close()
            self._places[name].release()
            self._sessions.discard(threading.current_thread())

    def _serve_call(self, name: str, agi: AgiSession) -> None:
        try:
            self._scripts[name](agi)
        except AGIHangup:
            pass  # the ordinary end of many calls
        except AGIException as error:
            log.warning("AGI script %s ended by %s; the caller goes to the queue", name, type(error).__name__)
        except Exception:
            log.exception("an AGI session failed; the caller goes to the queue")
