"""What the ears report: the verdict on a line and the events on the way to it. Times are ms since `open`."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

Verdict = Literal["no_signal", "noise", "too_soft", "speech"]
Reason = Literal[
    "no_rtp", "digital_silence", "comfort_noise", "hum", "echo",  # no_signal; echo: our own prompt comes back
    "tone", "sound", "noise",  # noise; sound: a single one, the line is silent otherwise
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
    """What the line carries, as far as it is known since the last question."""

    verdict: Verdict
    reason: Reason
    final: bool
    """Enough was heard; before that, a first guess."""
    active_level_dbov: float | None
    """Speech level (ITU-T P.56 method B, noise subtracted); None if there was no speech."""
    active_level_error_db: float | None
    """How far the level may be from that of all they will say, one standard deviation; see `level_error_db`."""
    noise_level_dbov: float
    """What is there between the words."""
    speech_ms: int
    speech_onset_ms: int | None
    """Start of the first speech since the question; None if there was none."""
    clipping: float
    """Share of clipped samples, 0…1."""
    max_p_recent: float
    """Highest speech probability of the last 600 ms."""
    far: bool | None = None
    """They speak across the room or to a telephone on its loudspeaker; None before 4 s of talk.
    False says little: many who are far off cannot be told from the others."""


def level_error_db(speech_ms: int) -> float:
    """Standard deviation of the active level after so much speech, dB: 1.7 after a second, 0.6 after three. Nearly all
    of it is that people do not say every word alike: the level of clean speech up to that moment is as far from the
    level of the whole (measured on `bench/ears`, to 20 dB SNR)."""
    return 1.7 / max(speech_ms / 1000, 0.2)


@dataclass(frozen=True)
class SpeechStarted:
    at_ms: int
    onset_ms: int
    """When it really began; the decision takes a moment."""


@dataclass(frozen=True)
class SpeechEnded:
    at_ms: int
    end_ms: int
    """Where the silence began."""
    hearing: Hearing | None = field(default=None, compare=False)
    """The verdict as it stands then; not in the dictionary of a look."""


@dataclass(frozen=True)
class Heard:
    """The verdict on the current speech: provisional after 1 s, final after 2 s or when the speech ends."""

    at_ms: int
    hearing: Hearing


Event = SpeechStarted | SpeechEnded | Heard
