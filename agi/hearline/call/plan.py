"""What a flow has become once everything in it is settled: the engine's only input beside events.

A plan is plain, frozen data: it can be sent to another process and compared. ``call/flow.py`` makes it from YAML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

KEYS = "0123456789*#"  # that a caller has; A to D are on no ordinary phone


class Bargein(StrEnum):
    """What may cut a prompt short."""

    ANY = "any"  # any speech, any key
    LOUD = "loud"  # only speech at a normal level, or a key: soft talk goes on underneath
    KEY = "key"  # only a key; speech is not acted on in this step
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
    FAR = "far"  # somebody spoke far from the telephone; where a step has no `far`, as `speech` or `too_soft`
    KEY = "key"
    NOINPUT = "noinput"
    NOISE = "noise"  # the wait ran out on a line that carries noise; falls back to noinput
    COLLECTED = "collected"  # keys were collected, and they match
    NOMATCH = "nomatch"  # keys were collected, and they do not match


@dataclass(frozen=True)
class Goto:
    step: str


@dataclass(frozen=True)
class End:
    """``outcome``: ``queue:<name>``, ``hangup:<reason>`` or ``message``."""

    outcome: str


Target = Goto | End


@dataclass(frozen=True)
class Collect:
    """Keys that a step collects under ``name``. The input ends with ``termchar`` ('' for none), with its
    ``max_length``-th key, ``interdigit_ms`` after its last key, or as soon as it matches and no longer input could.

    ``choices`` match, each with a target of its own, and so does what lies in one of the ``spans``: (lowest, highest),
    of one length. ``spans`` None: any digits, at least ``min_length`` of them. ``personal``: they must not be recorded.
    """

    name: str
    max_length: int
    min_length: int = 1
    termchar: str = "#"
    interdigit_ms: int = 3_000
    spans: tuple[tuple[str, str], ...] | None = None
    choices: Mapping[str, Target] = field(default_factory=dict)
    personal: bool = True

    def matches(self, keys: str) -> bool:
        if keys in self.choices:
            return True
        if self.spans is None:
            return keys.isdecimal() and self.min_length <= len(keys) <= self.max_length
        return any(len(low) == len(keys) and low <= keys <= high for low, high in self.spans)

    def is_whole(self, keys: str) -> bool:
        """Can a further key change nothing for the better?"""
        if len(keys) >= self.max_length:
            return True
        if self.spans is None or not self.matches(keys):
            return False
        size = len(keys)
        longer = [*self.spans, *((choice, choice) for choice in self.choices)]
        return not any(len(low) > size and low[:size] <= keys <= high[:size] for low, high in longer)


@dataclass(frozen=True)
class Step:
    """Play ``prompt`` (None: nothing), then wait ``wait_ms`` for a sound or a key."""

    name: str
    prompt: str | None
    wait_ms: int
    bargein: Bargein
    on: Mapping[Cause, Target]
    collect: Collect | None = None

    @property
    def hears_speech(self) -> bool:
        return self.bargein in (Bargein.ANY, Bargein.LOUD)

    @property
    def targets(self) -> Iterable[Target]:
        """Everywhere it may lead."""
        return [*self.on.values(), *(self.collect.choices.values() if self.collect else ())]


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

    @property
    def collects(self) -> list[str]:
        """The names under which its steps collect keys."""
        return sorted({step.collect.name for step in self.steps.values() if step.collect})
