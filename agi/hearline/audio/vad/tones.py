"""Detects tones: DTMF pairs, ringback, dial and busy tones, single tones. All are one or two steady spectral lines.
Also measures and makes tones of a known frequency."""

import numpy as np

from hearline.audio.level.p56 import power_to_dbov
from hearline.audio.settings import SAMPLE_RATE_HZ

WINDOW_SAMPLES = 512  # 64 ms: shorter than most key presses, 15.6 Hz between bins
_HANN = np.hanning(WINDOW_SAMPLES).astype(np.float32)
_BIN_HZ = SAMPLE_RATE_HZ / WINDOW_SAMPLES
# Keys are searched in windows of 20 ms, 10 ms apart, so that even the shortest key (40 ms, ITU-T Q.24) fills some of
# them. Bins are then 50 Hz apart, less than a fifth of the distance between a key's two lines.
_KEY_SAMPLES, _KEY_HOP = 160, 80
_KEY_HANN = np.hanning(_KEY_SAMPLES).astype(np.float32)
_KEY_HZ = np.array((697, 770, 852, 941)), np.array((1209, 1336, 1477, 1633))  # ITU-T Q.23
_KEY_OFF = 0.03  # how far a line may be off its frequency: 1.8 % by Q.24, and the error of so short a window
_KEY_TWIST = 0.03  # the least share of the energy in the weaker line: 15 dB under the other
_LINE_BINS = 2  # a Hann-windowed line covers its bin and two on either side


def are_tones(samples: np.ndarray, lowest_hz: float, share: float) -> np.ndarray:
    """Which rows of `samples` [calls, 512] are tones: bool [calls]. Their two strongest lines, both at `lowest_hz` or
    above, hold at least `share` of the energy.

    Vowels do not pass: their pitch is below `lowest_hz` and has lines at its multiples, so two lines never hold so
    much."""
    x = samples.astype(np.float32)
    x -= x.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.rfft(x * _HANN, axis=1)) ** 2
    total = power.sum(axis=1)
    held = np.zeros_like(total)
    tonal = total > 0
    for _line in range(2):
        peak = power.argmax(axis=1)
        strength = _take_line(power, peak)
        # A weak second line may lie anywhere, so that a single tone with a little noise is a tone, too.
        tonal &= (peak * _BIN_HZ >= lowest_hz) | (strength < 0.05 * total)
        held += strength
    return tonal & (held >= share * total)


def key_share(sound: np.ndarray, share: float) -> float:
    """The share, 0…1, of the energy of `sound`, float32 [n], that lies in keys (DTMF).

    A window of 20 ms counts as a key if its two strongest lines hold `share` of its energy and have a key's two
    frequencies. Windows are weighted by energy, so the edges of a key count little, and silence not at all.
    """
    starts = np.arange(0, sound.size - _KEY_SAMPLES + 1, _KEY_HOP)
    x = sound[starts[:, None] + np.arange(_KEY_SAMPLES)]
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
    """Level of this tone in `samples` int16 [n], in dBov, by their Fourier transform at `hz`. It is exact if they hold
    whole periods of the tone, and ignores other tones that have whole periods in them."""
    turns = np.exp(-2j * np.pi * hz / SAMPLE_RATE_HZ * np.arange(samples.size))
    return float(power_to_dbov(2 * np.abs(np.mean(samples / 32768 * turns)) ** 2))


def tone(hz: float, dbov: float, ms: int) -> np.ndarray:
    """A sine of this frequency, level and length: int16 [n]."""
    t = np.arange(SAMPLE_RATE_HZ * ms // 1000) / SAMPLE_RATE_HZ
    return np.rint(np.sqrt(2) * 32768 * 10 ** (dbov / 20) * np.sin(2 * np.pi * hz * t)).astype(np.int16)


def _take_line(power: np.ndarray, peak: np.ndarray) -> np.ndarray:
    """The energy of the line around bin `peak` [calls]; removes the line from `power` [calls, bins]."""
    bins = peak[:, None] + np.arange(-_LINE_BINS, _LINE_BINS + 1)
    bins = np.clip(bins, 0, power.shape[1] - 1)
    row = np.arange(len(power))[:, None]
    strength = power[row, bins].sum(axis=1)
    power[row, bins] = 0
    return strength


def _between_bins(power: np.ndarray, peak: np.ndarray) -> np.ndarray:
    """The position of the line at bin `peak` [windows], in bins: the top of a parabola through three logarithms."""
    at = np.clip(peak, 1, power.shape[1] - 2)
    left, top, right = np.log(power[np.arange(len(power)), at + np.arange(-1, 2)[:, None]] + 1e-9)
    return at + (left - right) / 2 / np.minimum(left - 2 * top + right, -1e-9)
