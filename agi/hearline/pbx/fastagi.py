"""The FastAGI server: Asterisk connects, names a script, and the script runs in a thread of its own.

Any failure ends the session without a result; the dialplan then sends the caller to the queue.
"""

from __future__ import annotations

import logging
import socket
import socketserver
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
STUCK_S = 3.0  # it looks round at least five times a second
MAX_SESSIONS = 4_000
THREAD_STACK = 256 * 1024  # bytes: a session waits, it does not recurse


class FastAgiServer(socketserver.ThreadingTCPServer):
    """Serves ``scripts`` by name (the path of ``agi://host:port/NAME``)."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 4_096  # Linux drops the rest, and Asterisk's kernel tries again only after a second

    def __init__(self, address: tuple[str, int], scripts: Mapping[str, Script], networks: list) -> None:
        self.scripts = scripts
        self._networks = networks
        self._looked = time.monotonic()
        self._sessions = threading.BoundedSemaphore(MAX_SESSIONS)
        super().__init__(address, _Session)

    @property
    def accepts(self) -> bool:
        """Does its loop go round?"""
        return time.monotonic() - self._looked < STUCK_S

    def service_actions(self) -> None:
        self._looked = time.monotonic()

    def serve_in_thread(self) -> threading.Thread:
        threading.stack_size(THREAD_STACK)
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.2}, name="fastagi", daemon=True)
        thread.start()
        return thread

    def verify_request(self, request: socket.socket, client_address: tuple) -> bool:
        if not is_allowed(client_address[0], self._networks):
            log.warning("FastAGI connection from an address that is not allowed (see HEARLINE_ALLOW)")
            return False
        if _is_none(request):
            log.info("AGI connection without a proper start: refused at the door")
            return False
        if not self._sessions.acquire(blocking=False):
            log.error("too many AGI sessions: refused one, its caller goes to the queue")
            return False
        return True

    def process_request(self, request: socket.socket, client_address: tuple) -> None:
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._sessions.release()
            raise

    def process_request_thread(self, request: socket.socket, client_address: tuple) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._sessions.release()

    def handle_error(self, request: socket.socket, client_address: tuple) -> None:
        log.exception("AGI session failed; the caller goes to the queue")


def _is_none(request: socket.socket) -> bool:
    """Has the peer gone, or begun as no Asterisk does? Looked at before there is a thread for it: thousands of those at
    once would keep real calls, and the guard's question, waiting."""
    try:
        begins = request.recv(len(STARTS), socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False  # its first word is still on its way
    except OSError:
        return True
    return not begins or not STARTS.startswith(begins)


class _Session(socketserver.BaseRequestHandler):
    server: FastAgiServer

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            agi = AgiSession(self.request, HEADER_PATIENCE_S)
        except AGIException as error:
            log.info("AGI connection without a proper start: %s", type(error).__name__)
            return
        name = agi.script
        script = self.server.scripts.get(name)
        if script is None:
            log.error("Asterisk asked for an AGI script that does not exist; known: %s", ", ".join(self.server.scripts))
            return
        try:
            script(agi)
        except AGIHangup:
            pass  # the ordinary end of many calls
        except AGIException as error:
            log.warning("AGI script %s ended by %s; the caller goes to the queue", name, type(error).__name__)
