"""A hostile SIP phone, whose INVITE contains exactly what the test says."""

from __future__ import annotations

import hashlib
import re
import secrets
import socket
import time

WAIT_S = 5.0


class RawCall:
    """One INVITE, answered or not. ``user`` and ``sender`` are the user parts of the dialled and of the calling URI,
    copied into the message as they are, percent signs included.

    Args:
        account: (name, password); None to call from an address that is trusted without one.
        host: the address to call from.
    """

    def __init__(
        self,
        server: str,
        user: str,
        sender: str,
        account: tuple[str, str] | None = None,
        host: str = "127.0.0.1",
        headers: tuple[str, ...] = (),
    ) -> None:
        name, _, port = server.rpartition(":")
        self._server, self._account, self._headers = server, account, headers
        self._user, self._sender, self._host = user, sender, host
        self._sound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sound.bind((host, 0))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.connect((name, int(port)))
        self._id, self._tag, self._number = secrets.token_hex(8), secrets.token_hex(4), 0
        self._peer = f"<sip:{user}@{server}>"

    def __enter__(self) -> RawCall:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        self._socket.close()
        self._sound.close()

    def place(self) -> int:
        """Call, wait for the final answer, and return its code."""
        code, answer = self._ask("INVITE")
        if code == 401 and self._account:
            code, _ = self._ask("INVITE", self._credentials(answer, "INVITE"))
        return code

    def press(self, digit: str) -> None:
        """A key, by SIP INFO."""
        body = f"Signal={digit}\r\nDuration=160\r\n"
        self._send("INFO", secrets.token_hex(8), body=body, kind="application/dtmf-relay")

    def hang_up(self) -> None:
        if "tag=" in self._peer:
            self._send("BYE", secrets.token_hex(8))

    def _ask(self, method: str, credentials: str = "") -> tuple[int, str]:
        branch = secrets.token_hex(8)
        self._send(method, branch, credentials)
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            self._socket.settimeout(WAIT_S)
            answer = self._socket.recv(65_536).decode(errors="replace")
            found = re.match(r"SIP/2\.0 (\d{3})", answer)
            if found and int(found[1]) >= 200 and branch in answer:
                code = int(found[1])
                to = re.search(r"^To: (.*)$", answer, re.MULTILINE)[1].strip()
                if code < 300:
                    self._peer = to
                self._send("ACK", secrets.token_hex(8) if code < 300 else branch, to=to)
                return code, answer
        raise TimeoutError("no final answer")

    def _send(
        self,
        method: str,
        branch: str,
        credentials: str = "",
        to: str = "",
        body: str = "",
        kind: str = "application/sdp",
    ) -> None:
        if method != "ACK":
            self._number += 1
        here, there = "{}:{}".format(*self._socket.getsockname()), f"sip:{self._user}@{self._server}"
        if method == "INVITE":
            body = (
                f"v=0\r\no=- 1 1 IN IP4 {self._host}\r\ns=-\r\nc=IN IP4 {self._host}\r\nt=0 0\r\n"
                f"m=audio {self._sound.getsockname()[1]} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
            )
        lines = [
            f"{method} {there} SIP/2.0",
            f"Via: SIP/2.0/UDP {here};rport;branch=z9hG4bK{branch}",
            "Max-Forwards: 70",
            f"From: <sip:{self._sender}@{self._host}>;tag={self._tag}",
            f"To: {to or self._peer}",
            f"Call-ID: {self._id}",
            f"CSeq: {self._number} {method}",
            f"Contact: <sip:raw@{here}>",
            *self._headers,
            *([credentials] if credentials else []),
            *([f"Content-Type: {kind}"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        self._socket.send(("\r\n".join([*lines, "", ""]) + body).encode())

    def _credentials(self, answer: str, method: str) -> str:
        return credentials(answer, *self._account, method, f"sip:{self._user}@{self._server}")


def credentials(answer: str, user: str, password: str, method: str, uri: str) -> str:
    """The header that answers the challenge in ``answer`` (RFC 2617, qop=auth)."""
    told = dict(re.findall(r'(realm|nonce|opaque|qop)="([^"]*)"', answer))

    def md5(*parts: str) -> str:
        return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()

    mine, asked = md5(user, told["realm"], password), md5(method, uri)
    digest = md5(mine, told["nonce"], "00000001", "0a4f113b", "auth", asked)
    return (
        f'Authorization: Digest username="{user}", realm="{told["realm"]}", nonce="{told["nonce"]}", '
        f'uri="{uri}", qop=auth, nc=00000001, cnonce="0a4f113b", response="{digest}", algorithm=MD5, '
        f'opaque="{told.get("opaque", "")}"'
    )
