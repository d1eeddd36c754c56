"""Labelled clips: the sound of a caller's line from the answer on, and the truth about it."""

from dataclasses import dataclass, field

import numpy as np

from hearline.audio.hearing import Verdict
from hearline.audio.settings import FRAME_MS

from .sources import Split


@dataclass(frozen=True)
class Spoken:
    """A moment within speech."""

    at_ms: int
    level_dbov: float
    """Active level (P.56) of the clean speech up to this moment: the best possible estimate of the whole."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Times are in ms since the answer, levels in dBov. None if a value does not apply."""

    kind: str
    """speech, answered (speech from the first frame on), no_signal, tone, noise, music, babble, transient,
    background, echo, barge_in, handset, far_talker."""
    subkind: str
    split: Split
    frames: np.ndarray
    """int16 [n, 160]; zeros where no frame came."""
    present: np.ndarray
    """bool [n]: True if this frame came."""
    far: np.ndarray | None = None
    """int16 [n, 160]: what was played to the caller in the same tick."""

    speaker: str | None = None
    language: str | None = None
    level_dbov: float | None = None
    """For speech, its active level (P.56) without the noise, in the telephone's band; else RMS."""
    nominal_dbov: int | None = None
    """The intended level; `level_dbov` was measured."""
    snr_db: int | None = None
    """Active level over the RMS of the noise; None for clean speech, with only the line's noise floor."""
    noise: str = "floor"
    """The noise that is mixed in."""
    law: str = "alaw"
    loss: float = 0.0
    """Share of frames lost at random."""
    suppression: str = "none"
    """What the sender does in pauses: none, dropped (no frames), comfort_noise (other, softer noise)."""

    onset_ms: int | None = None
    end_ms: int | None = None
    """Speech: see `labels`."""
    spoken: dict[int, Spoken] = field(default_factory=dict)
    """By ms of active speech: the moment at which that much had been heard."""
    prompt_ms: tuple[int, int] | None = None
    """When the prompt plays, its echo's tail included."""
    echo_loss_db: int | None = None

    verdict: Verdict | None = None
    """What the detector should say at `verdict_ms`."""
    verdict_ms: int | None = None

    @property
    def ms(self) -> int:
        return len(self.frames) * FRAME_MS
