"""The talks that go on now: what is done for each, and the record of it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import tempfile
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hearline.assist.legs import Leg
from hearline.assist.spying import Side
from hearline.assist.switchboard import Conversation
from hearline.audio.gain import gain_factor, line_gain_db
from hearline.audio.hearing import Heard, Hearing
from hearline.line.control import Overheard
from hearline.pbx.ami import Ami, AmiDown, AmiRefused

log = logging.getLogger(__name__)

MOST_GAIN_DB = 9  # for an agent; a caller's is in the flow's profile
LEAST_SPEECH_MS = 2_000  # to judge an agent by
LEAST_CHANGE_DB = 3  # a line that is raised a little differently after every sentence would be restless


@dataclass
class Talk:
    """One caller's talk, with whomever."""

    conversation: Conversation
    began: float  # monotonic s
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    gains_db: dict[str, int] = field(default_factory=dict)  # of agents' channels
    events: list[dict[str, Any]] = field(default_factory=list)

    def add(self, event: str, **what: object) -> None:
        self.events.append({"at_ms": round((time.monotonic() - self.began) * 1_000), "event": event, **what})


class Talks:
    """Follows the talks; ``work`` does what takes time.

    Args:
        records: folder of the records, one JSON file a talk, by day; no personal data.
    """

    def __init__(self, ami: Ami, records: Path) -> None:
        self._ami, self._records = ami, records
        self._talks: dict[str, Talk] = {}  # by the caller's channel
        self._to_do: asyncio.Queue[tuple[Talk, str, int]] = asyncio.Queue()

    def follow(self, conversations: Iterable[Conversation]) -> None:
        """These are the talks now."""
        present = {conversation.caller: conversation for conversation in conversations}
        for caller in self._talks.keys() - present.keys():
            self._end(self._talks.pop(caller))
        for caller, conversation in present.items():
            talk = self._talks.get(caller)
            if talk is None:
                talk = self._talks[caller] = Talk(conversation, time.monotonic())
                talk.add("joined", queue=conversation.queue, heard=conversation.heard, agents=conversation.agents)
            elif conversation != talk.conversation:
                self._moved(talk, conversation)

    def _moved(self, talk: Talk, now: Conversation) -> None:
        before, talk.conversation = talk.conversation, now
        if now.agents != before.agents:
            talk.add("agents", agents=now.agents)
        if now.on_hold != before.on_hold:
            talk.add("hold" if now.on_hold else "unhold")

    def hear(self, leg: Leg, message: Overheard) -> None:
        """What is heard on a leg."""
        talk = self._talks.get(leg.caller)
        if talk is None:
            return
        if message.at_ms == 0:
            talk.add("leg", side=leg.side, channel=leg.channel)
        for event in message.events:
            if isinstance(event, Heard) and leg.side is Side.AGENT:
                self._judge_agent(talk, leg.channel, event.hearing)

    def _judge_agent(self, talk: Talk, channel: str, hearing: Hearing) -> None:
        """Who is too soft is raised on the line, before being told of it. The ears hear what comes, not what is made
        of it: a gain does not change the next verdict."""
        if hearing.speech_ms < LEAST_SPEECH_MS:
            return
        gain = line_gain_db(hearing, MOST_GAIN_DB)
        if abs(gain - talk.gains_db.get(channel, 0)) >= LEAST_CHANGE_DB:
            talk.gains_db[channel] = gain
            talk.add("agent_gain", channel=channel, gain_db=gain, level_dbov=round(hearing.active_level_dbov, 1))
            self._to_do.put_nowait((talk, channel, gain))

    async def work(self) -> None:
        """Raise agents' lines, until cancelled."""
        while True:
            talk, channel, gain = await self._to_do.get()
            try:
                await self._ami.ask("Setvar", Channel=channel, Variable="VOLUME(RX)", Value=f"{gain_factor(gain):.3f}")
            except (AmiDown, AmiRefused) as error:
                log.warning("an agent's line could not be raised: %s", error)
                talk.gains_db.pop(channel, None)
                talk.add("agent_gain_refused", channel=channel)

    def _end(self, talk: Talk) -> None:
        talk.add("ended")
        record = {"talk": talk.id, "caller": talk.conversation.caller, "events": talk.events}
        folder = self._records / time.strftime("%Y-%m-%d")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as out:
                json.dump(record, out, ensure_ascii=False)
            os.replace(out.name, folder / f"{talk.id}.json")
        except OSError as error:
            log.error("a talk's record could not be kept: %s", error)
