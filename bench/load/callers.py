"""The sound that callers send: recorded speech at a good and at a soft level, and the noise of a silent line."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import numpy as np

from hearline.audio.level.p56 import active_speech_level, dbov_to_power
from hearline.audio.wav import read_wav

RECORDINGS = Path(__file__).resolve().parents[2] / "tests" / "unit" / "audio"
RATE = 8_000  # Hz
FRAME = 160  # samples, 20 ms
SPEECH_DBOV = -26.0  # active level, ITU-T P.56: the nominal level of a telephone line
SOFT_DBOV = -51.0
NOISE_DBOV = -63.0
PAUSE_MS = 1_000  # between two sentences
LONGEST_GAP_MS = 300  # for callers who speak all the time
GAP_UNDER_DB = 25.0  # frames this far under the active level are gaps


class Kind(StrEnum):
    SILENT = "silent"  # comfort noise
    SOFT = "soft"  # sentences with pauses, too soft
    SPEAKING = "speaking"  # the same at a normal level
    TALKING = "talking"  # speaks all the time


THIRDS = (Kind.SILENT, Kind.SOFT, Kind.SPEAKING)


def sounds(folder: Path = RECORDINGS) -> dict[Kind, np.ndarray]:
    """The sound that each kind sends in a loop: int16 at 8 kHz, whole frames."""
    sentences = [read_wav(path) for path in sorted(folder.glob("*.wav"))]
    pause = np.zeros(RATE * PAUSE_MS // 1_000, np.int16)
    speaking = [at_level(sentence, SPEECH_DBOV) for sentence in sentences]
    soft = [at_level(sentence, SOFT_DBOV) for sentence in sentences]
    return {
        Kind.SILENT: on_noise(np.zeros(10 * RATE, np.int16)),
        Kind.SOFT: on_noise(np.concatenate([part for sentence in soft for part in (pause, sentence)])),
        Kind.SPEAKING: on_noise(np.concatenate([part for sentence in speaking for part in (pause, sentence)])),
        Kind.TALKING: on_noise(np.concatenate([without_gaps(sentence) for sentence in speaking])),
    }


def at_level(samples: np.ndarray, dbov: float) -> np.ndarray:
    """The recording at an active speech level of `dbov`."""
    gain_db = dbov - active_speech_level(samples, RATE).active_dbov
    return _as_int16(samples * 10 ** (gain_db / 20))


def without_gaps(samples: np.ndarray, longest_ms: int = LONGEST_GAP_MS) -> np.ndarray:
    """Shorten everything without speech, before, within and after it, to at most `longest_ms`."""
    frames = whole_frames(samples).reshape(-1, FRAME)
    power = np.mean((frames / 32768.0) ** 2, axis=1)
    quiet = power < dbov_to_power(active_speech_level(samples, RATE).active_dbov - GAP_UNDER_DB)
    kept, run = [], 0
    for index, is_quiet in enumerate(quiet):
        run = run + 1 if is_quiet else 0
        if run <= longest_ms // 20:
            kept.append(index)
    return frames[kept].ravel()


def on_noise(samples: np.ndarray) -> np.ndarray:
    """Add line noise, so that no pause is digital silence."""
    noise = np.random.default_rng(1).normal(0, 32768 * np.sqrt(dbov_to_power(NOISE_DBOV)), len(samples))
    return whole_frames(_as_int16(samples + noise))


def whole_frames(samples: np.ndarray) -> np.ndarray:
    """Drop the samples after the last full frame."""
    return samples[: len(samples) // FRAME * FRAME]


def frames_of(samples: np.ndarray, before: bytes = b"") -> list[bytes]:
    """Cut into frames of 20 ms for sending, each with `before` in front."""
    return [before + frame.astype("<i2").tobytes() for frame in samples.reshape(-1, FRAME)]


def spread(kinds: Sequence[Kind], calls: int, lengths: dict[Kind, int], seed: int = 1) -> list[tuple[Kind, int]]:
    """(kind, first frame) for each of `calls` callers: the kinds in turn, each from a random place in its sound."""
    random = np.random.default_rng(seed)
    return [(kind, int(random.integers(lengths[kind]))) for kind in (kinds[n % len(kinds)] for n in range(calls))]


def _as_int16(samples: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
