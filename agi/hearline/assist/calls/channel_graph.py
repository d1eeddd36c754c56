"""Connects callers with the agents they talk to. Pure: AMI events in, connected parties out.

A caller is rarely bridged with the agent's phone itself. The queue reaches agents through Local channels, so caller and
agent sit in two bridges with the two halves of a Local channel between them, and a transfer may add more. The graph
assumes nothing about the path: every phone that can be reached from the caller through bridges and Local channels is
connected with the caller. https://docs.asterisk.org/Asterisk_22_Documentation/API_Documentation/AMI_Events/

A connected phone is an agent's only if Hearline's dialplan rang it as one (`HEARLINE_AGENT` on its channel) or a queue
lists it as a member. Nobody whispers to other parties: a relative in a conference, an outside number to which the
caller was transferred, or the caller's own phone if a Local channel brought the call here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain

from hearline.assist.hints.events import Side
from hearline.core.ids import is_call_id, new_call_id
from hearline.core.web_phones import number_of
from hearline.pbx.ami import Message, variables
from hearline.pbx.config import CHANNEL_VARIABLES

CALLER, QUEUE, HEARD, QUEUED_AT, PHRASES, AGENT, CAME_AT, CALL = CHANNEL_VARIABLES
"""The dialplan sets CALLER on the caller's channel, to that channel's own name, and every channel dialled from there
inherits it. AGENT is set on the channel of an agent's phone that has answered, to its own name. CALL is the call's
id."""

_NO_PHONE = ("Local/", "AudioSocket/", "Message/", "Announcer/", "Recorder/", "Surrogate/")


@dataclass(frozen=True)
class Answer:
    """The queue's report of an answered call; empty if we did not see it. ``agent_id``: the work number."""

    agent_id: str = ""
    wait_s: float = 0.0
    ring_s: float = 0.0


@dataclass(frozen=True)
class ConnectedParties:
    """A caller from a queue who was answered, and the channels of the agents' phones connected with them, ordered by
    name. There are none while the caller is being transferred, or is connected with an outside party alone."""

    caller: str
    agents: tuple[str, ...]
    queue: str
    heard: str
    holder: str = ""
    """The channel that has put the other on hold; '' if there is no hold."""
    consulting: tuple[str, ...] = ()
    """The agents who have called a third party meanwhile, from a phone that a queue knows."""
    answer: Answer = Answer()
    numbers: tuple[str, ...] = ()
    """The agents' work numbers, in the same order; '' for a phone that no queue knows."""
    mixed: bool = False
    """True if ``holder`` is in a softmix bridge, which does not pass the hold on."""
    picked_up: bool = False
    """True if they were connected before we began to watch."""
    others: tuple[str, ...] = ()
    """Other connected phones, which are not agents': nobody listens to them or whispers to them."""
    call: str = ""
    """The call's id."""

    @property
    def held_in_silence(self) -> bool:
        """True if an agent holds, and Asterisk plays the caller no music."""
        return self.mixed and self.held_by is Side.AGENT

    @property
    def held_by(self) -> Side | None:
        if not self.holder:
            return None
        return Side.CALLER if self.holder == self.caller else Side.AGENT

    def number(self, agent: str) -> str:
        """The work number of the agent on this channel; '' if unknown."""
        return dict(zip(self.agents, self.numbers)).get(agent, "")


class ChannelGraph:
    """Asterisk's channels and bridges, as far as Hearline's callers are concerned.

    An event is as cheap as its surroundings are small: only the callers that it can affect are looked at again.

    Args:
        new_call_id: makes an id for a call that comes without a valid one, or with one that another caller has.
    """

    def __init__(self, new_call_id: Callable[[], str] = lambda: new_call_id("site", datetime.now(UTC))) -> None:
        self._new_call_id = new_call_id
        self._made: dict[str, str] = {}  # ids that we had to make for calls, by the caller's channel
        self._bridge_of: dict[str, str] = {}  # by channel
        self._members: dict[str, set[str]] = {}  # channels, by bridge
        self._mixed: set[str] = set()  # softmix bridges
        self._callers: dict[str, dict[str, str]] = {}  # their variables, by channel
        self._agents: set[str] = set()  # channels of phones that our dialplan rang as an agent's
        self._answered: set[str] = set()  # callers who are, or were, connected with an agent
        self._holding: set[str] = set()  # channels that have put the others on hold
        self._calls_of: dict[str, set[str]] = {}  # channels of calls that a phone has placed, by phone
        self._numbers: dict[str, str] = {}  # work numbers of queue members, by phone
        self._answers: dict[str, Answer] = {}  # by the caller's channel
        self._ids: dict[str, str] = {}  # Asterisk's unique id by channel, since a restart makes names come again
        self._picked_up: set[str] = set()  # callers who were connected before we began to watch
        self._returning: dict[str, str] = {}  # by the phone of a page that takes its call back: its new channel
        self._found: dict[str, ConnectedParties] = {}  # by the caller's channel
        self._talks_of: dict[str, set[str]] = {}  # callers, by the phone of an agent they are connected with
        self._stale: set[str] = set()  # callers to look at again

    def reset(self, channels: Iterable[Message], bridges: Iterable[Message] = ()) -> None:
        """Take over the lists of ``CoreShowChannels`` and ``BridgeList``, and forget what contradicts them. They do not
        include holds: ask Asterisk about each channel of `connected`, and pass a ``Hold`` event to `hear`."""
        listed = {channel["Channel"]: channel for channel in channels}
        known = {*self._ids, *self._answered, *self._answers, *chain.from_iterable(self._calls_of.values())}
        for channel in known:
            here = listed.get(channel)
            if here is None or self._ids.get(channel, "") not in ("", here.get("Uniqueid")):
                self._forget(channel)
        before = self._callers.copy()
        for known in (self._bridge_of, self._members, self._callers, self._agents, self._holding, self._returning):
            known.clear()
        for channel, message in listed.items():
            if bridge := message.get("BridgeId"):
                self._enter(channel, bridge)
        self._mixed = {bridge["BridgeUniqueid"] for bridge in bridges if bridge.get("BridgeTechnology") == "softmix"}
        for channel, message in sorted(listed.items(), key=lambda one: one[0] not in before):  # they keep their ids
            self._ids[channel] = message.get("Uniqueid", "")
            self._note_variables(channel, message)
        seen = self._answered.copy()
        self._stale = {*self._callers, *self._found}
        self._picked_up |= {talk.caller for talk in self.talks()} - seen
        self._stale = set(self._picked_up)

    def call(self, caller: str) -> str:
        """The id of the call of the caller on this channel, which no other caller has; '' if there is none."""
        return self._made.get(caller) or call_of(self._callers.get(caller, {}))

    def connected(self) -> list[str]:
        """The channels of all callers and agents in `talks`."""
        return [phone for talk in self.talks() for phone in (talk.caller, *talk.agents)]

    def hear(self, event: Message) -> bool:
        """Take in an event. Returns True if `talks` may have changed."""
        channel = event.get("Channel", "")
        self._note_variables(channel, event)
        match event["Event"]:
            case "BridgeEnter":
                bridge = event["BridgeUniqueid"]
                self._touch(channel)
                self._leave(channel)
                self._give_way(channel, bridge, event.get("SwapUniqueid", ""))
                self._enter(channel, bridge)
                (self._mixed.add if event.get("BridgeTechnology") == "softmix" else self._mixed.discard)(bridge)
                self._touch(channel)
            case "BridgeDestroy":
                self._mixed.discard(event["BridgeUniqueid"])
            case "BridgeLeave" if self._returning.get(phone_of(channel), channel) != channel:
                pass  # until the phone's new channel is in its place, which is the next event
            case "BridgeLeave" if self._bridge_of.get(channel) == event["BridgeUniqueid"]:
                self._touch(channel)
                self._leave(channel)
            case "Hangup":
                self._touch(channel)
                self._forget(channel)
            case "Newchannel":
                self._ids[channel] = event.get("Uniqueid", "")
                if _takes_its_call_back(event):
                    self._returning[phone_of(channel)] = channel
                elif event.get("ChannelStateDesc") == "Ring" and not channel.startswith(_NO_PHONE):
                    self._calls_of.setdefault(phone_of(channel), set()).add(channel)
                    self._touch_talks_of(phone_of(channel))
            case "QueueMember" | "QueueMemberStatus" | "QueueMemberAdded":
                phone, number = event.get("StateInterface", ""), event.get("MemberName") or event.get("Name", "")
                if self._numbers.get(phone, "") != number:
                    if number:
                        self._numbers[phone] = number
                    else:  # the phone is no agent's any more, see `queue_members`
                        del self._numbers[phone]
                    self._stale.update(self._callers)
            case "AgentConnect":
                caller = variables(event).get(CALLER) or channel
                self._answers[caller] = Answer(
                    event.get("MemberName", ""), float(event.get("HoldTime", 0)), float(event.get("RingTime", 0))
                )
                self._stale.add(caller)
            case "Rename":
                self._rename(channel, event["Newname"])
            case "Hold":
                self._holding.add(channel)
                self._touch(channel)
            case "Unhold":
                self._holding.discard(channel)
                self._touch(channel)
        return bool(self._stale)

    def talks(self) -> list[ConnectedParties]:
        """The connected parties of every caller who is or was connected with an agent; a caller without one may be in
        a transfer. An object stays the same as long as nothing in it changes."""
        for caller in sorted(self._stale):
            self._look(caller)
        self._stale.clear()
        return list(self._found.values())

    def number(self, channel: str) -> str:
        """The work number of the phone that this channel belongs to; '' if no queue knows it."""
        return self._numbers.get(phone_of(channel), "")

    def unique_id(self, channel: str) -> str:
        """Asterisk's unique id of this channel; '' if unknown."""
        return self._ids.get(channel, "")

    # ---- one caller -------------------------------------------------------------------------------------------------
    def _look(self, caller: str) -> None:
        before, now = self._found.get(caller), self._connected_with(caller)
        if now == before:
            return
        for agent in before.agents if before else ():
            self._talks_of.get(phone_of(agent), set()).discard(caller)
        if now is None:
            del self._found[caller]
            return
        self._found[caller] = now
        for agent in now.agents:
            self._talks_of.setdefault(phone_of(agent), set()).add(caller)

    def _connected_with(self, caller: str) -> ConnectedParties | None:
        known = self._callers.get(caller)
        if known is None:
            return None
        reached = self._reach(caller)
        phones = sorted(c for c in reached if c not in self._callers and not c.startswith(_NO_PHONE))
        agents = tuple(filter(self._is_agent, phones))
        if agents:
            self._answered.add(caller)
        elif caller not in self._answered:
            return None
        holder = min(self._holding & reached, key=lambda channel: (channel == caller, channel), default="")
        return ConnectedParties(
            caller,
            agents,
            known.get(QUEUE, ""),
            known.get(HEARD, ""),
            holder,
            tuple(agent for agent in agents if self._calls_elsewhere(phone_of(agent), reached)),
            self._answers.get(caller, Answer()),
            tuple(map(self.number, agents)),
            self._bridge_of.get(holder) in self._mixed,
            caller in self._picked_up,
            tuple(phone for phone in phones if phone not in agents),
            self.call(caller),
        )

    def _is_agent(self, channel: str) -> bool:
        return channel in self._agents or phone_of(channel) in self._numbers

    def _calls_elsewhere(self, phone: str, reached: set[str]) -> bool:
        """True if this phone has placed a call to somebody who is not ``reached``. Only phones that a queue knows
        count: a trunk, on which another party may be connected, brings all kinds of calls."""
        return phone in self._numbers and not self._calls_of.get(phone, set()) <= reached

    def _reach(self, caller: str) -> set[str]:
        """The channels that are connected with the caller's, itself included. If the caller's channel is a Local one,
        its other half is left out, since the caller's own phone lies beyond it."""
        mine = other_half(caller) if caller.startswith("Local/") else ""
        reached, ahead = {caller}, [caller]
        while ahead:
            for near in self._near(ahead.pop()):
                if near not in reached and near != mine:
                    reached.add(near)
                    ahead.append(near)
        return reached

    def _near(self, channel: str) -> Iterator[str]:
        yield from self._members.get(self._bridge_of.get(channel, ""), ())
        if channel.startswith("Local/"):
            yield other_half(channel)

    # ---- which callers an event concerns ----------------------------------------------------------------------------
    def _touch(self, channel: str) -> None:
        """Mark the callers who are connected with this channel, to be looked at again."""
        reached, ahead = {channel}, [channel]
        while ahead:
            one = ahead.pop()
            if one in self._callers or one in self._found:
                self._stale.add(one)
            fresh = [near for near in self._near(one) if near not in reached]
            reached.update(fresh)
            ahead += fresh

    def _touch_talks_of(self, phone: str) -> None:
        self._stale.update(self._talks_of.get(phone, ()))

    def _note_variables(self, channel: str, event: Message) -> None:
        known = variables(event)
        if known.get(CALLER) == channel and known.get(QUEUE) and self._callers.get(channel) != known:
            self._callers[channel] = known
            claim = call_of(known)
            if channel not in self._made and (not claim or self._is_taken(claim, channel)):
                self._made[channel] = self._new_call_id()
            self._touch(channel)
        if known.get(AGENT) == channel and channel not in self._agents:
            self._agents.add(channel)
            self._touch(channel)

    def _is_taken(self, call: str, channel: str) -> bool:
        """True if another caller who is here has this id. A dialplan may take an id over from another site, and what
        comes from there may have forked. A channel that was renamed does not count: what has its name now is the
        caller."""
        return any(
            other not in (channel, *self._made) and known[CALLER] == other and call_of(known) == call
            for other, known in self._callers.items()
        )

    def _enter(self, channel: str, bridge: str) -> None:
        self._bridge_of[channel] = bridge
        self._members.setdefault(bridge, set()).add(channel)

    def _give_way(self, channel: str, bridge: str, swapped: str) -> None:
        """A page that was lost takes its call back: Asterisk has put its new channel in the place of the one with the
        unique id ``swapped``, which counted as there until now. So the agent is never there twice, nor away."""
        if self._returning.get(phone_of(channel)) != channel:
            return
        del self._returning[phone_of(channel)]
        for old in self._members.get(bridge, frozenset()) - {channel}:
            if swapped and self._ids.get(old) == swapped and phone_of(old) == phone_of(channel):
                self._leave(old)
                self._holding.discard(old)
                if old in self._agents:
                    self._agents.add(channel)
                return

    def _leave(self, channel: str) -> None:
        if bridge := self._bridge_of.pop(channel, ""):
            members = self._members[bridge]
            members.discard(channel)
            if not members:
                del self._members[bridge]

    def _forget(self, channel: str) -> None:
        self._leave(channel)
        if self._returning.get(phone_of(channel)) == channel:
            del self._returning[phone_of(channel)]
        for known in (self._callers, self._answers, self._ids, self._made):
            known.pop(channel, None)
        for channels in (self._agents, self._answered, self._holding, self._picked_up):
            channels.discard(channel)
        if channel in self._found:
            self._stale.add(channel)
        if calls := self._calls_of.get(phone := phone_of(channel)):
            calls.discard(channel)
            if not calls:
                del self._calls_of[phone]
            self._touch_talks_of(phone)

    def _rename(self, old: str, new: str) -> None:
        self._touch(old)
        bridge = self._bridge_of.get(old)
        self._leave(old)
        if bridge:
            self._enter(new, bridge)
        for known in (self._callers, self._answers, self._ids, self._made):
            if old in known:
                known[new] = known.pop(old)
        for channels in (self._agents, self._answered, self._holding, self._picked_up):
            if old in channels:
                channels.remove(old)
                channels.add(new)
        if old in self._found:
            self._stale.add(old)
        self._touch(new)


def _takes_its_call_back(event: Message) -> bool:
    """True if this new channel is that of a page which takes its call back: it calls its own number (INVITE with
    Replaces)."""
    agent = page_of(event.get("Channel", ""))
    return bool(agent) and event.get("ChannelStateDesc") == "Ring" and event.get("Exten") == agent


def call_of(known: Mapping[str, str]) -> str:
    """The call's id among a channel's variables; '' if there is no valid one."""
    claim = known.get(CALL, "")
    return claim if is_call_id(claim) else ""


def other_half(local: str) -> str:
    """The other half of a Local channel: of ``Local/8016@ring-00000001;1`` it is ``…;2``."""
    name, _, half = local.rpartition(";")
    return f"{name};{'2' if half == '1' else '1'}"


def phone_of(channel: str) -> str:
    """The phone of a channel: of ``PJSIP/agent-8016-00000001`` it is ``PJSIP/agent-8016``."""
    return channel.rpartition("-")[0]


def page_of(channel: str) -> str:
    """The work number of the agent whose page this channel's phone is in; '' if it is another phone."""
    technology, _, name = phone_of(channel).partition("/")
    return number_of(name) if technology == "PJSIP" else ""
