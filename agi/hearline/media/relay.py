"""Passes on what comes on a leg to a process that may be slow: datagrams over a Unix socket, which the kernel drops
when nobody takes them. The tick never waits and keeps no more than 100 ms."""

from __future__ import annotations

import socket
import uuid

FRAMES = 5
"""In each datagram."""
HEADER = 20  # bytes: the leg's UUID, and a number that counts on; whoever misses one has missed sound


class Relay:
    """One leg's. ``to``: the path of the socket that takes it."""

    def __init__(self, leg: str, to: str) -> None:
        self._leg, self._to = uuid.UUID(leg).bytes, to
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._frames: list[bytes] = []
        self._number = 0

    def take(self, frame: bytes) -> None:
        """16-bit samples, 8 kHz. Never raises."""
        self._frames.append(frame)
        if len(self._frames) < FRAMES:
            return
        data = b"".join([self._leg, self._number.to_bytes(4, "big"), *self._frames])
        self._frames.clear()
        self._number = (self._number + 1) % (1 << 32)
        try:
            self._socket.sendto(data, self._to)
        except OSError:  # it is slow, or gone
            pass

    def close(self) -> None:
        self._socket.close()


def unpacked(data: bytes) -> tuple[str, int, bytes]:
    """A datagram as (leg, number, 16-bit samples)."""
    return str(uuid.UUID(bytes=data[:16])), int.from_bytes(data[16:HEADER], "big"), data[HEADER:]
