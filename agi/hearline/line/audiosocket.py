"""AudioSocket: Asterisk's TCP framing of signed linear audio (8 kHz, 20 ms).

A message is a type byte, a big-endian 16-bit length, and the payload; samples are little-endian. Types: 0x00 hang-up,
0x01 UUID (first, from Asterisk), 0x03 DTMF digit, 0x10 audio. https://docs.asterisk.org/Configuration/Channel-Drivers/AudioSocket/
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections import deque
from collections.abc import Callable

from hearline.line.transport import FRAME_BYTES

KIND_HANGUP, KIND_UUID, KIND_DTMF, KIND_AUDIO = 0x00, 0x01, 0x03, 0x10
AUDIO_HEADER = bytes([KIND_AUDIO]) + FRAME_BYTES.to_bytes(2, "big")
HANGUP = b"\x00\x00\x00"
_FULL_FRAME = len(AUDIO_HEADER) + FRAME_BYTES

# Where a message is read to: its header, then the row of its leg, then what there is beyond it.
_header, _beyond = bytearray(len(AUDIO_HEADER)), bytearray(7 * _FULL_FRAME)
MAX_PAYLOAD = 25 * FRAME_BYTES  # half a second: far longer than any phone's packet time
MAX_BACKLOG = 25  # frames kept that the tick has not taken yet: half a second
HANDSHAKE_S = 2.0


class AudioSocketLeg:
    """A connection whose UUID was expected. See ``transport.Leg``.

    The backlog is a jitter buffer: a tick takes one frame. When two more have been left of it for a whole second (the
    two clocks differ, or a burst came), one is let go.
    """

    __slots__ = (
        "gone",
        "pressed",
        "lost_out",
        "_socket",
        "_fd",
        "_raw",
        "_pcm",
        "_frames",
        "_unsent",
        "_least",
        "_ticks",
    )

    def __init__(self, connection: socket.socket, early: bytes = b"") -> None:
        self.gone = False
        self.lost_out = 0  # frames not sent because Asterisk did not read
        self._socket = connection
        self._fd = connection.fileno()
        self._raw = b""
        self._pcm = b""
        self._frames: deque[bytes] = deque()
        self.pressed = ""
        self._unsent = b""
        self._least = MAX_BACKLOG
        self._ticks = 0
        if early:
            self._take(early)

    def receive(self, row: memoryview) -> bool:
        frames = self._frames
        try:
            count = os.readv(self._fd, (_header, row, _beyond))
            if count == _FULL_FRAME and _header == AUDIO_HEADER and not (self._raw or self._pcm):
                if not frames:  # nearly always it is one frame, and there is no backlog, or one that stays as it is
                    return True
                frames.append(bytes(row))
            elif count:
                self._take(b"".join((_header, row, _beyond))[:count])
            else:
                self.gone = True
        except BlockingIOError:
            pass
        except OSError:
            self.gone = True
        if not frames:
            return False
        row[:] = frames.popleft()
        if len(frames) < self._least:
            self._least = len(frames)
        self._ticks += 1
        if self._ticks == 50:
            self._even_out()
        return True

    def _even_out(self) -> None:
        """After every second with a backlog."""
        if self._least > 1:
            self._frames.popleft()
        self._least, self._ticks = MAX_BACKLOG, 0

    def _take(self, data: bytes) -> None:
        raw = self._raw + data if self._raw else data
        at = 0
        while len(raw) - at >= 3:
            kind, length = raw[at], int.from_bytes(raw[at + 1 : at + 3], "big")
            if kind not in (KIND_HANGUP, KIND_DTMF, KIND_AUDIO) or length > MAX_PAYLOAD:
                self.gone = True  # not AudioSocket: nothing after this can be trusted
                return
            if len(raw) - at - 3 < length:
                break
            payload = raw[at + 3 : at + 3 + length]
            at += 3 + length
            if kind == KIND_AUDIO:
                self._cut(payload)
            elif kind == KIND_DTMF:
                self.pressed += payload[:1].decode("ascii", "ignore")
            else:
                self.gone = True
        self._raw = raw[at:]

    def _cut(self, payload: bytes) -> None:
        """Any packet time into frames of 20 ms."""
        pcm = self._pcm + payload if self._pcm else payload
        at = 0
        while len(pcm) - at >= FRAME_BYTES:
            self._frames.append(pcm[at : at + FRAME_BYTES])
            at += FRAME_BYTES
        self._pcm = pcm[at:]
        while len(self._frames) > MAX_BACKLOG:
            self._frames.popleft()

    def keys(self) -> str:
        keys, self.pressed = self.pressed, ""
        return keys

    def send(self, frame: bytes) -> None:
        # Header and payload in one write: a gap inside a message is fatal on Asterisk's side.
        try:
            if self._unsent:  # the rest of a message that went out in part must follow before anything else
                self._unsent = self._unsent[os.write(self._fd, self._unsent) :]
                if self._unsent:
                    self.lost_out += 1
                    return
            if (written := os.write(self._fd, AUDIO_HEADER + frame)) < _FULL_FRAME:
                self._unsent = (AUDIO_HEADER + frame)[written:]
        except BlockingIOError:
            self.lost_out += 1
        except OSError:
            self.gone = True

    def finish(self) -> None:
        try:
            os.write(self._fd, self._unsent + HANGUP)
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


class Door:
    """The listening socket: lets in only connections that bring an expected UUID, once, in time, from allowed
    addresses.

    Args:
        address: (host, port); port 0 takes any.
        allowed: tells whether a peer's address may connect.
        claim: called with the UUID; returns the call it belongs to, or None when nobody expects it. Claiming uses
            it up.
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
        self._waiting: list[tuple[socket.socket, float, bytearray]] = []
        self.refused = 0

    def arrivals(self) -> list[tuple[object, AudioSocketLeg]]:
        """The calls that have connected since the last question, each with its leg. Never blocks."""
        while True:
            try:
                connection, peer = self._listener.accept()
            except (BlockingIOError, ConnectionError):
                break
            except OSError:  # out of file descriptors: the caller's Asterisk times out and goes to the queue
                break
            if not self._allowed(peer[0]) or len(self._waiting) > 1_000:
                self._refuse(connection)
                continue
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._waiting.append((connection, time.monotonic() + HANDSHAKE_S, bytearray()))
        if not self._waiting:
            return []
        arrived, still = [], []
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

    def _shake_hands(self, connection: socket.socket, data: bytearray) -> tuple | None | bool:
        """(call, leg), None where refused, False where more must come."""
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
