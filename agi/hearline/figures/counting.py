"""Writes the facts of calls into the ledger, in the transaction that takes in their events: so a figure never counts an
event twice, and never misses one that was kept."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict
from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from hearline.core.calendar import Calendar
from hearline.core.ids import is_call_id
from hearline.figures.facts import Facts, Said, facts_of
from hearline.store.call_events import event_in
from hearline.store.ledger.tables import contact, dirty_day, event, segment, stint, storable

log = logging.getLogger(__name__)

_Row = dict[str, Any]
FACTS = (segment, stint, contact)  # in the order in which they can be deleted


class Counting:
    """Called with a connection and the ids of calls that have new events.

    Args:
        calendar_of: the calendar of a flow, by name, which decides the business day; the site's own for a name that is
            not, or no longer, that of a flow.
        whole_since: calls that began earlier (ms since 1970) have lost events by their age, so their facts stay.
    """

    def __init__(self, calendar_of: Callable[[str], Calendar], whole_since: Callable[[], int] = lambda: 0) -> None:
        self._calendar_of, self._whole_since = calendar_of, whole_since

    def __call__(self, connection: Connection, calls: Collection[str]) -> None:
        old = select(contact.c.call).where(contact.c.call.in_(calls), contact.c.began < self._whole_since())
        calls = sorted(filter(is_call_id, set(calls) - set(connection.scalars(old))))
        if not calls:
            return
        days = set(connection.scalars(select(contact.c.local_day).where(contact.c.call.in_(calls))))
        days |= set(connection.scalars(select(stint.c.local_day).where(stint.c.call.in_(calls))))
        contacts, stints, segments = [], [], []
        for call, said in _said(connection, calls):
            if (of_call := self._rows(call, said)) is not None:
                contacts.append(of_call[0])
                stints += of_call[1]
                segments += of_call[2]
        for table in FACTS:
            connection.execute(delete(table).where(table.c.call.in_(calls)))
        for table, rows in ((contact, contacts), (stint, stints), (segment, segments)):
            if rows:
                connection.execute(insert(table), rows)
        days |= {row["local_day"] for row in (*contacts, *stints)}
        _mark_dirty(connection, days)

    def _rows(self, call: str, said: Iterable[Said]) -> tuple[_Row, list[_Row], list[_Row]] | None:
        """The rows of a call's contact, stints and segments. An error of ours costs the facts of that call, and stops
        nothing; its events stay."""
        try:
            if (facts := facts_of(call, said)) is None:
                return None
            segments = [_storable({"call": call, **asdict(one)}) for one in facts.segments]
            return self._contact(facts), self._stints(facts), segments
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            what = type(error).__name__
            log.error("a call cannot be counted: %s in %s:%s", what, Path(where.filename).name, where.lineno)
            return None

    def _contact(self, facts: Facts) -> _Row:
        return _storable(asdict(facts.contact) | self._day(facts, facts.contact.began))

    def _stints(self, facts: Facts) -> list[_Row]:
        rows = []
        for one in facts.stints:
            row = asdict(one) | self._day(facts, one.enqueued)
            del row["segments"]
            rows.append(_storable({"call": facts.contact.call, **row}))
        return rows

    def _day(self, facts: Facts, at: int) -> _Row:
        calendar = self._calendar_of(facts.contact.flow)
        moment = datetime.fromtimestamp(at / 1_000, UTC)
        return {"local_day": calendar.business_day(moment), "local_hour": moment.astimezone(calendar.zone).hour}


def _storable(row: _Row) -> _Row:
    return {name: storable(value) if isinstance(value, str) else value for name, value in row.items()}


def _said(connection: Connection, calls: list[str]) -> Iterable[tuple[str, list[Said]]]:
    """What was said of each of these calls; events that make no sense are left out."""
    columns = event.c.call, event.c.stream, event.c.number, event.c.at, event.c.kind, event.c.body
    rows = connection.execute(select(*columns).where(event.c.call.in_(calls)).order_by(event.c.call))
    for call, of_call in groupby(rows, key=lambda row: row[0]):
        read = ((row, event_in(row.kind, row.body)) for row in of_call)
        yield call, [Said(row.stream, row.number, row.at, found) for row, found in read if found is not None]


def _mark_dirty(connection: Connection, days: Iterable[date]) -> None:
    """Have the roll-ups of these business days built again."""
    rows = [{"local_day": day} for day in sorted(days)]
    if not rows:
        return
    new = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(dirty_day)
    connection.execute(new.on_conflict_do_nothing(), rows)
