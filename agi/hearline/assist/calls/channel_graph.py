"""Who is talking with whom? Pure: AMI events in, conversations out.

A caller of ours is rarely bridged with the agent's phone itself. The queue reaches agents through Local channels, so
caller and agent sit in two bridges with the two halves of a Local channel between them, and a transfer may put others
in between. So nothing is assumed of the way: whoever can be reached from the caller through bridges and Local channels
is in the conversation. https://docs.asterisk.org/Asterisk_22_Documentation/API_Documentation/AMI_Events/
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from hearline.assist.hints.events import Side
from hearline.pbx.ami import Message, variables
from hearline.pbx.config import CHANNEL_VARIABLES

CALLER, QUEUE, HEARD, QUEUED_AT, PHRASES = CHANNEL_VARIABLES
"""The first is set by the dialplan on the caller's channel to its own name; whatever is dialled from there has it
too."""

_NO_PHONE = ("Local/", "AudioSocket/", "Message/", "Announcer/", "Recorder/", "Surrogate/")


@dataclass(frozen=True)
class Answer:
    """How the queue says it was answered; nothing where we were not there. ``agent_id``: the work number."""

    agent_id: str = ""
    wait_s: float = 0.0
    ring_s: float = 0.0


@dataclass(frozen=True)
class ConnectedParties:
    """A caller who came through a queue and was answered, and the phones that are connected with them, in order of
    their names; none while the caller is passed on."""

    caller: str
    agents: tuple[str, ...]
    queue: str
    heard: str
    holder: str = ""
    """The channel of who has put the other on hold."""
    consulting: tuple[str, ...] = ()
    """Those of the agents who have called somebody else meanwhile, from a phone that a queue knows."""
    answer: Answer = Answer()
    numbers: tuple[str, ...] = ()
    """The agents' work numbers, in the same order; empty where no queue knows the phone."""
    mixed: bool = False
    """Is who holds in a softmix bridge, which tells nobody of it?"""
    picked_up: bool = False
    """It had begun before we were there to see it."""

    @property
    def held_in_silence(self) -> bool:
        """An agent holds, and Asterisk plays the caller no music."""
        return self.mixed and self.held_by is Side.AGENT

    @property
    def held_by(self) -> Side | None:
        if not self.holder:
            return None
        return Side.CALLER if self.holder == self.caller else Side.AGENT

    def number(self, agent: str) -> str:
        """The work number of who is on this channel; empty where it is not known."""
        return dict(zip(self.agents, self.numbers)).get(agent, "")


class ChannelGraph:
    """What Asterisk's channels and bridges look like, as far as callers of ours go."""

    def __init__(self) -> None:
        self._bridge_of: dict[str, str] = {}  # by channel
        self._mixed: set[str] = set()  # bridges that softmix mixes
        self._callers: dict[str, dict[str, str]] = {}  # their variables, by channel
        self._answered: set[str] = set()  # callers who are, or were, connected with a phone
        self._holding: set[str] = set()  # channels that have put the others on hold
        self._calls_of: dict[str, set[str]] = {}  # channels on which a phone has called us, by phone
        self._numbers: dict[str, str] = {}  # work numbers, by phone, of those who are in a queue
        self._answers: dict[str, Answer] = {}  # by the caller's channel
        self._ids: dict[str, str] = {}  # Asterisk's own for each channel: names come again when it has been restarted
        self._picked_up: set[str] = set()  # callers who were connected before we were there

    def reset(self, channels: Iterable[Message], bridges: Iterable[Message] = ()) -> None:
        """Take over what ``CoreShowChannels`` and ``BridgeList`` tell, forget what they contradict. They say nothing
        of holds: ask for each of `connected`, and let `hear` know."""
        listed = {told["Channel"]: told for told in channels}
        known = {*self._ids, *self._answered, *self._answers, *chain.from_iterable(self._calls_of.values())}
        for channel in known:
            here = listed.get(channel)
            if here is None or self._ids.get(channel, "") not in ("", here.get("Uniqueid")):
                self._forget(channel)
        self._bridge_of = {c: told["BridgeId"] for c, told in listed.items() if told.get("BridgeId")}
        self._mixed = {told["BridgeUniqueid"] for told in bridges if told.get("BridgeTechnology") == "softmix"}
        self._callers.clear()
        self._holding.clear()
        for channel, told in listed.items():
            self._ids[channel] = told.get("Uniqueid", "")
            self._note_variables(channel, told)
        seen = self._answered.copy()
        self._picked_up |= {talk.caller for talk in self.conversations()} - seen

    def connected(self) -> list[str]:
        """The channels of all phones that are in a conversation, callers' and agents'."""
        return [phone for talk in self.conversations() for phone in (talk.caller, *talk.agents)]

    def _forget(self, channel: str) -> None:
        for known in (self._bridge_of, self._callers, self._answers, self._ids):
            known.pop(channel, None)
        for channels in (self._answered, self._holding, self._picked_up):
            channels.discard(channel)
        if calls := self._calls_of.get(phone_of(channel)):
            calls.discard(channel)
            if not calls:
                del self._calls_of[phone_of(channel)]

    def hear(self, event: Message) -> bool:
        """Take in an event; True where conversations may have changed."""
        channel, before = event.get("Channel", ""), len(self._callers)
        self._note_variables(channel, event)
        match event["Event"]:
            case "BridgeEnter":
                self._bridge_of[channel] = bridge = event["BridgeUniqueid"]
                (self._mixed.add if event.get("BridgeTechnology") == "softmix" else self._mixed.discard)(bridge)
            case "BridgeDestroy":
                self._mixed.discard(event["BridgeUniqueid"])
                return False
            case "BridgeLeave":
                if self._bridge_of.get(channel) == event["BridgeUniqueid"]:
                    del self._bridge_of[channel]
            case "Hangup":
                self._forget(channel)
            case "Newchannel":
                self._ids[channel] = event.get("Uniqueid", "")
                if event.get("ChannelStateDesc") != "Ring" or channel.startswith(_NO_PHONE):
                    return len(self._callers) != before
                self._calls_of.setdefault(phone_of(channel), set()).add(channel)
            case "QueueMember" | "QueueMemberStatus" | "QueueMemberAdded":
                phone, number = event.get("StateInterface", ""), event.get("MemberName") or event.get("Name", "")
                known = self._numbers.get(phone) == number
                self._numbers[phone] = number
                return not known
            case "AgentConnect":
                self._answers[variables(event).get(CALLER) or channel] = Answer(
                    event.get("MemberName", ""), float(event.get("HoldTime", 0)), float(event.get("RingTime", 0))
                )
            case "Rename":
                self._rename(channel, event["Newname"])
            case "Hold":
                self._holding.add(channel)
            case "Unhold":
                self._holding.discard(channel)
            case _:
                return len(self._callers) != before
        return True

    def conversations(self) -> list[ConnectedParties]:
        """Of every caller who is connected with at least one phone, or was: they may be passed on."""
        members: dict[str, list[str]] = {}
        for channel, bridge in self._bridge_of.items():
            members.setdefault(bridge, []).append(channel)
        found = []
        for caller, told in self._callers.items():
            reached = self._reach(caller, members)
            others = reached - self._callers.keys()  # two callers may be joined with each other: neither is an agent
            agents = tuple(sorted(channel for channel in others if not channel.startswith(_NO_PHONE)))
            if agents:
                self._answered.add(caller)
            elif caller not in self._answered:
                continue
            holder = min(self._holding & reached, key=lambda channel: (channel == caller, channel), default="")
            found.append(
                ConnectedParties(
                    caller,
                    agents,
                    told.get(QUEUE, ""),
                    told.get(HEARD, ""),
                    holder,
                    tuple(agent for agent in agents if self._calls_elsewhere(phone_of(agent), reached)),
                    self._answers.get(caller, Answer()),
                    tuple(map(self.number, agents)),
                    self._bridge_of.get(holder) in self._mixed,
                    caller in self._picked_up,
                )
            )
        return found

    def number(self, channel: str) -> str:
        """The work number of whose phone this channel is on; empty where no queue knows it."""
        return self._numbers.get(phone_of(channel), "")

    def number_of_phone(self, phone: str) -> str | None:
        """The work number that a queue has told for this phone; None where none has."""
        return self._numbers.get(phone)

    def unique_id(self, channel: str) -> str:
        """Asterisk's own for this channel; '' where it is not known."""
        return self._ids.get(channel, "")

    def _calls_elsewhere(self, phone: str, reached: set[str]) -> bool:
        """A trunk, by which somebody may be connected as well, is no agent's phone: it brings all kinds of calls."""
        return phone in self._numbers and not self._calls_of.get(phone, set()) <= reached

    def _note_variables(self, channel: str, event: Message) -> None:
        told = variables(event)
        if told.get(CALLER) == channel and told.get(QUEUE):
            self._callers[channel] = told

    def _rename(self, old: str, new: str) -> None:
        for known in (self._bridge_of, self._callers, self._answers, self._ids):
            if old in known:
                known[new] = known.pop(old)
        for channels in (self._answered, self._holding, self._picked_up):
            if old in channels:
                channels.remove(old)
                channels.add(new)

    def _reach(self, start: str, members: dict[str, list[str]]) -> set[str]:
        reached, ahead = {start}, [start]
        while ahead:
            channel = ahead.pop()
            near = list(members.get(self._bridge_of.get(channel, ""), ()))
            if channel.startswith("Local/"):
                near.append(other_half(channel))
            for neighbour in near:
                if neighbour not in reached:
                    reached.add(neighbour)
                    ahead.append(neighbour)
        return reached


def other_half(local: str) -> str:
    """``Local/8016@ring-00000001;1`` has ``…;2`` on its other side."""
    name, _, half = local.rpartition(";")
    return f"{name};{'2' if half == '1' else '1'}"


def phone_of(channel: str) -> str:
    """``PJSIP/agent-8016-00000001`` is a call of ``PJSIP/agent-8016``."""
    return channel.rpartition("-")[0]
