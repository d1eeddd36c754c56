"""Checks that the manager interface gives agent assist all it needs. It is checked after each login: with too few
rights, or without the channel variables, everything would look fine, but nothing would ever happen.

A channel of our own (AudioSocket to our own media worker) runs `UserEvent`. The resulting event shows which classes of
events and which variables we get. Only real calls cause events of the class `agent`: it is missing if a caller has been
connected without one.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import groupby

from hearline.core.channel_names import shown
from hearline.media.worker_client import WorkerClient, WorkerDown
from hearline.pbx.ami import Ami, AmiDown, AmiRefused, Message, variables
from hearline.pbx.ami_messages import PROOF, proof_of
from hearline.pbx.chanspy import attach, audiosocket_name
from hearline.pbx.config import CHANNEL_VARIABLES, KEY_EVENT
from hearline.pbx.hints import Hint

log = logging.getLogger(__name__)

CALLER = CHANNEL_VARIABLES[0]
COMES_S = 3.0
AGAIN_S = 60.0
ACTIONS = {
    "CoreShowChannelMap": "reporting",
    "CoreShowChannels": "reporting",
    "ExtensionState": "reporting",
    "Getvar": "call",
    "Originate": "originate",
    "Redirect": "call",
    "Setvar": "call",
}
"""The actions that we use, and the right (`write` in manager.conf) that each needs."""
MOST_NAMED = 3  # members of a queue


class AmiRights:
    """``keep`` looks at everything after each ``check``.

    Args:
        secret: of the manager interface.
        tell: called with what is missing, one phrase each; with an empty tuple if nothing is.
        without_phone: the queues that list a member by a hint that names no phone, each with the hint, sorted.
            Hearline would not recognise that agent in a talk. May raise AmiDown, AmiRefused.
    """

    def __init__(
        self,
        ami: Ami,
        line: WorkerClient,
        secret: str,
        tell: Callable[[tuple[str, ...]], None],
        without_phone: Callable[[], Awaitable[list[tuple[str, Hint]]]],
    ) -> None:
        self._without_phone = without_phone
        self._ami, self._line, self._proof, self._tell = ami, line, proof_of(secret), tell
        self._due = asyncio.Event()
        self._nonce, self._channel = "", ""
        self._seen_channel = False
        self._probe: asyncio.Future[Message] | None = None
        self._agents_heard = self._agents_unheard = False
        self._new: set[str] = set()  # channels created since the login, until the first event of the class `agent`

    def check(self) -> None:
        """Look at everything, now: after a login, or if `without_phone` has changed."""
        self._due.set()

    def hear(self, event: Message) -> None:
        """Take in an event of any kind."""
        if not self._agents_heard:
            self._look_for_agents(event)
        if self._probe is None or self._probe.done():
            return
        if event["Event"] == "Newchannel" and event.get("Channel") == self._channel:
            self._seen_channel = True
        elif event["Event"] == "UserEvent" and event.get("Probe") == self._nonce:
            self._probe.set_result(event)

    def _look_for_agents(self, event: Message) -> None:
        channel = event.get("Channel", "")
        match event["Event"]:
            case "AgentCalled" | "AgentConnect" | "QueueCallerJoin" | "QueueMemberStatus":
                self._agents_heard = True
                self._new.clear()
            case "Newchannel":
                self._new.add(channel)
            case "Hangup":
                self._new.discard(channel)
            case "BridgeEnter" if channel in self._new and variables(event).get(CALLER) == channel:
                self._agents_unheard = True
                self._due.set()

    async def keep(self) -> None:
        """Look whenever that is due, until cancelled."""
        said: tuple[str, ...] = ()
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                missing = await self.missing()
            except (AmiDown, AmiRefused, WorkerDown) as error:
                missing = (f"could not check the rights of the manager interface: {error}",)
            if missing and missing != said:
                log.error("agent assist does not get all it needs from Asterisk: %s", "; ".join(missing))
            said = missing
            self._tell(missing)
            if missing:
                asyncio.get_running_loop().call_later(AGAIN_S, self._due.set)

    async def require(self, right: str) -> None:
        """Raises AmiRefused, and reports it, if this right is missing; AmiDown."""
        if right in await self._missing_rights():
            self._tell((why := f"manager.conf: `write` lacks {right}",))
            raise AmiRefused(why)

    async def missing(self) -> tuple[str, ...]:
        """What is missing, one phrase each. Raises AmiDown, AmiRefused, WorkerDown."""
        rights = await self._missing_rights()
        found = tuple(f"manager.conf: `write` lacks {right}" for right in rights)
        if self._agents_unheard and not self._agents_heard:
            found += ("manager.conf: `read` lacks agent",)
        for queue, members in groupby(await self._without_phone(), key=lambda pair: pair[0]):
            found += (_no_phone(queue, [hint for _, hint in members]),)
        return found if "originate" in rights else (*found, *await self._missing_events())

    async def _missing_rights(self) -> list[str]:
        offered = await self._ami.ask("ListCommands")
        return sorted({right for action, right in ACTIONS.items() if action not in offered})

    async def _missing_events(self) -> tuple[str, ...]:
        pending = self._line.announce(None, channel="rights")
        self._nonce, self._channel, self._seen_channel = secrets.token_hex(8), audiosocket_name(pending), False
        self._probe = asyncio.get_running_loop().create_future()
        refused = self._ami.refused
        try:
            await attach(self._ami, pending, f"{KEY_EVENT},Probe: {self._nonce}", "UserEvent")
            with suppress(TimeoutError):
                async with asyncio.timeout(COMES_S):
                    known = variables(await self._probe)
                    lacks = [name for name in CHANNEL_VARIABLES if name not in known]
                    return (f"manager.conf: `channelvars` lacks {', '.join(lacks)}",) if lacks else ()
        finally:
            self._probe = None
            self._line.withdraw(pending)
        if (await self._ami.ask("Getvar", Variable=PROOF)).get("Value") != self._proof:
            return (f"extensions.conf: {PROOF} is not set, or made from another secret (hearline-globals.conf)",)
        if self._ami.refused > refused:
            return (f"manager.conf: `channelvars` lacks {PROOF}",)
        if self._seen_channel:
            return ("manager.conf: `read` lacks user, or app_userevent is not loaded",)
        return ("manager.conf: `read` lacks call, or Asterisk cannot create AudioSocket channels",)


def _no_phone(queue: str, hints: list[Hint]) -> str:
    """What to do about the members of a queue whose hints name no phone."""
    first = hints[0]
    named = ", ".join(shown(str(hint)) for hint in hints[:MOST_NAMED])
    more = f" and {len(hints) - MOST_NAMED} more" if len(hints) > MOST_NAMED else ""
    number = shown(first.extension)
    return (
        f"queues.conf: [{queue}] has a member by {named}{more}, but no such hint names a phone; in extensions.conf, "
        f"[{first.context}]: exten => {number},hint,PJSIP/{number}"
    )
