"""Reports what becomes of each call after the IVR, for the ledger: queue, agents, holds, transfers, the end.

No sockets and no files: Asterisk's events, talks and agents' states in, the ledger's events out. After a restart it
says again what it finds, which the ledger counts once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from hearline.assist.calls.agent_states import Activity, AgentState
from hearline.assist.calls.channel_graph import AGENT, CALLER, QUEUED_AT, ConnectedParties, phone_of
from hearline.assist.hints.events import Side
from hearline.core.channel_names import shown
from hearline.pbx.ami import Message, variables
from hearline.store.call_events import (
    CallbackMarked,
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
    WrappedUp,
)

HANGS_UP_MS = 1_000  # whoever leaves a queue by hanging up is gone within this time

Say = Callable[[str, CallEvent, int], object]


@dataclass
class _Call:
    """A caller's call, from the queue on. ``queue``: the last one; '' before any. ``waits``: from there on until an
    agent is joined. ``left``, ``queued_at``: when the caller has left and entered it, ms since 1970; 0 if unknown.
    ``agents``: the names of the connected agents, by channel. ``holds``: the name of the agent who holds.
    ``passed_on``: transferred, and not with anybody yet. ``picked_up``: phones that an agent has answered."""

    call: str
    queue: str = ""
    waits: bool = False
    left: int = 0
    queued_at: int = 0
    agents: dict[str, str] = field(default_factory=dict)
    holds: str = ""
    passed_on: bool = False
    picked_up: set[str] = field(default_factory=set)


class CallReports:
    """
    Args:
        say: takes the call's id, an event, and when it happened (ms since 1970).
        call: the id of the call of the caller on a channel; '' if there is none.
        number: the work number of the phone that a channel belongs to; '' if unknown.
        now: s since 1970.
    """

    def __init__(
        self,
        say: Say,
        call: Callable[[str], str],
        number: Callable[[str], str],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._say, self._id, self._number, self._now = say, call, number, now
        self._calls: dict[str, _Call] = {}  # by the caller's channel
        self._after: dict[str, str] = {}  # the call after which an agent still works, by work number

    # ---- Asterisk's events, after the graph has heard them ----------------------------------------------------------
    def reset(self, channels: Iterable[Message]) -> None:
        """Take over the channels after a login to Asterisk. Calls that are not among them are over."""
        here = {channel["Channel"] for channel in channels}
        for gone in self._calls.keys() - here:
            self._end(gone)

    def hear(self, event: Message) -> None:
        channel, known = event.get("Channel", ""), variables(event)
        caller = known.get(CALLER, "")
        if known.get(AGENT) == channel and (call := self._calls.get(caller)) and channel not in call.picked_up:
            call.picked_up.add(channel)
            self._tell(call, PickedUp(self._name(channel)))
        match event["Event"]:
            case "QueueCallerJoin" if caller == channel:  # otherwise an agent asks a queue about a caller
                if call := self._meet(channel):
                    call.queue, call.waits, call.left = event.get("Queue", ""), True, 0
                    call.queued_at = _ms(known.get(QUEUED_AT, ""))
                    self._tell(call, Enqueued(call.queue, "transfer" if call.passed_on else ""))
                    call.passed_on = False
            case "QueueCallerLeave":
                if (call := self._calls.get(channel)) and call.queue == event.get("Queue"):
                    call.left = self._at()
            case "Hangup":
                self._end(channel)
            case "Rename":
                if call := self._calls.pop(channel, None):
                    self._calls[event["Newname"]] = call
                self._renamed(channel, event["Newname"])

    def follow(self, connected: Iterable[ConnectedParties]) -> None:
        """Take over all parties that are connected now."""
        present = {parties.caller: parties for parties in connected}
        for caller, call in self._calls.items():
            if call.agents and caller not in present:
                self._connect(call, {}, "")
        for caller, parties in present.items():
            new = caller not in self._calls
            if call := self._meet(caller):
                known = zip(parties.agents, parties.numbers)
                agents = {channel: call.agents.get(channel) or self._name(channel, number) for channel, number in known}
                holds = agents.get(parties.holder, "") if parties.held_by is Side.AGENT else ""
                if parties.queue and not call.queue:
                    call.queue = parties.queue
                if new:
                    self._tell(call, Present(tuple(sorted(agents.values())), (holds,) if holds else ()))
                self._connect(call, agents, holds)

    def recorded(self, call_id: str, event: dict[str, Any]) -> None:
        """An event was added to the record of a talk."""
        call = next((one for one in self._calls.values() if one.call == call_id), None)
        match event["event"]:
            case "outcome":
                self._say(call_id, OutcomePicked(event["agent"], event["outcome"]), self._at())
            case "hung_up" if call:
                self._tell(call, HungUp(event["side"]))
            case "handed_over" if call:
                self._tell(call, HandedOver(next(iter(call.agents.values()), ""), event["to"]))
            case "callback_marked" if call:
                self._tell(call, CallbackMarked(next(iter(call.agents.values()), "")))
            case "transferred" if call:
                by = {shown(channel): name for channel, name in call.agents.items()}
                self._tell(call, Transferred(by.get(event["channel"], ""), event["how"]))
                call.passed_on = True

    def see(self, state: AgentState) -> None:
        """The state of an agent may have changed: the work after a call is over once the agent is in another state, or
        in one about another call."""
        before = self._after.get(state.agent)
        now = state.caller.id if state.state is Activity.AFTER and state.caller else None
        if before and before != now:
            del self._after[state.agent]
            self._say(before, WrappedUp(state.agent), self._at())
        if now:
            self._after[state.agent] = now

    # ---- one call ---------------------------------------------------------------------------------------------------
    def _meet(self, caller: str) -> _Call | None:
        if caller not in self._calls and (call := self._id(caller)):
            self._calls[caller] = _Call(call)
        return self._calls.get(caller)

    def _connect(self, call: _Call, agents: dict[str, str], holds: str) -> None:
        """``agents`` are connected now, and the one named ``holds`` holds. An agent may change phones."""
        before, now = set(call.agents.values()), set(agents.values())
        if call.holds and call.holds != holds:
            self._tell(call, Unhold(call.holds))
        for gone in sorted(before - now):
            self._tell(call, Parted(gone))
        for come in sorted(now - before):
            self._tell(call, Joined(come, call.queue, call.queued_at))
            call.passed_on = call.waits = False
        if holds and holds != call.holds:
            self._tell(call, Hold(holds))
        call.agents, call.holds = agents, holds

    def _end(self, caller: str) -> None:
        if call := self._calls.pop(caller, None):
            self._connect(call, {}, "")
            if call.waits and call.left and self._at() - call.left > HANGS_UP_MS:
                self._say(call.call, LeftQueue(call.queue, "unavailable"), call.left)
            self._tell(call, Ended())

    def _renamed(self, old: str, new: str) -> None:
        for call in self._calls.values():
            if old in call.agents:
                call.agents[new] = call.agents.pop(old)

    def _tell(self, call: _Call, event: CallEvent) -> None:
        self._say(call.call, event, self._at())

    def _name(self, channel: str, number: str = "") -> str:
        """An agent's work number; where no queue knows the phone, the phone's name."""
        return number or self._number(channel) or phone_of(channel).rpartition("/")[2]

    def _at(self) -> int:
        return round(self._now() * 1_000)


def _ms(seconds: str) -> int:
    try:
        return round(float(seconds) * 1_000)
    except ValueError:
        return 0
