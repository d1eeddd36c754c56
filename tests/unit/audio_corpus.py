"""Sounds that a caller's line may carry, at 8 kHz: float arrays, full scale 1.0, levels in dBov."""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np

from hearline.audio import g711
from hearline.audio.hearing import Event, Hearing
from hearline.audio.level.p56 import active_speech_level
from hearline.audio.settings import FRAME_SAMPLES, CallSettings
from hearline.audio.vad.detector import Detector
from hearline.audio.wav import read_wav

RATE = 8000
CLIPS = sorted((Path(__file__).parent / "audio").glob("*.wav"))
LONG_CLIPS = [path for path in CLIPS if path.name != "en-five.wav"]
_KEY_ROWS = {697: "123A", 770: "456B", 852: "789C", 941: "*0#D"}
DTMF = {
    key: (low, high) for low, row in _KEY_ROWS.items() for key, high in zip(row, (1209, 1336, 1477, 1633), strict=True)
}


def speech(path: Path, dbov: float) -> np.ndarray:
    """A clip at an active level of `dbov`."""
    x = read_wav(path) / 32768
    return x * 10 ** ((dbov - active_speech_level(x, RATE).active_dbov) / 20)


def at_level(x: np.ndarray, dbov: float) -> np.ndarray:
    return x / np.sqrt(np.mean(x * x)) * 10 ** (dbov / 20)


def white(seconds: float, dbov: float, seed: int = 0) -> np.ndarray:
    return at_level(np.random.default_rng(seed).standard_normal(round(seconds * RATE)), dbov)


def coloured(seconds: float, dbov: float, slope: float, seed: int = 0) -> np.ndarray:
    """Noise that falls with frequency; 0.5 is pink, 0.9 with its swells is a street."""
    count = round(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    hz = np.fft.rfftfreq(count, 1 / RATE)
    return at_level(np.fft.irfft(spectrum / np.maximum(hz, 60) ** slope, count), dbov)


def street(seconds: float, dbov: float, seed: int = 0) -> np.ndarray:
    x = coloured(seconds, dbov, 0.9, seed)
    swells = np.random.default_rng(seed).normal(0, 4, int(seconds * 2) + 2)
    db = np.interp(np.arange(x.size), np.arange(swells.size) * RATE / 2, swells)
    return at_level(x * 10 ** (db / 20), dbov)


def tone(seconds: float, frequencies: tuple[float, ...], dbov: float, on_s: float = 0, off_s: float = 0) -> np.ndarray:
    """Sines together, with a cadence of `on_s` and `off_s` if given; `dbov` while on."""
    t = np.arange(round(seconds * RATE)) / RATE
    x = at_level(sum(np.sin(2 * np.pi * f * t) for f in frequencies), dbov)
    return x * (t % (on_s + off_s) < on_s) if on_s else x


def keys(pressed: str, dbov: float, on_s: float, off_s: float, twist_db: float = 0, begins_s: float = 1) -> np.ndarray:
    """DTMF on a quiet line: each of `pressed` for `on_s`, its upper tone `twist_db` over the lower one."""
    parts = [np.zeros(round(begins_s * RATE))]
    for key in pressed:
        low, high = (tone(on_s, (hz,), 0) * 10 ** (side * twist_db / 40) for hz, side in zip(DTMF[key], (-1, 1)))
        parts += [at_level(low + high, dbov), np.zeros(round(off_s * RATE))]
    line = np.concatenate([*parts, np.zeros(RATE)])
    return line + white(line.size / RATE, -66)[: line.size]


def hum(seconds: float, mains_hz: float, dbov: float) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return at_level(
        sum(a * np.sin(2 * np.pi * mains_hz * k * t) for k, a in ((1, 1), (2, 0.4), (3, 0.6), (5, 0.2))), dbov
    )


def chords(seconds: float, dbov: float) -> np.ndarray:
    """Plucked major chords, two a second."""
    t = np.arange(RATE // 2) / RATE
    roots = [220, 262, 294, 330, 247, 392]
    pluck = [
        sum(np.sin(2 * np.pi * root * third * k * t) / k for third in (1, 1.26, 1.5) for k in (1, 2, 3))
        * np.exp(-3 * t)
        for root in roots
    ]
    return at_level(np.concatenate([pluck[i % len(pluck)] for i in range(int(seconds * 2))]), dbov)


def clicks(seconds: float) -> np.ndarray:
    x = white(seconds, -64)
    x[RATE // 2 : RATE // 2 + 12] += 0.4
    x[2 * RATE : 2 * RATE + 30] -= 0.3
    return x


def over_a_line(x: np.ndarray, law: str = "alaw") -> np.ndarray:
    """Through G.711, as int16."""
    pcm = np.clip(np.rint(x * 32768), -32768, 32767).astype(np.int16)
    if law == "alaw":
        return g711.decode_alaw(g711.encode_alaw(pcm))
    return g711.decode_mulaw(g711.encode_mulaw(pcm))


def call(clip: np.ndarray, before_s: float = 1.5, after_s: float = 1.2, noise_dbov: float = -63) -> np.ndarray:
    """A caller who says `clip` after `before_s` of comfort noise."""
    quiet = white(before_s + clip.size / RATE + after_s, noise_dbov)
    start = int(before_s * RATE)
    quiet[start : start + clip.size] += clip
    return quiet


def hear(
    lines: list[np.ndarray], detector: Detector | None = None, owns: Sequence[CallSettings | None] = ()
) -> tuple[list[list[Event]], list[Hearing]]:
    """Run int16 lines side by side, each with its own settings if they are given. Returns the events of each line, and
    its Hearing at the end."""
    detector = detector or Detector(len(lines))
    events, hearings = [[] for _ in lines], [None] * len(lines)
    frames, present = np.zeros((detector.capacity, FRAME_SAMPLES), np.int16), np.ones(detector.capacity, bool)
    for slot, own in zip_longest(range(len(lines)), owns):
        detector.open(slot, own)
    for tick in range(max(line.size for line in lines) // FRAME_SAMPLES):
        for slot, line in enumerate(lines):
            frame = line[tick * FRAME_SAMPLES : (tick + 1) * FRAME_SAMPLES]
            if frame.size == FRAME_SAMPLES:
                frames[slot] = frame
            elif hearings[slot] is None:
                hearings[slot] = detector.hearing(slot)
                detector.close(slot)
        for slot, event in detector.step(frames, present):
            events[slot].append(event)
    return events, [hearing or detector.hearing(slot) for slot, hearing in enumerate(hearings)]
