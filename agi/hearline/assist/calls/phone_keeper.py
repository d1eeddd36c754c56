"""Keeps what is known of the phones in agents' pages up to date, gives them their passwords, and has the queues pause.

Asterisk's event that a phone has come or gone is only a reason to ask: what it says is not believed. What has to be
changed in Asterisk is done by its dialplan (hearline-web-phone, hearline-pause), which needs no right but `originate`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import suppress

from hearline.assist.calls.queue_members import MEMBERS, interface_of, read_member
from hearline.assist.calls.web_phones import CANNOT_RING, Change, Membership, WebPhones
from hearline.core.log_limit import LogLimit
from hearline.core.web_phones import number_of, web_phone
from hearline.pbx.ami import Ami, AmiDown, AmiRefused, Message
from hearline.pbx.config import PHONE_REALM
from hearline.pbx.hints import ask_phones
from hearline.wire.answers import Refused

log = logging.getLogger(__name__)
log.addFilter(LogLimit())

LOOK_S = 1.0  # between two looks for new accounts
AGAIN_S = 30.0  # between two questions about agents who have no phone in the page yet
WITHIN_S = 3.0
PAUSES = "QueueMemberPause"
_RUNG_BY_US = re.compile(r"Local/([^@]+)@hearline-ring(?:/n)?")
_PLAIN = re.compile(r"[-_.+/@:;0-9A-Za-z]+")  # names that Asterisk's dialplan reads as they are


class PhoneKeeper:
    """``keep`` runs until cancelled.

    Args:
        agents: returns the work numbers of those who may have a phone in their page.
    """

    def __init__(self, ami: Ami, phones: WebPhones, agents: Callable[[], Collection[str]]) -> None:
        self._ami, self._phones, self._agents = ami, phones, agents
        self._asked: set[str] = set()  # agents who have been asked about since the login
        self._due: set[str] = set()
        self._again_at = 0.0
        self._wake = asyncio.Event()

    def logged_in(self) -> None:
        """Ask about everybody again, after a login to Asterisk."""
        self._asked.clear()
        self._phones.logged_in(self._now())
        self._wake.set()

    def hear(self, event: Message) -> None:
        """Take in an event of any kind."""
        if event["Event"] == "DeviceStateChange" and (agent := _agent_of(event.get("Device", ""))):
            self._due.add(agent)
            self._wake.set()
        elif event["Event"] in MEMBERS or event["Event"] == PAUSES:
            self._phones.look_again(read_member(event).number, self._now())
            self._wake.set()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    async def keep(self) -> None:
        while True:
            wait_s = min(LOOK_S, max(0.0, (self._phones.next_due() or self._now() + LOOK_S) - self._now()))
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s if self._ami.up else LOOK_S):
                    await self._wake.wait()
            self._wake.clear()
            if self._ami.up:
                try:
                    await self._look_at_all()
                except (AmiDown, AmiRefused, ValueError) as error:
                    log.warning("cannot keep up with the phones in agents' pages: %s", error)
                    await asyncio.sleep(LOOK_S)

    async def _look_at_all(self) -> None:
        agents = set(self._agents())
        self._due |= agents - self._asked
        if self._now() >= self._again_at:
            self._again_at = self._now() + AGAIN_S
            self._due |= {agent for agent in agents if self._phones.view(agent) is None}
        self._due &= agents
        while self._due:
            agent = self._due.pop()
            try:
                await self._look(agent)
            except (AmiDown, AmiRefused):
                self._due.add(agent)
                raise
            self._asked.add(agent)
        if due := self._phones.due(self._now()):
            await self._ask_queues(due)

    async def _look(self, agent: str) -> None:
        if phone := web_phone(agent):
            self._phones.know(agent, await self._state(f"PJSIP/{phone}"), self._now())

    async def _state(self, phone: str) -> str:
        return (await self._ami.ask("Getvar", Variable=f"DEVICE_STATE({phone})")).get("Value", "")

    # ---- the queues -------------------------------------------------------------------------------------------------
    async def _ask_queues(self, agents: list[str]) -> None:
        """Compare the queues' pauses with what they should be, for these agents, and change what differs."""
        listed: defaultdict[str, list[Message]] = defaultdict(list)
        for message in await self._ami.ask_list("QueueStatus"):
            if message["Event"] in MEMBERS:
                listed[read_member(message).number].append(message)
        for agent in agents:
            desk = await self._desk_rings(agent, listed[agent])
            for change in self._phones.ask_queues(agent, map(_membership, listed[agent]), desk, self._now()):
                await self._change(change)

    async def _desk_rings(self, agent: str, members: list[Message]) -> bool:
        """True if a phone of this agent can be rung that is not the one in the page."""
        phones: set[str] = set()
        for member in map(read_member, members):
            phones.update(await ask_phones(self._ami, member.hint) if member.hint else [member.phone])
        phones.update(f"PJSIP/{rung[1]}" for m in members if (rung := _RUNG_BY_US.fullmatch(interface_of(m))))
        for phone in sorted(phones - {f"PJSIP/{web_phone(agent)}"}):
            if _PLAIN.fullmatch(phone) and await self._state(phone) not in CANNOT_RING:
                return True
        return False

    async def _change(self, change: Change) -> None:
        if not (_PLAIN.fullmatch(change.queue) and _PLAIN.fullmatch(change.interface)):
            log.warning("a queue or its member has a name that cannot be paused by Asterisk's dialplan")
            return
        what = "pause" if change.pause else "go-on"
        variables = [f"HEARLINE_OF_QUEUE={change.queue}", f"HEARLINE_MEMBER={change.interface}"]
        try:
            await self._run_in_the_dialplan(f"{what}@hearline-pause", variables)
        except AmiRefused as error:
            log.warning("a queue could not be told whether an agent without a phone pauses: %s", error)

    # ---- passwords --------------------------------------------------------------------------------------------------
    async def password(self, agent: str, over: bool = False) -> dict[str, object]:
        """A new password for the agent's phone in the page, which replaces the one before.

        Args:
            over: the session is over: nobody is told the new password.

        Raises Refused.
        """
        phone = web_phone(agent)
        if not phone or agent not in self._agents():
            raise Refused(409, "no_phone")
        password = secrets.token_urlsafe(24)
        try:
            await self._look(agent)
            if self._phones.view(agent) is None:
                raise Refused(409, "no_phone")
            await self._set_password(phone, password)
        except (AmiDown, AmiRefused) as error:
            log.warning("cannot give a phone in an agent's page its password: %s", error)
            raise Refused(503, "phone_away") from None
        (self._phones.leave if over else self._phones.use)(agent, self._now())
        self._wake.set()
        return {} if over else {"user": phone, "password": password, "uri": f"sip:{phone}@{PHONE_REALM}", "ice": []}

    async def _set_password(self, phone: str, password: str) -> None:
        """Asterisk is sent only what it checks against, a hash. Raises AmiDown, AmiRefused."""
        hashed = hashlib.md5(f"{phone}:{PHONE_REALM}:{password}".encode(), usedforsecurity=False).hexdigest()
        await self._run_in_the_dialplan(f"{phone}@hearline-web-phone", [f"HEARLINE_HASH={hashed}"])

    async def _run_in_the_dialplan(self, where: str, variables: list[str]) -> None:
        """Run an extension that answers once it has done its work. Raises AmiDown, AmiRefused."""
        await self._ami.ask(
            "Originate",
            Channel=f"Local/{where}/n",
            Application="NoOp",
            Variable=variables,
            Timeout=str(round(WITHIN_S * 1_000)),
        )


def _agent_of(device: str) -> str:
    technology, _, name = device.partition("/")
    return number_of(name) if technology == "PJSIP" else ""


def _membership(message: Message) -> Membership:
    paused = message.get("Paused") == "1"
    return Membership(message.get("Queue", ""), interface_of(message), paused, message.get("PausedReason", ""))
