"""Is the sound an echo of our own prompt? Checked only while we play, or just after, if speech seems to begin or a
sound rises above the background.

Two things distinguish an echo from a caller. It is much softer than the prompt: handsets, loudspeakers and hybrids
attenuate it by 15 dB and more. And the prompt predicts it: a filter of a few ms, fitted to the last quarter of a
second, explains most of it.
"""

from collections import deque
from collections.abc import Mapping
from itertools import islice

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from hearline.audio.level.p56 import power_to_dbov
from hearline.audio.settings import FRAME_SAMPLES, SAMPLE_RATE_HZ, EarSettings
from hearline.audio.slots import Column, SlotTable

NEAR_SAMPLES = 2048  # 256 ms of the line are explained …
LONGEST_DELAY_SAMPLES = 540 * SAMPLE_RATE_HZ // 1000  # … by what was played up to 540 ms before
PLAYED_FRAMES = -(-(NEAR_SAMPLES + LONGEST_DELAY_SAMPLES) // FRAME_SAMPLES)  # to remember for that
_FFT = 6400  # at least as long as what was played, so that no offset of interest wraps around
_TAPS, _TAPS_BEFORE_PEAK = 32, 8  # a filter of 4 ms around the best delay
_REGULARISATION = 1e-3
_MAY_BE_ECHO = 0.5
_NOTHING = bytes(2 * FRAME_SAMPLES)
_MEAN_OF_FAST = np.full(5, 1 / 5)  # of 100 ms

Samples = bytes | bytearray | memoryview | np.ndarray
"""160 samples of int16."""


class OwnPrompt:
    """What was sent to each slot's caller in the last 0.8 s, and how its echo has looked so far."""

    def __init__(self, capacity: int, settings: EarSettings):
        self._settings = settings
        self._sent: deque[Mapping[int, Samples]] = deque(maxlen=PLAYED_FRAMES)  # a tick's frames, by slot
        self._table = SlotTable(
            capacity,
            explained=Column(np.float32, fresh=_MAY_BE_ECHO),  # share of the sound that the prompt explains, smoothed
            loudest_db=Column(np.float32, fresh=-np.inf),  # loudest echo so far, relative to the prompt; decays slowly
        )

    def grow(self, capacity: int) -> None:
        self._table.grow(capacity)

    def clear(self, slot: int) -> None:
        """A new call."""
        self._table.clear(slot)

    def rest(self, slots: np.ndarray) -> None:
        """Reset the smoothing: nothing is audible on these slots."""
        self._table.explained[slots] = _MAY_BE_ECHO

    def follow(self, sent: Mapping[int, Samples]) -> None:
        """Remember what was sent in this tick, by slot."""
        self._sent.append(sent)

    def sent_to(self, slot: int, frames: int) -> np.ndarray:
        """What was sent during at most the last `frames` frames: int16 [PLAYED_FRAMES, 160], zeros where nothing
        was."""
        known: list[Samples] = [sent.get(slot, _NOTHING) for sent in islice(reversed(self._sent), frames)]
        known += [_NOTHING] * (PLAYED_FRAMES - len(known))
        return np.frombuffer(b"".join(map(bytes, reversed(known))), np.int16).reshape(PLAYED_FRAMES, FRAME_SAMPLES)

    def is_sent(self, slot: int, frames: int) -> bool:
        """True if anything was sent during at most the last `frames` frames."""
        return any(slot in sent for sent in islice(reversed(self._sent), frames))

    def is_heard(self, slot: int, line: np.ndarray, level_dbov: float, sent: np.ndarray) -> bool:
        """True if what sounds like speech is an echo. `line`: int16 [2048]; `level_dbov`: the loudest 100 ms of its
        last 300 ms; `sent`: from `sent_to`."""
        t, s = self._table, self._settings
        if level_dbov < s.echo_below_dbov:
            return True
        explained, over_db = explained_share(line, sent.ravel()), level_dbov - _loudest_dbov(sent)
        if explained > s.echo_look_share:
            t.loudest_db[slot] = max(t.loudest_db[slot], over_db)
        if -over_db <= s.echo_never_under_db:
            return explained > s.echo_explained_share
        t.explained[slot] += (explained - t.explained[slot]) * s.echo_smoothing
        return bool(t.explained[slot] > s.echo_unexplained_share)

    def is_seen(self, slot: int, line: np.ndarray | None, level_dbov: float, sent: np.ndarray) -> bool:
        """True if a look at the background, 200 ms at `level_dbov`, sees an echo. The distance between echo and prompt
        is constant, so only a sound louder than the echo so far needs an explanation by the prompt. `line` is None if
        it may be speech, which is for `is_heard` to decide."""
        t, s = self._table, self._settings
        over_db = level_dbov - _loudest_dbov(sent)
        t.loudest_db[slot] -= s.echo_forgotten_db
        if over_db <= t.loudest_db[slot]:
            return True
        if line is not None and explained_share(line, sent.ravel()) > s.echo_look_share:
            t.loudest_db[slot] = over_db
            return True
        return bool(over_db <= t.loudest_db[slot] + s.echo_spread_db)


def _loudest_dbov(sent: np.ndarray) -> float:
    """Level of the loudest 100 ms of `sent`, int16 [frames, 160]."""
    sound = sent.astype(np.float32)
    power = np.vecdot(sound, sound) / (FRAME_SAMPLES * 32768.0**2)
    return float(power_to_dbov(np.convolve(power, _MEAN_OF_FAST).max()))


def explained_share(line: np.ndarray, played: np.ndarray) -> float:
    """The share, 0…1, of the power of `line` int16 [2048] that is an echo of `played` int16 [≥ 2048 + 4320]; both end
    now."""
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
    """`samples` with a flatter spectrum. Speech falls with frequency: taking the difference between each sample and the
    last but one raises the range around 2 kHz, so that the pitch alone explains little, but not the range above it,
    where a line carries mostly noise."""
    x = samples.astype(np.float32)
    return np.concatenate((x[:2], x[2:] - x[:-2]))
