"""Deletes what has been kept for long enough, a little at a time, so that what comes in does not wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, select, tuple_, update

from hearline.store.ledger.database import Ledger
from hearline.store.ledger.erasure import CALLER
from hearline.store.ledger.tables import contact, erasure, event, segment, stint, timeline

MOST = 2_000  # rows of a table in one transaction
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Periods:
    """How long what is kept, in days. ``callers``: by which a caller is known again. ``timelines``: what exactly
    happened in a call: timelines and events. ``figures``: contacts, stints and segments."""

    callers: int
    timelines: int
    figures: int


class Retention:
    def __init__(self, ledger: Ledger, periods: Periods, now: Callable[[], float] = time.time) -> None:
        self._ledger, self._periods, self._now = ledger, periods, now

    def whole_since(self) -> int:
        """Calls that began later still have all their events; ms since 1970."""
        return self._before(self._periods.timelines) + DAY_MS

    def tidy(self) -> bool:
        """Delete some of what is too old. Returns True if there may be more. Raises sqlalchemy.exc.DBAPIError."""
        callers, timelines, figures = (
            self._before(days) for days in (self._periods.callers, self._periods.timelines, self._periods.figures)
        )
        with self._ledger.transaction() as connection:
            connection.execute(delete(erasure).where(erasure.c.until < callers))
            most = [
                _forget_before(connection, callers),
                _delete(connection, event, and_(event.c.kind == CALLER, event.c.at < callers)),
                _delete(connection, event, event.c.at < timelines),
                _delete(connection, timeline, timeline.c.at < timelines),
                _delete_calls(connection, figures),
            ]
        return max(most) >= MOST

    def _before(self, days: int) -> int:
        return round(self._now() * 1_000) - days * DAY_MS


def _forget_before(connection: Connection, at: int) -> int:
    """Forget whose calls those before ``at`` are. Returns how many."""
    known = select(contact.c.call).where(contact.c.caller_key != "", contact.c.began < at).limit(MOST)
    calls = list(connection.scalars(known))
    forgotten = update(contact).where(contact.c.call.in_(calls)).values(caller_key="", fcr_due=None)
    return connection.execute(forgotten).rowcount if calls else 0


def _delete(connection: Connection, table: Table, old: ColumnElement[bool]) -> int:
    """Delete rows of a spool's table. Returns how many."""
    key = tuple_(table.c.stream, table.c.number)
    found = select(table.c.stream, table.c.number).where(old).limit(MOST)
    return connection.execute(delete(table).where(key.in_(found))).rowcount


def _delete_calls(connection: Connection, before: int) -> int:
    """Delete the facts of calls that began before that. Returns how many calls."""
    calls = list(connection.scalars(select(contact.c.call).where(contact.c.began < before).limit(MOST)))
    for table in (segment, stint, contact) if calls else ():
        connection.execute(delete(table).where(table.c.call.in_(calls)))
    return len(calls)
