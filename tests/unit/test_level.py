"""The active speech level: ITU-T P.56 method B."""

import numpy as np
import pytest

from audio_corpus import CLIPS, RATE, speech, white
from hearline.audio.level.p56 import SILENCE_DBOV, active_speech_level, rms_dbov
from hearline.audio.wav import read_wav


def sample_by_sample(x: np.ndarray, rate: int) -> float:
    """Method B as the recommendation words it, slowly: the judge of the quick one."""
    g, hold = np.exp(-1 / (rate * 0.03)), round(0.2 * rate)
    thresholds = 2.0 ** np.arange(-15, 0)
    active, hang = np.zeros(15), np.full(15, hold)
    p = q = 0.0
    for sample in np.abs(x):
        p = g * p + (1 - g) * sample
        q = g * q + (1 - g) * p
        over = q >= thresholds
        hang = np.where(over, 0, hang + 1)
        active += over | ((hang <= hold) & (active > 0))
    level = 10 * np.log10(np.sum(x * x) / np.maximum(active, 1e-9))
    margin = level - 20 * np.log10(thresholds)
    j = int(np.flatnonzero((margin[:-1] >= 15.9) & (margin[1:] < 15.9))[0])
    share = (margin[j] - 15.9) / (margin[j] - margin[j + 1])
    return float(level[j] + share * (level[j + 1] - level[j]))


def test_full_scale_square_wave_is_0_dbov_and_a_sine_3_db_less():
    square = np.tile(np.repeat([1.0, -1.0], 10), 2000)
    sine = np.sin(2 * np.pi * 440 * np.arange(5 * RATE) / RATE)
    assert rms_dbov(square) == pytest.approx(0, abs=0.01)
    assert active_speech_level(square, RATE).active_dbov == pytest.approx(0, abs=0.1)
    assert active_speech_level(sine, RATE).active_dbov == pytest.approx(-3.01, abs=0.1)


def test_pauses_do_not_count():
    talk = white(5, -26)
    with_pause = np.concatenate([talk, np.zeros(5 * RATE)])
    level = active_speech_level(with_pause, RATE)
    assert level.active_dbov == pytest.approx(-26, abs=0.5)
    assert level.long_term_dbov == pytest.approx(-29, abs=0.1)
    assert level.activity == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("path", CLIPS[:3], ids=lambda path: path.name)
def test_equals_the_recommendation_sample_by_sample(path):
    x = read_wav(path) / 32768
    assert active_speech_level(x, RATE).active_dbov == pytest.approx(sample_by_sample(x, RATE), abs=0.02)


def test_int16_and_float_agree_and_gain_shifts_the_level():
    x = speech(CLIPS[1], -30)
    pcm = np.rint(x * 32768).astype(np.int16)
    assert active_speech_level(pcm, RATE).active_dbov == pytest.approx(-30, abs=0.05)
    assert active_speech_level((x / 10).astype(np.float32), RATE).active_dbov == pytest.approx(-50, abs=0.05)


@pytest.mark.parametrize("x", [np.zeros(0, np.int16), np.zeros(RATE, np.int16), np.zeros(3, np.float32)])
def test_silence_has_a_finite_level(x):
    level = active_speech_level(x, RATE)
    assert (level.active_dbov, level.activity, level.long_term_dbov) == (SILENCE_DBOV, 0.0, SILENCE_DBOV)


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="int16 or float"):
        active_speech_level(np.zeros(10, np.uint8), RATE)
