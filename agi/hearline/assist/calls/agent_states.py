"""The state of every agent: idle, ringing, in a talk, or in the minutes after one.

No sockets and no clock of its own: Asterisk's events, talks and levels in, views out (plain dictionaries, as the page
shows them). A phone is an agent's if a queue reports a work number for it. Of a caller's number only the masked form
and the keyed hash are kept.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

from hearline.assist.calls.call_note import CallNote, read_note
from hearline.assist.calls.channel_graph import (
    CALLER,
    CAME_AT,
    HEARD,
    PHRASES,
    QUEUE,
    QUEUED_AT,
    ConnectedParties,
    call_of,
)
from hearline.assist.calls.legs import Leg
from hearline.assist.calls.sessions import HelpCall, TalkSession
from hearline.assist.hints import events as e
from hearline.assist.hints.engine import HOLD_EVERY_MS, Holds
from hearline.assist.hints.events import Key, Side
from hearline.audio.hearing import SpeechEnded, SpeechStarted
from hearline.core.calendar import Calendar
from hearline.core.numbers import Home, masked, normal
from hearline.media.worker_protocol import LegReport
from hearline.pbx.ami import Message, variables
from hearline.pbx.config import NUMBER_SHOWN, PRESENTATION
from hearline.store.earlier_calls import EarlierCall

DAY_S = 86_400
MANY_CALLS = 3  # with this many calls within some days, the caller's trouble may not be over


class Part(StrEnum):
    """What of a call is stored: each part only when it is known or has changed, so that a note that comes late changes
    nothing but the note."""

    TALK = "talk"
    OUTCOME = "outcome"
    NOTE = "note"


class Activity(StrEnum):
    IDLE = "idle"
    RINGING = "ringing"
    TALKING = "talking"
    AFTER = "after"  # the call is over: pick an outcome, write a note


@dataclass(frozen=True)
class Caller:
    """A caller, as far as an agent may see them.

    ``id``: the call's id; until it has one, Asterisk's unique id of the channel. ``number``: masked; '' if there is
    none. ``who``: its keyed hash. ``withheld``: there is a number, but the caller withholds it. ``queued_at``: when
    this wait began, ``came_at``: when the first wait began; s since 1970, 0 if unknown.
    """

    id: str
    channel: str
    number: str = ""
    withheld: bool = False
    who: str = ""
    queue: str = ""
    heard: str = ""
    phrases: str = ""
    queued_at: float = 0.0
    came_at: float = 0.0


@dataclass
class Meter:
    """The present level of one side. ``dbov`` None: not heard yet."""

    dbov: float | None = None
    speaking: bool = False

    def hear(self, message: LegReport) -> None:
        self.dbov = round(message.level_dbov, 1)
        for event in message.events:
            match event:
                case SpeechStarted():
                    self.speaking = True
                case SpeechEnded():
                    self.speaking = False


@dataclass
class AgentState:
    """The state of one agent. Times in s since 1970."""

    agent: str
    state: Activity = Activity.IDLE
    since: float = 0.0
    caller: Caller | None = None
    wait_s: float = 0.0
    earlier: list[EarlierCall] | None = None  # None: still being looked up
    trouble_days: int = 7  # calls within so many days count as recent
    ring_channels: frozenset[str] = frozenset()  # an agent may have several phones
    passed_on_by: str = ""  # work number of the agent who transferred the call
    # The present talk, or the last one.
    talk: TalkSession | None = None
    channel: str = ""
    began: float = 0.0
    talk_s: float = 0.0  # by a clock that never jumps; known once the talk is over
    meters: dict[Side, Meter] = field(default_factory=dict)
    card: e.ShowCard | None = None
    card_from: float = 0.0
    card_until: float = 0.0
    holds: Holds = Holds()
    hold_every_ms: int = HOLD_EVERY_MS
    held_by: Side | None = None
    hold_whisper: e.Whisper | None = None  # the whisper that this agent's phone does not play because it holds
    hold_whisper_ms: int = 0  # when, in ms of the talk
    hold_whisper_at: float = 0.0
    muted: bool = False
    long: bool = False  # a rule has marked the talk as long
    playing: Key | None = None  # the key whose prompt the caller hears
    callback: bool = False  # marked for a callback
    # The agent's own entries.
    outcome: str | None = None
    note: CallNote | None = None  # None: nothing was written
    left_first: Side | None = None
    # How many calls the agent ended first, by business day, so that a clock that jumps back and forth loses none.
    left_first_on: Counter[date] = field(default_factory=Counter)
    counted: bool = True  # False until the calls of before we were started are counted, too

    def view(self, now: float, today: date) -> dict[str, Any]:
        """The state as the page shows it; moments in ms since 1970."""
        call = None
        if self.caller and self.state is not Activity.IDLE:
            call = {
                "id": self.caller.id,
                "number": self.caller.number,
                "withheld": self.caller.withheld,
                "queue": self.caller.queue,
                "wait_s": round(self.wait_s if self.state is not Activity.RINGING else self._waited(now)),
                "since_came_s": self._since_came_s(now),
                "heard": self.caller.heard or "unknown",
                "passed_on_by": self.passed_on_by if self.passed_on_by != self.agent else "",
                "earlier": None if self.earlier is None else [_shown_call(one) for one in self.earlier],
                "known": self._known(),
                "lately": self._lately(now),
                "left_first": self.left_first,
                "outcome": self.outcome or "",
                "note": (self.note or CallNote()).as_dict(),
                "help": self._help(),
            }
        return {
            "agent": self.agent,
            "state": self.state,
            "since": _ms(self.since),
            "call": call,
            "card": self._card(now) if call else None,
            "hold": self._hold() if call else None,
            "muted": self.muted,
            "long": self.long,
            "playing": self.playing,
            "callback": self.callback,
            "left_first_today": self.left_first_on[today] if self.counted else None,
        }

    def _known(self) -> dict[str, str]:
        """The caller's name and form of address, from the last earlier call that has a name."""
        notes = [read_note(one.note) for one in self.earlier or ()]
        return next(({"name": note.name, "title": note.title} for note in notes if note.name), {})

    def _lately(self, now: float) -> dict[str, int] | None:
        """The number of recent calls, this one included; None if there are fewer than `MANY_CALLS` (service standard
        2.29)."""
        since = now - self.trouble_days * DAY_S
        count = 1 + sum(one.at >= since for one in self.earlier or ())
        return {"count": count, "days": self.trouble_days} if count >= MANY_CALLS else None

    def _help(self) -> dict[str, Any] | None:
        asked = self.talk.help if self.talk and self.state is Activity.TALKING else None
        return asked and {"since": _ms(asked.at), "coming": asked.coming}

    def levels(self) -> dict[str, Any]:
        """The levels of both sides."""
        return {side.value: asdict(self.meters.get(side, Meter())) for side in Side}

    def _waited(self, now: float) -> float:
        return max(0.0, now - self.caller.queued_at) if self.caller.queued_at else 0.0

    def _since_came_s(self, now: float) -> int:
        """From the caller's first entry into a queue until this agent answered, talks with other agents included; s."""
        until = now if self.state is Activity.RINGING else self.began
        return round(max(0.0, until - self.caller.came_at)) if self.caller.came_at else 0

    def _card(self, now: float) -> dict[str, Any] | None:
        if self.card is None or (self.state is Activity.AFTER and now >= self.card_until):
            return None
        return {
            "hint": self.card.hint,
            "id": self.card.card,
            "rule": self.card.rule,
            "from": _ms(self.card_from),
            "until": _ms(self.card_until),
        }

    def _hold(self) -> dict[str, Any]:
        since = self.holds.since_ms if self.state is Activity.TALKING else None
        return {
            "since": None if since is None else _ms(self.began) + since,
            "by": self.held_by,
            "whisper_at": _ms(self.hold_whisper_at) if self.hold_whisper else None,
            "every_ms": self.hold_every_ms,
            "count": self.holds.count,
            "not_asked": self.holds.not_asked,
            "promised_ms": self.holds.promised_ms,
            "longest_ms": self.holds.longest_ms,
            "longest_by": self.holds.longest_by,
        }


class AgentStates:
    """The states of all agents.

    Args:
        who: returns the keyed hash of a caller's number.
        calendar: determines the business day.
        number: returns the work number of the phone that a channel belongs to; '' if unknown.
        look_up: starts to look up a caller's earlier calls, for ``know_earlier``.
        meet_agent: called with the work number of an agent who is new here, for ``know_left_first``.
        keep: stores the agent's part of a talk, called when it is over and after each later entry by the agent. The
            future says whether it is stored.
        now: returns s since 1970.
        trouble_days: a caller's calls within so many days count as recent.
        home: country and area of numbers that do not include them.

    ``changed`` is called with the work number of each agent whose view has changed, ``levels`` if only the levels have.
    ``asking_changed`` is called when an agent asks for a supervisor, or no longer does. ``call`` returns the id of the
    call of the caller on a channel, '' if unknown; then the channel's own claim counts.
    """

    def __init__(
        self,
        who: Callable[[str], str],
        calendar: Calendar,
        number: Callable[[str], str] = lambda _channel: "",
        look_up: Callable[[Caller], None] = lambda _caller: None,
        meet_agent: Callable[[str], None] | None = None,
        keep: Callable[[AgentState, Part], Future[bool]] = lambda _state, _part: Future(),
        now: Callable[[], float] = time.time,
        trouble_days: int = AgentState.trouble_days,
        home: Home = Home(),
    ) -> None:
        self._home = home
        self._who, self._number, self._look_up, self._meet_agent = who, number, look_up, meet_agent
        self._keep, self._calendar, self.now, self._trouble_days = keep, calendar, now, trouble_days
        self.changed: Callable[[str], None] = lambda _agent: None
        self.levels: Callable[[str], None] = lambda _agent: None
        self.call: Callable[[str], str] = lambda _channel: ""
        self.asking_changed: Callable[[], None] = lambda: None
        self._states: dict[str, AgentState] = {}
        self._callers: dict[str, Caller] = {}  # by channel
        self._talking: dict[str, list[AgentState]] = {}  # by the caller's channel
        self._last: dict[str, AgentState] = {}  # by agent: the state of the call before
        self._notes: dict[str, CallNote] = {}  # by call, while the caller is there
        self._asking: dict[str, tuple[HelpCall, Caller]] = {}  # by call: open requests for a supervisor
        self._answered_by: dict[str, str] = {}  # by the caller's channel: the agent who had the call last

    def today(self) -> date:
        """The business day."""
        return self._calendar.business_day(datetime.fromtimestamp(self.now(), UTC))

    def of(self, agent: str) -> AgentState:
        """This agent's state; a new one if the agent is not known yet."""
        state = self._states.get(agent)
        if state is None:
            state = self._states[agent] = AgentState(agent, since=self.now())
            if self._meet_agent:
                state.counted = False
                self._meet_agent(agent)
        return state

    def knows(self, agent: str) -> bool:
        """True if anything was heard of this agent."""
        return agent in self._states

    def all(self) -> list[AgentState]:
        """The states of all agents known so far."""
        return list(self._states.values())

    def last_of(self, agent: str) -> AgentState | None:
        """The agent's state of the call before, since a note may come late."""
        return self._last.get(agent)

    # ---- Asterisk's events ------------------------------------------------------------------------------------------
    def hear(self, event: Message) -> None:
        """Take in an event of the manager interface."""
        self._meet(event)
        channel = event.get("Channel", "")
        match event["Event"]:
            case "AgentCalled":
                self._ring(event.get("MemberName", ""), channel, event.get("DestChannel", ""))
            case "Newstate" if event.get("ChannelStateDesc") == "Ringing":  # transferred, without a queue
                caller = variables(event).get(CALLER, "")
                if caller in self._answered_by:
                    self._ring(self._number(channel), caller, channel)
            case "AgentRingNoAnswer":
                self._stop_ringing(lambda state: state.agent == event.get("MemberName"))
            case "AgentConnect":  # one agent has answered, so the others' phones stop ringing
                self._stop_ringing(
                    lambda state: state.caller.channel == channel and state.agent != event.get("MemberName")
                )
            case "QueueCallerAbandon":
                self._stop_ringing(lambda state: state.caller.channel == channel)
            case "Hangup":
                if gone := self._callers.pop(channel, None):
                    self._notes.pop(gone.id, None)
                self._answered_by.pop(channel, None)
                self._stop_ringing(lambda state: state.caller.channel == channel or self._was_the_last(state, channel))
            case "Rename":
                if caller := self._callers.pop(channel, None):
                    self._callers[event["Newname"]] = replace(caller, channel=event["Newname"])
                # A ringing phone's channel has become another phone's: a colleague has picked the call up.
                self._stop_ringing(lambda state: channel in state.ring_channels)

    def reset(self, channels: Iterable[Message]) -> None:
        """Take over the channels after a login to Asterisk. They do not show whose phone rings, so nobody's does."""
        self._callers.clear()
        for channel in channels:
            self._meet(channel)
        here = {caller.id for caller in self._callers.values()}
        self._notes = {call: note for call, note in self._notes.items() if call in here}
        self._answered_by = {channel: who for channel, who in self._answered_by.items() if channel in self._callers}
        self._stop_ringing(lambda state: True)

    def _meet(self, message: Message) -> None:
        """Remember a caller of Hearline's, if the message is about one."""
        channel, known = message.get("Channel", ""), variables(message)
        if not known.get(QUEUE) or known.get(CALLER) != channel:
            return
        before = self._callers.get(channel)
        queued_at = _seconds(known.get(QUEUED_AT, ""))
        if before and (before.heard, before.queue, before.queued_at) == (known.get(HEARD), known[QUEUE], queued_at):
            return
        shown = known.get(PRESENTATION, NUMBER_SHOWN).startswith(NUMBER_SHOWN)
        number = normal(message.get("CallerIDNum", ""), self._home) if shown else ""
        self._callers[channel] = Caller(
            id=self.call(channel) or call_of(known) or message.get("Uniqueid", channel),
            channel=channel,
            number=masked(number, self._home),
            withheld=not shown and known[PRESENTATION].startswith("prohib"),
            who=self._who(number),
            queue=known[QUEUE],
            heard=known.get(HEARD, ""),
            phrases=known.get(PHRASES, "").rpartition("/")[2],
            queued_at=queued_at,
            came_at=_seconds(known.get(CAME_AT, "")),
        )

    def _ring(self, agent: str, channel: str, ring_channel: str) -> None:
        if not agent:
            return
        caller, state = self._callers.get(channel), self.of(agent)
        if caller is None or state.state is Activity.TALKING:
            return
        if state.state is Activity.RINGING and state.caller.channel == channel:  # at the agent's other phone, too
            state.ring_channels |= {ring_channel}
            return
        self._begin(state, Activity.RINGING, caller)
        state.ring_channels, state.passed_on_by = frozenset({ring_channel}), self._answered_by.get(channel, "")
        self.changed(agent)

    @staticmethod
    def _was_the_last(state: AgentState, channel: str) -> bool:
        """True if a phone of this agent no longer rings, and no other one does."""
        left = state.ring_channels - {channel}
        gone, state.ring_channels = left != state.ring_channels and not left, left
        return gone

    def _stop_ringing(self, meant: Callable[[AgentState], bool]) -> None:
        for state in self._states.values():
            if state.state is Activity.RINGING and meant(state):
                self._clear(state)

    # ---- talks ------------------------------------------------------------------------------------------------------
    def follow(self, connected: Iterable[ConnectedParties], talk_of: Callable[[str], TalkSession | None]) -> None:
        """Take over all parties that are connected now; ``talk_of`` finds a talk by the caller's channel."""
        present: dict[str, tuple[TalkSession, str]] = {}
        for parties in connected:
            talk = talk_of(parties.caller)
            for channel in parties.agents if talk else ():
                agent = self._agent_on(channel, parties)
                # An agent with two talks on one phone sees the one that is not on hold.
                if agent and (agent not in present or parties.held_by is None):
                    present[agent] = talk, channel
        for agent, state in self._states.items():
            if state.state is Activity.TALKING and agent not in present:
                self._over(state)
        for agent, (talk, channel) in present.items():
            state = self.of(agent)
            if state.state is not Activity.TALKING or state.talk is not talk:
                self._join(state, talk, channel)
            elif state.channel != channel:
                state.channel = channel
                self.see(talk)
        self._stop_ringing(lambda state: not state.passed_on_by and self._is_with_another(state, present))
        self._talking = {}
        for agent in present:
            self._talking.setdefault(self._states[agent].talk.parties.caller, []).append(self._states[agent])
        for call in self._asking.keys() - {talk.call for talk, _ in present.values()}:
            self._set_help(call, None)

    @staticmethod
    def _is_with_another(state: AgentState, present: dict[str, tuple[TalkSession, str]]) -> bool:
        """True if the caller who rings here is talking with a colleague, who has picked the call up."""
        return any(talk.parties.caller == state.caller.channel for talk, _ in present.values())

    def see(self, talk: TalkSession) -> None:
        """Take over the changes in this talk."""
        for state in self._talking.get(talk.parties.caller, ()):
            if state.talk is talk and state.state is Activity.TALKING:
                self._look(state)
                self.changed(state.agent)
                self._set_help(talk.call, (talk.help, state.caller) if talk.help else None)

    def _set_help(self, call: str, asks: tuple[HelpCall, Caller] | None) -> None:
        if self._asking.get(call) == asks:
            return
        if asks:
            self._asking[call] = asks
        else:
            del self._asking[call]
        self.asking_changed()

    def asking(self) -> list[dict[str, Any]]:
        """The agents who ask for a supervisor, as a supervisor's page shows them; the longest wait first."""
        asked = sorted(self._asking.values(), key=lambda pair: pair[0].at)
        return [
            {"agent": help.by, "call": caller.id, "queue": caller.queue, "since": _ms(help.at), "coming": help.coming}
            for help, caller in asked
        ]

    def hear_level(self, leg: Leg, message: LegReport) -> None:
        """Take in a report of a leg."""
        for state in self._talking.get(leg.caller, ()):
            if leg.side is Side.CALLER or leg.channel == state.channel:
                state.meters.setdefault(leg.side, Meter()).hear(message)
                self.levels(state.agent)

    def _agent_on(self, channel: str, parties: ConnectedParties) -> str:
        """The work number of the agent on this channel; '' if unknown. A known agent stays known, since Asterisk does
        not repeat the queue's report after a reconnect."""
        alone = len(parties.agents) == 1
        known = (state.agent for state in self._talking.get(parties.caller, ()) if state.channel == channel)
        return parties.number(channel) or (parties.answer.agent_id if alone else "") or next(known, "")

    def _join(self, state: AgentState, talk: TalkSession, channel: str) -> None:
        parties = talk.parties
        known = self._callers.get(parties.caller)
        caller = known or Caller(talk.call, parties.caller, queue=parties.queue, heard=parties.heard)
        if caller.id != talk.call:
            caller = self._callers[caller.channel] = replace(caller, id=talk.call)
        if state.state is Activity.TALKING:
            self._over(state)
        self._begin(state, Activity.TALKING, caller)
        state.talk, state.channel, state.began = talk, channel, talk.began_at.timestamp()
        from_queue = "" if channel in talk.answered_by else parties.answer.agent_id
        first = self._answered_by.get(caller.channel, "") or from_queue
        state.passed_on_by = first if first != state.agent else ""
        self._answered_by[caller.channel] = state.agent
        self._look(state)
        self.changed(state.agent)

    def _look(self, state: AgentState) -> None:
        """Take over the present state of the talk and its hints."""
        runner = state.talk.runners.get(state.channel)
        parties = state.talk.parties
        state.held_by, state.left_first = parties.held_by, state.talk.left_first
        waited_s = max(0.0, state.began - (state.caller.queued_at or state.began))
        state.wait_s = parties.answer.wait_s or state.wait_s or waited_s
        state.holds = state.talk.holds
        state.playing, state.callback = state.talk.hears, state.talk.callback
        if runner is None:
            return
        now = self.now()
        if runner.card and (state.card is None or state.card.hint != runner.card.hint):
            state.card_from, state.card_until = now, now - runner.ago_s(runner.card.expires_ms)
        state.card, state.muted, state.hold_every_ms = runner.card, runner.muted, runner.hold_every_ms
        state.long = runner.clock_marked
        last = runner.hold_whisper if parties.holder == state.channel else None
        if last is None:
            state.hold_whisper = None
        elif state.hold_whisper is None or state.hold_whisper_ms != last[1]:
            state.hold_whisper, state.hold_whisper_ms = last
            state.hold_whisper_at = now - runner.ago_s(last[1])

    def _over(self, state: AgentState) -> None:
        state.state, state.since = Activity.AFTER, self.now()
        state.held_by, state.hold_whisper, state.playing, state.holds = None, None, None, state.talk.holds
        state.meters.clear()
        if state.left_first is Side.AGENT:
            state.left_first_on[self.today()] += 1
        state.talk_s = round(state.talk.now_ms / 1_000, 1)
        self._keep(state, Part.TALK)
        self.changed(state.agent)

    def _begin(self, state: AgentState, activity: Activity, caller: Caller) -> None:
        """Begin another call. What is known of this call stays, including the note of a colleague who had it before."""
        known = state.earlier if state.caller and state.caller.id == caller.id else None
        note, days = self._notes.get(caller.id), self._trouble_days
        fresh = AgentState(state.agent, activity, self.now(), caller, earlier=known, note=note, trouble_days=days)
        self._set(state, fresh)
        if known is None:
            self._look_up(caller)

    def _clear(self, state: AgentState) -> None:
        self._set(state, AgentState(state.agent, since=self.now()))
        self.changed(state.agent)

    def _set(self, state: AgentState, fresh: AgentState) -> None:
        if state.state is Activity.AFTER:
            self._last[state.agent] = replace(state)
        fresh.left_first_on, fresh.counted = state.left_first_on, state.counted
        vars(state).update(vars(fresh))

    # ---- from the store ---------------------------------------------------------------------------------------------
    def know_earlier(self, call: str, earlier: list[EarlierCall]) -> None:
        """The earlier calls of this call's caller have been looked up."""
        for state in self._states.values():
            if state.caller and state.caller.id == call:
                state.earlier = earlier
                self.changed(state.agent)

    def know_note(self, call: str, note: CallNote) -> None:
        """What was kept of this call's note before we were there. Whatever was written since counts more."""
        states = [one for one in self._states.values() if one.caller and one.caller.id == call]
        if any(one.note for one in states) or call in self._notes:
            return
        if any(caller.id == call for caller in self._callers.values()):
            self._notes[call] = note
        for state in states:
            state.note = note
            self.changed(state.agent)

    def know_left_first(self, agent: str, day: date, count: int) -> None:
        """Add the calls that the agent ended first on this business day before this process started."""
        state = self.of(agent)
        state.left_first_on[day] += count
        state.counted = True
        self.changed(agent)

    # ---- the agent's own entries ------------------------------------------------------------------------------------
    def pick(self, state: AgentState, outcome: str) -> None:
        state.outcome = outcome
        self._keep(state, Part.OUTCOME)
        self.changed(state.agent)

    def write_note(self, state: AgentState, changes: dict[str, Any]) -> Future[bool]:
        """Apply ``changes`` to the call's note. All agents who have or had the call share its note.

        The future says whether it is stored. Raises ValueError, see `CallNote.changed`."""
        call = state.caller.id
        note = (state.note or CallNote()).changed(changes)
        if any(caller.id == call for caller in self._callers.values()):
            self._notes[call] = note
        for other in (*self._states.values(), *self._last.values()):
            if other.caller and other.caller.id == call:
                other.note = note
                self.changed(other.agent)
        return self._keep(state, Part.NOTE)

    def put_away(self, state: AgentState) -> None:
        """Remove the card that was on the screen when the talk ended."""
        state.card = None
        self.changed(state.agent)

    def done(self, agent: str) -> None:
        """The agent has finished with the last call."""
        state = self.of(agent)
        if state.state is Activity.AFTER:
            self._clear(state)


def _shown_call(one: EarlierCall) -> dict[str, Any]:
    return asdict(one) | {"at": _ms(one.at), "note": read_note(one.note).as_dict() if one.note else None}


def _ms(seconds: float) -> int:
    return round(seconds * 1_000)


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
