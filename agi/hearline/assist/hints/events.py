"""What happens in a conversation, and what the hint engine has done about it.

Plain, frozen data. Times are ms since caller and agent were joined, whole frames (multiples of 20). Nothing here holds
what was said, nor a caller's number or name.
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
    """What an agent can do with one key, on the phone or on the page."""

    LOW_VOLUME = "low_volume"  # plays "I can hardly hear you" to the caller
    RECEIVER = "receiver"  # plays "please pick up the receiver"
    NUISANCE = "nuisance"  # hands the call to the prompts for nuisance calls
    CALLBACK = "callback"  # marks the call to be called back
    MUTE = "mute"  # no whispers; once more: whispers again
    ASK_HOLD = "ask_hold"  # "I shall put them on hold": the card for it comes before the hold
    SUPERVISOR = "supervisor"  # calls a supervisor in; once more: takes it back


# ---- what happened -------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Joined:
    """Caller and agent hear each other from now on: 0 ms. First of all events, once.

    ``heard``: what the IVR heard (``normal``, ``silent1``, … as `call/engine` tells it; ``unknown``). ``rang``: how
    often the agent's phone rang. ``agent_id``: the work number; never a name. ``picked_up``: they had been talking
    before we came, or came back: nothing begins.
    """

    queue: str = ""
    wait_s: float = 0.0
    rang: int = 1
    heard: str = "unknown"
    agent_id: str = ""
    picked_up: bool = False


@dataclass(frozen=True)
class SpeechStarted:
    """A side began to speak ``ago_ms`` before now: the ears are sure only a moment later."""

    side: Side
    ago_ms: int = 0


@dataclass(frozen=True)
class SpeechEnded:
    """A side stopped ``ago_ms`` before now: the ears wait whether it goes on."""

    side: Side
    ago_ms: int = 0


@dataclass(frozen=True)
class LevelHeard:
    """A verdict on how loud a side speaks, on the raised line. ``level_dbov``: active speech level, ITU-T P.56;
    ``speech_ms``: the speech that it rests on."""

    side: Side
    too_soft: bool
    level_dbov: float
    speech_ms: int


@dataclass(frozen=True)
class Hold:
    """``by`` puts the other on hold. ``agent_id``: which agent, where it was one. ``picked_up``: that was before we
    came."""

    by: Side = Side.AGENT
    agent_id: str = ""
    picked_up: bool = False


@dataclass(frozen=True)
class Unhold:
    """They hear each other again."""


@dataclass(frozen=True)
class KeyPressed:
    """By the agent."""

    key: Key


@dataclass(frozen=True)
class PromptBegan:
    """A recorded prompt is played to the caller; the agent hears it as well, softly."""


@dataclass(frozen=True)
class PromptEnded:
    """It was heard to its end, or stopped."""


@dataclass(frozen=True)
class TransferBegan:
    """The agent passes the caller on."""


@dataclass(frozen=True)
class TransferGivenUp:
    """The caller stays with this agent after all."""


@dataclass(frozen=True)
class HungUp:
    """Who ended the call. The last event, but for cards."""

    side: Side


@dataclass(frozen=True)
class CardUsed:
    """The agent said what the card says, or did it; it need not be the one on the screen."""

    card: str


@dataclass(frozen=True)
class CardDismissed:
    card: str


@dataclass(frozen=True)
class CalledUp:
    """The agent wants to see this rule's card now."""

    rule: str


@dataclass(frozen=True)
class Spoken:
    """A recogniser, where there is one, understood a phrase of this group (``spoken.yaml``)."""

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
    """What becomes of a hint. Every hint is ``fired`` once, and ends as one of the last five; a rule without a card
    only fires and passes or expires."""

    FIRED = "fired"
    SHOWN = "shown"  # once, even where it stood aside for a more important one and came back
    WHISPERED = "whispered"
    SILENT = "silent"  # the whisper gave way to the card: no pause came in time, or whispers were muted
    USED = "used"
    DISMISSED = "dismissed"
    EXPIRED = "expired"  # shown to its end, and nothing came of it
    PASSED = "passed"  # what it was about was over before
    CROWDED = "crowded"  # never shown: something more important was on the screen


@dataclass(frozen=True)
class ShowCard:
    """Show this card, alone, until ``expires_ms`` or ``HideCard``. ``hint`` numbers the call's hints: a card that stood
    aside comes back with the same number."""

    rule: str
    card: str
    expires_ms: int
    hint: int


@dataclass(frozen=True)
class HideCard:
    """Take away the card that is shown."""

    rule: str
    card: str
    hint: int


@dataclass(frozen=True)
class Whisper:
    """Play this to the agent alone, ``level_db`` against the whispers' own level. Begin by ``expires_ms`` or not."""

    whisper: str
    level_db: int
    expires_ms: int


@dataclass(frozen=True)
class StopWhisper:
    """The agent speaks, or wants no whispers: not a frame more of it."""


@dataclass(frozen=True)
class NotAsked:
    """The agent holds, and the caller made no sound between the agent's last words and the hold: nobody seems to have
    asked them. Silence may mean consent, so this is counted softly."""


@dataclass(frozen=True)
class MarkClock:
    """Put a quiet mark at the talk's clock, for the rest of the talk."""

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
    """``{"event": "hold", "by": "agent"}`` as an event. Raises ValueError, with the remedy."""
    given = dict(data)
    name = given.pop("event", None)
    if name not in EVENTS:
        raise ValueError(f"no event {name!r}. Known: {', '.join(EVENTS)}")
    known = {field.name: field for field in fields(EVENTS[name])}
    if extra := set(given) - set(known):
        raise ValueError(f"{name} has no {sorted(extra)[0]!r}. Known: {', '.join(known) or 'nothing'}")
    if missing := [n for n, f in known.items() if f.default is MISSING and n not in given]:
        raise ValueError(f"{name} needs {missing[0]!r}")
    kinds = {"Side": Side, "Key": Key, "float": float}
    for n, value in given.items():
        wanted = {"int": int, "float": int | float, "bool": bool}.get(known[n].type, str)
        if not isinstance(value, wanted) or (wanted is not bool and isinstance(value, bool)):
            raise ValueError(f"{name}: {value!r} is no {n}")
    return EVENTS[name](**{n: kinds.get(known[n].type, lambda v: v)(value) for n, value in given.items()})


def as_dict(what: Event | Action) -> dict[str, Any]:
    """An event or action as JSON takes it."""
    kind = "event" if type(what) in EVENTS.values() else "action"
    return {kind: _words(type(what))} | {field.name: getattr(what, field.name) for field in fields(what)}
