"""The commands that can be given on behalf of an agent from outside. Each names the call it is meant for, and is
refused (409) once that call is over, so a late click never affects the next call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from hearline.assist.calls.agent_states import Activity, AgentState, AgentStates
from hearline.assist.calls.sessions import TalkSessions
from hearline.assist.hints import events as e
from hearline.assist.interface.snapshots import Snapshots
from hearline.assist.playback.volumes import LOUDEST_DB, SOFTEST_DB, Volumes
from hearline.wire.answers import Refused

KEPT_S = 3.0  # a note that takes longer to store is reported as not kept
PROMISES_MS = range(5_000, 600_001)

Answer = dict[str, Any]


class Commands:
    """``do`` carries out a command. Every command takes the work number of the person who gives it and an object,
    returns an object, and may raise Refused.

    Args:
        password: gives a person's phone in the page a new password, and returns what the page needs to register it;
            nothing if the session is over.
    """

    def __init__(
        self,
        states: AgentStates,
        talks: TalkSessions,
        snapshots: Snapshots,
        volumes: Volumes,
        password: Callable[[str, bool], Awaitable[Answer]],
    ) -> None:
        self._password = password
        self._states, self._talks, self._snapshots, self._volumes = states, talks, snapshots, volumes
        self.by_name: Mapping[str, Callable[[str, Answer], Awaitable[Answer]]] = {
            "press": self._press,
            "card": self._card,
            "call-up": self._call_up,
            "outcome": self._outcome,
            "note": self._note,
            "promise": self._promise,
            "coming": self._coming,
            "done": self._done,
            "volume": self._volume,
            "phone": self._phone,
        }

    async def do(self, name: str, by: str, sent: Answer) -> Answer:
        command = self.by_name.get(name)
        if command is None:
            raise Refused(404, "unknown", known=sorted(self.by_name))
        return await command(by, sent)

    def _state(self, by: str, sent: Answer, *activities: Activity) -> AgentState:
        """The state of this agent. Raises Refused unless they are in the call that ``sent`` names, in one of these
        activities."""
        state = self._states.of(by)
        if state.state not in activities or state.caller is None or sent.get("call") != state.caller.id:
            raise Refused(409, "call_over")
        return state

    async def _press(self, by: str, sent: Answer) -> Answer:
        """Press ``key``, as on the phone."""
        state = self._state(by, sent, Activity.TALKING)
        if sent.get("key") not in list(e.Key):
            raise Refused(400, "unknown", known=list(e.Key))
        self._talks.press(state.channel, e.Key(sent["key"]))
        return {}

    async def _card(self, by: str, sent: Answer) -> Answer:
        """The agent has used or dismissed (``did``) a ``card``."""
        state = self._state(by, sent, Activity.TALKING, Activity.AFTER)
        did = sent.get("did")
        event = {"used": e.CardUsed, "dismissed": e.CardDismissed}.get(did) if isinstance(did, str) else None
        if event is None or not isinstance(sent.get("card"), str):
            raise Refused(400, "unknown")
        if state.state is Activity.TALKING:
            self._talks.tell_agent(state.channel, event(sent["card"]))
        else:
            self._states.put_away(state)
        return {}

    async def _call_up(self, by: str, sent: Answer) -> Answer:
        """Show the card of a ``rule``."""
        state = self._state(by, sent, Activity.TALKING)
        self._talks.tell_agent(state.channel, e.CalledUp(str(sent.get("rule", ""))))
        return {}

    async def _outcome(self, by: str, sent: Answer) -> Answer:
        """Put the call's outcome, named by its closing card, into the talk's record. During the talk, show the card."""
        state = self._state(by, sent, Activity.TALKING, Activity.AFTER)
        closing = self._snapshots.closing(state, sent.get("outcome"))
        if closing is None:
            raise Refused(400, "unknown")
        outcome, rule = closing
        self._talks.add_to(state.talk, "outcome", outcome=outcome, agent=by)
        self._states.pick(state, outcome)
        if rule and state.state is Activity.TALKING:
            self._talks.tell_agent(state.channel, e.CalledUp(rule))
        return {}

    async def _note(self, by: str, sent: Answer) -> Answer:
        """Change fields of the ``note`` of this call, or of the one before, since the next call may ring while the
        agent still writes. ``kept`` in the answer is true only if the note is on the disk."""
        last = self._states.last_of(by)
        if last and last.caller.id == sent.get("call"):
            state = last
        else:
            state = self._state(by, sent, Activity.TALKING, Activity.AFTER)
        if not isinstance(sent.get("note"), dict):
            raise Refused(400, "unknown")
        try:
            kept = asyncio.wrap_future(self._states.write_note(state, sent["note"]))
        except ValueError:
            raise Refused(400, "too_long") from None
        await asyncio.wait([kept], timeout=KEPT_S)
        return {"kept": kept.done() and kept.result()}

    async def _promise(self, by: str, sent: Answer) -> Answer:
        """The agent has promised the caller a hold of ``ms``, to which the hold clock counts down."""
        state = self._state(by, sent, Activity.TALKING)
        if isinstance(sent.get("ms"), bool) or sent.get("ms") not in PROMISES_MS:
            raise Refused(400, "unknown")
        self._talks.promise(state.talk, sent["ms"], by)
        return {}

    async def _coming(self, by: str, sent: Answer) -> Answer:
        """A supervisor comes to the ``agent`` who asked for one in this ``call``; the first one to accept counts."""
        for one in self._snapshots.asking(by):
            if (one["agent"], one["call"]) == (sent.get("agent"), sent.get("call")):
                if one["coming"] not in ("", by):
                    raise Refused(409, "another_comes", by=one["coming"])
                self._talks.come(self._states.of(one["agent"]).talk, by)
                return {}
        raise Refused(409, "call_over")

    async def _done(self, by: str, sent: Answer) -> Answer:
        """The agent has finished with the last call."""
        self._state(by, sent, Activity.AFTER)
        self._states.done(by)
        return {}

    async def _volume(self, by: str, sent: Answer) -> Answer:
        """Set the volume of this agent's whispers, ``db`` on top of the rule's level."""
        db = sent.get("db")
        if isinstance(db, bool) or not isinstance(db, int) or not SOFTEST_DB <= db <= LOUDEST_DB:
            raise Refused(400, "unknown", softest=SOFTEST_DB, loudest=LOUDEST_DB)
        await asyncio.to_thread(self._volumes.set, by, db)
        self._states.changed(by)
        return {}

    async def _phone(self, by: str, sent: Answer) -> Answer:
        """Give this agent's phone in the page a new password: name, password and address to register it with. If the
        agent's session is ``over``, nobody is told it."""
        if sent.get("over", False) not in (True, False):
            raise Refused(400, "unknown")
        return await self._password(by, bool(sent.get("over")))
