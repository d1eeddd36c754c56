"""The agents' states, kept up to date by the rest of agent assist, and completed from the store of earlier calls. An
error here affects neither hints nor legs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future

from hearline.assist.calls.agent_states import AgentState, AgentStates, Caller, Part
from hearline.assist.calls.call_note import read_note
from hearline.assist.calls.channel_graph import ConnectedParties
from hearline.assist.calls.legs import Leg
from hearline.assist.calls.sessions import TalkSession
from hearline.core.logs import shielded
from hearline.core.settings import Settings
from hearline.media.worker_protocol import LegReport
from hearline.pbx.ami import Message
from hearline.store.earlier_calls import EarlierCalls

log = logging.getLogger(__name__)

INCOMPLETE = "an agent's state could not be updated; the agents' page may be incomplete"


class Agents:
    """Call ``close`` at the end.

    Args:
        number: the work number of the phone that a channel belongs to; '' if unknown.
    """

    def __init__(self, settings: Settings, number: Callable[[str], str]) -> None:
        self._earlier = EarlierCalls(settings.state / "callers", settings.earlier_calls_days, settings.home)
        self._calendar = settings.calendar
        self.states = AgentStates(
            self._earlier.who,
            self._calendar,
            number,
            self._look_up,
            self._meet_agent,
            self._keep,
            trouble_days=settings.trouble_days,
            home=settings.home,
        )
        self._looking: set[asyncio.Task] = set()

    def close(self) -> None:
        self._earlier.close()

    # ---- what happens -----------------------------------------------------------------------------------------------
    def reset(self, channels: Iterable[Message]) -> None:
        """After every login to Asterisk."""
        with shielded(log, INCOMPLETE):
            self.states.reset(channels)

    def hear(self, event: Message) -> None:
        with shielded(log, INCOMPLETE):
            self.states.hear(event)

    def follow(self, connected: Iterable[ConnectedParties], talk_of: Callable[[str], TalkSession | None]) -> None:
        with shielded(log, INCOMPLETE):
            self.states.follow(connected, talk_of)

    def see(self, talk: TalkSession) -> None:
        with shielded(log, INCOMPLETE):
            self.states.see(talk)

    def hear_level(self, leg: Leg, message: LegReport) -> None:
        with shielded(log, INCOMPLETE):
            self.states.hear_level(leg, message)

    # ---- the store of earlier calls ---------------------------------------------------------------------------------
    def _look_up(self, caller: Caller) -> None:
        async def look() -> None:
            found = await asyncio.to_thread(self._earlier.of, caller.who, caller.id)
            self.states.know_earlier(caller.id, found)
            if note := await asyncio.to_thread(self._earlier.note_of, caller.id):
                self.states.know_note(caller.id, read_note(note))

        self._in_the_background(look())

    def _meet_agent(self, agent: str) -> None:
        async def look() -> None:
            today = self.states.today()
            since = self._calendar.day_begins(today).timestamp()
            count = await asyncio.to_thread(self._earlier.left_first, agent, since)
            self.states.know_left_first(agent, today, count)

        self._in_the_background(look())

    def _in_the_background(self, look: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(look)
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    def _keep(self, state: AgentState, part: Part) -> Future[bool]:
        """Store a part of the call, for the caller's next call. The future says whether it is stored."""
        caller = state.caller
        facts: dict[str, str | float | None] = {"who": caller.who or None, "at": state.began}
        match part:
            case Part.TALK:
                facts |= {
                    "heard": caller.heard or None,
                    "agent": state.agent,
                    "talk_s": state.talk_s,
                    "left_first": state.left_first,
                }
            case Part.OUTCOME:
                facts["outcome"] = state.outcome
            case Part.NOTE:
                facts["note"] = state.note.to_keep().as_text()
        return self._earlier.note(caller.id, **{name: value for name, value in facts.items() if value is not None})
