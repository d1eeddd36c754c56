"""Is it a tone? DTMF pairs, ringback, dial and busy tones, single tones: one or two steady spectral lines. And how loud
is one that we know?"""

import numpy as np

from hearline.audio.level.p56 import power_to_dbov
from hearline.audio.settings import SAMPLE_RATE_HZ

WINDOW_SAMPLES = 512  # 64 ms: shorter than most key presses, 15.6 Hz between bins
_HANN = np.hanning(WINDOW_SAMPLES).astype(np.float32)
_BIN_HZ = SAMPLE_RATE_HZ / WINDOW_SAMPLES
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
