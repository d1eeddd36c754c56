"""Speech level of a recording: ITU-T P.56 (12/2011) method B, "active speech level".

Unit dBov (ITU-T G.100.1): 0 dBov is the power of a full-scale square wave, i.e. of a constant ±1.0 in
float or ±32768 in int16. A full-scale sine is therefore −3.01 dBov. In G.711, dBm0 ≈ dBov + 6.2.

This module measures complete arrays (prompts, recordings, tests); the streaming estimate of live calls is in
`speech_level.py`.
"""

from dataclasses import dataclass
from typing import overload

import numpy as np

SILENCE_DBOV = -100.0
"""Levels are never lower than this, so that digital silence has a finite level."""

ENVELOPE_TIME_S = 0.03  # P.56: time constant of each of the two smoothing stages
HANGOVER_S = 0.2  # P.56: speech counts as active this long after the envelope fell under a threshold
MARGIN_DB = 15.9  # P.56: the activity threshold lies this far under the active level
THRESHOLDS = 2.0 ** np.arange(-20, 0)  # of full scale, ascending; P.56 wants steps of at most 6.02 dB

_THRESHOLDS_DB = 20.0 * np.log10(THRESHOLDS)
_TWO = np.arange(2)[:, None]
_BLOCK = 1024  # samples per block of the recursive filter: short enough for exp() to stay in range


@dataclass(frozen=True)
class Level:
    """The result of method B for one recording."""

    active_dbov: float
    """Level while somebody speaks; SILENCE_DBOV if the recording is silent."""
    activity: float
    """Share of the time that is active speech, 0…1."""
    long_term_dbov: float
    """Level over the whole time, pauses included."""


def to_float(samples: np.ndarray) -> np.ndarray:
    """int16 or ±1 float samples as float64 with full scale 1.0."""
    samples = np.asarray(samples)
    if samples.dtype == np.int16:
        return samples / 32768.0
    if samples.dtype.kind == "f":
        return samples.astype(np.float64)
    raise TypeError(f"samples must be int16 or float ±1, not {samples.dtype}")


@overload
def power_to_dbov(power: np.ndarray) -> np.ndarray: ...
@overload
def power_to_dbov(power: float) -> float: ...
def power_to_dbov(power: np.ndarray | float) -> np.ndarray | float:
    """Mean square (full scale 1.0) → dBov, floored at SILENCE_DBOV."""
    return 10.0 * np.log10(np.maximum(power, 10.0 ** (SILENCE_DBOV / 10)))


@overload
def dbov_to_power(dbov: np.ndarray) -> np.ndarray: ...
@overload
def dbov_to_power(dbov: float) -> float: ...
def dbov_to_power(dbov: np.ndarray | float) -> np.ndarray | float:
    """dBov → mean square (full scale 1.0)."""
    return 10.0 ** (np.asarray(dbov) / 10)


def rms_dbov(samples: np.ndarray) -> float:
    """Plain RMS level over the whole array, dBov."""
    x = to_float(samples)
    return float(power_to_dbov(np.mean(x * x))) if x.size else SILENCE_DBOV


def active_speech_level(samples: np.ndarray, rate: int) -> Level:
    """Active speech level of one mono recording `samples` [n] at `rate` Hz, by P.56 method B."""
    x = to_float(samples)
    if x.size == 0:
        return Level(SILENCE_DBOV, 0.0, SILENCE_DBOV)
    energy = float(np.sum(x * x))
    long_term = float(power_to_dbov(energy / x.size))
    if long_term <= SILENCE_DBOV:
        return Level(SILENCE_DBOV, 0.0, SILENCE_DBOV)

    smoothing = np.exp(-1.0 / (rate * ENVELOPE_TIME_S))
    envelope = _smooth(_smooth(np.abs(x), smoothing), smoothing)
    held = _running_max(envelope, round(HANGOVER_S * rate) + 1)
    # active[j] = samples at which the held envelope reaches threshold j
    reached = np.searchsorted(THRESHOLDS, held, side="right")
    active = np.cumsum(np.bincount(reached, minlength=THRESHOLDS.size + 1)[::-1])[::-1][1:]

    active_dbov = method_b(np.array([energy]), active[None, :].astype(float))[0]
    active_dbov = max(float(active_dbov), long_term)  # an activity over 100 % would be rounding
    activity = min(1.0, 10 ** ((long_term - active_dbov) / 10))
    return Level(active_dbov, activity, long_term)


def method_b(energy: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Active level in dBov from the sums of P.56, for many recordings at once.

    `energy` [calls] is the sum of squares, `active` [calls, thresholds] the number of active samples at
    each of THRESHOLDS. The level sought is the one that lies MARGIN_DB over its own threshold; between
    two thresholds it is interpolated on the dB scale.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        level_db = 10.0 * np.log10(energy[:, None] / np.maximum(active, 1e-9))
        # An unreached threshold has no level: far over its margin would be wrong, so treat it as under it.
        margin = np.where(active > 0, level_db - _THRESHOLDS_DB, -np.inf)
        # margin falls with the threshold: `above` is the last threshold that is still ≥ MARGIN_DB away
        above = np.minimum(np.maximum(np.add.reduce(margin >= MARGIN_DB, axis=1) - 1, 0), THRESHOLDS.size - 2)
        around = np.arange(energy.size), above + _TWO
        (upper, lower), (level, level_lower) = margin[around], level_db[around]
        usable = np.isfinite(lower) & (lower < upper)
        share = np.minimum(np.maximum((upper - MARGIN_DB) / (upper - lower), 0.0), 1.0)
        level = np.where(usable, level + share * (level_lower - level), level)
    return np.where((energy > 0) & (active[:, 0] > 0), np.maximum(level, SILENCE_DBOV), SILENCE_DBOV)


def _smooth(x: np.ndarray, g: float) -> np.ndarray:
    """y[n] = g·y[n−1] + (1−g)·x[n], block by block instead of sample by sample."""
    blocks = np.pad(x, (0, -x.size % _BLOCK)).reshape(-1, _BLOCK)
    decay = g ** np.arange(_BLOCK)
    within = (1 - g) * decay * np.cumsum(blocks / decay, axis=1)
    before, carry = np.empty(len(blocks)), 0.0
    for i, end in enumerate(within[:, -1]):
        before[i] = carry
        carry = end + g * decay[-1] * carry
    return (within + g * decay * before[:, None]).ravel()[: x.size]


def _running_max(x: np.ndarray, width: int) -> np.ndarray:
    """Largest of the last `width` values at each sample (van Herk: two passes whatever the width)."""
    padded = np.concatenate([np.zeros(width - 1), x])  # envelopes are never negative
    padded = np.pad(padded, (0, -padded.size % width))
    blocks = padded.reshape(-1, width)
    forward = np.maximum.accumulate(blocks, axis=1).ravel()
    backward = np.maximum.accumulate(blocks[:, ::-1], axis=1)[:, ::-1].ravel()
    return np.maximum(backward[: x.size], forward[width - 1 : width - 1 + x.size])
