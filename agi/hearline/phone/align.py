"""Finds a known signal in a recording, and follows the recording along it.

Everything works on whitened signals. Speech has mostly low frequencies, in which two different sentences of the same
voice are so alike that they could be confused. With a flatter spectrum, a prompt matches itself and little else. All
positions are in samples at 8 kHz.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BLOCK = 320  # 40 ms: the unit of comparison while following
SEARCH = 480  # 60 ms: how far the recording may slip at a missing or an additional frame
WINDOW = 1200  # 150 ms: the length by which a slip is recognised
LEAP = 3200  # 400 ms: how far it may slip if a process stood still, or much was lost
GIVE_UP = 2400  # 300 ms without a match: the reference has ended
SURE = 3  # this many matching blocks in a row do not happen by chance
LIKE = 0.6
DRIFT = 4000  # 500 ms: the most that all slips may add up to
TAIL = 80  # 10 ms
QUIET = 1e-5  # blocks with less energy than this, relative to the loudest, are not compared


def as_float(samples: np.ndarray) -> np.ndarray:
    """int16 or float samples as float64 in −1…1."""
    samples = np.asarray(samples)
    return samples / 32768.0 if samples.dtype.kind == "i" else samples.astype(np.float64)


def inner(a: np.ndarray, b: np.ndarray) -> float:
    """Inner product. np.dot would be slower here, because of its threads, most of all on a busy machine."""
    return float(np.einsum("i,i->", a, b))


def whiten(samples: np.ndarray) -> np.ndarray:
    """Leaky first difference, which compensates the usual 6–12 dB per octave of speech."""
    return np.diff(samples, prepend=0.0) + 0.05 * samples


class Searchable:
    """A signal in which many templates are searched. Work that does not depend on the template is done once."""

    def __init__(self, signal: np.ndarray) -> None:
        self._signal = signal
        self._sums = np.concatenate([[0.0], np.cumsum(signal**2)])
        self._spectra: dict[tuple[int, int], np.ndarray] = {}
        self._inverse_norms: dict[int, np.ndarray] = {}

    def correlate(self, template: np.ndarray) -> np.ndarray:
        """Correlation with `template` at every lag 0…len(signal) − len(template), by blocks of FFTs."""
        length = len(template)
        count = len(self._signal) - length + 1
        if count < 1:
            return np.zeros(0)
        size = 1 << max(12, min(14, len(self._signal).bit_length()), (2 * length - 1).bit_length())
        # A power of two of overlap, so that templates of similar length share the spectra of the blocks.
        overlap = 1 << (length - 1).bit_length()
        step = size - overlap + 1
        if (size, overlap) not in self._spectra:
            blocks = -(-count // step) + 1
            padded = np.zeros((blocks - 1) * step + size, dtype=np.float32)
            padded[: len(self._signal)] = self._signal
            rows = np.lib.stride_tricks.sliding_window_view(padded, size)[::step]
            self._spectra[size, overlap] = np.fft.rfft(rows)
        spectrum = np.conj(np.fft.rfft(template.astype(np.float32), size))
        return np.fft.irfft(self._spectra[size, overlap] * spectrum, size)[:, :step].reshape(-1)[:count]

    def likeness(self, template: np.ndarray) -> np.ndarray:
        """Normalised correlation (−1…1) at every lag; 0 where the signal is digitally silent."""
        product = self.correlate(template)
        if not len(product):
            return product
        return product * (self._inverse_norm(len(template)) / max(np.sqrt(inner(template, template)), 1e-12))

    def _inverse_norm(self, length: int) -> np.ndarray:
        if length not in self._inverse_norms:
            energy = self._sums[length:] - self._sums[: len(self._sums) - length]
            floor = length * 1e-9  # less than the smallest step of A-law: rounding, not sound
            inverse = np.where(energy > floor, 1 / np.sqrt(np.maximum(energy, floor)), 0.0)
            self._inverse_norms[length] = inverse.astype(np.float32)
        return self._inverse_norms[length]


def peaks(values: np.ndarray, threshold: float, apart: int) -> list[int]:
    """Positions of the local maxima above `threshold`, highest first, at least `apart` from one another."""
    found: list[int] = []
    candidates = np.flatnonzero(values > threshold)
    for position in candidates[np.argsort(-values[candidates], kind="stable")]:
        if all(abs(position - other) >= apart for other in found):
            found.append(int(position))
    return found


def refine(white: np.ndarray, template: np.ndarray, position: int) -> int:
    """`position`, moved to where the first part of a template is found, if that is nearby.

    `template` is that first part. If a frame is missing from the middle of the whole, its longer part decides where the
    whole is found.
    """
    first = max(0, position - SEARCH)
    values = Searchable(white[first : position + SEARCH + len(template)]).likeness(template)
    here = position - first
    if not len(values) or here >= len(values):
        return position
    best = int(np.argmax(values))
    return first + best if values[best] > max(0.75, values[here] + 0.05) else position


@dataclass(frozen=True)
class Slip:
    """From `position` in the reference on, the recording lags by `by` samples (negative: leads)."""

    position: int
    by: int


@dataclass(frozen=True)
class Path:
    """The result of following a reference through a recording.

    aligned: the recording's sample for each sample of the reference, as far as it was followed; zeros beyond the end of
    the recording. gain: the factor by which the reference appears in the recording. extent: how many samples of the
    reference were heard. likeness: that of the heard part, whitened. explained: the energy of the recording that the
    reference accounts for. alike: the number of blocks that were found where they were expected.
    """

    reference: np.ndarray
    aligned: np.ndarray
    slips: tuple[Slip, ...]
    gain: float
    extent: int
    likeness: float
    explained: float
    alike: int


def follow(recording: np.ndarray, reference: np.ndarray, start: int) -> Path:
    """Follow `reference` through `recording` from `start` (may be negative) to where they part."""
    margin = DRIFT + SEARCH
    first, last = start - margin, start + len(reference) + margin
    inside = recording[max(first, 0) : max(last, 0)]
    before = min(max(-first, 0), last - first)
    padded = np.pad(inside, (before, last - first - before - len(inside)))
    white, white_ref = whiten(padded), whiten(reference)
    loudest = max((inner(b, b) for b in _blocks(white_ref)), default=0.0)
    lag, slips = margin, []
    lags = np.full(len(reference), lag)
    reach = len(reference)
    lost = alike = last = row = again = 0
    parted = False
    for begin in range(0, len(reference) - BLOCK // 2, BLOCK):
        block = white_ref[begin : begin + BLOCK]
        if inner(block, block) <= QUIET * loudest * len(block) / BLOCK:
            continue
        if _like(white[begin + lag :][: len(block)], block) >= LIKE:
            lost, alike, last, row = 0, alike + 1, begin + BLOCK, row + 1
            if parted and row >= SURE:
                again = begin
            continue
        row, parted = 0, alike > 0
        # Only something that was aligned can slip, except that a slip may hit the first blocks.
        found = _slip(white, white_ref, begin, lag) if alike or begin <= 3 * BLOCK else None
        if found is None and alike:
            found = _leap(white, white_ref, begin, lag)
        if found is None:
            lost += BLOCK
            if lost >= GIVE_UP:
                reach = last + BLOCK
                break
            continue
        lost = 0
        around = max(0, begin - 3 * BLOCK), min(begin + 2 * BLOCK, len(reference))
        position = _boundary(padded, reference, *around, lag, found)
        slips.append(Slip(position, found - lag))
        lags[position:] = lag = found
    reach = min(reach, len(reference))
    index = np.clip(np.arange(reach) + lags[:reach], 0, len(padded) - 1)
    return _judge(padded[index], reference, white_ref, tuple(slips), alike, again)


def _judge(
    aligned: np.ndarray,
    reference: np.ndarray,
    white_ref: np.ndarray,
    slips: tuple[Slip, ...],
    alike: int,
    again: int,
) -> Path:
    """Gain, extent and likeness of an aligned recording. `again`: after a gap, it was heard again up to here.

    The extent ends where the reference no longer explains the recording: every sample that it explains makes the sum of
    (r − g·p)² − r² smaller, every other sample makes it larger, so its minimum is exact to the sample.
    """
    r, p = whiten(aligned), white_ref[: len(aligned)]
    gain, extent, cost, explained = 0.0, len(p), np.zeros(1), 0.0
    for _ in range(4):  # gain and extent depend on each other; both settle together
        energy = inner(p[:extent], p[:extent])
        if energy == 0:
            break
        gain = inner(r[:extent], p[:extent]) / energy
        cost = np.concatenate([[0.0], np.cumsum((r - gain * p) ** 2 - r**2)])
        explained = -float(cost.min())
        cost[:again] = np.inf
        # On a plateau (a pause, or the silent end of the prompt), take its last sample.
        best = cost.min()
        settled = int(np.flatnonzero(cost <= best + 1e-4 * abs(best))[-1])
        if settled == extent:
            break
        extent = settled
    extent = _trim(r, gain * p, cost, white_ref, extent)
    heard = _like(r[:extent], p[:extent]) if extent else 0.0
    slips = tuple(slip for slip in slips if slip.position < extent)
    return Path(reference, aligned, slips, gain, extent, heard, explained, alike)


def _trim(r: np.ndarray, meant: np.ndarray, cost: np.ndarray, white_ref: np.ndarray, extent: int) -> int:
    """Move back from the end of a plateau to where the reference was certainly still heard.

    If other sound follows a stop, the sum may by chance keep falling a little in the reference's quiet samples, so the
    last 10 ms must mostly be explained. If only silence is left of the reference, or less than the line noise, it
    counts as heard to its end."""
    exact = int(np.argmin(cost))
    while exact > TAIL:
        tail = slice(exact - TAIL, exact)
        if inner(r[tail] - meant[tail], r[tail] - meant[tail]) <= 0.5 * inner(r[tail], r[tail]):
            break
        exact = int(np.argmin(cost[: exact - TAIL // 2]))
    rest = white_ref[exact:]
    noise = inner(r[:exact] - meant[:exact], r[:exact] - meant[:exact]) / max(exact, 1)
    power = inner(meant[:exact], meant[:exact]) / max(inner(white_ref[:exact], white_ref[:exact]), 1e-12)
    if power * inner(rest, rest) <= max(1e-4 * inner(meant, meant) / len(meant), 2 * noise) * len(rest):
        return len(white_ref)
    return min(extent, exact)


def _blocks(samples: np.ndarray) -> list[np.ndarray]:
    return [samples[i : i + BLOCK] for i in range(0, len(samples), BLOCK)]


def _like(a: np.ndarray, b: np.ndarray) -> float:
    b = b[: len(a)]
    norm = np.sqrt(inner(a, a) * inner(b, b))
    return float(inner(a, b) / norm) if norm > 1e-12 else 0.0


def _slip(white: np.ndarray, white_ref: np.ndarray, begin: int, lag: int) -> int | None:
    """The new lag, if the recording continues a little earlier or later than expected; None if not."""
    # The slip is somewhere in this block: recognise it by what follows.
    template = white_ref[begin + BLOCK : begin + BLOCK + WINDOW]
    return _found_again(white, template, begin + BLOCK, lag, SEARCH, 0.75) if len(template) >= BLOCK else None


def _leap(white: np.ndarray, white_ref: np.ndarray, begin: int, lag: int) -> int | None:
    """The same after a longer gap. A wider search finds more false matches, so it requires more likeness, and still
    more if little of the reference is left."""
    template = white_ref[begin + BLOCK : begin + BLOCK + WINDOW]
    like = 0.9 if len(template) == WINDOW else 0.97
    return _found_again(white, template, begin + BLOCK, lag, LEAP, like) if len(template) >= BLOCK else None


def _found_again(white: np.ndarray, template: np.ndarray, begin: int, lag: int, search: int, like: float) -> int | None:
    """The lag at which `template`, which begins at `begin` of the reference, matches best, within `search` of `lag`.
    None if that is `lag` itself, or the likeness is below `like`."""
    if inner(template, template) == 0:
        return None
    first = max(0, begin + lag - search)
    values = Searchable(white[first : begin + lag + search + len(template)]).likeness(template)
    if not len(values):
        return None
    best = int(np.argmax(values))
    found = first + best - begin
    return found if values[best] >= like and found != lag else None


def _boundary(padded: np.ndarray, reference: np.ndarray, first: int, last: int, old: int, new: int) -> int:
    """The sample of the reference from which the new lag fits better than the old one."""
    limit = len(padded) - 1
    certain = np.arange(last, min(last + WINDOW, len(reference)))  # the new lag applies here; measure the gain
    if not len(certain):
        certain = np.arange(first, last)
    sample = reference[certain]
    gain = inner(padded[np.minimum(certain + new, limit)], sample) / max(inner(sample, sample), 1e-12)
    n = np.arange(first, last)
    meant = gain * reference[first:last]
    before = (padded[np.minimum(n + old, limit)] - meant) ** 2
    after = (padded[np.minimum(n + new, limit)] - meant) ** 2
    return first + int(np.argmin(np.concatenate([[0.0], np.cumsum(before - after)])))
