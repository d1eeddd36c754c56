"""What the ears report: the verdict on a line, and events. Times are in ms since `open`."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

Verdict = Literal["no_signal", "noise", "too_soft", "speech"]
Reason = Literal[
    "no_rtp", "digital_silence", "comfort_noise", "hum", "echo",  # no_signal; echo: of our own prompt
    "tone", "sound", "noise",  # noise; sound: a single sound on an otherwise silent line
    "soft",  # too_soft
    "normal",  # speech
]  # fmt: skip


class SpeechState(IntEnum):
    """Where a caller is between silence and speech."""

    QUIET = 0
    STARTING = 1  # some windows sound like speech, not enough yet
    SPEAKING = 2
    STOPPING = 3  # silent, but not for long enough to call it the end


@dataclass(frozen=True)
class Hearing:
    """What the line has carried since the last question."""

    verdict: Verdict
    reason: Reason
    final: bool
    """True once enough was heard; before that, the verdict is a first guess."""
    active_level_dbov: float | None
    """Speech level (ITU-T P.56 method B, noise subtracted); None if there was no speech."""
    active_level_error_db: float | None
    """One standard deviation between this level and that of everything the caller will say; see `level_error_db`."""
    noise_level_dbov: float
    """Level between the words."""
    speech_ms: int
    speech_onset_ms: int | None
    """Start of the first speech since the question; None if there was none."""
    clipping: float
    """Share of clipped samples, 0…1."""
    max_p_recent: float
    """Highest speech probability of the last 600 ms."""
    far: bool | None = None
    """True if they speak across the room, or into a telephone on its loudspeaker; None before 4 s of talk. False says
    little: many far voices are not recognised as such."""


def level_error_db(speech_ms: int) -> float:
    """Standard deviation of the active level after `speech_ms` of speech, in dB: 1.7 after a second, 0.6 after three.
    Nearly all of it comes from people saying some words louder than others: the level of clean speech so far deviates
    as much from the level of the whole (measured on `bench/ears`, down to 20 dB SNR)."""
    return 1.7 / max(speech_ms / 1000, 0.2)


@dataclass(frozen=True)
class SpeechStarted:
    at_ms: int
    onset_ms: int
    """When speech began; the decision comes later, at `at_ms`."""


@dataclass(frozen=True)
class SpeechEnded:
    at_ms: int
    end_ms: int
    """Where the silence began."""
    hearing: Hearing | None = field(default=None, compare=False)
    """The verdict at `at_ms`; left out of `Snapshot.as_dict`."""


@dataclass(frozen=True)
class Heard:
    """The verdict on the current speech: provisional after 1 s, final after 2 s or when the speech ends."""

    at_ms: int
    hearing: Hearing


Event = SpeechStarted | SpeechEnded | Heard
