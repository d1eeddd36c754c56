"""The ledger's process, as far as its thread: it takes in what is there, and goes on after whatever stops it."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, contextmanager

import pytest
from sqlalchemy import func, select

from hearline.core.settings import Settings
from hearline.server.ledger import LedgerKeeper
from hearline.store.call_events import Caller, body_of, kind_of
from hearline.store.ledger.database import reading_engine
from hearline.store.ledger.tables import contact
from hearline.store.spool.appender import Appender

SOON_S = 15.0


@contextmanager
def kept(settings):
    keeper = LedgerKeeper(settings)
    keeper.start()
    try:
        yield keeper
    finally:
        keeper.stop()


@pytest.fixture
def settings(tmp_path):
    return Settings(state=tmp_path / "state")


@pytest.fixture
def say(settings):
    spool = Appender(settings.spool / "door")
    numbers = iter(range(100_000_000, 999_999_999))

    def say():
        call = f"20261129-083015123-{next(numbers)}-site"
        assert spool.append(call, kind_of(Caller()), body_of(Caller()), 1_795_941_015_123).result(5)

    yield say
    spool.close()


def until(condition):
    deadline = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def contacts(settings):
    engine = reading_engine(settings.database_url)
    try:
        with engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(contact))
    finally:
        engine.dispose()


def test_what_is_said_is_taken_in_and_its_segments_go(settings, say):
    say()
    with kept(settings) as keeper:
        until(lambda: keeper.standing.taken_in == 1)
        say()
        until(lambda: keeper.standing.taken_in == 2)
        assert keeper.standing.trouble == ""
    assert contacts(settings) == 2


def test_a_locked_database_is_tried_again(settings, say, monkeypatch):
    monkeypatch.setattr("hearline.store.ledger.database.BUSY_S", 0.2)
    with kept(settings) as keeper:
        say()
        until(lambda: keeper.standing.taken_in == 1)
        file = settings.state / "ledger" / "ledger.sqlite"
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            say()
            until(lambda: "locked" in keeper.standing.trouble)
            assert keeper.standing.since > 0
            other.execute("ROLLBACK")
        until(lambda: keeper.standing.taken_in == 2)
        assert keeper.standing.trouble == "" and keeper.standing.since == 0
    assert contacts(settings) == 2


def test_another_process_that_keeps_the_same_ledger_is_left_alone(settings, say):
    with kept(settings) as first, kept(settings) as second:
        until(lambda: "another process" in first.standing.trouble + second.standing.trouble)
        say()
        until(lambda: first.standing.taken_in + second.standing.taken_in == 1)
    assert contacts(settings) == 1


def test_a_database_that_cannot_be_used_is_named(tmp_path, caplog):
    with kept(Settings(state=tmp_path, database="postgresql://nobody@127.0.0.1:1/none")) as keeper:
        until(lambda: "port 1" in keeper.standing.trouble)
    assert "the ledger takes nothing in, and the spools grow" in caplog.text
