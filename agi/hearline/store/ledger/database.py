"""The ledger's database: SQLite in a file, or PostgreSQL.

One process writes, on one connection; others read. With SQLite this is a must: two connections that write or checkpoint
at once can damage a database in WAL mode (up to 3.51.2, https://www.sqlite.org/wal.html#walresetbug). So readers open
it read-only, and cannot checkpoint.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from hearline.core.files import hold, private_folder

MIGRATIONS = "hearline.store.ledger:migrations"
BUSY_S = 5  # for another's lock; whoever writes tries again
CONNECT_S = 5
ADVISORY_LOCK = 4573_0015  # of PostgreSQL, during migrations: any number that nobody else uses
_SESSION = (  # of the connection that writes
    "-c synchronous_commit=on -c timezone=UTC "
    f"-c lock_timeout={BUSY_S * 1_000} -c idle_in_transaction_session_timeout=60000"
)


class TakenElsewhere(RuntimeError):
    """Another process writes to this database, or has taken in records of the same stream."""


class WrongDatabase(ValueError):
    """The database cannot be used; the text says why, and what to do."""


def sqlite_url(file: Path) -> str:
    return URL.create("sqlite", database=str(file)).render_as_string()


class Ledger:
    """The database as its one writer has it. ``close`` it.

    Args:
        url: ``sqlite:////var/lib/…/ledger.sqlite``, or ``postgresql://user@host/name``. A password belongs into
            PostgreSQL's own password file (``~/.pgpass``).

    Raises:
        WrongDatabase: the URL, or a missing library.
        TakenElsewhere: another process writes to this SQLite file.
        OSError: the file or its folder cannot be made.
    """

    def __init__(self, url: str) -> None:
        self._url = _url(url)
        self._held: int | None = None
        if file := _file(self._url):
            private_folder(file.parent)
            try:
                self._held = hold(file.with_name(file.name + ".writer"))
            except BlockingIOError:
                raise TakenElsewhere(f"another process writes to {file}") from None
            os.close(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))  # SQLite's other files get its mode
        self._engine = _writer(self._url)
        self._one = threading.Lock()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection within a transaction that writes. It is committed at the end, or undone if anything is raised.
        Raises sqlalchemy.exc.DBAPIError; after that, nobody knows whether it was committed."""
        with self._one, self._engine.begin() as connection:
            yield connection

    def migrate(self) -> None:
        """Bring the tables up to date; concurrent calls wait for each other. Raises WrongDatabase if it was made by a
        newer Hearline, and sqlalchemy.exc.DBAPIError."""
        with self.transaction() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SET LOCAL lock_timeout = '60s'"))
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
            config = _alembic()
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise WrongDatabase(
                    f"the ledger's database was made by another version of Hearline ({error}): "
                    "run that version, or restore a backup from before"
                ) from None

    def close(self) -> None:
        self._engine.dispose()
        if self._held is not None:
            os.close(self._held)
            self._held = None


def reading_engine(url: str) -> Engine:
    """An engine for those who only read. Raises WrongDatabase."""
    parsed = _url(url)
    if file := _file(parsed):
        where = URL.create("sqlite", database=f"file:{_quoted(file)}", query={"mode": "ro", "uri": "true"})
        return create_engine(where, poolclass=QueuePool, connect_args={"timeout": BUSY_S, "check_same_thread": False})
    options = "-c default_transaction_read_only=on -c timezone=UTC"
    return create_engine(parsed, pool_pre_ping=True, connect_args={"connect_timeout": CONNECT_S, "options": options})


def newest_version() -> str:
    """The version of the tables that this Hearline makes."""
    return ScriptDirectory.from_config(_alembic()).get_current_head() or ""


# ---- engines --------------------------------------------------------------------------------------------------------
def _url(text: str) -> URL:
    try:
        url = make_url(text)
    except ArgumentError:
        raise WrongDatabase("not a database URL: write postgresql://USER@HOST/NAME") from None
    match url.drivername:
        case "sqlite" if url.database not in (None, "", ":memory:"):
            return url
        case "postgresql" | "postgresql+psycopg":
            try:
                import psycopg  # noqa: F401
            except ImportError:
                raise WrongDatabase("PostgreSQL needs psycopg: pip install 'hearline[postgresql]'") from None
            return url.set(drivername="postgresql+psycopg")
    raise WrongDatabase(f"{url.drivername}: the ledger is kept in a file of SQLite, or in PostgreSQL")


def _file(url: URL) -> Path | None:
    return Path(url.database or "") if url.drivername == "sqlite" else None


def _quoted(file: Path) -> str:
    return quote(str(file))


def _writer(url: URL) -> Engine:
    if not _file(url):
        arguments = {
            "connect_timeout": CONNECT_S,
            "options": _SESSION,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
        }
        return create_engine(url, pool_size=1, max_overflow=0, pool_pre_ping=True, connect_args=arguments)
    engine = create_engine(
        url, poolclass=QueuePool, pool_size=1, max_overflow=0,
        connect_args={"timeout": BUSY_S, "check_same_thread": False},
    )  # fmt: skip
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # sqlite3 then begins no transactions of its own
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",  # a commit survives a power cut
        "foreign_keys = ON",
        "secure_delete = ON",  # what was deleted is overwritten, whatever SQLite's default is
        "mmap_size = 0",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    """Take the lock to write at once: a transaction that has read cannot wait for it."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", MIGRATIONS)
    config.set_main_option("path_separator", "os")
    return config
