"""Turns sounds into what a telephone line carries: levels, band, rooms, echo, coding, missing frames.

Unless stated otherwise, arrays are float [n] at 8 kHz with full scale 1.0, and levels are in dBov.
"""

import numpy as np

from hearline.audio import g711
from hearline.audio.level.p56 import active_speech_level, dbov_to_power, rms_dbov
from hearline.audio.settings import FRAME_SAMPLES

from .labels import talking

RATE = 8000
Band = tuple[float, float]
TELEPHONE: Band = (300.0, 3400.0)
FLAT: Band = (50.0, 3800.0)


def at_rms(x: np.ndarray, dbov: float) -> np.ndarray:
    """`x` at an RMS level of `dbov` over its whole length; silence stays silent."""
    power = float(np.mean(np.square(x)))
    return x * np.sqrt(dbov_to_power(dbov) / power) if power > 0 else x


def at_active_level(x: np.ndarray, dbov: float) -> np.ndarray:
    """`x` at an active speech level (ITU-T P.56) of `dbov`."""
    return x * 10 ** ((dbov - active_speech_level(x, RATE).active_dbov) / 20)


def band_limited(x: np.ndarray, band: Band) -> np.ndarray:
    """`x` with only `band` (Hz, −6 dB at its edges) left, without delay."""
    low, high = band
    size = x.size + 800  # plus the filter's length, so that nothing wraps around
    hz = np.fft.rfftfreq(size, 1 / RATE)
    # Edges of 100 and 200 Hz, since steep ones would ring before the onset.
    rise = np.clip((hz - low) / 100 + 0.5, 0, 1)
    fall = np.clip((high - hz) / 200 + 0.5, 0, 1)
    gain = np.sin(rise * np.pi / 2) ** 2 * np.sin(fall * np.pi / 2) ** 2
    return np.fft.irfft(np.fft.rfft(x, size) * gain, size)[: x.size]


def tilted(x: np.ndarray, db_per_octave: float) -> np.ndarray:
    """`x` with its spectrum tilted about 1 kHz, without delay."""
    size = x.size + 800
    octaves = np.log2(np.clip(np.fft.rfftfreq(size, 1 / RATE), 100, 4000) / 1000)
    return np.fft.irfft(np.fft.rfft(x, size) * 10 ** (db_per_octave * octaves / 20), size)[: x.size]


def room(rng: np.random.Generator, rt60_s: float, direct_db: float) -> np.ndarray:
    """Impulse response of a room: a direct sound, `direct_db` above exponentially decaying noise."""
    count = round(rt60_s * RATE)
    tail = rng.standard_normal(count) * 10 ** (-3 * np.arange(count) / count)
    tail[: round(0.004 * RATE)] = 0  # the first wall
    tail /= np.sqrt(np.sum(tail**2)) * 10 ** (direct_db / 20)
    tail[0] = 1.0
    return tail


def convolved(x: np.ndarray, response: np.ndarray) -> np.ndarray:
    size = x.size + response.size
    return np.fft.irfft(np.fft.rfft(x, size) * np.fft.rfft(response, size), size)[: x.size]


def echo(rng: np.random.Generator, played: np.ndarray, loss_db: float, delay_ms: float) -> np.ndarray:
    """The echo of `played`: later, softer by `loss_db`, with a narrower band and a little distortion."""
    back = band_limited(played, (rng.uniform(200, 500), rng.uniform(2200, 3400)))
    # A loudspeaker close to its limits, then a few early reflections of the handset or the hybrid.
    peak = max(float(np.max(np.abs(back))), 1e-9)
    drive = rng.uniform(0.5, 1.5)
    back = np.tanh(back / peak * drive)
    reflections = np.zeros(round(0.03 * RATE))
    reflections[0] = 1
    reflections[rng.integers(8, reflections.size, 4)] = rng.normal(0, 0.25, 4)
    back = convolved(back, reflections)
    back = at_rms(back, rms_dbov(played) - loss_db)
    delay = round(delay_ms * RATE / 1000)
    return np.concatenate([np.zeros(delay), back])[: played.size]


def coded(x: np.ndarray, law: str) -> np.ndarray:
    """`x` through G.711, int16 [n]."""
    pcm = np.clip(np.rint(x * 32768), -32768, 32767).astype(np.int16)
    if law == "alaw":
        return g711.decode_alaw(g711.encode_alaw(pcm))
    return g711.decode_mulaw(g711.encode_mulaw(pcm))


def framed(x: np.ndarray) -> np.ndarray:
    """int16 [n] → frames [n // 160, 160]."""
    return x[: x.size // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)


def not_lost(rng: np.random.Generator, frames: int, loss: float) -> np.ndarray:
    """Which of `frames` frames came, if each is lost with probability `loss`: bool [frames]."""
    return rng.random(frames) >= loss


def not_suppressed(clean: np.ndarray, active_dbov: float) -> np.ndarray:
    """Which frames of `clean` [n] a sender with silence suppression sends: speech, and 300 ms after it; bool."""
    tens = talking(clean, active_dbov - 12, hangover_frames=30)  # senders detect softer sounds than P.56
    return tens[: tens.size // 2 * 2].reshape(-1, 2).any(axis=1)
