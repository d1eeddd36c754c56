"""WAV files of the softphones: 16-bit PCM in, 16-bit PCM of 8 kHz mono out, and what a phone says as one
track.
"""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from hearline.phone.script import Phone

RATE = 8000


def read(path: str | Path) -> np.ndarray:
    """The file as float64 samples in −1…1 at 8 kHz, channels averaged. Any 16-bit PCM WAV of 8 kHz or more.
    """
    with wave.open(str(path), "rb") as file:
        if file.getsampwidth() != 2:
            raise ValueError(f"{path}: 16-bit PCM expected, found {8 * file.getsampwidth()} bit")
        rate, channels = file.getframerate(), file.getnchannels()
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    samples = samples.reshape(-1, channels).mean(axis=1) / 32768
    return samples if rate == RATE else _resample(samples, rate)


def write(path: str | Path, samples: np.ndarray) -> None:
    """Write float samples in −1…1 (clipped beyond) as 16 bit, 8 kHz, mono; folders are made."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pcm = np.clip(np.round(np.asarray(samples) * 32768), -32768, 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm.tobytes())


def track(phone: Phone) -> np.ndarray:
    """Everything that `phone` says in a call, as one signal from the answer on.

    One file instead of one per utterance: the distances between utterances are then exact to the sample,
    whatever the process that plays it is busy with.
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


def _resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """To 8 kHz by cutting the spectrum at 4 kHz; good enough for whole utterances, edges included by
    padding.
    """
    if rate < RATE:
        raise ValueError(f"a rate of {rate} Hz is below {RATE} Hz")
    pad = rate // 10
    padded = np.concatenate([np.zeros(pad), samples, np.zeros(pad + (-(len(samples) + 2 * pad)) % rate)])
    count = len(padded) * RATE // rate      # whole: the padded length is a multiple of the rate
    spectrum = np.fft.rfft(padded)[: count // 2 + 1]
    out = np.fft.irfft(spectrum, count) * (count / len(padded))
    start = round(pad * RATE / rate)
    return out[start : start + round(len(samples) * RATE / rate)]
