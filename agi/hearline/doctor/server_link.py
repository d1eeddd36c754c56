"""Questions to the Hearline server, as Asterisk and a monitoring ask them."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE_S = 2.0
MOST_BYTES = 4 * 1024 * 1024
_ALIVE = b"agi_network: yes\nagi_network_script: alive\n\n"
_VALUE = re.compile(r'GET FULL VARIABLE "(.*)"')
_SAYS = re.compile(r'SET VARIABLE "?HEARLINE_ALIVE"? "?(\w*)"?')
_VARIABLE = r"\$\{[^}]*\}"
_LONGEST = 4_096
_ANY_CERTIFICATE = ssl.create_default_context()
_ANY_CERTIFICATE.check_hostname = False
_ANY_CERTIFICATE.verify_mode = ssl.CERT_NONE


class ServerLink:
    """The server at its addresses. The tests put another one in its place."""

    def get(self, where: str, path: str) -> dict[str, Any]:
        """The JSON answer of the status address, whatever its HTTP status. Raises OSError, ValueError."""
        found = json.loads(_within(PATIENCE_S, lambda: _asked(f"http://{where}{path}")[1]))
        if not isinstance(found, dict):
            raise ValueError("the answer is not Hearline's")
        return found

    def status_of(self, url: str) -> int:
        """The HTTP status of a page, whoever made its certificate. Raises OSError."""
        return _within(PATIENCE_S, lambda: _asked(url)[0])

    def connect(self, where: tuple[str, int]) -> None:
        """Connect, and hang up at once. Raises OSError."""
        socket.create_connection(where, timeout=PATIENCE_S).close()

    def alive(self, where: tuple[str, int]) -> str:
        """What the AGI script `alive` sets HEARLINE_ALIVE to: ``yes`` or ``no``; '' if it ends without a word. Raises
        OSError."""
        return _within(PATIENCE_S, lambda: self._alive(where))

    def _alive(self, where: tuple[str, int]) -> str:
        with socket.create_connection(where, timeout=PATIENCE_S) as line, line.makefile("rwb", 0) as lines:
            lines.write(_ALIVE)
            while asked := lines.readline(_LONGEST).decode(errors="replace"):
                if value := _VALUE.match(asked):
                    lines.write(f"200 result=1 ({re.sub(_VARIABLE, '', value[1])})\n".encode())
                elif said := _SAYS.match(asked):
                    lines.write(b"200 result=1\n")
                    return said[1]
        return ""


def _asked(url: str) -> tuple[int, bytes]:
    """The status and the answer. Raises OSError."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S, context=_ANY_CERTIFICATE) as answer:
            return answer.status, answer.read(MOST_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(MOST_BYTES)
    except http.client.HTTPException as error:  # somebody else's port
        raise OSError(f"what answers there is no web server ({type(error).__name__})") from None


def _within(seconds: float, ask: Callable[[], T]) -> T:
    """The result of a question to which the whole answer must come within this time, however it trickles in. Raises
    TimeoutError, and what the question raises."""
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=run, name="question", daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError as error:
        raise (error if answer.done() else TimeoutError(f"no whole answer within {seconds:.0f} s")) from None
