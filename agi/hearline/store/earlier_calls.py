"""A small index of earlier calls: has this caller called before, and with what outcome? It holds only a keyed hash of
the caller's number, never the number.

Two processes write to it: the door (what the IVR heard) and agent assist (the agent, the outcome). A call is one row,
found by its id. No call waits for the database: a `Writer` does the writing, and tries again while the database is
locked or unavailable. Until then only this list suffers.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hearline.core.files import private_folder
from hearline.core.keys import lasting_key
from hearline.core.numbers import Home, normal
from hearline.store.writer import Writer

log = logging.getLogger(__name__)

DAYS = 90
WAIT_S = 1.0  # for another writer's lock
CLEAN_S = 3_600.0
JUMP_S = 60.0  # a larger correction of the clock counts as a jump
_TABLE = """
CREATE TABLE IF NOT EXISTS calls (
    call TEXT PRIMARY KEY,  -- its id (in rows from before there were ids: Asterisk's unique id)
    who TEXT,               -- keyed hash of the caller's number
    at REAL NOT NULL,       -- when it began, s since 1970
    heard TEXT,             -- by the IVR
    ended TEXT,             -- in the IVR: its outcome
    agent TEXT,             -- work number
    talk_s REAL,
    left_first TEXT,        -- caller, agent
    outcome TEXT,           -- as the agent picked it
    note TEXT               -- as the agent wrote it: the fields as JSON; before there were fields, plain text
);
CREATE INDEX IF NOT EXISTS by_who ON calls (who, at);
CREATE INDEX IF NOT EXISTS by_agent ON calls (agent, at);
"""


@dataclass(frozen=True)
class EarlierCall:
    """A row of the table ``calls``."""

    at: float
    heard: str | None
    ended: str | None
    agent: str | None
    talk_s: float | None
    outcome: str | None
    note: str | None


@dataclass
class _Waiting:
    """Columns of a call that are not written yet, and the future that `note` has returned."""

    what: dict[str, str | float | None]
    kept: Future[bool]


class EarlierCalls:
    """The index in ``folder`` (mode 0700, key and database 0600). Only `forget` raises errors of the database.

    Args:
        days: how long a call is kept.
        home: the country and area of numbers that name none.
    """

    def __init__(self, folder: Path, days: int = DAYS, home: Home = Home()) -> None:
        self._folder, self._days, self._home = folder, days, home
        normal("95160", home)  # loads the numbering plans (60 ms) now, not while somebody calls
        self._file = folder / "calls.sqlite"
        self._key: bytes | None = None
        self._writer = Writer("earlier calls")
        self._waiting: dict[str, _Waiting] = {}  # by the call's id
        self._lock = threading.Lock()
        self._even_since = time.monotonic(), time.time()  # the clock has not jumped since then

    def who(self, number: str) -> str:
        """The keyed hash of a caller's number; '' if the caller withholds it, or the key cannot be read."""
        try:
            return self._who(number)
        except OSError as error:
            log.error("earlier calls are not available: %s", error)
            return ""

    def _who(self, number: str) -> str:
        """As `who`. Raises OSError if the key cannot be read."""
        number = normal(number, self._home)
        if not number:
            return ""
        self._key = self._key or lasting_key(self._folder / "key")
        return hmac.new(self._key, number.encode(), hashlib.sha256).hexdigest()

    def start(self) -> None:
        """Start the writing thread; the first ``note`` does so, too."""
        self._writer.start()

    def note(self, call: str, **what: str | float | None) -> Future[bool]:
        """Add columns to the row of this call; a ``number`` is kept as ``who``. Returns at once, with a future: True
        once they are kept, which takes as long as the database is locked; False if they are lost."""
        with self._lock:
            if waiting := self._waiting.get(call):
                began = {"at": waiting.what["at"]} if "at" in waiting.what else {}
                waiting.what = waiting.what | what | began
                return waiting.kept
            kept = self._writer.later(partial(self._keep, call), call)
            waiting = self._waiting[call] = _Waiting(what, kept)
        kept.add_done_callback(lambda _: self._is_over(call, waiting))
        return kept

    def _is_over(self, call: str, waiting: _Waiting) -> None:
        with self._lock:
            if self._waiting.get(call) is waiting:  # it is lost
                del self._waiting[call]

    def of(self, who: str, besides: str = "", most: int = 5) -> list[EarlierCall]:
        """The latest calls of a caller (see `who`), newest first, without the call ``besides``. May take `WAIT_S`."""
        sql = "SELECT at, heard, ended, agent, talk_s, outcome, note FROM calls WHERE who = ? AND call <> ? AND at >= ?"
        since = time.time() - self._days * 86_400
        rows = self._rows(f"{sql} ORDER BY at DESC LIMIT ?", who, besides, since, most) if who else []
        return [EarlierCall(*row) for row in rows]

    def note_of(self, call: str) -> str | None:
        """The note that is kept of this call. May take `WAIT_S`."""
        return next((note for (note,) in self._rows("SELECT note FROM calls WHERE call = ?", call)), None)

    def left_first(self, agent: str, since: float) -> int:
        """How many calls since then this agent hung up before the caller did."""
        sql = "SELECT count(*) FROM calls WHERE agent = ? AND at >= ? AND left_first = 'agent'"
        return next((count for (count,) in self._rows(sql, agent, since)), 0)

    def forget(self, number: str) -> int:
        """Delete all calls from this number. Returns how many. Raises sqlite3.Error, OSError."""
        if not (who := self.who(number)):
            raise OSError("the key of the callers' hashes cannot be read")
        with self._database() as database:
            return database.execute("DELETE FROM calls WHERE who = ?", (who,)).rowcount

    def close(self) -> None:
        """Write what waits, for at most 2 s."""
        self._writer.close(2 * WAIT_S)

    # ---- the database -----------------------------------------------------------------------------------------------
    def _rows(self, sql: str, *values: object) -> list[tuple]:
        try:
            with self._database() as database:
                return database.execute(sql, values).fetchall()
        except (sqlite3.Error, OSError) as error:
            log.warning("earlier calls are not available: %s", error)
            return []

    def _keep(self, call: str) -> None:
        """Write what waits for this call, and what is added meanwhile. Raises sqlite3.Error, OSError."""
        while True:
            with self._lock:
                what = self._waiting[call].what
            row = dict(what)
            if (number := row.pop("number", None)) is not None:
                row["who"] = self._who(str(number))
            with self._database() as database:
                _upsert(database, call, row)
                self._clean(database)
            with self._lock:
                if self._waiting[call].what is what:
                    del self._waiting[call]
                    return

    def _clean(self, database: sqlite3.Connection) -> None:
        """Delete expired calls, once an hour, and only if the clock has not jumped within that hour: a clock that jumps
        three months ahead and back would delete everything."""
        (began, then), now = self._even_since, time.time()
        passed = time.monotonic() - began
        if abs(now - then - passed) > JUMP_S:
            log.warning("the clock has jumped: old calls are deleted only after an hour without another jump")
        elif passed < CLEAN_S:
            return
        else:
            database.execute("DELETE FROM calls WHERE at < ?", (now - self._days * 86_400,))
        self._even_since = time.monotonic(), now

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """A connection for one transaction. Creates the database if it is missing."""
        if not self._file.exists():
            private_folder(self._folder)
            os.close(os.open(self._file, os.O_CREAT | os.O_WRONLY, 0o600))  # SQLite gives its other files the same mode
        with closing(sqlite3.connect(self._file, timeout=WAIT_S)) as database, database:
            database.execute("PRAGMA secure_delete = ON")  # overwrite deleted rows, whatever SQLite's default is
            database.executescript(_TABLE)
            yield database


def _upsert(database: sqlite3.Connection, call: str, what: dict) -> None:
    names = list(what)
    known = ", ".join(f"{name} = excluded.{name}" for name in names if name != "at")  # keep the first start time
    database.execute(
        f"INSERT INTO calls (call, {', '.join(names)}) VALUES ({', '.join('?' * (len(names) + 1))}) "
        f"ON CONFLICT (call) DO UPDATE SET {known}",
        (call, *what.values()),
    )
