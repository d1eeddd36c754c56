"""Is it a tone? DTMF pairs, ringback, dial and busy tones, single tones: one or two steady spectral lines. And how loud
is one that we know?"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from hearline.audio.level.p56 import power_to_dbov
from hearline.audio.settings import SAMPLE_RATE_HZ

WINDOW_SAMPLES = 512  # 64 ms: shorter than most key presses, 15.6 Hz between bins
_HANN = np.hanning(WINDOW_SAMPLES).astype(np.float32)
_BIN_HZ = SAMPLE_RATE_HZ / WINDOW_SAMPLES
# A key is looked for in windows of 20 ms, 10 ms apart, so that even the shortest one (40 ms, ITU-T Q.24) fills some of
# them: 50 Hz between bins, less than a fifth of what lies between the two lines of a key.
_KEY_SAMPLES, _KEY_HOP = 160, 80
_KEY_HANN = np.hanning(_KEY_SAMPLES).astype(np.float32)
_KEY_HZ = np.array((697, 770, 852, 941)), np.array((1209, 1336, 1477, 1633))  # ITU-T Q.23
_KEY_OFF = 0.03  # so far from its frequency a line may lie: 1.8 % by Q.24, and what a window this short adds
_KEY_TWIST = 0.03  # the weaker line holds so much of the energy: 15 dB under the other
_LINE_BINS = 2  # a Hann-windowed line covers its bin and two on either side


def are_tones(samples: np.ndarray, lowest_hz: float, share: float) -> np.ndarray:
    """For each row of `samples` [calls, 512]: do its two strongest lines, both from `lowest_hz` up,
    hold `share` of the energy? → bool [calls].

    A vowel has a pitch below `lowest_hz` with lines at its multiples, so two lines never hold so much.
    """
    x = samples.astype(np.float32)
    x -= x.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.rfft(x * _HANN, axis=1)) ** 2
    total = power.sum(axis=1)
    held = np.zeros_like(total)
    tonal = total > 0
    for _line in range(2):
        peak = power.argmax(axis=1)
        strength = _take_line(power, peak)
        # a weak second line may lie anywhere: a single tone with a little noise is a tone
        tonal &= (peak * _BIN_HZ >= lowest_hz) | (strength < 0.05 * total)
        held += strength
    return tonal & (held >= share * total)


def key_share(sound: np.ndarray, share: float) -> float:
    """How much of the energy of `sound`, float32 [n], lies in keys (DTMF)? 0…1.

    A window of 20 ms counts if its two strongest lines hold `share` of it and are a key's two frequencies. The energy
    decides, so the edges of a key, where a window is partly filled, count for little, and silence for nothing.
    """
    x = sliding_window_view(sound, _KEY_SAMPLES)[::_KEY_HOP]
    power = np.abs(np.fft.rfft((x - x.mean(axis=1, keepdims=True)) * _KEY_HANN, axis=1)) ** 2
    total = power.sum(axis=1)
    hz, held = np.empty((2, len(x))), np.empty((2, len(x)))
    for line in range(2):
        peak = power.argmax(axis=1)
        hz[line] = _between_bins(power, peak) * SAMPLE_RATE_HZ / _KEY_SAMPLES
        held[line] = _take_line(power, peak)
    keys = (held.sum(axis=0) >= share * total) & (held.min(axis=0) >= _KEY_TWIST * total)
    for found, known in zip(np.sort(hz, axis=0), _KEY_HZ, strict=True):
        keys &= np.abs(found[:, None] / known - 1).min(axis=1) < _KEY_OFF
    return float(total[keys].sum() / max(total.sum(), 1e-9))


def tone_dbov(samples: np.ndarray, hz: float) -> float:
    """Level of this tone in `samples` int16 [n], dBov, by their Fourier transform at `hz`: exact where they hold whole
    periods of it, and deaf to whatever else has whole periods in them."""
    turns = np.exp(-2j * np.pi * hz / SAMPLE_RATE_HZ * np.arange(samples.size))
    return float(power_to_dbov(2 * np.abs(np.mean(samples / 32768 * turns)) ** 2))


def tone(hz: float, dbov: float, ms: int) -> np.ndarray:
    """A sine of this level: int16."""
    t = np.arange(SAMPLE_RATE_HZ * ms // 1000) / SAMPLE_RATE_HZ
    return np.rint(np.sqrt(2) * 32768 * 10 ** (dbov / 20) * np.sin(2 * np.pi * hz * t)).astype(np.int16)


def _take_line(power: np.ndarray, peak: np.ndarray) -> np.ndarray:
    """Energy of the line round `peak` [calls], which is then removed from `power` [calls, bins]."""
    bins = peak[:, None] + np.arange(-_LINE_BINS, _LINE_BINS + 1)
    bins = np.clip(bins, 0, power.shape[1] - 1)
    row = np.arange(len(power))[:, None]
    strength = power[row, bins].sum(axis=1)
    power[row, bins] = 0
    return strength


def _between_bins(power: np.ndarray, peak: np.ndarray) -> np.ndarray:
    """Where the line at bin `peak` [windows] lies, in bins: the top of a parabola through the three logarithms."""
    at = np.clip(peak, 1, power.shape[1] - 2)
    left, top, right = np.log(power[np.arange(len(power)), at + np.arange(-1, 2)[:, None]] + 1e-9)
    return at + (left - right) / 2 / np.minimum(left - 2 * top + right, -1e-9)
