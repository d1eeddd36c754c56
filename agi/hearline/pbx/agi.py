"""pyst2's AGI commands over a socket, with the parts that break on a live system replaced.

pyst2 0.5.1 gives the vocabulary (``answer``, ``appexec``, ``set_variable``, …). What is ours: the socket and its time
limits, framing, text encoding, quoting, reply parsing, and telling a hang-up from a failure. Nothing is logged here:
every line may hold personal data.

Protocol: https://docs.asterisk.org/Configuration/Interfaces/Asterisk-Gateway-Interface-AGI/
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from asterisk.agi import (
    AGI,
    AGIAppError,
    AGIHangup,
    AGIInvalidCommand,
    AGISIGHUPHangup,
    AGIUnknownError,
    AGIUsageError,
)

MAX_LINE = 64 * 1024  # bytes; Asterisk's own limit for a command is 2 kB, replies are short
MAX_COMMAND = 2_000  # bytes: Asterisk cuts at 2,048
MAX_HEADERS = 200

_REPLY = re.compile(r"(\d{3})([ -])(.*)", re.DOTALL)
_RESULT = re.compile(r"result=(?P<result>\S*)(?: \((?P<data>.*)\))?(?: endpos=(?P<endpos>\d+))?", re.DOTALL)


class AGITimeout(AGIAppError):
    """Asterisk did not answer in time."""


class AgiSession(AGI):
    """One AGI conversation. ``env`` holds what Asterisk sent at the start (``agi_extension``, …).

    Args:
        connection: the connected socket; closed by ``close``.
        patience_s: how long a reply may take, unless ``patience`` says otherwise.
        early: what has been read from the connection already.

    Raises:
        AGIHangup: the other side is gone, or the channel is.
        AGITimeout: no complete header in time.
    """

    def __init__(self, connection: socket.socket, patience_s: float = 5.0, early: bytes = b"") -> None:
        # Not calling AGI.__init__: it takes over a signal (impossible outside the main thread) and logs every line.
        self.env: dict[str, str] = {}
        self._got_sighup = False
        self._connection = connection
        self._patience_s = patience_s
        self._buffer = bytearray(early)
        self._get_agi_env()

    def close(self) -> None:
        self._connection.close()

    @property
    def local_host(self) -> str:
        """The address by which Asterisk reached us."""
        return self._connection.getsockname()[0]

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Within this block a reply may take ``seconds``: for applications that last."""
        before, self._patience_s = self._patience_s, seconds
        try:
            yield
        finally:
            self._patience_s = before

    # ---- overridden: everything that touches the wire ---------------------------------------------------------------
    def _get_agi_env(self) -> None:
        deadline = time.monotonic() + self._patience_s
        for _ in range(MAX_HEADERS):
            line = self._read_line(deadline)
            if line == "":
                return
            key, colon, value = line.partition(":")
            if colon:
                self.env[key.strip()] = value.strip()
        raise AGIUsageError("too many AGI headers")

    def _quote(self, text: object) -> str:
        """``text`` as one quoted AGI argument: nothing in it can end the argument or the command."""
        clean = str(text).translate({10: " ", 13: " ", 0: ""})
        return '"' + clean.replace("\\", "\\\\").replace('"', '\\"') + '"'

    def send_command(self, command: str, *args: object) -> None:
        line = " ".join([command.strip(), *map(str, args)]).strip()
        if any(char in line for char in "\n\r\0"):
            raise AGIUsageError("a command must be one line")
        data = line.encode("utf-8", "surrogateescape") + b"\n"
        if len(data) > MAX_COMMAND:
            raise AGIUsageError(f"a command of {len(data)} bytes is longer than Asterisk reads")
        try:
            self._connection.settimeout(self._patience_s)
            self._connection.sendall(data)
        except TimeoutError:
            raise AGITimeout("Asterisk does not read") from None
        except OSError:
            self._got_sighup = True
            raise AGIHangup("the connection is gone") from None

    def get_result(self, stdin: object = None) -> dict[str, tuple[str, str]]:
        """The reply to the last command, as pyst2 gives it: ``{"result": (value, data), …}``."""
        deadline = time.monotonic() + self._patience_s
        found = _REPLY.fullmatch(self._read_reply(deadline))
        if not found:
            raise AGIUnknownError("not an AGI reply")
        code, more, text = found.groups()
        if code == "200":
            return self._result(text, deadline)
        if code == "510":
            raise AGIInvalidCommand("Asterisk does not know this command")
        if code == "511":  # not permitted on a dead channel
            self._got_sighup = True
            raise AGIHangup("the channel is gone")
        if code == "520":
            while more == "-" and not self._read_line(deadline).startswith("520 "):
                pass
            raise AGIUsageError("wrong usage of an AGI command")
        raise AGIUnknownError(f"unknown reply {code}")

    # ---- the wire ---------------------------------------------------------------------------------------------------
    def _read_reply(self, deadline: float) -> str:
        line = self._read_line(deadline)
        if line == "HANGUP":
            self._got_sighup = True
            raise AGISIGHUPHangup("the caller hung up")
        return line

    def _result(self, text: str, deadline: float) -> dict[str, tuple[str, str]]:
        # A variable's value may hold line breaks: its reply ends with the closing bracket.
        while "(" in text and not re.search(r"\)( endpos=\d+)?$", text) and len(text) < MAX_LINE:
            text += "\n" + self._read_line(deadline)
        found = _RESULT.match(text)
        if not found:
            raise AGIUnknownError("a reply without result")
        value, data = found["result"], found["data"] or ""
        if data == "hangup":
            self._got_sighup = True
            raise AGIHangup("the caller hung up")  # not AGIResultHangup: pyst2's get_variable swallows it
        if value == "-1":
            raise AGIAppError("the command failed, or the channel is gone")
        result = {"result": (value, data)}
        if found["endpos"]:
            result["endpos"] = (found["endpos"], "")
        return result

    def _read_line(self, deadline: float) -> str:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > MAX_LINE:
                raise AGIUnknownError("a line without end")
            left = deadline - time.monotonic()
            if left <= 0:
                raise AGITimeout("no answer in time")
            try:
                self._connection.settimeout(left)
                data = self._connection.recv(4096)
            except TimeoutError:
                raise AGITimeout("no answer in time") from None
            except OSError:
                data = b""
            if not data:
                self._got_sighup = True
                raise AGIHangup("the connection is gone")
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return _text(line).rstrip("\r")


def _text(data: bytes) -> str:
    """UTF-8, else Latin-1: a caller's name in an old encoding must not cost the call."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
