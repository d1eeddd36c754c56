"""Is it the caller, close to the telephone? A second, small network on top of the speech network answers that.

The speech network was made to find any speech. It also takes babble, crowds, some music and many sounds that rise above
noise for speech, and is unsure about unfamiliar kinds of voice. Its features and memory, for a window and the one
before, hold more information than its one answer; together with the movement of the level, they distinguish a near
voice from the rest. `bench/ears/train.py` trains this network on the tuning part of the labelled recordings; the
held-out speakers and noises take no part."""

from functools import cache
from pathlib import Path

import numpy as np

from hearline.audio.settings import FRAME_MS

WEIGHTS = Path(__file__).with_name("near_speech.npz")
_LOG_ODDS = 9.0  # answers are limited to this

# Levels as inputs: their limits in dB (scaled to units of 10 dB), and their values while there is no noise floor yet.
_RISE_DB, _RISE_UNKNOWN_DB = (-10.0, 30.0), (12.0, 6.0)
_FALL_DB = (-40.0, 3.0)
_SETTLED_FRAMES = 2000 // FRAME_MS  # from then on the floor is reliable
_QUIET_DBOV = -66.0
"""The lowest floor: missing frames and digital silence are not a background to rise above."""


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
    """The network's inputs: float32 [calls, inputs].

    `p` [calls], `states` [calls, 2, 128] and `features` [calls, 128] come from the speech network, and `before` [calls,
    128] holds its features of the window before. `fast`, `floor` and `power` [calls] are mean squares of the loudest
    100 ms of the last 300 ms, of the background (+inf: not known yet) and of this frame. `frames` [calls] counts from
    the start of the call: a background that was heard only briefly may be the caller."""
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
    """Three networks side by side with one hidden layer each. It keeps no state; its inputs cover the window before."""

    def __init__(self) -> None:
        self._hidden, self._hidden_bias, self._out, self._out_bias = _weights()

    def log_odds(self, x: np.ndarray) -> np.ndarray:
        """Natural logarithm of the odds that it is the caller [calls], from `inputs` [calls, inputs]."""
        hidden = x @ self._hidden
        hidden += self._hidden_bias
        np.maximum(hidden, 0, out=hidden)
        return np.clip(hidden @ self._out + self._out_bias, -_LOG_ODDS, _LOG_ODDS)


@cache
def _weights() -> tuple[np.ndarray, ...]:
    """Loaded once per process."""
    with np.load(WEIGHTS) as of:
        return of["hidden"], of["hidden_bias"], of["out"], of["out_bias"]
