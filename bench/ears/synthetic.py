"""Synthetic sounds at 8 kHz: float arrays [n] of any level. Mixing sets the level."""

import numpy as np

RATE = 8000


def coloured(rng: np.random.Generator, samples: int, slope: float) -> np.ndarray:
    """Noise whose amplitude falls with frequency^slope: 0 is white, 0.5 pink, 1 brown."""
    hz = np.fft.rfftfreq(samples, 1 / RATE)
    spectrum = rng.standard_normal(hz.size) + 1j * rng.standard_normal(hz.size)
    return np.fft.irfft(spectrum / np.maximum(hz, 60) ** slope, samples)


def street(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Low rumble that swells and falls by some 4 dB, twice a second."""
    swells = rng.normal(0, 4, samples * 2 // RATE + 2)
    db = np.interp(np.arange(samples), np.arange(swells.size) * RATE / 2, swells)
    return coloured(rng, samples, 0.9) * 10 ** (db / 20)


def hum(samples: int, mains_hz: float, rng: np.random.Generator) -> np.ndarray:
    """Mains hum with harmonics of random strength."""
    t = np.arange(samples) / RATE
    strength = {1: 1.0, 2: 0.5, 3: 0.6, 4: 0.2, 5: 0.3, 7: 0.15}
    return sum(
        a * rng.uniform(0.3, 1) * np.sin(2 * np.pi * (mains_hz * k * t + rng.random())) for k, a in strength.items()
    )


def tones(samples: int, cadence: tuple[tuple[tuple[float, ...], float], ...]) -> np.ndarray:
    """A repeating sequence of (frequencies sounding together, seconds). No frequency means silence."""
    t = np.arange(samples) / RATE
    at = t % sum(seconds for _, seconds in cadence)
    x, start = np.zeros(samples), 0.0
    for hz, seconds in cadence:
        on = (at >= start) & (at < start + seconds)
        x[on] = sum((np.sin(2 * np.pi * f * t[on]) for f in hz), np.zeros(on.sum()))
        start += seconds
    return x


# Frequencies in Hz, durations in s: ITU-T E.180 supplement 2 (national tones), Q.23 (DTMF), T.30 (fax), E.180 (SIT).
CADENCES: dict[str, tuple[tuple[tuple[float, ...], float], ...]] = {
    **{
        f"dtmf-{key}": (((low, high), on), ((), off))
        for key, low, high, on, off in (
            ("1", 697, 1209, 0.1, 0.1), ("2", 697, 1336, 0.2, 0.2), ("3", 697, 1477, 0.08, 0.08),
            ("5", 770, 1336, 0.15, 0.3), ("7", 852, 1209, 0.3, 0.3), ("9", 852, 1477, 0.1, 0.4),
            ("0", 941, 1336, 0.25, 0.1), ("#", 941, 1477, 0.5, 0.5),
        )
    },
    "dial-cn": (((450,), 1.0),),
    "dial-eu": (((425,), 1.0),),
    "dial-us": (((350, 440), 1.0),),
    "busy-cn": (((450,), 0.35), ((), 0.35)),
    "busy-eu": (((425,), 0.5), ((), 0.5)),
    "busy-us": (((480, 620), 0.5), ((), 0.5)),
    "busy-uk": (((400,), 0.375), ((), 0.375)),
    "congestion-us": (((480, 620), 0.25), ((), 0.25)),
    "ringback-cn": (((450,), 1.0), ((), 4.0)),
    "ringback-eu": (((425,), 1.0), ((), 4.0)),
    "ringback-us": (((440, 480), 2.0), ((), 4.0)),
    "ringback-uk": (((400, 450), 0.4), ((), 0.2), ((400, 450), 0.4), ((), 2.0)),
    "ringback-jp": (((384, 400, 416), 1.0), ((), 2.0)),
    "fax-cng": (((1100,), 0.5), ((), 3.0)),
    "fax-ced": (((2100,), 1.0),),
    "sit": (((950,), 0.33), ((1400,), 0.33), ((1800,), 0.33), ((), 1.0)),
    **{f"sine-{hz}": (((hz,), 1.0),) for hz in (400, 700, 1004, 1600, 2600)},
}  # fmt: skip


# ITU-T Q.23
KEYS = {
    key: (low, high)
    for low, row in ((697, "123A"), (770, "456B"), (852, "789C"), (941, "*0#D"))
    for key, high in zip(row, (1209, 1336, 1477, 1633), strict=True)
}


def key(rng: np.random.Generator, pressed: str, seconds: float) -> np.ndarray:
    """A key's two tones, up to 8 dB apart and 1.5 % off their frequencies, with hard or soft edges."""
    t, twist_db = np.arange(round(seconds * RATE)) / RATE, rng.uniform(-8, 8)
    off = 1 + rng.choice((0, 0.003, 0.015)) * rng.uniform(-1, 1, 2)
    low, high = (np.sin(2 * np.pi * (hz * t + rng.random())) for hz in np.multiply(KEYS[pressed], off))
    edge = max(1, round(rng.choice((0, 0.002, 0.005)) * RATE))
    ramp = np.minimum(1, np.minimum(np.arange(t.size) + 1, np.arange(t.size)[::-1] + 1) / edge)
    return ramp * (low + high * 10 ** (twist_db / 20))


def clicks(rng: np.random.Generator, samples: int) -> np.ndarray:
    """A few clicks of 0.5 to 4 ms."""
    x = np.zeros(samples)
    for _ in range(rng.integers(1, 5)):
        length = rng.integers(4, 32)
        at = rng.integers(samples // 10, samples - length)
        x[at : at + length] = rng.choice((-1, 1)) * rng.uniform(0.3, 1) * np.hanning(length + 2)[1:-1]
    return x


def breath(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Breathing close to the microphone: noise at 1 to 2 kHz that swells and falls every two seconds."""
    noise = coloured(rng, samples, 0.3)
    t = np.arange(samples) / RATE
    slow = np.maximum(np.sin(2 * np.pi * (t / rng.uniform(1.6, 2.6) + rng.random())), 0) ** 2
    return noise * slow


def knock(rng: np.random.Generator, samples: int) -> np.ndarray:
    """A door or a cup: bursts of decaying low resonances."""
    x = np.zeros(samples)
    for _ in range(rng.integers(1, 4)):
        at, length = rng.integers(samples // 10, samples - 2400), 2400
        t = np.arange(length) / RATE
        body = sum(np.sin(2 * np.pi * hz * t) for hz in rng.uniform(90, 900, 6)) + 2 * rng.standard_normal(length)
        x[at : at + length] += body * np.exp(-t / rng.uniform(0.01, 0.06))
    return x
