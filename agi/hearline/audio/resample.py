"""Change of sample rate by a windowed sinc (Kaiser, 80 dB), for files: 16, 44.1 and 48 kHz → 8 kHz."""

from functools import cache
from math import gcd

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

_ZERO_CROSSINGS = 24  # on either side; the pass band ends at 92 % of the lower Nyquist frequency
_ROLL_OFF = 0.92
_KAISER_BETA = 8.0


def resample(x: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
    """`x` float32 [n] at `rate_in` Hz → float32 [≈ n·rate_out/rate_in] at `rate_out` Hz, without delay."""
    if rate_in == rate_out or not x.size:
        return x.astype(np.float32)
    divisor = gcd(rate_in, rate_out)
    up, down = rate_out // divisor, rate_in // divisor
    half, filters = _filters(up, down)
    length = -(-x.size * up // down)
    padded = np.pad(x.astype(np.float32), (half, half + down))
    windows = sliding_window_view(padded, 2 * half + 1)
    y = np.empty(length, np.float32)
    # Output n lies at input n·down/up: every `up` outputs the same fraction, hence the same filter.
    for phase in range(min(up, length)):
        count = len(range(phase, length, up))
        first = phase * down // up
        y[phase::up] = windows[first::down][:count] @ filters[phase]
    return y


@cache
def _filters(up: int, down: int) -> tuple[int, np.ndarray]:
    """Half length in input samples, and one filter [up, 2·half + 1] for each fraction of a sample."""
    cutoff = _ROLL_OFF * min(1.0, up / down)  # of the input's Nyquist frequency
    half = int(np.ceil(_ZERO_CROSSINGS / cutoff))
    fraction = (np.arange(up) * down % up) / up
    at = np.arange(-half, half + 1)[None, :] - fraction[:, None]
    window = np.i0(_KAISER_BETA * np.sqrt(np.maximum(0, 1 - (at / (half + 1)) ** 2))) / np.i0(_KAISER_BETA)
    filters = cutoff * np.sinc(cutoff * at) * window
    return half, (filters / filters.sum(axis=1, keepdims=True)).astype(np.float32)
