"""WAV files of the softphones: reads and writes them, and renders what a phone says as one track."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from hearline.audio.wav import read_wav
from hearline.phone.script import Phone

RATE = 8000


def read(path: str | Path) -> np.ndarray:
    """The file as float64 samples in −1…1 at 8 kHz, channels averaged. Raises `audio.wav.BadAudio`."""
    return read_wav(path) / 32768


def write(path: str | Path, samples: np.ndarray) -> None:
    """Write float samples in −1…1 (clipped beyond) as 16 bit, 8 kHz, mono. Creates missing folders."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pcm = np.clip(np.round(np.asarray(samples) * 32768), -32768, 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm.tobytes())


def track(phone: Phone) -> np.ndarray:
    """Everything that `phone` says in a call, as one signal from the answer on.

    With one file instead of one per utterance, the distances between utterances are exact to the sample, however busy
    the playing process is.
    """
    parts = [(round(say.at_ms * RATE / 1000), _amplify(read(say.wav), say.gain_db)) for say in phone.say]
    if phone.background:
        loop = _amplify(read(phone.background.wav), phone.background.gain_db)
        length = round(phone.max_ms * RATE / 1000)
        parts.append((0, np.tile(loop, -(-length // len(loop)))[:length]))
    signal = np.zeros(max((start + len(part) for start, part in parts), default=0))
    for start, part in parts:
        signal[start : start + len(part)] += part
    return signal


def _amplify(samples: np.ndarray, gain_db: float) -> np.ndarray:
    return samples * 10 ** (gain_db / 20)
