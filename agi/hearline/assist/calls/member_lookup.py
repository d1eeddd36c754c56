"""Asks Asterisk about the members of its queues: which there are, whether an event about one is true, and which phones
their hints stand for.

Asterisk has no event for a hint that changes. So a hint is looked up when its member is listed or added, and again
whenever the member's state changes, as it does when the phone rings: before anybody talks on it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from hearline.assist.calls.queue_members import CALLS, MEMBERS, QueueMembers, read_member
from hearline.pbx.ami import Ami, AmiRefused, Message
from hearline.pbx.hints import Hint, ask_phones

log = logging.getLogger(__name__)


class MemberLookup:
    """Keeps ``members`` up to date.

    Args:
        hear: called with what is newly known of members, translated.
        open_changed: called if an event has changed what `QueueMembers.without_phone` returns.
    """

    def __init__(
        self,
        ami: Ami,
        members: QueueMembers,
        hear: Callable[[Message], None],
        open_changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._ami, self._members, self._hear, self.open_changed = ami, members, hear, open_changed

    async def take_all(self) -> None:
        """Ask for all members. Raises AmiDown, AmiRefused."""
        listed = await self._ami.ask_list("QueueStatus")
        self._members.begin_list()
        await self._take(_members_in(listed))

    async def before(self, event: Message) -> None:
        """Ask for whatever must be known before this event can be translated. Raises AmiDown."""
        is_member = event["Event"] in MEMBERS
        if not is_member and (event["Event"] not in CALLS or self._members.knows(event)):
            return
        open_before = self._members.without_phone()
        if is_member:
            await self._learn(event)
        else:
            try:
                await self._take(await self._listed(event))
            except (AmiRefused, ValueError) as error:
                log.warning("cannot ask a queue about its member, whose page may miss this call: %s", error)
        if self._members.without_phone() != open_before:
            self.open_changed()

    async def is_true(self, event: Message) -> bool:
        """True if a queue lists the member that this event is about in the same way. Raises AmiDown, AmiRefused,
        ValueError."""
        return self._members.knows(event) or read_member(event) in map(read_member, await self._listed(event))

    async def without_phone(self) -> list[tuple[str, Hint]]:
        """As `QueueMembers.without_phone`; if there are any, the queues are asked anew. Raises AmiDown, AmiRefused."""
        if self._members.without_phone():
            await self.take_all()
        return self._members.without_phone()

    async def _listed(self, event: Message) -> list[Message]:
        asked = {"Queue": event.get("Queue", ""), "Member": event.get("Interface", "")}
        return _members_in(await self._ami.ask_list("QueueStatus", **asked))

    async def _take(self, listed: list[Message]) -> None:
        asked: set[Hint] = set()
        for message in listed:
            if hint := await self._learn(message, asked):
                asked.add(hint)
            for told in self._members.translate(message):
                self._hear(told)

    async def _learn(self, message: Message, asked: Collection[Hint] = ()) -> Hint | None:
        """Take in what a queue reports of a member, and look its hint up unless it was ``asked`` for just now."""
        hint = self._members.learn(message)
        if hint and hint not in asked:
            try:
                self._members.resolve(hint, await ask_phones(self._ami, hint))
            except (AmiRefused, ValueError) as error:  # the phones known so far stay
                log.warning("cannot ask which phones the hint of a queue's member stands for: %s", error)
        return hint


def _members_in(listed: list[Message]) -> list[Message]:
    return [message for message in listed if message["Event"] in MEMBERS]
