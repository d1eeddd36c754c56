"""Forgets callers, at their request: no row tells any more which calls were theirs. The calls stay, for the figures.

Only the ledger's process writes to the database, so the request comes through a spool, like everything else. What is
still in other spools then is forgotten as it is taken in.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from hearline.store.ledger.tables import contact, erasure, event

FORGET = "forget"  # kind of the record that requests it; its body: {"caller_key": …}
CALLER = "caller"  # kind of the event that holds a caller's key


def forget(connection: Connection, caller_key: str, until: int) -> None:
    """Forget whose calls those of this caller are, of calls that came before ``until`` (ms since 1970)."""
    if not caller_key:
        return
    connection.execute(delete(erasure).where(erasure.c.caller_key == caller_key))
    connection.execute(insert(erasure).values(caller_key=caller_key, until=until))
    theirs = contact.c.caller_key == caller_key, contact.c.began <= until
    calls = list(connection.scalars(select(contact.c.call).where(*theirs)))
    for first in range(0, len(calls), 500):
        some = calls[first : first + 500]
        connection.execute(delete(event).where(event.c.kind == CALLER, event.c.call.in_(some)))
    connection.execute(update(contact).where(*theirs).values(caller_key="", fcr_due=None))


def without_forgotten(connection: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows for the table of events, without the keys of callers who are to be forgotten."""
    keys = {n: json.loads(row["body"]).get("caller_key", "") for n, row in enumerate(rows) if row["kind"] == CALLER}
    if not keys:
        return rows
    found = select(erasure.c.caller_key, erasure.c.until).where(erasure.c.caller_key.in_(set(keys.values())))
    until = {row.caller_key: row.until for row in connection.execute(found)}
    gone = {n for n, key in keys.items() if rows[n]["at"] <= until.get(key, -1)}
    return [row | ({"body": '{"caller_key":""}'} if n in gone else {}) for n, row in enumerate(rows)]
