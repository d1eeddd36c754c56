"""The plan of a call: a flow with every name and default resolved. It is the engine's only input besides events.

A plan is plain, frozen data, so it can be compared and sent to another process. ``call/flow.py`` makes it from YAML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

KEYS = "0123456789*#"  # the keys that callers have; A to D are on no ordinary phone


class Bargein(StrEnum):
    """What may cut a prompt short."""

    ANY = "any"  # any speech, any key
    LOUD = "loud"  # only speech at a normal level, or a key: the prompt plays on over soft talk
    KEY = "key"  # only a key; this step ignores speech
    NONE = "none"  # nothing; this step ignores speech and keys


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
    FAR = "far"  # somebody spoke far from the telephone; falls back to `speech` or `too_soft`
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

    An input matches if it is one of the ``choices``, each with its own target, or lies in one of the ``spans``: pairs
    (lowest, highest) of the same length. With ``spans`` None any digits match, at least ``min_length`` of them.
    ``personal``: the keys must not be recorded.
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
        """True if the input is complete: it has the maximum length, or it matches and no longer input could."""
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
        """All places it may lead to."""
        return [*self.on.values(), *(self.collect.choices.values() if self.collect else ())]


@dataclass(frozen=True)
class Plan:
    """The whole course of a call. Times in ms.

    ``turn_pause_ms``: silence that ends a turn of speech. ``max_speech_ms``: the longest turn to wait for.
    ``maybe_ms``: how much longer to wait if something like speech was just heard. ``limit_ms``: after this the call
    goes to ``fallback`` in any state, so every call ends. ``max_gain_db``: the most by which a soft caller's line is
    raised before the caller is asked to speak up.

    For the ears: speech below ``too_soft_dbov`` is too soft, from ``normal_dbov`` up it is normal (active level);
    ``speech_ends_ms`` of silence end it; ``speech_certainty`` (low, normal, high): how sure they must be that it is
    speech. ``on_sound``: a single sound on a silent line counts as noise (person) or as nothing (countdown).
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
