"""The events of a talk, which the hint engine takes in, and the actions that it returns.

Plain, frozen data. Times are ms since caller and agent were joined, in whole frames (multiples of 20). No event or
action contains what was said, or a caller's number or name.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from typing import Any, get_args


class Side(StrEnum):
    CALLER = "caller"
    AGENT = "agent"

    @property
    def other(self) -> Side:
        return Side.AGENT if self is Side.CALLER else Side.CALLER


class Key(StrEnum):
    """The agent's keys, on the phone or on the page."""

    LOW_VOLUME = "low_volume"  # plays "I can hardly hear you" to the caller
    RECEIVER = "receiver"  # plays "please pick up the receiver"
    NUISANCE = "nuisance"  # hands the call to the prompts for nuisance calls
    CALLBACK = "callback"  # marks the call to be called back
    MUTE = "mute"  # mutes whispers; once more: unmutes them
    ASK_HOLD = "ask_hold"  # "Ask to hold": the card for it comes before the hold
    SUPERVISOR = "supervisor"  # calls a supervisor in; once more: withdraws the request


# ---- what happened -------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Joined:
    """Caller and agent hear each other from now on, which is 0 ms. The first event, and the only one of its kind.

    ``heard``: what the IVR heard (``normal``, ``silent1``, … as in `call/engine`, or ``unknown``). ``rang``: how often
    the agent's phone rang. ``agent_id``: the work number; never a name. ``picked_up``: they were talking already when
    we began to watch, so rules for the beginning do not apply.
    """

    queue: str = ""
    wait_s: float = 0.0
    rang: int = 1
    heard: str = "unknown"
    agent_id: str = ""
    picked_up: bool = False


@dataclass(frozen=True)
class SpeechStarted:
    """A side began to speak ``ago_ms`` before now; the ears are certain only a moment later."""

    side: Side
    ago_ms: int = 0


@dataclass(frozen=True)
class SpeechEnded:
    """A side stopped speaking ``ago_ms`` before now; the ears wait in case it goes on."""

    side: Side
    ago_ms: int = 0


@dataclass(frozen=True)
class LevelHeard:
    """A verdict on the level of a side's speech, as raised on the line. ``level_dbov``: active speech level (ITU-T
    P.56). ``speech_ms``: the length of the speech that it rests on."""

    side: Side
    too_soft: bool
    level_dbov: float
    speech_ms: int


@dataclass(frozen=True)
class Hold:
    """``by`` puts the other on hold. ``agent_id``: the agent's work number if an agent holds. ``picked_up``: the hold
    began before we began to watch."""

    by: Side = Side.AGENT
    agent_id: str = ""
    picked_up: bool = False


@dataclass(frozen=True)
class Unhold:
    """Caller and agent hear each other again."""


@dataclass(frozen=True)
class KeyPressed:
    """The agent has pressed a key."""

    key: Key


@dataclass(frozen=True)
class PromptBegan:
    """A recorded prompt begins for the caller; the agent hears it, too, at a lower level."""


@dataclass(frozen=True)
class PromptEnded:
    """The prompt is over, or was stopped."""


@dataclass(frozen=True)
class TransferBegan:
    """The agent begins to transfer the caller."""


@dataclass(frozen=True)
class TransferGivenUp:
    """The caller stays with this agent after all."""


@dataclass(frozen=True)
class HungUp:
    """A side ended the call. Only events of cards can follow."""

    side: Side


@dataclass(frozen=True)
class CardUsed:
    """The agent has said or done what the card says. It may be another card than the one on the screen."""

    card: str


@dataclass(frozen=True)
class CardDismissed:
    card: str


@dataclass(frozen=True)
class CalledUp:
    """The agent has called up the card of this rule."""

    rule: str


@dataclass(frozen=True)
class Spoken:
    """The recogniser, if there is one, has recognised a phrase of this group (``spoken.yaml``)."""

    group: str
    side: Side


Event = (
    Joined
    | SpeechStarted
    | SpeechEnded
    | LevelHeard
    | Hold
    | Unhold
    | KeyPressed
    | PromptBegan
    | PromptEnded
    | TransferBegan
    | TransferGivenUp
    | HungUp
    | CardUsed
    | CardDismissed
    | CalledUp
    | Spoken
)


# ---- what to do ----------------------------------------------------------------------------------------------------
class Tallied(StrEnum):
    """The stages and outcomes of a hint. Every hint is ``fired`` once, and ends as one of the last five. The hint of a
    rule without a card can only pass or expire."""

    FIRED = "fired"
    SHOWN = "shown"  # counted once, even if a more important card took its place for a while
    WHISPERED = "whispered"
    SILENT = "silent"  # the whisper was dropped: no pause came in time, or whispers were muted
    USED = "used"
    DISMISSED = "dismissed"
    EXPIRED = "expired"  # shown until it expired, without being used
    PASSED = "passed"  # its occasion was over before
    CROWDED = "crowded"  # never shown, since a more important card was on the screen


@dataclass(frozen=True)
class ShowCard:
    """Show this card, and no other, until ``expires_ms`` or ``HideCard``. ``hint`` numbers the hints of the talk: a
    card that comes back after another one has the same number."""

    rule: str
    card: str
    expires_ms: int
    hint: int


@dataclass(frozen=True)
class HideCard:
    """Remove the card from the screen."""

    rule: str
    card: str
    hint: int


@dataclass(frozen=True)
class Whisper:
    """Play this to the agent alone, ``level_db`` above its own level. Begin by ``expires_ms``, or drop it."""

    whisper: str
    level_db: int
    expires_ms: int


@dataclass(frozen=True)
class StopWhisper:
    """Stop the whisper at once: the agent speaks, or has muted whispers."""


@dataclass(frozen=True)
class NotAsked:
    """The agent holds, and the caller made no sound between the agent's last words and the hold, so the agent does not
    seem to have asked. Silence may mean consent, so this is counted, but not held against the agent."""


@dataclass(frozen=True)
class MarkClock:
    """Mark the talk's clock, unobtrusively, for the rest of the talk."""

    rule: str


@dataclass(frozen=True)
class Count:
    """Add one to this rule's figures."""

    rule: str
    what: Tallied


Action = ShowCard | HideCard | Whisper | StopWhisper | NotAsked | MarkClock | Count


# ---- as JSON -------------------------------------------------------------------------------------------------------
def _words(kind: type) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in kind.__name__).lstrip("_")


EVENTS: dict[str, type] = {_words(kind): kind for kind in get_args(Event)}
"""Every kind of event by its name in JSON: ``speech_started`` …"""


def event_from_dict(data: dict[str, Any]) -> Event:
    """The event of an object such as ``{"event": "hold", "by": "agent"}``. Raises ValueError, whose message says what
    to write instead."""
    given = dict(data)
    name = given.pop("event", None)
    if name not in EVENTS:
        raise ValueError(f"no event {name!r}. Known: {', '.join(EVENTS)}")
    known = {field.name: field for field in fields(EVENTS[name])}
    if extra := set(given) - set(known):
        raise ValueError(f"{name} has no field {sorted(extra)[0]!r}. Known: {', '.join(known) or 'none'}")
    if missing := [n for n, f in known.items() if f.default is MISSING and n not in given]:
        raise ValueError(f"{name} needs {missing[0]!r}")
    kinds = {"Side": Side, "Key": Key, "float": float}
    for n, value in given.items():
        wanted = {"int": int, "float": int | float, "bool": bool}.get(known[n].type, str)
        if not isinstance(value, wanted) or (wanted is not bool and isinstance(value, bool)):
            raise ValueError(f"{name}: {value!r} is not a valid {n}")
    return EVENTS[name](**{n: kinds.get(known[n].type, lambda v: v)(value) for n, value in given.items()})


def as_dict(what: Event | Action) -> dict[str, Any]:
    """An event or action in JSON types."""
    kind = "event" if type(what) in EVENTS.values() else "action"
    return {kind: _words(type(what))} | {field.name: getattr(what, field.name) for field in fields(what)}
