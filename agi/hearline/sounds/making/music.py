"""The music on hold, composed here so that nobody else has rights to it.

Slow plucked notes over soft chords in a pentatonic scale. Nearly all of the energy lies between 230 Hz and 2 kHz, a
range that handsets reproduce and A-law at 8 kHz keeps well. Notes that ring past the end continue at the beginning, so
the loop has no seam. The same seed gives the same piece.
"""

import numpy as np

RATE = 32_000
"""Sample rate of the composition, Hz."""

BEAT_S = 0.75
BARS = 16
BEATS_A_BAR = 4
SECONDS = BARS * BEATS_A_BAR * BEAT_S

_SEED = 95160
_BASE_HZ = 293.66  # D4: low enough to be calm, high enough for a handset
# In semitones above it. Chords and melody share one pentatonic scale, so no notes can clash.
_CHORDS = [(-4, 3, 8), (-2, 5, 10), (0, 3, 8), (-4, 5, 12)]
_SCALE = [3, 5, 8, 10, 12, 15, 17, 20]


def compose() -> np.ndarray:
    """The piece as float32 [n] at RATE, at no particular level."""
    chance = np.random.default_rng(_SEED)
    piece = np.zeros(round(SECONDS * RATE))
    at_note = 3
    for bar in range(BARS):
        start_s = bar * BEATS_A_BAR * BEAT_S
        chord = _CHORDS[bar // 2 % len(_CHORDS)]
        if bar % 2 == 0:
            for semitone in chord:
                _lay(piece, _pad(semitone, 2 * BEATS_A_BAR * BEAT_S), start_s, 0.16)
        for beat in range(BEATS_A_BAR):
            # An arpeggio keeps time; a melody wanders above it, with occasional rests.
            _lay(piece, _pluck(chord[(0, 1, 2, 1)[beat]]), start_s + beat * BEAT_S, 0.35)
            if chance.random() < (0.85 if beat in (0, 2) else 0.4):
                at_note = int(np.clip(at_note + chance.integers(-2, 3), 0, len(_SCALE) - 1))
                late = BEAT_S / 2 if beat in (1, 3) and chance.random() < 0.5 else 0.0
                _lay(piece, _pluck(_SCALE[at_note]), start_s + beat * BEAT_S + late, 0.5)
    return piece.astype(np.float32)


def _lay(piece: np.ndarray, note: np.ndarray, start_s: float, gain: float) -> None:
    """Add `note` at `start_s`; anything past the end continues at the beginning."""
    where = (round(start_s * RATE) + np.arange(len(note))) % len(piece)
    piece[where] += gain * note  # a note is shorter than the piece, so no index occurs twice


def _pluck(semitone: int, length_s: float = 2.8) -> np.ndarray:
    """A soft string: harmonics that fade the faster the higher they are."""
    t = np.arange(round(length_s * RATE)) / RATE
    hz = _BASE_HZ * 2 ** (semitone / 12)
    note = sum(0.55**k * np.exp(-t * (1.4 + 0.9 * k)) * np.sin(2 * np.pi * hz * (k + 1) * t) for k in range(5))
    return note * np.minimum(1, t / 0.008) * np.minimum(1, (length_s - t) / 0.3)


def _pad(semitone: int, length_s: float) -> np.ndarray:
    """A held chord note: two voices a hair apart, swelling and fading, overlapping the next."""
    ring_s = length_s + 1.5
    t = np.arange(round(ring_s * RATE)) / RATE
    hz = _BASE_HZ * 2 ** (semitone / 12)
    note = sum(np.sin(2 * np.pi * (hz + beat) * h * t) / h**2 for beat in (-0.4, 0.4) for h in (1, 2, 3))
    return note * np.sin(np.pi * np.minimum(1, t / 3.0) / 2) ** 2 * np.minimum(1, (ring_s - t) / 1.5)
