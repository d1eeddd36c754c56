"""The samples of whispers, at a given level."""

from __future__ import annotations

import io
import wave

import numpy as np

from hearline.assist.playback.recordings import Recordings

LANGUAGE, SET = "zh", "hints"
RATE = 8_000
LONGEST_S = 3.0  # tick included
TICK_S, TICK_PAUSE_S = 0.08, 0.12
TICK_HZ, TICK_DBOV = 1_000, -30


class Whispers:
    """The whispers, which only agents hear.

    Args:
        tick: put a soft tick before each whisper, so that the agent does not take it for the caller.
    """

    def __init__(self, recordings: Recordings, tick: bool = False) -> None:
        self._recordings, self._tick = recordings, tick_samples() if tick else np.zeros(0)

    def known(self) -> frozenset[str]:
        """The ids of all whispers."""
        return self._recordings.ids_of(f"{LANGUAGE}/{SET}")

    def pcm(self, whisper: str, level_db: int = 0) -> bytes:
        """16-bit samples at 8 kHz, ``level_db`` above the file's level. Raises as ``Recordings.samples``."""
        samples = self._recordings.samples(f"{LANGUAGE}/{SET}/{whisper}")
        if self._tick.size + samples.size <= LONGEST_S * RATE:
            samples = np.concatenate([self._tick, samples])
        return at_level(samples, level_db)


def at_level(samples: np.ndarray, level_db: float) -> bytes:
    """16-bit samples as bytes, raised by ``level_db``; they saturate at full scale."""
    return np.clip(np.rint(samples * 10 ** (level_db / 20)), -32768, 32767).astype("<i2").tobytes()


def as_wav(pcm: bytes) -> bytes:
    """A WAV file of 16-bit samples at 8 kHz."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, RATE, 0, "NONE", ""))
        out.writeframes(pcm)
    return file.getvalue()


def tick_samples() -> np.ndarray:
    """A tone that dies away, and the pause after it; float [n] at 8 kHz."""
    t = np.arange(round(TICK_S * RATE)) / RATE
    tone = np.sin(2 * np.pi * TICK_HZ * t) * np.exp(-t / (TICK_S / 4)) * np.minimum(1, t / 0.002)
    tone *= 10 ** (TICK_DBOV / 20) * 32_768 / np.sqrt(np.mean(tone**2))
    return np.concatenate([tone, np.zeros(round(TICK_PAUSE_S * RATE))])
