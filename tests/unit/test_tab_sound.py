"""The recording of what a browser's tab plays: the parts that the tab hands over, put in their places."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from bench.page.tab_sound import sounds

from hearline.phone.heard import RATE, tone_level_db

HZ = 400


class Tab:
    """Stands in for the page: parts are (begin in s, rate, samples)."""

    def __init__(self, *parts: tuple[float, int, np.ndarray], call: bool = True) -> None:
        pcm = np.concatenate([samples for _, _, samples in parts]).astype("<i2").tobytes()
        self._taps = [[call, [[at, rate, len(samples)] for at, rate, samples in parts], base64.b64encode(pcm)]]

    def evaluate(self, _script: str) -> list:
        return [0.0, self._taps]


def tone(rate: int, ms: int = 10) -> np.ndarray:
    return np.sin(2 * np.pi * HZ * np.arange(rate * ms // 1_000) / rate) * 16_000


def parts(begin: float, rate: int, count: int) -> list[tuple[float, int, np.ndarray]]:
    return [(begin + n / 100, rate, tone(rate)) for n in range(count)]


def test_the_rate_may_change_while_it_plays():
    [sound] = sounds(Tab(*parts(1.0, 48_000, 50), *parts(1.5, 8_000, 50)))
    assert sound.call and sound.samples.dtype == np.int16
    assert sound.samples.size == pytest.approx(RATE, abs=4)
    for half in (sound.samples[: RATE // 2], sound.samples[RATE // 2 :]):
        assert tone_level_db(half, HZ, window_ms=300) == pytest.approx(-9.2, abs=0.3)


def test_what_comes_late_is_silence_before_it():
    [sound] = sounds(Tab(*parts(1.0, 8_000, 20), *parts(1.7, 8_000, 20)))
    assert sound.samples.size == pytest.approx(0.9 * RATE, abs=4)
    assert not sound.samples[RATE * 3 // 10 : RATE * 6 // 10].any()
    assert sound.first_heard - sound.began < 0.001
    assert sound.between(sound.began + 0.3, sound.began + 0.6).size == pytest.approx(0.3 * RATE, abs=4)


def test_parts_that_come_a_little_late_are_in_their_places():
    late = [(at + (0.03 if n % 3 else 0.0), rate, samples) for n, (at, rate, samples) in enumerate(parts(1, 8_000, 60))]
    [sound] = sounds(Tab(*late))
    assert sound.samples.size == pytest.approx(0.6 * RATE, abs=4)
