"""Is it our own prompt that comes back? Asked only where speech seems to begin while, or just after, we play one.

Two things tell an echo from a caller. It lies well under what was played: handsets, loudspeakers and hybrids lose 15 dB
and more on the way. And it can be foretold from what was played: a filter of a few ms, fitted to the last quarter of a
second, explains most of it.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from hearline.audio.settings import FRAME_SAMPLES, SAMPLE_RATE_HZ

NEAR_SAMPLES = 2048  # 256 ms of the line are explained…
LONGEST_DELAY_SAMPLES = 540 * SAMPLE_RATE_HZ // 1000  # …by what was played up to 540 ms before
PLAYED_FRAMES = -(-(NEAR_SAMPLES + LONGEST_DELAY_SAMPLES) // FRAME_SAMPLES)  # to be remembered for that
_FFT = 6400  # not shorter than what was played, so that no offset in question meets the other end
_TAPS, _TAPS_BEFORE_PEAK = 32, 8  # 4 ms of filter round the best delay
_REGULARISATION = 1e-3


def explained_share(line: np.ndarray, played: np.ndarray) -> float:
    """How much of `line` int16 [2048] is an echo of `played` int16 [≥ 2048 + 4320], both ending now?
    0…1 of its power."""
    near, far = _whitened(line), _whitened(played[-NEAR_SAMPLES - LONGEST_DELAY_SAMPLES :])
    power = near @ near
    if power <= 0 or not far.any():
        return 0.0
    correlation = np.fft.irfft(np.fft.rfft(near, _FFT).conj() * np.fft.rfft(far, _FFT), _FFT)
    energy = np.concatenate([[0.0], np.cumsum(far * far, dtype=float)])
    far_power = energy[NEAR_SAMPLES:] - energy[:-NEAR_SAMPLES]  # of the stretch at each offset
    offsets = len(far_power)
    best = int(np.argmax(np.abs(correlation[:offsets]) / np.sqrt(np.maximum(far_power, 1.0))))
    first, last = max(best + _TAPS_BEFORE_PEAK - _TAPS + 1, 0), min(best + _TAPS_BEFORE_PEAK, offsets - 1)
    stretches = sliding_window_view(far[first : last + NEAR_SAMPLES], NEAR_SAMPLES).copy()
    products = stretches @ stretches.T
    products[np.diag_indices(len(products))] += _REGULARISATION * np.trace(products) / len(products) + 1e-6
    matched = stretches @ near
    return float(matched @ np.linalg.solve(products, matched) / power)


def _whitened(samples: np.ndarray) -> np.ndarray:
    """Speech falls with frequency: the difference between each sample and the last but one raises what lies round 2 kHz,
    so that no pitch explains everything, but not what is above it, where a line has little but noise."""
    x = samples.astype(np.float32)
    return np.concatenate((x[:2], x[2:] - x[:-2]))
