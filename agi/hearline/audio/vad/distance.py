"""Does the caller speak into the telephone, or from across the room or into its loudspeaker mode?

The level of a voice close to the microphone falls as fast as the voice does. From a metre or two, most of the sound
arrives by way of the walls, and decays by 60 dB only within some tenths of a second: so there are no steep falls, and
the gaps between sounds are filled. (The negative side of the distribution of decay rates is known to measure
reverberation: J. Y. C. Wen, E. A. P. Habets and P. A. Naylor 2008.) So the measure is how much the level changes within
20, 40 and 80 ms; loudness plays no part.

The weights are those of a logistic regression, made by `bench/ears/train_distance.py` from recorded speech in simulated
rooms. `docs/bench.md` says how often it is right.
"""

from functools import cache
from pathlib import Path

import numpy as np

from hearline.audio.level.p56 import power_to_dbov
from hearline.audio.slots import Column, SlotTable

WEIGHTS = Path(__file__).with_name("distance.npz")
_FRAMES = 250  # remembered: the last 5 s of talk
_LEAST_FRAMES = 200  # no answer before 4 s: after 3 s it is wrong twice as often
_LAGS = (1, 2, 4)  # frames
_QUANTILES = np.array([0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98])
_UNDER_LOUDEST_DB = 25.0  # changes of softer sounds come from noise
_LOUDEST = 0.95  # quantile of the levels
_FEWEST = 20  # with no more changes than this (a line with hardly a frame) there is no answer


class Distances:
    """The levels of the last speech on every slot, pauses of a few tenths of a second included."""

    def __init__(self, capacity: int):
        self._table = SlotTable(capacity, count=Column(np.int32), power=Column(np.float32, shape=(_FRAMES,)))

    def grow(self, capacity: int) -> None:
        self._table.grow(capacity)

    def clear(self, slot: int) -> None:
        """Forget what was said so far: a new call or a new question."""
        self._table.count[slot] = 0

    def add(self, slots: np.ndarray, power: np.ndarray) -> None:
        """Add a frame of talk; `power` [slots] is its mean square, 0 where none came."""
        t = self._table
        count = t.count[slots]
        t.power[slots, count % _FRAMES] = power
        t.count[slots] = count + 1

    def add_past(self, slots: np.ndarray, power: np.ndarray) -> None:
        """Add the frames before it: `power` [slots, n], oldest first."""
        t = self._table
        count, more = t.count[slots], power.shape[1]
        t.power[slots[:, None], (count[:, None] + np.arange(more)) % _FRAMES] = power
        t.count[slots] = count + more

    def is_far(self, slot: int) -> bool | None:
        """True if the caller is far from the telephone; None while too little was said."""
        changes = self.changes_db(slot)
        if changes is None:
            return None
        weights, bias = _weights()
        return bool(changes @ weights + bias > 0)

    def changes_db(self, slot: int) -> np.ndarray | None:
        """Quantiles of the level changes in dB, for each lag in turn; None while too little was said."""
        t = self._table
        count = int(t.count[slot])
        if count < _LEAST_FRAMES:
            return None
        oldest = count % _FRAMES if count > _FRAMES else 0
        power = np.concatenate((t.power[slot, oldest:count], t.power[slot, :oldest]))
        heard = power > 0  # neither lost nor digital silence
        if not heard.any():
            return None
        level = power_to_dbov(power)
        loud = level > _quantile(level[heard], _LOUDEST) - _UNDER_LOUDEST_DB
        gaps = not heard.all()
        parts = []
        for lag in _LAGS:
            used = loud[lag:] | loud[:-lag]
            for start in range(lag + 1) if gaps else ():  # use only changes without a missing frame in between
                used = used & heard[start : heard.size - lag + start]
            change = (level[lag:] - level[:-lag])[used]
            if change.size <= _FEWEST:
                return None
            parts.append(_quantile(change, _QUANTILES))
        return np.concatenate(parts)


def _quantile(x: np.ndarray, share: np.ndarray | float) -> np.ndarray:
    x.sort()  # in place: the callers pass copies
    return x[np.rint(np.multiply(share, x.size - 1)).astype(int)]


@cache
def _weights() -> tuple[np.ndarray, float]:
    """The weights for `changes_db`, and the bias; loaded once per process."""
    with np.load(WEIGHTS) as of:
        return of["weights"], float(of["bias"])
