"""What a flow has become once everything in it is settled: the engine's only input beside events.

A plan is plain, frozen data: it can be sent to another process and compared. ``call/flow.py`` makes it from YAML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Bargein(StrEnum):
    """What may cut a prompt short."""

    ANY = "any"  # any speech, any key
    LOUD = "loud"  # only speech at a normal level, or a key: soft talk goes on underneath
    NONE = "none"  # nothing; speech and keys are not acted on in this step


class Verdict(StrEnum):
    """What the caller's line carries."""

    NO_SIGNAL = "no_signal"
    NOISE = "noise"
    TOO_SOFT = "too_soft"
    SPEECH = "speech"


class Cause(StrEnum):
    """Why a step is left; the keys of a step's ``on``."""

    SPEECH = "speech"
    TOO_SOFT = "too_soft"
    KEY = "key"
    NOINPUT = "noinput"
    NOISE = "noise"  # the wait ran out on a line that carries noise; falls back to noinput


@dataclass(frozen=True)
class Goto:
    step: str


@dataclass(frozen=True)
class End:
    """``outcome``: ``queue:<name>``, ``hangup:<reason>`` or ``message``."""

    outcome: str


Target = Goto | End


@dataclass(frozen=True)
class Step:
    """Play ``prompt`` (None: nothing), then wait ``wait_ms`` for a sound."""

    name: str
    prompt: str | None
    wait_ms: int
    bargein: Bargein
    on: Mapping[Cause, Target]


@dataclass(frozen=True)
class Plan:
    """A call's whole course. Times in ms.

    ``turn_pause_ms``: silence after speech that ends a turn. ``max_speech_ms``: longest turn that is waited for.
    ``maybe_ms``: how much longer to wait where something like speech was just heard. ``limit_ms``: after this the
    call goes to ``fallback`` whatever happens, so no call is without an end. ``max_gain_db``: how far a soft caller's
    line is raised at most before they are asked to speak up.

    Of the ears: speech under ``too_soft_dbov`` is too soft, from ``normal_dbov`` on it is normal (active level);
    ``speech_ends_ms`` of silence end it; ``speech_certainty`` (low, normal, high): how sure they must be of it.
    ``on_sound``: a single sound on a silent line is noise (person) or nothing (countdown).
    """

    flow: str
    language: str
    phrases: str
    begin: str
    steps: Mapping[str, Step]
    fallback: End
    too_soft_dbov: int
    normal_dbov: int
    speech_ends_ms: int
    speech_certainty: str
    on_sound: str = "person"
    turn_pause_ms: int = 1_100
    max_speech_ms: int = 15_000
    maybe_ms: int = 600
    limit_ms: int = 300_000
    max_gain_db: int = 9
    prompts: frozenset[str] = field(default_factory=frozenset)
