"""Is it the caller, close to the telephone? A second, small network on top of the speech network.

The speech network was made to find any speech. Babble, a crowd, some music, much that rises out of a noise it takes for
speech too, and it is unsure of voices that it knows badly. What it has heard of a window and of the one before (its
features and its memory) says more than its one answer; together with how the level moves it tells a near voice from the
rest. Trained on the tuning part of the labelled recordings by `bench/ears/train.py`; speakers and noises held out there
took no part.
"""

from functools import cache
from pathlib import Path

import numpy as np

from hearline.audio.settings import FRAME_MS

WEIGHTS = Path(__file__).with_name("near_speech.npz")
_LOG_ODDS = 9.0  # as far as an answer is believed

# Levels as inputs: in units of 10 dB, and what stands for them while there is no floor to compare with.
_RISE_DB, _RISE_UNKNOWN_DB = (-10.0, 30.0), (12.0, 6.0)
_FALL_DB = (-40.0, 3.0)
_SETTLED_FRAMES = 2000 // FRAME_MS  # from then on the floor is as good as known
_QUIET_DBOV = -66.0
"""Frames that do not come, and digital silence, are no background to rise from."""


def inputs(
    p: np.ndarray,
    states: np.ndarray,
    features: np.ndarray,
    before: np.ndarray,
    fast: np.ndarray,
    floor: np.ndarray,
    power: np.ndarray,
    frames: np.ndarray,
) -> np.ndarray:
    """What is asked about: float32 [calls, inputs].

    `p` [calls], `states` [calls, 2, 128] and `features` [calls, 128] are the speech network's, `before` [calls, 128]
    its features of the window before; `fast`, `floor` and `power` [calls] are mean squares: loudest 100 ms of the last
    300 ms, background (+inf: not known yet), this frame. `frames` [calls] are those since the answer: a background that
    was heard for a moment only may be the caller.
    """
    heard = (states.reshape(len(p), -1), features, before)
    x = np.empty((len(p), 5 + sum(part.shape[1] for part in heard)), np.float32)
    bounded = np.clip(p, 1e-4, 1 - 1e-4)
    fast_db, floor_db, power_db = (10 * np.log10(np.maximum(level, 1e-10)) for level in (fast, floor, power))
    known = np.isfinite(floor_db)
    floor_db = np.maximum(floor_db, _QUIET_DBOV)
    x[:, 0] = np.log(bounded / (1 - bounded))
    with np.errstate(invalid="ignore"):
        x[:, 1] = np.where(known, np.clip(fast_db - floor_db, 0, _RISE_DB[1]), _RISE_UNKNOWN_DB[0]) / 10
        x[:, 2] = np.where(known, np.clip(power_db - floor_db, *_RISE_DB), _RISE_UNKNOWN_DB[1]) / 10
    x[:, 3] = np.minimum(frames / _SETTLED_FRAMES, 1)
    x[:, 4] = np.clip(power_db - fast_db, *_FALL_DB) / 10
    np.concatenate(heard, axis=1, out=x[:, 5:])
    return x


class CallerNetwork:
    """One hidden layer, of three networks side by side; knows nothing of the windows before, except by its inputs."""

    def __init__(self) -> None:
        self._hidden, self._hidden_bias, self._out, self._out_bias = _weights()

    def log_odds(self, x: np.ndarray) -> np.ndarray:
        """Natural logarithm of the odds that it is the caller [calls], for `inputs` [calls, inputs]."""
        hidden = x @ self._hidden
        hidden += self._hidden_bias
        np.maximum(hidden, 0, out=hidden)
        return np.clip(hidden @ self._out + self._out_bias, -_LOG_ODDS, _LOG_ODDS)


@cache
def _weights() -> tuple[np.ndarray, ...]:
    """Once a process."""
    with np.load(WEIGHTS) as of:
        return of["hidden"], of["hidden_bias"], of["out"], of["out_bias"]
