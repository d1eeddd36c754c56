"""The talks that go on now: what is done for each, and the record of it."""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from hearline import records
from hearline.assist import events as e
from hearline.assist.book import HintStore
from hearline.assist.coach import Coach
from hearline.assist.events import Side
from hearline.assist.legs import Leg
from hearline.assist.switchboard import Conversation
from hearline.audio.gain import gain_factor, line_gain_db, verdict_when_raised
from hearline.audio.hearing import Heard, Hearing, SpeechEnded, SpeechStarted
from hearline.line.control import Overheard
from hearline.line.transport import FRAME_MS
from hearline.pbx.ami import Ami, AmiDown, AmiRefused

log = logging.getLogger(__name__)

MOST_GAIN_DB = 9
LEAST_SPEECH_MS = 2_000  # to judge a level by
LEAST_CHANGE_DB = 3  # a line that is raised a little differently after every sentence would be restless
RING_S = 5.0  # from one ring to the next
WHISPER_S = 3.0  # the queue counts the whisper before the join as ringing
VOLUME = "VOLUME(RX)"


@dataclass
class Talk:
    """One caller's talk, with whomever."""

    conversation: Conversation
    began: float = field(default_factory=time.monotonic)  # s
    began_at: datetime = field(default_factory=partial(datetime.now, UTC))
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    gains_db: dict[str, int] = field(default_factory=dict)  # by channel, where it is known
    coaches: dict[str, Coach] = field(default_factory=dict)  # by the agent's channel
    left_first: Side | None = None
    events: list[dict[str, Any]] = field(default_factory=list)

    def add(self, event: str, **what: object) -> None:
        self.events.append({"at_ms": round((time.monotonic() - self.began) * 1_000), "event": event, **what})

    def tell(self, event: e.Event) -> None:
        """All agents' coaches."""
        for coach in self.coaches.values():
            coach.hear(event)


class Talks:
    """Follows the talks; ``work`` does what takes time.

    Args:
        hints: the rules; None: no hints.
        whisper: says (id, level in dB) to the agent on this channel, None: stops.
        folder: of the records, one JSON file a talk, by day; no personal data.
    """

    def __init__(
        self,
        ami: Ami,
        hints: HintStore | None,
        whisper: Callable[[str, tuple[str, int] | None], None],
        folder: Path,
    ) -> None:
        self._ami, self._hints, self._whisper, self._records = ami, hints, whisper, folder
        self._talks: dict[str, Talk] = {}  # by the caller's channel
        self._to_do: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()

    # ---- who talks --------------------------------------------------------------------------------------------------
    def follow(self, conversations: Iterable[Conversation]) -> None:
        """These are the talks now."""
        present = {conversation.caller: conversation for conversation in conversations}
        for caller in self._talks.keys() - present.keys():
            self._end(self._talks.pop(caller))
        for caller, conversation in present.items():
            talk = self._talks.get(caller)
            if talk is None:
                talk = self._talks[caller] = Talk(conversation)
                talk.add("joined", queue=conversation.queue, heard=conversation.heard, agents=conversation.agents)
                self._coach(talk)
            elif conversation != talk.conversation:
                self._moved(talk, conversation)

    def _moved(self, talk: Talk, now: Conversation) -> None:
        before, talk.conversation = talk.conversation, now
        if now.agents != before.agents:
            talk.add("agents", agents=now.agents)
            self._coach(talk)
        if now.held_by is not before.held_by:
            if now.held_by is None:
                talk.add("unhold")
                talk.tell(e.Unhold())
            else:
                talk.add("hold", by=now.held_by)
                talk.tell(e.Hold(now.held_by, now.answer.agent_id))

    def leaves(self, channel: str) -> None:
        """Whoever is on this channel hangs up."""
        for talk in self._talks.values():
            if talk.left_first is None and channel in (talk.conversation.caller, *talk.conversation.agents):
                talk.left_first = Side.CALLER if channel == talk.conversation.caller else Side.AGENT
                talk.add("hung_up", side=talk.left_first)
                talk.tell(e.HungUp(talk.left_first))

    def _coach(self, talk: Talk) -> None:
        """One coach for each agent who is there."""
        conversation = talk.conversation
        for channel in talk.coaches.keys() - set(conversation.agents):
            self._dismiss(talk, channel)
        if self._hints is None:
            return
        answer = conversation.answer
        joined = e.Joined(
            queue=conversation.queue,
            wait_s=answer.wait_s,
            rang=1 + int(max(0.0, answer.ring_s - WHISPER_S) // RING_S),
            heard=conversation.heard or "unknown",
            agent_id=answer.agent_id,
        )
        for channel in conversation.agents:
            if channel not in talk.coaches:
                rules = self._hints.book.rules
                talk.coaches[channel] = Coach(
                    rules, joined, partial(self._whisper, channel), partial(self._note_hint, talk)
                )

    def _dismiss(self, talk: Talk, channel: str) -> None:
        coach = talk.coaches.pop(channel)
        coach.close()
        talk.add("hints", counts=coach.figures.by_rule)

    @staticmethod
    def _note_hint(talk: Talk, action: e.Action) -> None:
        told = e.as_dict(action)
        talk.add(told.pop("action"), **told)

    # ---- what is heard ----------------------------------------------------------------------------------------------
    def hear(self, leg: Leg, message: Overheard) -> None:
        """What is heard on a leg."""
        talk = self._talks.get(leg.caller)
        if talk is None:
            return
        if message.at_ms == 0:
            talk.add("leg", side=leg.side, channel=leg.channel)
            self._to_do.put_nowait(partial(self._ask_gain, talk, leg.channel))
        for event in message.events:
            match event:
                case SpeechStarted(at_ms, onset_ms):
                    talk.tell(e.SpeechStarted(leg.side, _frames(at_ms - onset_ms)))
                case SpeechEnded(at_ms, end_ms):
                    talk.tell(e.SpeechEnded(leg.side, _frames(at_ms - end_ms)))
                case Heard(hearing=hearing):
                    self._judge(talk, leg, hearing)

    def spoken(self, leg: Leg, group: str) -> None:
        """A recogniser heard a phrase of this group on a leg."""
        if talk := self._talks.get(leg.caller):
            talk.add("spoken", side=leg.side, group=group)
            talk.tell(e.Spoken(group, leg.side))

    def _judge(self, talk: Talk, leg: Leg, hearing: Hearing) -> None:
        """An agent who is too soft is raised on the line, before anybody is told of it; a caller was raised by the IVR,
        as far as the flow's profile lets it. The ears hear what comes, not what is made of it: a gain does not change
        the next verdict."""
        level = hearing.active_level_dbov
        if level is None:
            return
        gain = talk.gains_db.get(leg.channel)
        if leg.side is Side.AGENT and gain is not None and hearing.speech_ms >= LEAST_SPEECH_MS:
            needed = line_gain_db(hearing, MOST_GAIN_DB)
            if abs(needed - gain) >= LEAST_CHANGE_DB:
                gain = talk.gains_db[leg.channel] = needed
                talk.add("agent_gain", channel=leg.channel, gain_db=gain, level_dbov=round(level, 1))
                self._to_do.put_nowait(partial(self._set_gain, talk, leg.channel, gain))
        too_soft = verdict_when_raised(hearing, gain or 0) == "too_soft"
        talk.tell(e.LevelHeard(leg.side, too_soft, round(level, 1) + (gain or 0), hearing.speech_ms))

    # ---- what takes time --------------------------------------------------------------------------------------------
    async def work(self) -> None:
        """Ask and tell Asterisk, until cancelled."""
        while True:
            do = await self._to_do.get()
            await do()

    async def _ask_gain(self, talk: Talk, channel: str) -> None:
        """A caller's line may be raised already, by the IVR or by who listened before."""
        try:
            told = (await self._ami.ask("Getvar", Channel=channel, Variable=VOLUME)).get("Value", "")
            talk.gains_db.setdefault(channel, _decibels(told))
        except (AmiDown, AmiRefused) as error:
            log.warning("a line's gain is not known: %s", error)

    async def _set_gain(self, talk: Talk, channel: str, gain_db: int) -> None:
        try:
            await self._ami.ask("Setvar", Channel=channel, Variable=VOLUME, Value=f"{gain_factor(gain_db):.3f}")
        except (AmiDown, AmiRefused) as error:
            log.warning("a line could not be raised: %s", error)
            talk.gains_db[channel] = 0
            talk.add("gain_refused", channel=channel)

    def _end(self, talk: Talk) -> None:
        for channel in list(talk.coaches):
            self._dismiss(talk, channel)
        talk.add("ended")
        record = {
            "talk": talk.id,
            "caller": talk.conversation.caller,
            "began_at": talk.began_at.isoformat(timespec="milliseconds"),
            "events": talk.events,
        }
        try:
            records.keep(self._records, talk.id, record)
        except OSError as error:
            log.error("a talk's record could not be kept: %s", error)


def _frames(ms: int) -> int:
    return max(0, ms) // FRAME_MS * FRAME_MS


def _decibels(factor: str) -> int:
    """``VOLUME(RX)`` as whole dB; 0 where nothing was set."""
    try:
        value = float(factor)
    except ValueError:
        return 0
    return round(20 * math.log10(value)) if value > 0 else 0
