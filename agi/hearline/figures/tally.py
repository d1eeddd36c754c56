"""Counts facts. A `Tally` only adds up, so tallies of hours, queues or sites can be added; every figure follows from
one (`definitions`).

Contacts count on the business day on which they began, stints and segments on the day on which the stint did. A stint
with ``via`` ``agent`` is no stay in a queue: an agent has passed the caller on directly.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, select

from hearline.store.ledger.tables import contact, segment, stint

SHORT_MS = 6_000  # who gives up sooner has hardly waited
SILENT, TOO_SOFT, NOISY = "silent2", "low", "noise"  # as `contact.heard` has it


@dataclass(frozen=True)
class Tally:
    """Numbers of contacts, stays in a queue, and agents' parts; times in ms.

    ``contacts``: calls that came. ``ended_in_ivr``, ``answered``, ``lost``: what became of them; lost: the caller hung
    up while waiting. ``silent``, ``too_soft``, ``noisy``: as the IVR heard the caller; silent: through two prompts.
    ``agent_first``, ``caller_first``: who hung up first. ``callbacks``: marked for a callback.

    ``stays``: in a queue. ``joined``: those that led to an agent, ``joined_15``, ``joined_20`` within so many seconds.
    ``abandoned``: the caller hung up, ``short`` of them within 6 s; ``abandoned_15``, ``abandoned_20`` as above.
    ``wait``: of all that were joined.

    ``handled``: agents' parts in calls. ``talk``, ``hold``, ``wrap``: the sums. ``holds``: how many.
    """

    contacts: int = 0
    ended_in_ivr: int = 0
    answered: int = 0
    lost: int = 0
    silent: int = 0
    too_soft: int = 0
    noisy: int = 0
    agent_first: int = 0
    caller_first: int = 0
    callbacks: int = 0
    stays: int = 0
    joined: int = 0
    joined_15: int = 0
    joined_20: int = 0
    abandoned: int = 0
    short: int = 0
    abandoned_15: int = 0
    abandoned_20: int = 0
    wait: int = 0
    handled: int = 0
    talk: int = 0
    hold: int = 0
    wrap: int = 0
    holds: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


def tally(connection: Connection, since: date, until: date, queue: str = "") -> Tally:
    """Count the business days from ``since`` to ``until``, both included.

    Args:
        queue: only stays in this queue, agents' parts after them, and contacts that had one.
    """
    in_queue = [stint.c.queue == queue] if queue else []
    of_contacts: list[ColumnElement[bool]] = [contact.c.local_day.between(since, until)]
    if queue:
        of_contacts.append(exists().where(stint.c.call == contact.c.call, *in_queue))
    stays = [stint.c.local_day.between(since, until), *in_queue]
    parts = select(*_sums(PARTS)).select_from(
        segment.join(stint, and_(stint.c.call == segment.c.call, stint.c.seq == segment.c.stint))
    )
    found: dict[str, Any] = {}
    for query in (
        select(*_sums(CONTACTS)).where(*of_contacts),
        select(*_sums(STAYS)).where(*stays, stint.c.via != "agent"),
        parts.where(*stays),
    ):
        found |= connection.execute(query).one()._asdict()
    return Tally(**{name: int(value or 0) for name, value in found.items()})


def _waited(seconds: float) -> ColumnElement[bool]:
    return stint.c.left - stint.c.enqueued <= round(seconds * 1_000)


_JOINED, _ABANDONED = stint.c.joined.is_not(None), stint.c.why_left == "abandoned"
# What is counted (a condition) or added up (a column), by the name in `Tally`.
CONTACTS = {
    "contacts": contact.c.call.is_not(None),
    "ended_in_ivr": contact.c.ended_as == "ivr",
    "answered": contact.c.ended_as == "answered",
    "lost": contact.c.ended_as == "abandoned",
    "silent": contact.c.heard == SILENT,
    "too_soft": contact.c.heard == TOO_SOFT,
    "noisy": contact.c.heard == NOISY,
    "agent_first": contact.c.first_hangup == "agent",
    "caller_first": contact.c.first_hangup == "caller",
    "callbacks": contact.c.callback,
}
STAYS = {
    "stays": stint.c.call.is_not(None),
    "joined": _JOINED,
    "joined_15": and_(_JOINED, _waited(15)),
    "joined_20": and_(_JOINED, _waited(20)),
    "abandoned": _ABANDONED,
    "short": and_(_ABANDONED, stint.c.left - stint.c.enqueued < SHORT_MS),
    "abandoned_15": and_(_ABANDONED, _waited(15)),
    "abandoned_20": and_(_ABANDONED, _waited(20)),
}
WAIT = case((_JOINED, stint.c.left - stint.c.enqueued), else_=0)
PARTS = {"handled": segment.c.call.is_not(None)}
ADDED = {"talk": segment.c.talk, "hold": segment.c.hold, "wrap": segment.c.wrap, "holds": segment.c.holds}


def _sums(counted: dict[str, Any]) -> list[Any]:
    sums = [func.sum(case((what, 1), else_=0)).label(name) for name, what in counted.items()]
    if counted is STAYS:
        sums.append(func.sum(WAIT).label("wait"))
    if counted is PARTS:
        sums += [func.sum(column).label(name) for name, column in ADDED.items()]
    return sums
