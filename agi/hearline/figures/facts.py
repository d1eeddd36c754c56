"""The events of one call become facts: its contact, its stints, its segments. Pure.

- A **contact** is a call, whatever becomes of it: the unit of all figures.
- A **stint** is one stay in a queue, or the wait for an agent to whom the caller was passed directly. Who comes back to
  a queue begins another stint; the first one stays as it was.
- A **segment** is one agent's part in a stint: the time in which agent and caller were connected, `talk` and `hold`,
  and the work after it, `wrap`. Each agent answers for their own time only.

*Answered* means joined: until then the agent has picked up, and hears the whisper. *Abandoned* means that the caller
hung up while waiting, and not that they pressed a key, were withdrawn, sent on, promised a callback, said goodbye to by
the IVR, or handed over as a nuisance.

Facts are worked out from all events of the call, so an event that comes late changes them to what they would have been.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from hearline.core.ids import site_of
from hearline.store.call_events import (
    CallbackMarked,
    Caller,
    CallEvent,
    Ended,
    Enqueued,
    HandedOver,
    Hold,
    HungUp,
    Joined,
    LeftQueue,
    OutcomePicked,
    Parted,
    PickedUp,
    Present,
    Transferred,
    Unhold,
    Visit,
    WrappedUp,
)

RULES_VERSION = 1  # of these definitions; it stands in each contact
FCR_MS = 72 * 3_600_000  # first-contact resolution is settled so long after the end
NUISANCE = "nuisance"


@dataclass(frozen=True)
class Said:
    """An event, when it happened (ms since 1970), and where it was said: the number of its record within its stream."""

    stream: int
    number: int
    at: int
    event: CallEvent


@dataclass
class Segment:
    """``stint``: its ``seq``. ``began``, ``ended``: connected first and last. ``talk``: connected without ``hold``.
    ``wrap``: None until it is known. Of a segment that goes on (``ended`` is None), only what is over is in them. Times
    in ms."""

    stint: int
    agent: str
    began: int
    ended: int | None = None
    talk: int = 0
    hold: int = 0
    holds: int = 0
    longest_hold: int = 0
    wrap: int | None = None


@dataclass
class Stint:
    """``via``: how the caller came: from the IVR, again (``requeue``), by a ``transfer`` to the queue, because the
    agent's phone was ``lost``, passed on to an ``agent`` directly, or ``unseen``. ``left``: when the wait was over.
    ``why_left``: ``answered``, ``nuisance`` or one of `call_events.WhyLeft`; '' as long as the caller waits.
    ``picked_up``: when the agent who was joined answered the phone."""

    seq: int
    queue: str
    via: str
    enqueued: int
    left: int | None = None
    why_left: str = ""
    picked_up: int | None = None
    joined: int | None = None
    segments: list[Segment] = field(default_factory=list)


@dataclass
class Contact:
    """``ended``: None while the call goes on. ``ended_as``: ``answered`` if any agent was joined, else why the last
    stint was left, ``ivr`` if there was none; '' while that is open. ``first_hangup``: ``caller``, ``agent`` or ''
    (nobody, or the agent had handed over). ``fcr_due``: when it is settled whether this contact solved the matter;
    None unless it was answered, is over, and has a caller to be known again."""

    call: str
    began: int
    site: str = ""
    trunk: str = ""
    dialled: str = ""
    flow: str = ""
    caller_key: str = ""
    ended: int | None = None
    heard: str = ""
    level: float | None = None
    ivr_outcome: str = ""
    ended_as: str = ""
    outcome: str = ""
    first_hangup: str = ""
    callback: bool = False
    fcr_due: int | None = None
    rules_version: int = RULES_VERSION


@dataclass(frozen=True)
class Facts:
    contact: Contact
    stints: list[Stint]

    @property
    def segments(self) -> list[Segment]:
        return [segment for stint in self.stints for segment in stint.segments]


def facts_of(call: str, said: Iterable[Said]) -> Facts | None:
    """The facts of a call; None if nothing was said of it."""
    ordered = list(in_order(said))
    if not ordered:
        return None
    history = _History(call, min(one.event.began if isinstance(one.event, Visit) else one.at for one in ordered))
    for one in ordered:
        history.hear(one.at, one.event)
    return history.facts()


def in_order(said: Iterable[Said]) -> Iterator[Said]:
    """The events by time, those of one stream in the order of their numbers: where a clock was set back, a time counts
    as the latest before it, so no duration is negative."""
    latest: dict[int, int] = {}
    settled = []
    for one in sorted(said, key=lambda one: (one.stream, one.number)):
        at = latest[one.stream] = max(one.at, latest.get(one.stream, one.at))
        settled.append(Said(one.stream, one.number, at, one.event))
    return iter(sorted(settled, key=lambda one: (one.at, one.stream, one.number)))


@dataclass
class _Part:
    """An agent who is connected with the caller: since when, since when the caller is on hold, and for how long the
    caller was on hold in earlier holds."""

    segment: Segment
    since: int
    held_since: int | None = None
    held: int = 0


class _History:
    def __init__(self, call: str, began: int) -> None:
        self._contact = Contact(call, began, site_of(call))
        self._stints: list[Stint] = []
        self._parts: dict[str, _Part] = {}  # by agent
        self._picked_up: dict[str, int] = {}  # by agent
        self._passed_on: int | None = None  # since when the caller waits for whom they were transferred to
        self._handed_over = self._nuisance = False
        self._ended_in_ivr: int | None = None
        self._visited = False

    def hear(self, at: int, event: CallEvent) -> None:
        contact = self._contact
        match event:
            case Caller(caller_key):
                contact.caller_key = contact.caller_key or caller_key
            case Visit():
                self._visit(at, event)
            case Enqueued(queue, via):
                self._enqueue(at, queue, via)
            case LeftQueue(queue, why):
                if (stint := self._waiting()) and stint.queue == queue:
                    _leave(stint, at, self._why(why))
            case PickedUp(agent):
                self._picked_up[agent] = at
            case Joined():
                self._join(at, event)
            case Parted(agent):
                self._part(at, agent)
            case Present(agents, held_by):
                for agent in self._parts.keys() - set(agents):
                    self._part(at, agent)
                for agent in self._parts.keys() - set(held_by):
                    _unhold(self._parts[agent], at)
            case Hold(agent):
                if (part := self._parts.get(agent)) and part.held_since is None:
                    part.held_since = at
            case Unhold(agent):
                if part := self._parts.get(agent):
                    _unhold(part, at)
            case WrappedUp(agent):
                segment = self._last_segment(agent)
                if segment and segment.ended is not None and segment.wrap is None:
                    segment.wrap = at - segment.ended
            case Transferred(agent):
                if not self._parts.keys() - {agent}:  # else the next one is there already
                    self._passed_on = at
            case HungUp(side):
                if not contact.first_hangup and not self._handed_over:
                    contact.first_hangup = side
            case HandedOver(agent, why):
                self._handed_over = True
                self._nuisance = self._nuisance or why == NUISANCE
            case CallbackMarked(_, marked):
                contact.callback = marked
            case OutcomePicked(_, outcome):
                contact.outcome = outcome
            case Ended():
                self._end(at)

    def facts(self) -> Facts:
        contact = self._contact
        if contact.ended is None and not self._stints:
            contact.ended = self._ended_in_ivr
        if any(stint.joined is not None for stint in self._stints):
            contact.ended_as = "answered"
        elif self._stints:
            contact.ended_as = self._stints[-1].why_left
        elif contact.ended is not None:
            contact.ended_as = "ivr"
        if contact.ended is not None and contact.ended_as == "answered" and contact.caller_key:
            contact.fcr_due = contact.ended + FCR_MS
        return Facts(contact, self._stints)

    # ---- the IVR and the queue --------------------------------------------------------------------------------------
    def _visit(self, at: int, visit: Visit) -> None:
        """The first visit says how the call came; a later one, to the prompts for a nuisance call, only how it ended
        if no queue follows."""
        contact = self._contact
        if not self._visited:
            self._visited = True
            contact.trunk, contact.dialled, contact.flow = visit.trunk, visit.dialled, visit.flow
            contact.heard, contact.level, contact.ivr_outcome = visit.heard, visit.level, visit.outcome
        self._ended_in_ivr = at if visit.outcome.startswith("hangup") else None

    def _enqueue(self, at: int, queue: str, via: str) -> None:
        if stint := self._waiting():
            if stint.queue == queue:  # said again, as after a restart
                return
            _leave(stint, at, "overflow")
        via = via or ("requeue" if self._stints else "ivr")
        self._stints.append(Stint(len(self._stints) + 1, queue, via, at))
        self._passed_on = None

    def _waiting(self) -> Stint | None:
        return self._stints[-1] if self._stints and self._stints[-1].left is None else None

    def _why(self, why: str) -> str:
        return NUISANCE if self._nuisance and why == "abandoned" else why

    # ---- agents -----------------------------------------------------------------------------------------------------
    def _join(self, at: int, joined: Joined) -> None:
        agent = joined.agent
        stint, segment = self._waiting(), None
        if agent in self._parts:
            if stint is None:  # said again
                return
            self._part(at, agent)  # nobody has seen them part
        if stint is None and (segment := self._comes_back(agent)) is None:
            stint = self._passed_to_agent(at, joined)
        if stint is not None:
            picked_up = self._picked_up.pop(agent, None)
            if picked_up is not None and picked_up >= stint.enqueued:
                stint.picked_up = picked_up
            stint.joined = at
            _leave(stint, at, "answered")
            segment = Segment(stint.seq, agent, at)
            stint.segments.append(segment)
        assert segment is not None
        segment.ended, segment.wrap = None, None
        self._parts[agent] = _Part(segment, at)
        self._passed_on, self._handed_over = None, False

    def _comes_back(self, agent: str) -> Segment | None:
        """The segment that goes on: this agent had it in the present stint, and nobody has passed the caller on."""
        if self._passed_on is not None or not self._stints:
            return None
        return next((one for one in self._stints[-1].segments if one.agent == agent), None)

    def _passed_to_agent(self, at: int, joined: Joined) -> Stint:
        """A stint for a caller who waits in no queue that we have seen."""
        before = self._stints[-1].queue if self._stints else ""
        if self._stints:
            via, began = "agent", self._passed_on
        else:
            via, began = "unseen", joined.enqueued
        stint = Stint(len(self._stints) + 1, joined.queue or before, via, min(began or at, at))
        self._stints.append(stint)
        return stint

    def _part(self, at: int, agent: str) -> None:
        if part := self._parts.pop(agent, None):
            _unhold(part, at)
            part.segment.talk += at - part.since - part.held
            part.segment.ended = at

    def _last_segment(self, agent: str) -> Segment | None:
        return next((one for stint in reversed(self._stints) for one in stint.segments if one.agent == agent), None)

    def _end(self, at: int) -> None:
        for agent in list(self._parts):
            self._part(at, agent)
        if stint := self._waiting():
            _leave(stint, at, self._why("abandoned"))
        self._contact.ended = at


def _leave(stint: Stint, at: int, why: str) -> None:
    stint.left, stint.why_left = at, why


def _unhold(part: _Part, at: int) -> None:
    """The hold is over, if there is one."""
    if part.held_since is not None:
        held = at - part.held_since
        part.held += held
        segment = part.segment
        segment.hold, segment.holds = segment.hold + held, segment.holds + 1
        segment.longest_hold = max(segment.longest_hold, held)
        part.held_since = None
