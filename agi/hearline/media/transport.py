"""The interface between the tick and a media path. AudioSocket implements it; WebSocket or RTP could do the same."""

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
    """One channel that we hear and speak to. No method ever blocks."""

    gone: bool  # the other side has closed or violated the protocol
    lost_out: int  # frames not sent because the other side did not read

    def keys(self) -> str:
        """The keys pressed since the last call of this method; '' for none."""

    def finish(self) -> None:
        """Give the channel back to the dialplan. Then call ``drained`` until it returns True, and ``close``."""

    def drained(self) -> bool:
        """True once the other side has closed, too, after ``finish``."""

    def close(self) -> None:
        """Close the connection at once."""


class Connections(Protocol):
    """All legs of a worker, each in a slot, with one frame each way per tick. No method ever blocks, and none raises
    because of what the other side does."""

    def __len__(self) -> int:
        """The number of legs that have joined and not left."""

    def join(self, slot: int, leg: Leg) -> None:
        """Send and receive this leg's sound with the others' from now on."""

    def leave(self, slot: int) -> None:
        """Stop doing so. Does nothing if there is no leg in this slot."""

    def send(self, spoken: Mapping[int, bytes]) -> None:
        """Send 20 ms to each leg: 320 bytes by slot; silence to slots that are not in ``spoken``."""

    def receive(self, rows: np.ndarray, came: np.ndarray) -> set[int]:
        """Write the next 20 ms of each leg into its row of ``rows``, int16 [slots, 160], and note in ``came``, bool
        [slots], whether there were any; if not, the row has no meaning. Returns the slots on which a key was pressed,
        or whose leg is gone, since the last tick."""
