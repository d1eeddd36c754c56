"""Where a known signal lies in a recording, and how the recording follows it from there.

Everything works on whitened signals: speech is mostly low frequencies, and two different sentences of one voice are
alike enough in those to be confused. With the spectrum made flatter, a prompt matches itself and little else.
All positions are in samples of 8 kHz.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BLOCK = 320             # 40 ms: what is compared at once while following
SEARCH = 480            # 60 ms: how far the recording may slip at a missing or an additional frame
WINDOW = 1200           # 150 ms: what a slip is recognised by
GIVE_UP = 2400          # 300 ms without a likeness: it is over
LIKE = 0.6
QUIET = 1e-5            # energy of a block relative to the loudest one, below which it says nothing


def as_float(samples: np.ndarray) -> np.ndarray:
    """int16 or float samples as float64 in −1…1."""
    samples = np.asarray(samples)
    return samples / 32768.0 if samples.dtype.kind == "i" else samples.astype(np.float64)


def whiten(samples: np.ndarray) -> np.ndarray:
    """First difference, leaky: takes the usual 6–12 dB per octave out of speech."""
    return np.diff(samples, prepend=0.0) + 0.05 * samples


def correlate(signal: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Correlation of `signal` with `template` at every lag 0…len(signal) − len(template), by blocks of FFTs."""
    count = len(signal) - len(template) + 1
    if count < 1:
        return np.zeros(0)
    size = max(16384, 1 << (2 * len(template) - 1).bit_length())
    step = size - len(template) + 1
    blocks = -(-count // step)
    padded = np.zeros((blocks - 1) * step + size, dtype=np.float32)
    padded[: len(signal)] = signal
    rows = np.lib.stride_tricks.sliding_window_view(padded, size)[::step]
    spectrum = np.conj(np.fft.rfft(template.astype(np.float32), size))
    return np.fft.irfft(np.fft.rfft(rows) * spectrum, size)[:, :step].reshape(-1)[:count]


def likeness(signal: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Normalised correlation (−1…1) at every lag; 0 where the signal is digitally silent."""
    product = correlate(signal, template)
    if not len(product):
        return product
    sums = np.concatenate([[0.0], np.cumsum(signal**2)])
    energy = sums[len(template) :] - sums[: len(sums) - len(template)]
    floor = len(template) * 1e-9     # a tenth of a 16-bit step of A-law: rounding, not sound
    norm = np.sqrt(np.maximum(energy, floor) * np.dot(template, template))
    return np.where(energy > floor, product / np.maximum(norm, 1e-12), 0.0)


def peaks(values: np.ndarray, threshold: float, apart: int) -> list[int]:
    """Positions of the local maxima above `threshold`, highest first, at least `apart` from one another."""
    found: list[int] = []
    candidates = np.flatnonzero(values > threshold)
    for position in candidates[np.argsort(-values[candidates], kind="stable")]:
        if all(abs(position - other) >= apart for other in found):
            found.append(int(position))
    return found


@dataclass(frozen=True)
class Slip:
    """From `position` of the reference on, the recording is `by` samples later (negative: samples are missing)."""

    position: int
    by: int


@dataclass(frozen=True)
class Path:
    """A reference followed through a recording.

    aligned: for every sample of the reference the recording's; zeros beyond the recording.
    gain: what the reference must be multiplied with. extent: samples of the reference that were heard.
    likeness: of the heard part, whitened. explained: energy of the recording that the reference accounts for.
    """

    reference: np.ndarray
    aligned: np.ndarray
    slips: tuple[Slip, ...]
    gain: float
    extent: int
    likeness: float
    explained: float


def follow(recording: np.ndarray, reference: np.ndarray, start: int) -> Path:
    """Follow `reference` through `recording` from `start` (may be negative) until they part, slips included."""
    margin = SEARCH + len(reference)
    padded = np.pad(recording, (margin, margin))
    white, white_ref = whiten(padded), whiten(reference)
    loudest = max((float(np.dot(b, b)) for b in _blocks(white_ref)), default=0.0)
    lag, slips = start + margin, []
    lags = np.full(len(reference), lag)
    lost = 0
    for begin in range(0, len(reference) - BLOCK // 2, BLOCK):
        block = white_ref[begin : begin + BLOCK]
        if np.dot(block, block) <= QUIET * loudest * len(block) / BLOCK:
            continue
        if _like(white[begin + lag :][: len(block)], block) >= LIKE:
            lost = 0
            continue
        found = _slip(white, white_ref, begin, lag)
        if found is None:
            lost += BLOCK
            if lost >= GIVE_UP:
                break
            continue
        lost = 0
        first, last = max(0, begin - BLOCK), min(begin + 2 * BLOCK, len(reference))
        position = _boundary(padded, reference, first, last, lag, found)
        slips.append(Slip(position, found - lag))
        lags[position:] = lag = found
    index = np.clip(np.arange(len(reference)) + lags, 0, len(padded) - 1)
    aligned = padded[index]
    return _judge(aligned, reference, tuple(slips))


def _judge(aligned: np.ndarray, reference: np.ndarray, slips: tuple[Slip, ...]) -> Path:
    """Gain, extent and likeness of an aligned recording.

    The extent is where the recording stops being explained by the reference: every sample that is explained makes
    the sum of (r − g·p)² − r² smaller, every other makes it larger, and its minimum is exact to the sample.
    """
    r, p = whiten(aligned), whiten(reference)
    gain, extent, cost = 0.0, len(p), np.zeros(1)
    for _ in range(4):      # gain and extent need one another; both settle at once
        energy = float(np.dot(p[:extent], p[:extent]))
        if energy == 0:
            break
        gain = float(np.dot(r[:extent], p[:extent])) / energy
        cost = np.concatenate([[0.0], np.cumsum((r - gain * p) ** 2 - r**2)])
        # On a plateau (a pause, or the silent end of the prompt) the last of the equals counts.
        best = cost.min()
        settled = int(np.flatnonzero(cost <= best + 1e-4 * abs(best))[-1])
        if settled == extent:
            break
        extent = settled
    extent = _trim(r, p, gain, extent)
    heard = _like(r[:extent], p[:extent]) if extent else 0.0
    slips = tuple(slip for slip in slips if slip.position < extent)
    return Path(reference, aligned, slips, gain, extent, heard, -float(cost.min()))


def _trim(r: np.ndarray, p: np.ndarray, gain: float, extent: int) -> int:
    """The plateau's tolerance may reach beyond a stop in quiet samples; go back to the exact minimum there.

    When nothing but silence is left of the reference, it was heard to its end.
    """
    cost = np.cumsum((r - gain * p) ** 2 - r**2)
    exact = int(np.argmin(cost)) + 1 if len(cost) and cost.min() < 0 else 0
    rest = p[exact:]
    if np.dot(rest, rest) <= 1e-4 * np.dot(p, p) / len(p) * len(rest):
        return len(p)
    return min(extent, exact)


def _blocks(samples: np.ndarray) -> list[np.ndarray]:
    return [samples[i : i + BLOCK] for i in range(0, len(samples), BLOCK)]


def _like(a: np.ndarray, b: np.ndarray) -> float:
    b = b[: len(a)]
    norm = np.sqrt(np.dot(a, a) * np.dot(b, b))
    return float(np.dot(a, b) / norm) if norm > 1e-12 else 0.0


def _slip(white: np.ndarray, white_ref: np.ndarray, begin: int, lag: int) -> int | None:
    """The new lag, where the recording goes on with the reference somewhat earlier or later than expected."""
    # The slip lies somewhere in this block: recognise it by what comes after.
    template = white_ref[begin + BLOCK : begin + BLOCK + WINDOW]
    if len(template) < BLOCK or np.dot(template, template) == 0:
        return None
    first = begin + BLOCK + lag - SEARCH
    region = white[first : first + len(template) + 2 * SEARCH]
    values = likeness(region, template)
    if not len(values):
        return None
    best = int(np.argmax(values))
    found = lag - SEARCH + best
    return found if values[best] >= 0.75 and found != lag else None


def _boundary(
    padded: np.ndarray, reference: np.ndarray, first: int, last: int, old: int, new: int
) -> int:
    """The sample of the reference from which the new lag fits better than the old one."""
    n = np.arange(first, last)
    limit = len(padded) - 1
    ref = reference[first:last]
    heard_old, heard_new = padded[np.minimum(n + old, limit)], padded[np.minimum(n + new, limit)]
    energy = np.dot(ref, ref) or 1.0
    gain = max(np.dot(heard_old, ref), np.dot(heard_new, ref)) / energy
    before = np.concatenate([[0.0], np.cumsum((heard_old - gain * ref) ** 2)])
    after = np.concatenate([np.cumsum(((heard_new - gain * ref) ** 2)[::-1])[::-1], [0.0]])
    return first + int(np.argmin(before + after))
