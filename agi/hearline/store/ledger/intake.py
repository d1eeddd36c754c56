"""Takes what the spools hold into the database, each record exactly once: the records and the number up to which a
stream has been read are written in one transaction.

    spool/door/*.spool   ─┐
    spool/assist/*.spool ─┴─▶ one transaction: events, timelines, what follows from them, the cursor ─▶ segments deleted
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select, update

from hearline.core.files import hold, private_folder
from hearline.core.log_limit import LogLimit
from hearline.store.ledger.database import Ledger, TakenElsewhere
from hearline.store.ledger.erasure import FORGET, forget, without_forgotten
from hearline.store.ledger.tables import event, storable, stream, timeline
from hearline.store.spool.reader import SpoolReader
from hearline.store.spool.segments import LOST, Record

log = logging.getLogger(__name__)

MOST = 500  # records a transaction
LOCK = ".reader"

Count = Callable[[Connection, Collection[str]], None]
"""Works out anew what follows from the events of these calls, within the transaction."""

Other = Callable[[Connection, Record], None]


@dataclass
class _Cursor:
    id: int
    through: int
    missing: int


class Intake:
    """Takes in the spools in ``folder``, one folder each. ``close`` it.

    Args:
        count: called with the calls that have new events.
        other: called with each record that is about no call, before its transaction is committed.

    Raises:
        TakenElsewhere: another process takes in these spools.
        OSError: the folder cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        count: Count = lambda _connection, _calls: None,
        other: Other = lambda _connection, _record: None,
    ) -> None:
        self._folder, self._ledger, self._count, self._other = folder, ledger, count, other
        try:
            self._held = hold(private_folder(folder) / LOCK)
        except BlockingIOError:
            raise TakenElsewhere(f"another process takes in the spools in {folder}") from None
        self._readers: dict[str, SpoolReader] = {}
        self._cursors: dict[str, _Cursor] = {}  # by the stream's name
        self._said = LogLimit()

    def close(self) -> None:
        os.close(self._held)

    def take_in(self, most: int = MOST) -> int:
        """Take in what is there, at most ``most`` records of each stream. Returns how many.

        Raises:
            TakenElsewhere: another process has taken in records of the same stream, so this one must stop.
            sqlalchemy.exc.DBAPIError: the database is locked, full or gone. Call it again: nothing is lost or doubled.
        """
        return sum(self._take_in(writer, reader, name, most) for writer, reader, name in self._streams())

    def backlog_bytes(self) -> int:
        """The size of all spools."""
        return sum(reader.size() for _, reader in self._spools())

    def clean(self) -> None:
        """Delete what killed processes have left in the spools."""
        for _, reader in self._spools():
            reader.clean()

    # ---- the spools -------------------------------------------------------------------------------------------------
    def _spools(self) -> list[tuple[str, SpoolReader]]:
        for folder in sorted(self._folder.iterdir()):
            if folder.is_dir() and folder.name not in self._readers:
                self._readers[folder.name] = SpoolReader(folder)
        return list(self._readers.items())

    def _streams(self) -> list[tuple[str, SpoolReader, str]]:
        return [(writer, reader, name) for writer, reader in self._spools() for name in reader.streams()]

    def _take_in(self, writer: str, reader: SpoolReader, name: str, most: int) -> int:
        cursor = self._cursors.pop(name, None)  # it is put back only where we know that it is right
        if cursor is None:
            with self._ledger.transaction() as connection:
                cursor = _cursor(connection, writer, name)
        try:
            records = reader.read(name, cursor.through, most)
            if records:
                with self._ledger.transaction() as connection:
                    cursor = self._insert(connection, cursor, name, records)
            reader.forget(name, cursor.through)
        except OSError as error:  # of the spool; the other streams go on
            if self._said.allows(name):
                log.error("spool %s cannot be read: %s", reader.folder.name, error)
            return 0
        self._cursors[name] = cursor
        return len(records)

    def _insert(self, connection: Connection, cursor: _Cursor, name: str, records: list[Record]) -> _Cursor:
        last = records[-1].number
        missing = cursor.missing + last - cursor.through - len(records)
        moved = connection.execute(
            update(stream)
            .where(stream.c.id == cursor.id, stream.c.through == cursor.through)
            .values(through=last, missing=missing)
        )
        if moved.rowcount != 1:
            raise TakenElsewhere(f"another process has taken in records of the stream {name}")
        for one in records:
            if one.kind == FORGET:
                forget(connection, str(one.body.get("caller_key", "")), one.at_ms)
        if essential := [_row(cursor.id, one) for one in records if not one.spare]:
            connection.execute(insert(event), without_forgotten(connection, essential))
        if spare := [one for one in records if one.spare and one.kind != LOST]:
            connection.execute(insert(timeline), [_compressed(_row(cursor.id, one)) for one in spare])
        if calls := {row["call"] for row in essential} - {""}:
            self._count(connection, calls)
        for one in records:
            if not one.call:
                self._other(connection, one)
        return _Cursor(cursor.id, last, missing)


def _cursor(connection: Connection, writer: str, name: str) -> _Cursor:
    """The cursor of a stream. It waits for the last transaction of a killed process, which may still be committed."""
    found = select(stream.c.id, stream.c.through, stream.c.missing).where(stream.c.name == name).with_for_update()
    if row := connection.execute(found).one_or_none():
        return _Cursor(*row)
    new = insert(stream).values(writer=writer, name=name, through=0, missing=0).returning(stream.c.id)
    return _Cursor(connection.execute(new).scalar_one(), 0, 0)


def _row(stream_id: int, record: Record) -> dict[str, Any]:
    body = json.dumps(record.body, separators=(",", ":"))  # ASCII, so any database takes it
    return {
        "stream": stream_id,
        "number": record.number,
        "at": record.at_ms,
        "call": storable(record.call),
        "kind": storable(record.kind),
        "body": body,
    }


def _compressed(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"body": zlib.compress(row["body"].encode())}
