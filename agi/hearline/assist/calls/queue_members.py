"""The members of Asterisk's queues: which agent is on which phone. Pure: AMI messages in, messages out.

A member as Hearline's guide writes it names the work number and the phone. FreePBX's members name a person, and a hint
that stands for the phone; there the extension of the hint is the work number:

    member => Local/agent-8016@hearline-ring/n,0,8016,PJSIP/agent-8016
    member => Local/8016@from-queue/n,0,Zhang San,hint:8016@ext-local

`translate` makes the messages about the second kind like those about the first, so nothing behind it sees a hint or a
person's name. No name is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hearline.pbx.ami import Message
from hearline.pbx.hints import Hint, hint_of

MEMBERS = frozenset({"QueueMember", "QueueMemberAdded", "QueueMemberStatus"})
"""What queues report of their members, in answers and events."""
CALLS = frozenset({"AgentCalled", "AgentConnect", "AgentRingNoAnswer"})
"""What queues report of a call to a member."""


@dataclass(frozen=True)
class Member:
    """``number``: the work number. ``phone``: the state interface, if that is a phone."""

    number: str
    phone: str = ""
    hint: Hint | None = None


class QueueMembers:
    """The members by their interfaces, such as ``Local/8016@from-queue/n``, and the phones of their hints."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._queues: dict[Hint, set[str]] = {}  # that list a member by this hint
        self._phones: dict[Hint, tuple[str, ...]] = {}
        self._told: dict[Hint, tuple[str, ...]] = {}  # of `_phones`, what `translate` has passed on

    def learn(self, message: Message) -> Hint | None:
        """Take in a queue's report of a member. Returns the member's hint, whose phones `resolve` must be given before
        the message is translated; None if the member names its phone."""
        member = read_member(message)
        self._members[interface_of(message)] = member
        if member.hint:
            self._queues.setdefault(member.hint, set()).add(message.get("Queue", ""))
        return member.hint

    def resolve(self, hint: Hint, phones: Iterable[str]) -> None:
        """These are the phones of this hint now."""
        self._phones[hint] = tuple(phones)

    def begin_list(self) -> None:
        """The queues are about to list all members, so what they listed before counts no longer. The members stay
        known, since an agent who has left a queue may still be in a talk."""
        self._queues.clear()

    def knows(self, message: Message) -> bool:
        """True if a queue's report of a member, or of a call to one, is about a member as known here."""
        known = self._members.get(interface_of(message))
        return known is not None and (message["Event"] in CALLS or known == read_member(message))

    def without_phone(self) -> list[tuple[str, Hint]]:
        """The queues with members by a hint that names no phone, each with the hint; sorted."""
        hints = [hint for hint in self._queues if not self._phones.get(hint)]
        return sorted(((queue, hint) for hint in hints for queue in self._queues[hint]), key=str)

    def translate(self, message: Message) -> list[Message]:
        """The message as if each member named its work number and its phone: one `QueueMember` for each phone of a
        hint, with an empty name if the phone is no longer the agent's. A report of a call to a member that nobody has
        listed loses its name, which may be a person's."""
        if message["Event"] in CALLS:
            known = self._members.get(interface_of(message))
            return [{**message, "MemberName": known.number if known else ""}]
        if message["Event"] in MEMBERS and (hint := hint_of(message.get("StateInterface", ""))):
            return self._report(hint)
        return [message]

    def _report(self, hint: Hint) -> list[Message]:
        now = self._phones.get(hint, ())
        gone = [phone for phone in self._told.get(hint, ()) if phone not in now]
        self._told[hint] = now
        others = {phone for phones in self._told.values() for phone in phones}
        others |= {member.phone for member in self._members.values()}
        withdrawn = [_member(phone, "") for phone in gone if phone not in others]
        return withdrawn + [_member(phone, hint.extension) for phone in now]


def read_member(message: Message) -> Member:
    """The member that a queue's report is about. Of a member by hint, the name does not count."""
    state = message.get("StateInterface", "")
    if hint := hint_of(state):
        return Member(hint.extension, hint=hint)
    return Member(message.get("MemberName") or message.get("Name", ""), state)


def interface_of(message: Message) -> str:
    """The member's interface, which lists call its location."""
    return message.get("Interface") or message.get("Location", "")


def _member(phone: str, number: str) -> Message:
    return {"Event": "QueueMember", "StateInterface": phone, "Name": number}
