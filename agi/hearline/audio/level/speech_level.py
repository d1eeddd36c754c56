"""The active speech level (ITU-T P.56 method B) as a running estimate for many calls at once.

It computes the same sums as `p56.py`, with three differences for live calls: sound comes in frames of 20 ms, only
frames that the detector takes for speech count, and the noise between the words is subtracted. The envelope is followed
in steps of 5 ms instead of sample by sample, since its time constant is 30 ms.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from hearline.audio.level.p56 import ENVELOPE_TIME_S, HANGOVER_S, SILENCE_DBOV, THRESHOLDS, method_b, power_to_dbov
from hearline.audio.settings import FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE_HZ
from hearline.audio.slots import Column, SlotTable

_STEPS = 4  # of 5 ms in a frame
_STEP_SAMPLES = FRAME_SAMPLES // _STEPS
_DECAY = float(np.exp(-_STEP_SAMPLES / (SAMPLE_RATE_HZ * ENVELOPE_TIME_S)))
# One frame as a matrix product. In: stage 1, stage 2 and |samples|. Out: both stages after the frame, then stage 2
# after each earlier step, newest first.
_frame = np.zeros((2 + FRAME_SAMPLES, 1 + _STEPS), np.float32)
_stages = np.eye(2 + FRAME_SAMPLES)[:2]  # each stage as weights of the inputs
for _step in range(_STEPS):
    _stages[0] *= _DECAY
    _stages[0, 2 + _step * _STEP_SAMPLES :][:_STEP_SAMPLES] = (1 - _DECAY) / (_STEP_SAMPLES * 32768)
    _stages[1] = _DECAY * _stages[1] + (1 - _DECAY) * _stages[0]
    _frame[:, _STEPS - _step] = _stages[1]
_frame[:, 0] = _stages[0]
_OF_STAGES, _OF_SAMPLES = _frame[:2].copy(), _frame[2:].copy()
_HELD_FRAMES = round(HANGOVER_S * 1000 / FRAME_MS)
PAST_FRAMES = 15
"""How many frames `add_past` can go back: the detector notices speech 100 to 300 ms after it began."""
_FRAMES = PAST_FRAMES + _HELD_FRAMES + 1
# _ROWS[at]: rows of the newest frame, the one before it and so on
_ROWS = (np.arange(_FRAMES)[:, None] - np.arange(_FRAMES)) % _FRAMES


class SpeechLevels:
    """Running active level of every slot's speech."""

    def __init__(self, capacity: int):
        thresholds = (THRESHOLDS.size,)
        self._table = SlotTable(
            capacity,
            stages=Column(np.float32, shape=(2,)),
            envelope=Column(np.float32, ticks=_FRAMES),  # peak of each frame; 0 on lines at rest
            energy=Column(np.float64),
            active=Column(np.int32, shape=thresholds),
        )
        self._at = 0  # row of the newest frame

    def grow(self, capacity: int) -> None:
        self._table.grow(capacity)

    def clear(self, slot: int) -> None:
        """A new call."""
        self._table.clear(slot)

    def restart(self, slot: int) -> None:
        """Forget the speech so far."""
        t = self._table
        t.energy[slot], t.active[slot] = 0, 0

    def rest(self, slots: np.ndarray) -> None:
        """Reset the envelope to 0: nothing is audible on these slots."""
        t = self._table
        t.stages[slots], t.envelope[:, slots] = 0, 0

    def follow(self, slots: np.ndarray, frames: np.ndarray) -> None:
        """Follow the envelope through one frame, float32 [slots, 160], full scale 32768. All other slots are at
        rest."""
        t = self._table
        followed = np.abs(frames) @ _OF_SAMPLES
        followed += t.stages[slots] @ _OF_STAGES
        t.stages[slots] = followed[:, :2]
        self._at = (self._at + 1) % _FRAMES
        newest = t.envelope[self._at]
        newest[...] = 0
        newest[slots] = np.maximum.reduce(followed[:, 1:], axis=1)

    def add_speech(self, slots: np.ndarray, power: np.ndarray) -> None:
        """Count the frame just followed as speech; `power` [slots] is its mean square."""
        t = self._table
        held = np.maximum.reduce(t.envelope[_ROWS[self._at, : _HELD_FRAMES + 1]], axis=0)[slots]
        t.energy[slots] += power
        t.active[slots] += held[:, None] >= THRESHOLDS

    def add_past(self, slots: np.ndarray, power: np.ndarray) -> None:
        """Count earlier frames as speech, too: a short word may be over when the detector notices it. `power` [slots,
        up to PAST_FRAMES], oldest first, excludes the frame just followed. Silence among them is harmless, since P.56
        counts nothing below the threshold."""
        t = self._table
        count = power.shape[1]
        envelope = t.envelope[_ROWS[self._at, :0:-1, None], slots]
        held = sliding_window_view(envelope, _HELD_FRAMES + 1, axis=0).max(axis=2)[-count:].T
        t.energy[slots] += power.sum(axis=1)
        t.active[slots] += (held[:, :, None] >= THRESHOLDS).sum(axis=1)

    def level_dbov(self, slots: np.ndarray, noise_power: np.ndarray, to_come: np.ndarray) -> np.ndarray:
        """Active level so far [slots], in dBov, with `noise_power` [slots] subtracted; at least SILENCE_DBOV.

        `to_come` [slots]: the frames that would still count if silence began now. P.56 counts the hangover of the last
        word as activity; without it, ongoing speech would come out too loud, by 0.8 dB after a second.
        """
        t = self._table
        # `energy` is a sum of frame powers and `active` counts frames, so their quotient is a mean power
        level = method_b(t.energy[slots], t.active[slots] + self._held(slots, to_come))
        speech_power = 10 ** (level / 10) - noise_power
        # Subtract at most half: the noise is an estimate, too, and speech below it would not have been detected.
        return np.maximum(power_to_dbov(np.maximum(speech_power, 10 ** (level / 10) / 2)), SILENCE_DBOV)

    def _held(self, slots: np.ndarray, to_come: np.ndarray) -> np.ndarray:
        """How many of the frames `to_come` [slots] will count at each threshold: float [slots, thresholds]."""
        newest_first = self._table.envelope[_ROWS[self._at, :_HELD_FRAMES, None], slots]
        held = np.maximum.accumulate(newest_first, axis=0)[:, :, None] >= THRESHOLDS
        return np.minimum(held.sum(axis=0), to_come[:, None]).astype(float)
