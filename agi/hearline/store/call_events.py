"""What is said of a call: the events that door and assist append to their spools, one class each.

The time of an event stands beside it, in its record. ``agent`` is a work number. No field holds personal data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from hearline.core.calendar import LATEST_MS

Moment = Annotated[int, Field(ge=0, le=LATEST_MS)]
"""In ms since 1970."""
WhyLeft = Literal[
    "abandoned", "key", "withdrawn", "callback", "overflow", "timeout", "full", "empty", "closed", "unavailable"
]
"""Why a caller left a queue without an agent. ``abandoned``: the caller hung up. ``key``: pressed a key that leads
out. ``withdrawn``: we took the call out. ``overflow``: sent on to another queue. ``timeout``, ``full``, ``empty``,
``closed``, ``unavailable``: the queue did not keep them."""


@dataclass(frozen=True)
class Caller:
    """A call has come to the IVR. ``caller_key``: keyed hash of the caller's number, '' if it is withheld."""

    caller_key: str = ""


@dataclass(frozen=True)
class Visit:
    """A visit to the IVR is over; appended at its end. ``heard``: what the IVR heard of the caller. ``level``: of their
    speech, dBov. ``outcome``: of the IVR, such as ``queue:care``, ``hangup:silent``, ``message``; '' if it broke off.
    """

    began: Moment
    flow: str
    outcome: str
    heard: str = "unknown"
    level: float | None = None
    trunk: str = ""
    dialled: str = ""


@dataclass(frozen=True)
class Enqueued:
    """The caller has entered a queue. ``via``: the way there, if it is known: ``ivr``, ``transfer``, ``lost`` (the
    agent's phone was lost)."""

    queue: str
    via: Literal["", "ivr", "transfer", "lost"] = ""


@dataclass(frozen=True)
class LeftQueue:
    """The caller has left the queue, and not to an agent."""

    queue: str
    why: WhyLeft


@dataclass(frozen=True)
class PickedUp:
    """An agent has answered the phone, and hears the whisper."""

    agent: str


@dataclass(frozen=True)
class Joined:
    """Agent and caller are connected: the call is answered. ``enqueued``: when the caller's wait began, in case that
    nobody saw it; 0: unknown."""

    agent: str
    queue: str = ""
    enqueued: Moment = 0


@dataclass(frozen=True)
class Parted:
    """Agent and caller are no longer connected."""

    agent: str


@dataclass(frozen=True)
class Present:
    """These agents, and no others, are connected with the caller; ``held_by``: who of them holds. Said by an agent
    assist that has just started: nobody has seen who left meanwhile, so they count as there until now."""

    agents: tuple[str, ...]
    held_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hold:
    """The agent has put the caller on hold."""

    agent: str


@dataclass(frozen=True)
class Unhold:
    """The agent has taken the caller back."""

    agent: str


@dataclass(frozen=True)
class WrappedUp:
    """The agent has finished the work after the call."""

    agent: str


@dataclass(frozen=True)
class Transferred:
    """The agent has transferred the caller: the wait for the next one begins."""

    agent: str
    how: Literal["blind", "attended"]


@dataclass(frozen=True)
class HungUp:
    """Who has ended the talk."""

    side: Literal["caller", "agent"]


@dataclass(frozen=True)
class HandedOver:
    """The agent has handed the caller over to prompts, and is free: no hang-up of the agent's."""

    agent: str
    why: Literal["nuisance", "survey"]


@dataclass(frozen=True)
class CallbackMarked:
    """Whether the call is marked for a callback."""

    agent: str
    marked: bool = True


@dataclass(frozen=True)
class OutcomePicked:
    """The outcome of the call, as the agent sees it: the id of a closing card."""

    agent: str
    outcome: str


@dataclass(frozen=True)
class Ended:
    """The caller's channel is gone."""


CallEvent = (
    Caller | Visit | Enqueued | LeftQueue | PickedUp | Joined | Present | Parted | Hold | Unhold | WrappedUp
    | Transferred | HungUp | HandedOver | CallbackMarked | OutcomePicked | Ended
)  # fmt: skip
KINDS: dict[str, type[CallEvent]] = {
    "caller": Caller,
    "visit": Visit,
    "enqueued": Enqueued,
    "left": LeftQueue,
    "picked_up": PickedUp,
    "joined": Joined,
    "parted": Parted,
    "present": Present,
    "hold": Hold,
    "unhold": Unhold,
    "wrapped_up": WrappedUp,
    "transferred": Transferred,
    "hung_up": HungUp,
    "handed_over": HandedOver,
    "callback": CallbackMarked,
    "outcome": OutcomePicked,
    "ended": Ended,
}
CALLS = "calls"  # the calls that are there when agent assist begins to watch: {"site": …, "calls": [ids]}
TIMELINE = "timeline"  # the record of a visit or talk, as in the JSON files: spare
_NAMES = {of: kind for kind, of in KINDS.items()}


def kind_of(event: CallEvent) -> str:
    return _NAMES[type(event)]


def body_of(event: CallEvent) -> dict[str, Any]:
    return asdict(event)


def event_in(kind: str, body: Mapping[str, Any] | str) -> CallEvent | None:
    """The event in a record, given as an object or as JSON; None for a kind that is not in `KINDS`, and for a body that
    makes no sense. Fields that a newer version has added are ignored."""
    if kind not in KINDS:
        return None
    reads = _reads(kind)
    try:
        return reads.validate_json(body) if isinstance(body, str) else reads.validate_python(body)
    except ValidationError:
        return None


@cache
def _reads(kind: str) -> TypeAdapter:
    return TypeAdapter(KINDS[kind])
