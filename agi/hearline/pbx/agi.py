"""pyst2's AGI commands over a socket, with the parts replaced that break on a live system.

pyst2 0.5.1 provides the commands (``answer``, ``appexec``, ``set_variable``, …). Ours are the socket and its time
limits, framing, text encoding, quoting, reply parsing, and the distinction between a hang-up and a failure. Nothing is
logged here, since every line may hold personal data.

Asterisk writes the dialled number and the caller's number as the phone sent them, line breaks included, into replies
and into the headers at the start. So a caller can add headers, end them, and continue with forged replies. Only the
script's name comes before all that. Everything else is queried, and each value comes between two marks that no caller
can guess.

Protocol: https://docs.asterisk.org/Configuration/Interfaces/Asterisk-Gateway-Interface-AGI/
"""

from __future__ import annotations

import re
import secrets
import socket
import time
from collections.abc import Iterable, Iterator
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
CALL = {
    "agi_channel": "CHANNEL(name)",
    "agi_uniqueid": "UNIQUEID",
    "agi_callerid": "CALLERID(num)",
    "agi_extension": "EXTEN",
}
"""What is queried for each call: the name in ``AgiSession.env``, and the dialplan expression."""

_REPLY = re.compile(r"(\d{3})([ -])(.*)", re.DOTALL)
_RESULT = re.compile(r"result=(?P<result>\S*)(?: \((?P<data>.*)\))?(?: endpos=(?P<endpos>\d+))?", re.DOTALL)


class AGITimeout(AGIAppError):
    """Asterisk did not answer in time."""


class AgiSession(AGI):
    """One AGI session. ``script``: the script that Asterisk asks for; ``env``: the call's values, see `CALL`.

    Args:
        connection: the connected socket; closed by ``close``.
        patience_s: how long a reply may take, except within ``patience``.
        early: bytes already read from the connection.

    Raises:
        AGIHangup: the connection or the channel is gone.
        AGITimeout: the headers did not come in time.
    """

    def __init__(self, connection: socket.socket, patience_s: float = 5.0, early: bytes = b"") -> None:
        # Does not call AGI.__init__, which sets a signal handler (impossible outside the main thread) and logs all
        # lines.
        self.env: dict[str, str] = {}
        self._got_sighup = False
        self._connection = connection
        self._patience_s = patience_s
        self._buffer = bytearray(early)
        self._mark = secrets.token_hex(8)
        self.script = ""
        self._get_agi_env()

    def close(self) -> None:
        self._connection.close()

    @property
    def local_host(self) -> str:
        """Our address, as Asterisk reached it."""
        return self._connection.getsockname()[0]

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Allow ``seconds`` for a reply within this block: for applications that run long."""
        before, self._patience_s = self._patience_s, seconds
        try:
            yield
        finally:
            self._patience_s = before

    # ---- overridden: everything that touches the wire ---------------------------------------------------------------
    def _get_agi_env(self) -> None:
        """Take the script's name from the headers, then query the rest. Lines before our own mark are ignored."""
        deadline = time.monotonic() + self._patience_s
        lines = 0
        while (line := self._head_line(deadline, lines)) != "":
            lines += 1
            key, _, value = line.partition(":")
            if key == "agi_network_script" and not self.script:
                self.script = value.strip().partition("?")[0]
        self._ask_for(CALL.values())
        while not (line := self._head_line(deadline, lines)).startswith(f"200 result=1 ({self._mark}"):
            lines += 1
        self.env.update(zip(CALL, self._marked(line, deadline, len(CALL)), strict=True))

    def _head_line(self, deadline: float, lines: int) -> str:
        if lines > MAX_HEADERS:
            raise AGIUsageError("too many lines before the call's values")
        return self._read_line(deadline)

    def get_variable(self, name: str) -> str:
        """The value of a channel variable or dialplan function; '' if it has none."""
        self._ask_for([name])
        deadline = time.monotonic() + self._patience_s
        line = self._read_reply(deadline)
        if not line.startswith(f"200 result=1 ({self._mark}"):
            self._checked(line, deadline)  # raises the error that the reply names
            raise AGIUnknownError("the reply is not the value that was queried")
        [value] = self._marked(line, deadline, 1)
        return value

    def _ask_for(self, names: Iterable[str]) -> None:
        asked = self._mark + "".join(f"${{{name}}}{self._mark}" for name in names)
        self.send_command("GET FULL VARIABLE", self._quote(asked))

    def _marked(self, line: str, deadline: float, count: int) -> list[str]:
        """``count`` values, which may hold line breaks, from a reply to `_ask_for`; the last mark ends it."""
        while line.count(self._mark) <= count:
            if len(line) > MAX_LINE:
                raise AGIUnknownError("a reply without end")
            line += f"\n{self._read_line(deadline)}"
        return line.split(self._mark)[1:-1]

    def _quote(self, text: object) -> str:
        """``text`` as one quoted AGI argument. Nothing in it can end the argument or the command."""
        clean = str(text).translate({10: " ", 13: " ", 0: ""})
        return '"' + clean.replace("\\", "\\\\").replace('"', '\\"') + '"'

    def send_command(self, command: str, *args: object) -> None:
        line = " ".join([command.strip(), *map(str, args)]).strip()
        if any(char in line for char in "\n\r\0"):
            raise AGIUsageError("a command must be one line")
        data = line.encode("utf-8", "surrogateescape") + b"\n"
        if len(data) > MAX_COMMAND:
            raise AGIUsageError(f"the command has {len(data)} bytes; Asterisk reads {MAX_COMMAND} at most")
        try:
            self._connection.settimeout(self._patience_s)
            self._connection.sendall(data)
        except TimeoutError:
            raise AGITimeout("Asterisk does not read") from None
        except OSError:
            self._got_sighup = True
            raise AGIHangup("the connection is gone") from None

    def get_result(self, stdin: object = None) -> dict[str, tuple[str, str]]:
        """The reply to the last command, in pyst2's form: ``{"result": (value, data), …}``."""
        deadline = time.monotonic() + self._patience_s
        return self._checked(self._read_reply(deadline), deadline)

    def _checked(self, line: str, deadline: float) -> dict[str, tuple[str, str]]:
        found = _REPLY.fullmatch(line)
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
    """Decode UTF-8, else Latin-1: a caller's name in an old encoding must not end the call."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
