"""Analyses what a softphone heard: which prompts, when, how completely and how cleanly; which sentence, how loud.

Pure numpy on recordings at 8 kHz (int16, or float in −1…1). Times are in ms from the start of the recording.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hearline.phone import align

RATE = 8000
PER_MS = RATE // 1000

ANCHOR = 400 * PER_MS  # the length of a prompt's beginning by which it is searched
LEAD = 400 * PER_MS  # how much of a prompt's beginning may lie before the recording
SHORTEST_MS = 250  # less of a prompt than this does not count
CANDIDATE = 0.35  # likeness of the anchor from which to look closer (half of it may have slipped)
HEARD = 0.6  # likeness of the heard part from which it is this prompt


@dataclass(frozen=True)
class HeardPrompt:
    """One prompt in a recording.

    complete: how far it was heard, 1.0 = to its end; `glitches` finds what is missing before that. score: likeness of
    that part, 1.0 = identical.
    """

    id: str
    start_ms: float
    end_ms: float
    complete: float
    score: float
    level_db: float  # relative to the prompt's own level


@dataclass(frozen=True)
class Glitch:
    """A fault inside a prompt, `ms` long.

    kind: "missing" (a part was left out), "inserted" (it continued too late: a repeated frame or a gap), "hole"
    (silence in place of a part, with correct timing after it), "click" (other sound in place of a part)."""

    at_ms: float
    kind: str
    ms: float


@dataclass(frozen=True)
class Contained:
    """How much of a reference is in a recording.

    score: best normalised correlation (0…1). level_db: level of the reference there, relative to the reference itself
    (0 = as loud as the file). floor_db: the level reached by chance in the same recording by a signal with the same
    spectrum that is certainly not in it (the reference backwards). The reference was not heard unless level_db is well
    above floor_db (6 dB)."""

    score: float
    level_db: float
    floor_db: float
    at_ms: float

    @property
    def above_floor_db(self) -> float:
        return self.level_db - self.floor_db


def find_prompts(recording: np.ndarray, prompts: Mapping[str, np.ndarray]) -> list[HeardPrompt]:
    """All prompts in the recording in order of time, including interrupted ones.

    If several prompts begin alike, the one that accounts for most of the sound was heard. A frame missing or repeated
    in the first 200 ms of a prompt may move its start by that frame.
    """
    samples = align.as_float(recording)
    white = align.whiten(np.pad(samples, (LEAD, 0)))
    searchable = align.Searchable(white)
    candidates: list[tuple[float, HeardPrompt]] = []
    for name, prompt in prompts.items():
        reference = align.as_float(prompt)
        onset = _onset(reference)
        # Whiten it as a part of the whole, as it is in the recording.
        anchor = align.whiten(reference)[onset : onset + ANCHOR]
        if len(anchor) < SHORTEST_MS * PER_MS // 2:
            continue
        likeness = searchable.likeness(anchor)
        for position in align.peaks(likeness, CANDIDATE, ANCHOR // 2)[:12]:
            path, start = _best_start(samples, reference, white, anchor, position, onset + LEAD)
            shortest = min(SHORTEST_MS * PER_MS, 0.8 * len(reference))
            if path.extent < shortest or path.likeness < HEARD or path.gain <= 0:
                continue
            end = start + path.extent + sum(slip.by for slip in path.slips)
            heard = HeardPrompt(
                name,
                start / PER_MS,
                end / PER_MS,
                path.extent / len(reference),
                path.likeness,
                _db(path.gain),
            )
            candidates.append((path.explained, heard))
    candidates.sort(key=lambda pair: -pair[0])
    accepted: list[HeardPrompt] = []
    for _, heard in candidates:
        if all(_overlap(heard, other) < 0.2 for other in accepted):
            accepted.append(heard)
    return sorted(accepted, key=lambda heard: heard.start_ms)


def glitches(recording: np.ndarray, prompt: np.ndarray, start_ms: float) -> list[Glitch]:
    """Faults in the heard part of `prompt`, which begins at `start_ms` (see `find_prompts`)."""
    reference = align.as_float(prompt)
    path = align.follow(align.as_float(recording), reference, round(start_ms * PER_MS))
    found = []
    for slip in path.slips:
        at = start_ms + slip.position / PER_MS
        found.append(Glitch(at, "missing" if slip.by < 0 else "inserted", abs(slip.by) / PER_MS))
    found += _distortions(path, start_ms)
    return sorted(found, key=lambda glitch: glitch.at_ms)


def silences(recording: np.ndarray, *, floor_dbov: float = -55.0, min_ms: float = 100.0) -> list[tuple[float, float]]:
    """(start_ms, end_ms) of every stretch of `min_ms` or more in which no sample exceeds `floor_dbov`."""
    samples = align.as_float(recording)
    loud = np.flatnonzero(np.abs(samples) > 10 ** (floor_dbov / 20))
    edges = np.concatenate([[-1], loud, [len(samples)]])
    gaps = np.flatnonzero(np.diff(edges) - 1 >= min_ms * PER_MS)
    return [(float(edges[i] + 1) / PER_MS, float(edges[i + 1]) / PER_MS) for i in gaps]


def tone_level_db(recording: np.ndarray, hz: float, *, window_ms: float = 500.0) -> float:
    """Level of a tone of `hz` in dBov (0 = full-scale square wave), where it is loudest for `window_ms`."""
    samples = align.as_float(recording)
    size = min(round(window_ms * PER_MS), len(samples))
    if size == 0:
        return -200.0
    step = max(1, size // 4)
    rows = np.lib.stride_tricks.sliding_window_view(samples, size)[::step]
    window = np.hanning(size + 1)[:size]
    probe = window * np.exp(-2j * np.pi * hz * np.arange(size) / RATE)
    amplitude = 2 * np.abs(rows @ probe).max() / window.sum()
    return float(20 * np.log10(max(amplitude / np.sqrt(2), 1e-10)))


def contains(recording: np.ndarray, reference: np.ndarray) -> Contained:
    """Find out whether, where and how loud `reference` (the samples of a sentence) is in `recording`."""
    sentence = align.whiten(align.as_float(reference))
    lead = min(LEAD, len(sentence) // 2)
    samples = align.as_float(recording)
    # The sentence may have been cut at either end of the recording.
    white = align.whiten(np.pad(samples, (lead, max(lead, len(sentence) - len(samples)))))
    energy = align.inner(sentence, sentence) or 1.0
    searchable = align.Searchable(white)
    likeness = searchable.likeness(sentence)
    # By likeness and not by level, so that a quiet sentence is found among loud ones.
    best = int(np.argmax(likeness))
    score = max(float(likeness[best]), 0.0)
    chance = float(np.abs(searchable.likeness(sentence[::-1])).max())
    level = _db(searchable.correlate(sentence)[best] / energy)
    return Contained(score, level, level - _db(score) + _db(chance), (best - lead) / PER_MS)


def _db(ratio: float) -> float:
    return float(20 * np.log10(max(ratio, 1e-7)))


def _onset(reference: np.ndarray) -> int:
    """Where the prompt begins to sound; a silent lead would make the anchor weak."""
    loud = np.flatnonzero(np.abs(reference) > 0.02 * np.abs(reference).max(initial=0.0))
    return int(loud[0]) if len(loud) else 0


def _best_start(
    samples: np.ndarray,
    reference: np.ndarray,
    white: np.ndarray,
    anchor: np.ndarray,
    position: int,
    lead: int,
) -> tuple[align.Path, int]:
    """The path from the place where the anchor was found, or from where its first part alone was found, if more
    matches from there.

    Each slip counts as one block less; otherwise a slip could stand in for a beginning that was not heard.
    """
    parts = anchor[: ANCHOR // 4], anchor[: ANCHOR // 8]
    positions = {position, *(align.refine(white, part, position) for part in parts)}
    paths = [(align.follow(samples, reference, at - lead), at - lead) for at in sorted(positions)]
    return max(paths, key=lambda pair: (pair[0].alike - len(pair[0].slips), pair[0].explained))


def _overlap(one: HeardPrompt, other: HeardPrompt) -> float:
    """The time shared by both, as a share of the shorter one."""
    shared = min(one.end_ms, other.end_ms) - max(one.start_ms, other.start_ms)
    return shared / min(one.end_ms - one.start_ms, other.end_ms - other.start_ms)


def _distortions(path: align.Path, start_ms: float) -> list[Glitch]:
    """Runs of 5 ms pieces in which the recording differs from the prompt, although it matches before and after."""
    piece = 5 * PER_MS
    count = min(path.extent, len(path.aligned)) // piece  # parts below the noise count as heard, but were not followed
    if count < 3:
        return []
    heard = path.aligned[: count * piece].reshape(count, piece)
    meant = (path.gain * path.reference)[: count * piece].reshape(count, piece)
    error = ((heard - meant) ** 2).mean(axis=1)
    power = (meant**2).mean(axis=1)
    around = np.convolve(np.pad(power, 4, mode="edge"), np.ones(9) / 9, mode="valid")
    # G.711's own error is 35 dB below the sound. Line noise is in every piece, and so in the median.
    bad = error > np.maximum(np.maximum(0.1 * around, 10 * np.median(error)), 1e-7)
    for slip in path.slips:  # reported as such already
        reach = piece + max(0, -slip.by)
        bad[max(0, (slip.position - reach) // piece) : (slip.position + reach) // piece + 1] = False
    edges = np.flatnonzero(np.diff(np.concatenate([[0], bad.astype(int), [0]])))
    found = []
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        silent = (heard[first:last] ** 2).mean() < 0.1 * (meant[first:last] ** 2).mean()
        position = first * piece
        shift = sum(slip.by for slip in path.slips if slip.position <= position)
        length = float((last - first) * piece / PER_MS)
        at = float(start_ms + (position + shift) / PER_MS)
        found.append(Glitch(at, "hole" if silent else "click", length))
    return found
