"""Ends the contacts whose callers left while nobody watched.

When agent assist begins to watch, it says which calls are there. All others that came before and have not ended are
over. That becomes an event like any other, said in the ledger's own spool, so that facts follow from events alone.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from hearline.store.call_events import CALLS, Ended, body_of, kind_of
from hearline.store.ledger.tables import contact
from hearline.store.spool.appender import Appender
from hearline.store.spool.segments import Record

LATE_MS = 2_000  # calls that came within this time may have come after Asterisk was asked
WRITE_S = 2.0


class EndsUnseen:
    """Called with a connection and a record that is about no call. Raises OSError if the spool takes nothing.

    Args:
        spool: the ledger's own.
    """

    def __init__(self, spool: Appender) -> None:
        self._spool = spool

    def __call__(self, connection: Connection, record: Record) -> None:
        if record.kind != CALLS or not isinstance(record.body.get("calls"), list):
            return
        here = set(map(str, record.body["calls"]))
        open_before = (
            contact.c.ended.is_(None),
            contact.c.began < record.at_ms - LATE_MS,
            contact.c.site == str(record.body.get("site", "")),
        )
        gone = set(connection.scalars(select(contact.c.call).where(*open_before))) - here
        said = [self._spool.append(call, kind_of(Ended()), body_of(Ended()), record.at_ms) for call in sorted(gone)]
        # Before the transaction is committed: if we are killed in between, it is only said twice.
        if not all(one.result(WRITE_S) for one in said):
            raise OSError("the ledger's own spool takes nothing")
