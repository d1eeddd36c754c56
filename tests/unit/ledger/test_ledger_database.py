"""The ledger's database: its migrations, its one writer, its readers."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DBAPIError

from hearline.store.ledger.database import Ledger, TakenElsewhere, WrongDatabase, newest_version, reading_engine
from hearline.store.ledger.tables import metadata, stream

ROW = {"writer": "door", "name": "00000001-0123abcd", "through": 0, "missing": 0}


def test_the_migrations_make_the_tables_as_they_are_declared(ledger):
    with ledger.transaction() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == newest_version() == "0003"


def test_migrating_again_changes_nothing(ledger):
    with ledger.transaction() as connection:
        connection.execute(insert(stream), ROW)
    ledger.migrate()
    with ledger.transaction() as connection:
        assert connection.scalar(select(func.count()).select_from(stream)) == 1


def test_two_processes_that_start_at_once_migrate_once(url):
    """PostgreSQL: both may, and the second waits for the first. SQLite: the second is refused."""
    ledgers = []
    with suppress(TakenElsewhere):
        ledgers = [Ledger(url), Ledger(url)]
    if not ledgers:
        assert url.startswith("sqlite")
        return
    errors = []

    def migrate(one: Ledger) -> None:
        try:
            one.migrate()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=migrate, args=(one,)) for one in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for one in ledgers:
        one.close()


def test_a_migration_that_fails_leaves_everything_as_it_was(url, monkeypatch):
    from alembic import op

    ledger = Ledger(url)
    create_index = op.create_index

    def fails(name: str, *rest: object) -> None:
        if name == "ix_segment_agent":
            raise RuntimeError("as a bug would")
        create_index(name, *rest)

    monkeypatch.setattr(op, "create_index", fails)
    with pytest.raises(RuntimeError):
        ledger.migrate()
    monkeypatch.undo()
    with ledger.transaction() as connection:
        assert sqlalchemy.inspect(connection).get_table_names() == []
    ledger.migrate()
    ledger.close()


def test_the_database_of_a_newer_version_is_refused(ledger):
    with ledger.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(WrongDatabase, match="another version"):
        ledger.migrate()


def test_a_transaction_is_kept_as_a_whole_or_not_at_all(ledger):
    with pytest.raises(RuntimeError), ledger.transaction() as connection:
        connection.execute(insert(stream), ROW)
        raise RuntimeError
    with ledger.transaction() as connection:
        assert connection.scalar(select(func.count()).select_from(stream)) == 0


def test_readers_see_what_is_committed_and_write_nothing(url, ledger):
    with ledger.transaction() as connection:
        connection.execute(insert(stream), ROW)
    engine = reading_engine(url)
    with engine.connect() as reader:
        assert reader.scalar(select(stream.c.name)) == ROW["name"]
        reader.rollback()
        with ledger.transaction() as connection:  # a reader holds up nobody
            reader.scalar(select(stream.c.name))
            connection.execute(insert(stream), ROW | {"name": "00000002-0123abcd"})
        reader.rollback()
        assert reader.scalar(select(func.count()).select_from(stream)) == 2
        with pytest.raises(DBAPIError):
            reader.execute(insert(stream), ROW | {"name": "00000003-0123abcd"})
    engine.dispose()


def test_sqlite_is_in_wal_mode_synced_and_private(tmp_path):
    file = tmp_path / "ledger" / "ledger.sqlite"
    ledger = Ledger(f"sqlite:///{file}")
    ledger.migrate()
    wanted = {"journal_mode": "wal", "synchronous": 2, "mmap_size": 0}
    with ledger.transaction() as connection:
        assert {name: connection.scalar(text(f"PRAGMA {name}")) for name in wanted} == wanted
    assert {oct(os.stat(one).st_mode & 0o777) for one in file.parent.iterdir()} == {"0o600"}
    with pytest.raises(TakenElsewhere):
        Ledger(f"sqlite:///{file}")
    ledger.close()
    Ledger(f"sqlite:///{file}").close()


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite://", "sqlite:///:memory:", "mysql://root@localhost/ledger"])
def test_other_databases_are_refused_in_words(url):
    with pytest.raises(WrongDatabase):
        Ledger(url)
