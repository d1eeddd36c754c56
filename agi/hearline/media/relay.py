"""Passes a leg's sound to a process that may be slow, as datagrams over a Unix socket. The kernel drops those that are
not taken in time, so the tick never waits, and never holds more than 100 ms."""

from __future__ import annotations

import socket
import uuid

FRAMES = 5
"""Frames per datagram."""
HEADER = 20  # bytes: the leg's UUID, and a sequence number, by which the receiver notices lost sound


class Relay:
    """Relays one leg. ``to``: the path of the receiver's socket."""

    def __init__(self, leg: str, to: str) -> None:
        self._leg, self._to = uuid.UUID(leg).bytes, to
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._frames: list[bytes] = []
        self._number = 0

    def take(self, frame: bytes) -> None:
        """Pass on a frame: 16-bit samples, 8 kHz. Never raises."""
        self._frames.append(frame)
        if len(self._frames) < FRAMES:
            return
        data = b"".join([self._leg, self._number.to_bytes(4, "big"), *self._frames])
        self._frames.clear()
        self._number = (self._number + 1) % (1 << 32)
        try:
            self._socket.sendto(data, self._to)
        except OSError:  # the receiver is slow, or gone
            pass

    def close(self) -> None:
        self._socket.close()


def unpacked(data: bytes) -> tuple[str, int, bytes]:
    """A datagram as (leg, sequence number, 16-bit samples)."""
    return str(uuid.UUID(bytes=data[:16])), int.from_bytes(data[16:HEADER], "big"), data[HEADER:]
