"""What the tick needs of a media path. AudioSocket is the first; another (WebSocket, RTP) has the same few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

RATE = 8_000  # Hz
FRAME_MS = 20
FRAME_SAMPLES = RATE * FRAME_MS // 1000  # 160
FRAME_BYTES = 2 * FRAME_SAMPLES  # 16-bit signed, little-endian
SILENCE = bytes(FRAME_BYTES)


class Leg(Protocol):
    """One channel we hear and speak to. No method ever blocks."""

    gone: bool  # the other side has closed, or broke the protocol
    lost_out: int  # frames not sent because the other side did not take them

    def keys(self) -> str:
        """The keys pressed since the last question, '' for none."""

    def finish(self) -> None:
        """Give the channel back to the dialplan. Go on asking ``drained`` until it says yes, then ``close``."""

    def drained(self) -> bool:
        """After ``finish``: has the other side closed too?"""

    def close(self) -> None:
        """Let go of the connection at once."""


class Connections(Protocol):
    """All of a worker's legs, each in a slot: a frame each way in every tick. No method ever blocks or raises for what
    the other sides do."""

    def __len__(self) -> int:
        """Legs that have joined and not left."""

    def join(self, slot: int, leg: Leg) -> None:
        """This leg's sound comes and goes with the others' from now on."""

    def leave(self, slot: int) -> None:
        """No longer, if it did."""

    def send(self, spoken: Mapping[int, bytes]) -> None:
        """20 ms to each leg: by slot, 320 bytes; silence where there are none."""

    def receive(self, rows: np.ndarray, came: np.ndarray) -> set[int]:
        """The next 20 ms of each leg into its row of int16 [slots, 160]. Where none ``came``, bool [slots], what is in
        it counts for nothing. Returns the slots on which a key was pressed, or whose leg is gone, since the last tick.
        """
