"""The sound of the last 320 ms on every line, and its level.

Each tick is one row that holds all lines. A tick writes and reads whole rows; only lines that need more (a window for
the network, a spectrum) are picked out of them.
"""

import numpy as np

from hearline.audio.settings import FRAME_SAMPLES
from hearline.audio.slots import Column, SlotTable

FRAMES = 16  # remembered
SAMPLES = FRAMES * FRAME_SAMPLES
_FAST_FRAMES = 5  # 100 ms levels …
_SPAN_FRAMES = 11  # … of which 11, a frame apart, span 300 ms
FULL_AFTER_FRAMES = FRAMES + _FAST_FRAMES  # after `clear`, the memory holds only the new call from here on
_BLOCK = 32  # samples; a frame is 5 blocks, a network's window 8 and its context 1
_BLOCKS = FRAME_SAMPLES // _BLOCK
_PER_SQUARE = np.float32(1 / (FRAME_SAMPLES * 32768.0**2))  # sum of squared samples → mean square, full scale 1.0
# _ROWS[at]: rows of the newest frame, the one before it and so on
_ROWS = (np.arange(FRAMES)[:, None] - np.arange(FRAMES)) % FRAMES
_ONES = np.ones(FRAME_SAMPLES, np.float32)
_count = np.count_nonzero  # on booleans: faster than any() and all()


class RecentAudio:
    """The last 16 ticks of every line. Ticks from before a call began are digital silence."""

    def __init__(self, capacity: int):
        self._table = SlotTable(
            capacity,
            sound=Column(np.float32, ticks=FRAMES, shape=(FRAME_SAMPLES,)),  # full scale 32768
            came=Column(np.bool_, ticks=FRAMES),
            power=Column(np.float32, ticks=FRAMES),  # mean square of each frame, DC removed
            fast_power=Column(np.float32, ticks=FRAMES),  # mean of 5 frames
        )
        self._at = 0  # row of the newest frame

    def grow(self, capacity: int) -> None:
        self._table.grow(capacity)

    def clear(self, slot: int) -> None:
        self._table.clear(slot)

    def add(self, frames: np.ndarray, came: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Add the next tick of the first lines: `frames` int16 [lines, 160]. Where `came`, bool [lines], is False, the
        frame counts as silence.

        Returns the frames, float32 [lines, 160]; whether they hold anything but digital silence, bool [lines]; their
        mean squares [lines]; the mean squares of the loudest 100 ms of the last 300 ms [lines].
        """
        t, lines = self._table, len(came)
        self._at = at = (self._at + 1) % FRAMES
        t.came[at, :lines] = came
        sound, power, fast = t.sound[at, :lines], t.power[at, :lines], t.fast_power[at, :lines]
        sound[...] = frames
        if _count(came) < lines:
            sound[~came] = 0
        np.vecdot(sound, sound, out=power)
        sounding = power > 0
        offset = sound @ _ONES  # faster than a sum along the rows
        offset *= offset
        offset *= np.float32(1 / FRAME_SAMPLES)
        power -= offset
        power *= _PER_SQUARE
        np.maximum(power, 0, out=power)
        np.add.reduce(t.power[_ROWS[at, :_FAST_FRAMES], :lines], axis=0, out=fast)
        fast /= _FAST_FRAMES
        return sound, sounding, power, np.maximum.reduce(t.fast_power[_ROWS[at, :_SPAN_FRAMES], :lines], axis=0)

    def power(self, slots: np.ndarray, frames: int = FRAMES) -> np.ndarray:
        """Mean squares of the last frames [frames, slots], newest first."""
        return self._table.power[_ROWS[self._at, :frames, None], slots]

    def came(self, slots: np.ndarray, frames: int) -> np.ndarray:
        """Which of the last frames came: bool [frames, slots], newest first."""
        return self._table.came[_ROWS[self._at, :frames, None], slots]

    def fast_power(self, slot: int) -> float:
        """Mean square of the last 100 ms."""
        return float(self._table.fast_power[self._at, slot])

    def earliest_fast_power(self, slots: np.ndarray) -> np.ndarray:
        """Mean square of the 100 ms that end 300 ms ago [slots]."""
        return self._table.fast_power[_ROWS[self._at, -1], slots]

    def samples(self, slots: np.ndarray, count: int) -> np.ndarray:
        """The newest `count` samples, oldest first, float32 [slots, count]."""
        rows = _ROWS[self._at, : -(-count // FRAME_SAMPLES), None][::-1]
        return self._table.sound[rows.T, slots[:, None]].reshape(len(slots), -1)[:, -count:]

    def windows(self, slots: np.ndarray, before: np.ndarray, count: int) -> np.ndarray:
        """`count` samples, oldest first, that end `before` [slots] samples before the end of the newest frame: float32
        [slots, count]. `count` and `before` are multiples of 32."""
        sound = self._table.sound.reshape(FRAMES, -1, _BLOCKS, _BLOCK)
        newest = self._at * _BLOCKS + _BLOCKS - 1
        rows, block = np.divmod(newest - before[:, None] // _BLOCK + np.arange(1 - count // _BLOCK, 1), _BLOCKS)
        return sound[rows, slots[:, None], block].reshape(len(slots), count)
