"""AudioSocket: Asterisk's TCP framing of signed linear audio (8 kHz, 20 ms).

A message is a type byte, a big-endian 16-bit length, and the payload; samples are little-endian. Types: 0x00 hang-up,
0x01 UUID (first, from Asterisk), 0x03 DTMF digit, 0x10 audio.
https://docs.asterisk.org/Configuration/Channel-Drivers/AudioSocket/
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Literal

from hearline.media.transport import FRAME_BYTES

KIND_HANGUP, KIND_UUID, KIND_DTMF, KIND_AUDIO = 0x00, 0x01, 0x03, 0x10
HANGUP = b"\x00\x00\x00"
MAX_PAYLOAD = 25 * FRAME_BYTES  # half a second: far longer than any phone's packet time
HANDSHAKE_S = 2.0
MAX_WAITING = 256  # connections that have not sent their UUID; each costs some µs in every tick
ACCEPTED_AT_ONCE = 64
KEYS = "0123456789*#ABCD"
MOST_KEYS = 16  # kept per tick; nobody presses more than one


class AudioSocketLeg:
    """A connection whose UUID was expected; see ``transport.Leg``. ``connections.py`` reads and writes its sound.

    Args:
        early: bytes that came right after the UUID.
    """

    __slots__ = ("gone", "pressed", "lost_out", "early", "unsent", "_socket", "_fd", "_raw", "_pcm")

    def __init__(self, connection: socket.socket, early: bytes = b"") -> None:
        self.gone = False
        self.lost_out = 0
        self.pressed = ""
        self.early = early
        self.unsent = b""  # the rest of a message that was sent in part
        self._socket = connection
        self._fd = connection.fileno()
        self._raw = b""
        self._pcm = b""

    def fileno(self) -> int:
        return self._fd

    @property
    def amid(self) -> bool:
        """True if part of a message or of a frame has come."""
        return bool(self._raw or self._pcm)

    def take(self, data: bytes) -> list[bytes]:
        """The frames that these bytes complete. Also notes keys in ``pressed`` and the end in ``gone``."""
        raw = self._raw + data if self._raw else data
        frames: list[bytes] = []
        at = 0
        while len(raw) - at >= 3:
            kind, length = raw[at], int.from_bytes(raw[at + 1 : at + 3], "big")
            if kind not in (KIND_HANGUP, KIND_DTMF, KIND_AUDIO) or length > MAX_PAYLOAD:
                self.gone = True  # not AudioSocket: nothing after this can be read
                return frames
            if len(raw) - at - 3 < length:
                break
            payload = raw[at + 3 : at + 3 + length]
            at += 3 + length
            if kind == KIND_AUDIO:
                frames += self._cut(payload)
            elif kind == KIND_DTMF:
                self._press(payload[:1].decode("ascii", "ignore"))
            else:
                self.gone = True
        self._raw = raw[at:]
        return frames

    def _press(self, key: str) -> None:
        if key and key in KEYS and len(self.pressed) < MOST_KEYS:
            self.pressed += key

    def _cut(self, payload: bytes) -> list[bytes]:
        """Cut packets of any length into frames of 20 ms."""
        pcm = self._pcm + payload if self._pcm else payload
        whole = len(pcm) - len(pcm) % FRAME_BYTES
        self._pcm = pcm[whole:]
        return [pcm[at : at + FRAME_BYTES] for at in range(0, whole, FRAME_BYTES)]

    def send_rest(self) -> None:
        """Send as much of `unsent` as the other side takes now."""
        try:
            self.unsent = self.unsent[os.write(self._fd, self.unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self.gone = True

    def keys(self) -> str:
        keys, self.pressed = self.pressed, ""
        return keys

    def finish(self) -> None:
        try:
            os.write(self._fd, self.unsent + HANGUP)
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.gone = True

    def drained(self) -> bool:
        # Closing with unread data would reset the connection, and the hang-up message with it.
        try:
            while data := os.read(self._fd, 65_536):
                pass
            return data == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        self.gone = True
        self._socket.close()


class AudioSocketListener:
    """The listening socket. It accepts a connection only from an allowed address, and only if it sends an expected UUID
    in time. Each UUID is good for one connection.

    Args:
        address: (host, port); port 0 takes any free one.
        allowed: True if this peer address may connect.
        claim: takes a UUID; returns the call it belongs to, or None if it is not expected. A UUID can be claimed once.
    """

    def __init__(
        self,
        address: tuple[str, int],
        allowed: Callable[[str], bool],
        claim: Callable[[str], object | None],
    ) -> None:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._listener = socket.create_server(address, family=family, backlog=1024)
        self._listener.setblocking(False)
        self.address = self._listener.getsockname()[:2]
        self._allowed = allowed
        self._claim = claim
        self._waiting: deque[tuple[socket.socket, float, bytearray]] = deque()  # the oldest first
        self.refused = 0

    def fileno(self) -> int:
        return self._listener.fileno()

    @property
    def shaking_hands(self) -> bool:
        """True while a connection has not sent its UUID yet."""
        return bool(self._waiting)

    def arrivals(self) -> list[tuple[object, AudioSocketLeg]]:
        """The calls that have connected since the last time, each with its leg. Never blocks.

        If too many connections have not sent their UUID, the oldest is closed to make room: Asterisk sends it at once.
        """
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, peer = self._listener.accept()
            except (BlockingIOError, ConnectionError):
                break
            except OSError:  # out of file descriptors: Asterisk times out, and the caller goes to the queue
                break
            if not self._allowed(peer[0]):
                self._refuse(connection)
                continue
            if len(self._waiting) >= MAX_WAITING:
                self._refuse(self._waiting.popleft()[0])
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._waiting.append((connection, time.monotonic() + HANDSHAKE_S, bytearray()))
        if not self._waiting:
            return []
        arrived = []
        still: deque[tuple[socket.socket, float, bytearray]] = deque()
        for connection, deadline, data in self._waiting:
            leg_or_none = self._shake_hands(connection, data)
            if leg_or_none is False:
                if time.monotonic() < deadline:
                    still.append((connection, deadline, data))
                else:
                    self._refuse(connection)
            elif leg_or_none is not None:
                arrived.append(leg_or_none)
        self._waiting = still
        return arrived

    def _shake_hands(
        self, connection: socket.socket, data: bytearray
    ) -> tuple[object, AudioSocketLeg] | Literal[False] | None:
        """(call, leg); None if refused; False if more bytes must come."""
        try:
            more = connection.recv(4096)
        except BlockingIOError:
            return False
        except OSError:
            more = b""
        if not more:
            self._refuse(connection)
            return None
        data += more
        if data[:3] != b"\x01\x00\x10"[: len(data)]:
            self._refuse(connection)
            return None
        if len(data) < 19:
            return False
        call = self._claim(str(uuid.UUID(bytes=bytes(data[3:19]))))
        if call is None:
            self._refuse(connection)
            return None
        return call, AudioSocketLeg(connection, bytes(data[19:]))

    def _refuse(self, connection: socket.socket) -> None:
        self.refused += 1
        connection.close()

    def close(self) -> None:
        self._listener.close()
        for connection, _, _ in self._waiting:
            connection.close()
