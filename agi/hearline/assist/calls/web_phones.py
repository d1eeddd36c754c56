"""The phones in agents' pages: who has one, whether it can be rung, and whose queues must pause because it cannot.

Pure: what Asterisk says in, views and changes out; moments are passed in. An agent whose only phone is in the page, and
whose page has lost it, is unavailable to the queues without our doing. The pause says so to them and to everybody who
looks at the queue, with its reason, and it keeps a phone that comes and goes from being rung in between.

A pause is ours if its reason says so. Whatever others pause, or let go on, stays as they want it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from hearline.pbx.config import PAUSE_REASON

GONE_S = 5.0  # without a phone, until the queues pause
CHECK_S = 0.3  # until a change that was made is looked at
LONGEST_S = 30.0  # between two tries to make a change
CANNOT_RING = frozenset({"UNAVAILABLE", "INVALID", ""})
"""The states of a phone that cannot be rung, as the dialplan's DEVICE_STATE names them."""
PHONE_GONE = "phone_gone"


@dataclass(frozen=True)
class Membership:
    """What a queue says of one of its members."""

    queue: str
    interface: str
    paused: bool = False
    reason: str = ""

    @property
    def ours(self) -> bool:
        return self.paused and self.reason == PAUSE_REASON

    @property
    def where(self) -> tuple[str, str]:
        return self.queue, self.interface


@dataclass(frozen=True)
class Change:
    """Pause this member of this queue, or let it go on."""

    queue: str
    interface: str
    pause: bool


@dataclass
class WebPhone:
    """``offered``: Asterisk has an account for it. ``registered``: it can be rung. ``used``: in this session the agent
    takes calls on the page. ``left``: they have signed out, so a phone that is still in a talk is not used again.
    ``desk``: another phone of the agent can be rung. ``gone_at``: since when none can. ``paused``: by us."""

    offered: bool = False
    registered: bool = False
    used: bool = False
    left: bool = False
    desk: bool = False
    gone_at: float | None = None
    paused: bool = False
    met: bool = False  # the queues have been asked since we were started
    due_at: float | None = None  # when the queues must be asked
    tries: int = 0
    seen: set[tuple[str, str]] = field(default_factory=set)  # what we have paused since the phone has gone

    def view(self) -> dict[str, Any] | None:
        if not self.offered:
            return None
        return {"registered": self.registered, "paused": PHONE_GONE if self.paused else ""}

    @property
    def pauses_at(self) -> float | None:
        """When the queues must pause, unless the phone comes back; None: not at all."""
        return self.gone_at + GONE_S if self.used and self.gone_at is not None else None

    def ask_soon(self, now: float) -> None:
        self.tries, self.due_at = 0, now


class WebPhones:
    """By work number. ``changed`` is called with the number of each agent whose view has changed."""

    def __init__(self, changed: Callable[[str], None] = lambda _agent: None) -> None:
        self.changed = changed
        self._phones: dict[str, WebPhone] = {}

    def view(self, agent: str) -> dict[str, Any] | None:
        """As the page shows it; None if this agent is offered no phone in the page."""
        return self._of(agent).view()

    def due(self, now: float) -> list[str]:
        """The agents for whom the queues must be asked now, for `ask_queues`."""
        return sorted(agent for agent, at in self._due_at() if at <= now)

    def next_due(self) -> float | None:
        return min((at for _, at in self._due_at()), default=None)

    def _due_at(self) -> list[tuple[str, float]]:
        known = self._phones.items()
        return [(agent, phone.due_at) for agent, phone in known if phone.offered and phone.due_at is not None]

    def _of(self, agent: str) -> WebPhone:
        return self._phones.setdefault(agent, WebPhone())

    # ---- what happens -----------------------------------------------------------------------------------------------
    def logged_in(self, now: float) -> None:
        """After a login to Asterisk: nothing is known of the queues, and a phone that is gone has its time anew, since
        pages come back only after Asterisk."""
        for phone in self._phones.values():
            phone.gone_at = None
            phone.ask_soon(now)

    def use(self, agent: str, now: float) -> None:
        """The agent's page has asked for a password, so a phone is to be there soon."""
        phone = self._of(agent)
        phone.used, phone.left = True, False
        if not phone.registered:
            phone.gone_at = now
        phone.ask_soon(now)

    def leave(self, agent: str, now: float) -> None:
        """The agent has signed out."""
        phone = self._of(agent)
        phone.used, phone.left = False, True
        phone.ask_soon(now)

    def look_again(self, agent: str, now: float) -> None:
        """Something about this agent's queues or desk phone has changed."""
        phone = self._phones.get(agent)
        if phone and (phone.paused or phone.gone_at is not None):
            phone.ask_soon(now)

    def know(self, agent: str, state: str, now: float) -> None:
        """Asterisk says that this is the state of the agent's phone in the page."""
        phone = self._of(agent)
        before = phone.view()
        phone.offered = state not in ("INVALID", "")
        phone.registered = state not in CANNOT_RING
        phone.used |= phone.registered and not phone.left
        if phone.registered == (phone.gone_at is not None) or not phone.met:
            phone.gone_at = None if phone.registered else now
            phone.ask_soon(now)
        if phone.view() != before:
            self.changed(agent)

    def ask_queues(self, agent: str, members: Iterable[Membership], desk: bool, now: float) -> list[Change]:
        """What is to be changed, given what the queues say of this agent now.

        Args:
            desk: another phone of the agent can be rung.
        """
        phone, members = self._of(agent), list(members)
        before = phone.view()
        phone.paused = any(member.ours for member in members)
        if not phone.met:  # a pause of ours is of before we were started
            phone.met, phone.used = True, phone.used or phone.paused
        if phone.desk and not desk and phone.gone_at is not None:
            phone.gone_at = now
        phone.desk = desk
        changes: list[Change] = []
        if phone.registered or desk or not phone.used:
            changes = [Change(*member.where, pause=False) for member in members if member.ours]
            phone.seen.clear()
        elif phone.pauses_at is not None and now >= phone.pauses_at:
            phone.seen |= {member.where for member in members if member.ours}
            left = [member for member in members if not member.paused and member.where not in phone.seen]
            changes = [Change(*member.where, pause=True) for member in left]
        phone.due_at = self._ask_again_at(phone, bool(changes), now)
        if phone.view() != before:
            self.changed(agent)
        return changes

    @staticmethod
    def _ask_again_at(phone: WebPhone, changes: bool, now: float) -> float | None:
        if changes:  # were they made?
            phone.tries += 1
            return now + min(LONGEST_S, CHECK_S * 4 ** (phone.tries - 1))
        if phone.pauses_at is not None and now < phone.pauses_at and not phone.desk:
            return phone.pauses_at
        return now + LONGEST_S if phone.paused else None  # others may let the agent go on
