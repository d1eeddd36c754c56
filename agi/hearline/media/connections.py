"""All AudioSocket connections of a worker: one frame each way on each of them, once per tick.

Nearly always one whole frame arrives and one is sent; `frames.py` does that for all connections at once. This module
handles the rare cases: a key, packets of another length, a partial message, an Asterisk that does not read, the end.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hearline.media import frames as plain
from hearline.media.audiosocket import AudioSocketLeg
from hearline.media.frames import BACKLOG, HEADER_BYTES, MESSAGE_BYTES, READ_BYTES
from hearline.media.transport import FRAME_BYTES, SILENCE

try:
    from hearline.media import _frames as compiled  # type: ignore[attr-defined]
except ImportError:  # no compiler when Hearline was installed
    compiled = None


class AudioSocketConnections:
    """See ``transport.Connections``. `capacity`: the most legs. `of`: the module with the per-frame functions,
    frames.py or its compiled twin."""

    def __init__(self, capacity: int, of=compiled or plain) -> None:
        self._of = of
        self._legs: dict[int, AudioSocketLeg] = {}  # by slot, like everything below
        self._lines = 0  # slots up to the last one in use
        self._to, self._from = np.full((2, capacity), -1, np.int32)  # descriptors; −1: none, or handled in this module
        self._messages = np.zeros((capacity, MESSAGE_BYTES), np.uint8)
        self._messages[:, :HEADER_BYTES] = list(plain.AUDIO_HEADER)
        self._sounds = [memoryview(message)[HEADER_BYTES:] for message in self._messages]
        self._spoken: set[int] = set()  # slots whose message is not silence
        self._behind: set[int] = set()  # slots on which the rest of a message must be sent first
        self._backlog = np.empty((capacity, BACKLOG, FRAME_BYTES), np.uint8)
        self._held, self._least, self._ticks = np.zeros((3, capacity), np.int32)
        self._begun = np.zeros(capacity, bool)
        self._odd = np.zeros((capacity, 2), np.int32)
        self._unread = np.empty(capacity * READ_BYTES, np.uint8)
        self._stirred: set[int] = set()

    def __len__(self) -> int:
        return len(self._legs)

    def join(self, slot: int, leg: AudioSocketLeg) -> None:
        self._legs[slot] = leg
        self._lines = max(self._lines, slot + 1)
        self._to[slot] = self._from[slot] = leg.fileno()
        self._held[slot], self._least[slot], self._ticks[slot], self._begun[slot] = 0, BACKLOG, 0, False
        if leg.early:
            self._feed(slot, leg.early)

    def leave(self, slot: int) -> None:
        self._forget(slot)
        self._held[slot] = 0
        self._stirred.discard(slot)
        self._legs.pop(slot, None)
        self._lines = max(self._legs, default=-1) + 1

    def send(self, spoken: Mapping[int, bytes]) -> None:
        for slot in self._spoken - spoken.keys():
            self._sounds[slot][:] = SILENCE
        for slot, frame in spoken.items():
            self._sounds[slot][:] = frame
        self._spoken = set(spoken)
        lines = self._lines
        for slot in list(self._behind):
            self._catch_up(slot)
        count = self._of.send(self._to[:lines], self._messages, self._odd)
        for slot, written in self._odd[:count].tolist():
            self._sent_in_part(slot, written)

    def _sent_in_part(self, slot: int, written: int) -> None:
        """Keep the unsent part of a message, so that it follows later: Asterisk cannot handle a gap within a
        message."""
        leg = self._legs[slot]
        if written < 0:
            self._lose(slot)
        elif written == 0:
            leg.lost_out += 1
        else:
            leg.unsent = self._messages[slot, written:].tobytes()
            self._to[slot] = -1
            self._behind.add(slot)

    def _catch_up(self, slot: int) -> None:
        """Send the rest of a partly sent message; until that has gone, nothing else may follow."""
        leg = self._legs[slot]
        leg.send_rest()
        if leg.gone:
            self._lose(slot)
        elif leg.unsent:
            leg.lost_out += 1
        else:
            self._to[slot] = leg.fileno()
            self._behind.discard(slot)

    def receive(self, rows: np.ndarray, came: np.ndarray) -> set[int]:
        lines = self._lines
        held = self._held[:lines]
        count = self._of.read(self._from[:lines], self._begun, self._backlog, held, self._odd, self._unread)
        at = 0
        for slot, size in self._odd[:count].tolist():
            if size > 0:
                self._feed(slot, self._unread[at : at + size].tobytes())
                at += size
            else:
                self._lose(slot)
        came.fill(False)
        self._of.take(self._backlog, held, self._least, self._ticks, rows, came)
        stirred, self._stirred = self._stirred, set()
        return stirred

    def _feed(self, slot: int, data: bytes) -> None:
        """Process bytes that are not exactly whole frames of 20 ms."""
        leg = self._legs[slot]
        for frame in leg.take(data):
            plain.keep(self._backlog[slot], self._held, slot, frame)
        self._begun[slot] = leg.amid
        if leg.pressed:
            self._stirred.add(slot)
        if leg.gone:
            self._lose(slot)

    def _lose(self, slot: int) -> None:
        self._legs[slot].gone = True
        self._stirred.add(slot)
        self._forget(slot)

    def _forget(self, slot: int) -> None:
        """Stop reading and writing this line. What it has sent already is still heard."""
        self._to[slot] = self._from[slot] = -1
        self._behind.discard(slot)
