"""What the tick needs of a media path. AudioSocket is the first; another (WebSocket, RTP) has the same four words."""

from __future__ import annotations

from typing import Protocol

RATE = 8_000  # Hz
FRAME_MS = 20
FRAME_SAMPLES = RATE * FRAME_MS // 1000  # 160
FRAME_BYTES = 2 * FRAME_SAMPLES  # 16-bit signed, little-endian
SILENCE = bytes(FRAME_BYTES)


class Leg(Protocol):
    """One channel we hear and speak to. No method ever blocks."""

    gone: bool  # the other side has closed, or broke the protocol
    pressed: str  # keys that `keys` has not told yet

    def receive(self, row: memoryview) -> bool:
        """The next 20 ms from the caller into ``row`` (320 bytes). False where none has come: then what is in it counts
        for nothing."""

    def keys(self) -> str:
        """The keys pressed since the last question, '' for none."""

    def send(self, frame: bytes) -> None:
        """20 ms to the caller (320 bytes)."""

    def finish(self) -> None:
        """Give the channel back to the dialplan. Go on asking ``drained`` until it says yes, then ``close``."""

    def drained(self) -> bool:
        """After ``finish``: has the other side closed too?"""

    def close(self) -> None:
        """Let go of the connection at once."""
