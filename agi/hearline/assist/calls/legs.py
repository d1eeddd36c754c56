"""A listening leg on every channel that takes part in a talk: attached when the channel joins, replaced if it breaks,
and ended with the channel.

A leg is an Asterisk channel that spies on another channel and brings its sound to our media worker over AudioSocket.
The legs that exist are compared with the legs wanted a few times a second and after every change, so a missed event
does no harm.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from hearline.assist.calls.channel_graph import ConnectedParties
from hearline.assist.hints.events import Side
from hearline.core.channel_names import shown
from hearline.core.logs import about_call, name_call
from hearline.media.worker_client import PendingCall, WorkerClient, WorkerDown
from hearline.media.worker_protocol import LegReport
from hearline.pbx.ami import Ami, AmiDown, AmiRefused
from hearline.pbx.chanspy import CONNECT_S, attach, spy_data
from hearline.pbx.confirm import confirm

log = logging.getLogger(__name__)

LOOK_S = 0.25
AGAIN_S = 1.0  # from a leg that broke to the next attempt


@dataclass
class Leg:
    """A leg on one channel. Times are monotonic s."""

    channel: str
    side: Side
    caller: str  # the caller's channel, which names the talk
    media: PendingCall
    asked_at: float
    live_at: float | None = None  # when its sound began to arrive; None: not yet


class Legs:
    """Keeps one listening leg on every channel passed to ``want``.

    Args:
        on_heard: called with every report of a leg, in the loop's thread.
    """

    def __init__(self, ami: Ami, line: WorkerClient, on_heard: Callable[[Leg, LegReport], None]) -> None:
        self._ami, self._line, self._on_heard = ami, line, on_heard
        self._wanted: dict[str, tuple[Side, str]] = {}  # by channel
        self._calls: dict[str, str] = {}  # the call's id, by the caller's channel
        self._legs: dict[str, Leg] = {}  # by channel
        self._by_uuid: dict[str, Leg] = {}
        self._attaching: set[str] = set()  # channels
        self._not_before: dict[str, float] = {}
        self._change = asyncio.Event()

    def want(self, connected: Iterable[ConnectedParties]) -> None:
        """Listen to these talks, and to no others. Nobody listens to a caller who is connected with an outside party
        alone."""
        self._wanted, self._calls = {}, {}
        for talk in connected:
            if talk.others and not talk.agents:
                continue
            self._calls[talk.caller] = talk.call
            self._wanted[talk.caller] = Side.CALLER, talk.caller
            for agent in talk.agents:
                self._wanted[agent] = Side.AGENT, talk.caller
        self._change.set()

    def on(self, channel: str) -> Leg | None:
        """The live leg on this channel, if there is one."""
        leg = self._legs.get(channel)
        return leg if leg is not None and leg.live_at is not None else None

    @property
    def live(self) -> list[Leg]:
        """The live legs, in the order they were requested."""
        return [leg for leg in self._legs.values() if leg.live_at is not None]

    def hear(self, message: LegReport) -> bool:
        """Take in a report. Returns False if it is not about one of these legs."""
        leg = self._by_uuid.get(message.uuid)
        if leg is None:
            return False
        if leg.live_at is None:
            leg.live_at = time.monotonic()
        self._on_heard(leg, message)
        return True

    async def keep(self) -> None:
        """Attach and end legs as needed, until cancelled. Legs are attached in parallel, so none waits for another."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._change.clear()
                for channel, leg in list(self._legs.items()):
                    self._look(channel, leg)
                for channel in self._wanted:
                    if channel not in self._legs and channel not in self._attaching and self._may_try(channel):
                        self._attaching.add(channel)
                        tasks.create_task(self._attach(channel))
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._change.wait()

    def let_go(self) -> None:
        """End all legs: the worker closes their connections, and Asterisk then hangs them up."""
        for channel, leg in list(self._legs.items()):
            self._drop(channel, leg)

    # ---- one leg ----------------------------------------------------------------------------------------------------
    def _look(self, channel: str, leg: Leg) -> None:
        now = time.monotonic()
        if self._wanted.get(channel) != (leg.side, leg.caller):
            self._drop(channel, leg)
        elif leg.media.over.is_set() or (leg.live_at is None and now - leg.asked_at > CONNECT_S):
            with about_call(self._calls.get(leg.caller, "")):
                log.warning("the leg on %s broke or never came; it is attached again", shown(channel))
            self._drop(channel, leg)
            self._not_before[channel] = now + AGAIN_S

    def _drop(self, channel: str, leg: Leg) -> None:
        del self._legs[channel], self._by_uuid[leg.media.uuid]
        self._line.withdraw(leg.media)

    def _may_try(self, channel: str) -> bool:
        return time.monotonic() >= self._not_before.get(channel, 0.0)

    async def _attach(self, channel: str) -> None:
        try:
            if channel in self._wanted:  # it may be gone by now
                await self._ask_for(channel)
        finally:
            self._attaching.discard(channel)

    async def _ask_for(self, channel: str) -> None:
        side, caller = self._wanted[channel]
        name_call(self._calls.get(caller, ""))  # each leg is attached in its own task
        self._not_before = {c: t for c, t in self._not_before.items() if c in self._wanted and c != channel}
        try:
            pending = self._line.announce(None, channel=channel)
        except WorkerDown as error:
            log.warning("cannot listen to %s: %s", shown(channel), error)
            self._not_before[channel] = time.monotonic() + AGAIN_S
            return
        leg = Leg(channel, side, caller, pending, time.monotonic())
        self._legs[channel] = self._by_uuid[pending.uuid] = leg
        try:
            await confirm(self._ami, caller, channel)
            await attach(self._ami, pending, spy_data(channel, whisper=side is Side.AGENT))
        except (AmiDown, AmiRefused, ValueError) as error:
            log.warning("cannot listen to %s: %s", shown(channel), error)
            if self._legs.get(channel) is leg:
                self._drop(channel, leg)
            self._not_before[channel] = time.monotonic() + AGAIN_S
