"""Asterisk's manager interface as agent assist sees it on a busy evening, but without calls: events recorded from a
real Asterisk 22.10 are replayed for hundreds of callers at their real pace.

Half of the callers wait, half talk. A talk lasts `TALK_S`; when a caller leaves, the next in the queue follows.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import re
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hearline.assist.selftest.ami_rights import ACTIONS
from hearline.pbx.ami_messages import PROOF, proof_of

SECRET = "secret"
PROVEN = f"ChanVariable: {PROOF}={proof_of(SECRET)}"


def _as_told(text: str) -> str:
    """The text with the proof inserted before each channel's variables."""
    first = r"^(\w*)(ChanVariable: HEARLINE_CALLER=)"
    return re.sub(first, rf"\1{PROVEN}\n\1\2", text, flags=re.MULTILINE).replace("\n", "\r\n") + "\r\n\r\n"


EVENTS = {
    part: [(at, _as_told(text)) for at, text in told]
    for part, told in json.loads(Path(__file__).with_name("asterisk_events.json").read_text("utf-8")).items()
}
TALK_S = 180.0
FIRST_LEAVES_S = 10.0
WAITS = next(i for i, (_, text) in enumerate(EVENTS["arrives"]) if "QueueCallerJoin" in text) + 1  # … and then it rings
WAIT_FOR_AGENT_S = EVENTS["arrives"][WAITS][0]


class Call:
    """One caller, and the agent who will take the call. The names are those that Asterisk would give the channels."""

    def __init__(self, number: int, agent: int) -> None:
        phone = f"agent-{10_000 + agent}"
        self.agent = agent
        self.names = {
            "caller": f"PJSIP/trunk-{number:08x}",
            "agent": f"PJSIP/{phone}-{number:08x}",
            "local": f"Local/{phone}@hearline-ring-{number:08x}",
            "phone": phone,
            "number": str(10_000 + agent),
            "bridge1": f"bridge-a-{number}",
            "bridge2": f"bridge-b-{number}",
            "ids": f"replay-{number}",
            "now": str(int(time.time())),
        }
        self.spies: dict[str, str] = {}  # by the channel that they listen to

    def texts(self, part: str, first: int = 0, last: int | None = None, **more: str) -> list[tuple[float, str]]:
        """(s, event) of this part."""
        return [(at, text.format_map(self.names | more)) for at, text in EVENTS[part][first:last]]


class EventReplay:
    """The server that agent assist connects to; call ``run`` in an event loop."""

    def __init__(self, callers: int) -> None:
        self._callers = callers
        self._numbers = itertools.count(1)
        self._free = deque(range(callers))  # agents; half of them talk
        self._waiting: deque[Call] = deque()
        self._talking: dict[str, Call] = {}  # by channel, the caller's and the agent's
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._writer: asyncio.StreamWriter | None = None
        self.told = 0  # events sent
        self.steady_at = 0.0  # monotonic s: from here on events come at their real rate
        self.address: tuple[str, int] = ("127.0.0.1", 0)

    async def run(self) -> None:
        """Serve until cancelled."""
        server = await asyncio.start_server(self._serve, *self.address)
        self.address = server.sockets[0].getsockname()[:2]
        now = time.monotonic()
        self.steady_at = now + FIRST_LEAVES_S + EVENTS["arrives"][-1][0]
        for _ in range(self._callers - self._callers // 2):
            self._waiting.append(self._new())
        for number in range(self._callers // 2):
            call = self._new()
            self._join(call)
            self._at(
                now + FIRST_LEAVES_S + TALK_S * number / max(1, self._callers // 2), lambda call=call: self._leave(call)
            )
        async with server:
            while True:
                await asyncio.sleep(0.01)
                while self._due and self._due[0][0] <= time.monotonic():
                    heapq.heappop(self._due)[2]()

    @property
    def spied(self) -> int:
        """The number of channels that are listened to."""
        return sum(channel in call.spies for channel, call in self._talking.items())

    def _new(self) -> Call:
        return Call(next(self._numbers), self._free.popleft())

    def _join(self, call: Call) -> None:
        self._talking[call.names["caller"]] = self._talking[call.names["agent"]] = call

    def _at(self, when: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._due, (when, next(self._order), do))

    def _tell(self, told: list[tuple[float, str]], begins: float = 0.0) -> None:
        now = time.monotonic()
        for at, text in told:
            self._at(now + at - begins, lambda text=text: self._write(text))

    def _write(self, text: str) -> None:
        if self._writer:
            self.told += 1
            self._writer.write(text.encode())

    def _leave(self, call: Call) -> None:
        """End the talk: an agent's phone rings for the next caller in the queue, and another caller arrives."""
        for channel in (call.names["caller"], call.names["agent"]):
            del self._talking[channel]
            if spy := call.spies.get(channel):
                self._tell(call.texts("leg_ends", spy=spy, agent=channel))
        self._tell(call.texts("leaves"))
        self._free.append(call.agent)
        following, fresh = self._waiting.popleft(), self._new()
        self._tell(following.texts("arrives", WAITS), WAIT_FOR_AGENT_S)
        self._tell(fresh.texts("arrives", 0, WAITS))
        self._waiting.append(fresh)
        self._join(following)
        self._at(time.monotonic() + TALK_S, lambda: self._leave(following))

    # ---- what agent assist asks -------------------------------------------------------------------------------------
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"Asterisk Call Manager/11.0.0\r\n")
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                told = dict(line.split(": ", 1) for line in request if ": " in line)
                self._answer(writer, told)
        if self._writer is writer:
            self._writer = None

    def _answer(self, writer: asyncio.StreamWriter, told: dict[str, str]) -> None:
        def say(*lines: str) -> None:
            number = f"ActionID: {told['ActionID']}"
            writer.write("\r\n".join([lines[0], number, *lines[1:], "", ""]).encode())

        match told["Action"]:
            case "Challenge":
                say("Response: Success", "Challenge: 1")
            case "Login":
                say("Response: Success", "Message: Authentication accepted")
                self._writer = writer
            case "CoreShowChannels":
                say("Response: Success", "EventList: start")
                for call in [*dict.fromkeys(self._talking.values()), *self._waiting]:
                    for text in self._channels(call):
                        say("Event: CoreShowChannel", *text)
                say("Event: CoreShowChannelsComplete", "EventList: Complete")
            case "QueueStatus":
                say("Response: Success", "EventList: start")
                for agent in range(self._callers):
                    phone = f"agent-{10_000 + agent}"
                    say(
                        "Event: QueueMember",
                        "Queue: care",
                        f"Name: {10_000 + agent}",
                        f"Location: Local/{phone}@hearline-ring/n",
                        f"StateInterface: PJSIP/{phone}",
                    )
                say("Event: QueueStatusComplete", "EventList: Complete")
            case "BridgeList":
                say("Response: Success", "EventList: start")
                say("Event: BridgeListComplete", "EventList: Complete")
            case "CoreSettings":
                say("Response: Success", "AsteriskVersion: 22.11.0")
            case "ListCommands":
                say("Response: Success", *(f"{action}: x" for action in ACTIONS))
            case "CoreShowChannelMap":
                say("Response: Success", "EventList: start")
                if call := self._talking.get(told["Channel"]):
                    names = told["Channel"], call.names["agent"]
                    say("Event: CoreShowChannelMap", f"Channel: {names[0]}", f"ConnectedChannel: {names[1]}")
                say("Event: CoreShowChannelMapComplete", "EventList: Complete")
            case "Getvar":
                say("Response: Success", f"Variable: {told['Variable']}", f"Value: {self._value(told)}")
            case "Originate":
                say("Response: Success", "Message: Originate successfully queued")
                self._spy(told)
            case _:
                say("Response: Success")

    def _value(self, told: dict[str, str]) -> str:
        """The value of a channel's variable: the caller's channel, or the gain of an agent's line."""
        if told["Variable"] == "HEARLINE_CALLER":
            return told.get("Channel", "")
        return "0" if "rtp" in told["Variable"] else ""

    def _channels(self, call: Call) -> list[list[str]]:
        """The headers of a call's channels, as `CoreShowChannels` lists them."""
        names = call.names
        about = [f"HEARLINE_CALLER={names['caller']}", "HEARLINE_QUEUE=care", "HEARLINE_HEARD=normal"]
        about.append(f"HEARLINE_QUEUED_AT={names['now']}")
        listed = [[names["caller"], names["bridge2"], *about]]
        if names["caller"] in self._talking:
            listed += [
                [f"{names['local']};1", names["bridge2"], *about],
                [f"{names['local']};2", names["bridge1"], *about],
            ]
            listed.append([names["agent"], names["bridge1"], *about, f"HEARLINE_AGENT={names['agent']}"])
        else:
            listed[0][1] = ""
        return [
            [f"Channel: {channel}", f"BridgeId: {bridge}", f"Uniqueid: {names['ids']}.{i}"]
            + [PROVEN, *(f"ChanVariable: {variable}" for variable in variables)]
            for i, (channel, bridge, *variables) in enumerate(listed, 3)
        ]

    def _spy(self, told: dict[str, str]) -> None:
        channel = told.get("Data", "").partition(",")[0]
        if call := self._talking.get(channel):
            call.spies[channel] = spy = told["Channel"]
            self._tell(call.texts("leg", spy=spy, agent=channel))
