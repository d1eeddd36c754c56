"""Who is talking with whom? Pure: AMI events in, conversations out.

A caller of ours is rarely bridged with the agent's phone itself. The queue reaches agents through Local channels, so
caller and agent sit in two bridges with the two halves of a Local channel between them, and a transfer may put others
in between. So nothing is assumed of the way: whoever can be reached from the caller through bridges and Local channels
is in the conversation. https://docs.asterisk.org/Asterisk_22_Documentation/API_Documentation/AMI_Events/
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hearline.assist.events import Side
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
class Conversation:
    """A caller who came through a queue, and the phones that are connected with them, in order of their names."""

    caller: str
    agents: tuple[str, ...]
    queue: str
    heard: str
    held_by: Side | None = None
    """Who has put the other on hold."""
    answer: Answer = Answer()


class Switchboard:
    """What Asterisk's channels and bridges look like, as far as callers of ours go."""

    def __init__(self) -> None:
        self._bridge_of: dict[str, str] = {}  # by channel
        self._callers: dict[str, dict[str, str]] = {}  # their variables, by channel
        self._holding: set[str] = set()  # channels that have put the others on hold
        self._answers: dict[str, Answer] = {}  # by the caller's channel

    def reset(self, channels: Iterable[Message]) -> None:
        """Forget everything and take over what ``CoreShowChannels`` lists."""
        self._bridge_of.clear()
        self._callers.clear()
        self._holding.clear()
        self._answers.clear()
        for listed in channels:
            self._note_variables(listed["Channel"], listed)
            if listed.get("BridgeId"):
                self._bridge_of[listed["Channel"]] = listed["BridgeId"]

    def hear(self, event: Message) -> bool:
        """Take in an event; True where conversations may have changed."""
        channel, before = event.get("Channel", ""), len(self._callers)
        self._note_variables(channel, event)
        match event["Event"]:
            case "BridgeEnter":
                self._bridge_of[channel] = event["BridgeUniqueid"]
            case "BridgeLeave":
                if self._bridge_of.get(channel) == event["BridgeUniqueid"]:
                    del self._bridge_of[channel]
            case "Hangup":
                for known in (self._bridge_of, self._callers, self._answers):
                    known.pop(channel, None)
                self._holding.discard(channel)
            case "AgentConnect":
                self._answers[channel] = Answer(
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

    def conversations(self) -> list[Conversation]:
        """Of every caller who is connected with at least one phone."""
        members: dict[str, list[str]] = {}
        for channel, bridge in self._bridge_of.items():
            members.setdefault(bridge, []).append(channel)
        found = []
        for caller, told in self._callers.items():
            reached = self._reach(caller, members)
            agents = tuple(sorted(channel for channel in reached - {caller} if not channel.startswith(_NO_PHONE)))
            if agents:
                found.append(
                    Conversation(
                        caller,
                        agents,
                        told.get(QUEUE, ""),
                        told.get(HEARD, ""),
                        self._held_by(caller, reached),
                        self._answers.get(caller, Answer()),
                    )
                )
        return found

    def _held_by(self, caller: str, reached: set[str]) -> Side | None:
        if self._holding.isdisjoint(reached):
            return None
        return Side.CALLER if caller in self._holding else Side.AGENT

    def _note_variables(self, channel: str, event: Message) -> None:
        told = variables(event)
        if told.get(CALLER) == channel and told.get(QUEUE):
            self._callers[channel] = told

    def _rename(self, old: str, new: str) -> None:
        for known in (self._bridge_of, self._callers, self._answers):
            if old in known:
                known[new] = known.pop(old)
        if old in self._holding:
            self._holding.remove(old)
            self._holding.add(new)

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
