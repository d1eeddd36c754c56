"""The intake: every acknowledged record is in the database once, whatever happens in between."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
import zlib

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from hearline.store.ledger import database
from hearline.store.ledger.database import Ledger, TakenElsewhere
from hearline.store.ledger.intake import Intake
from hearline.store.ledger.tables import event, stream, timeline
from hearline.store.spool.appender import Appender
from hearline.store.spool.segments import LOST

CALL = "20261129-083015123-482139075-shanghai"
OTHER = "20261129-083016123-482139076-shanghai"


@pytest.fixture
def spools(tmp_path):
    """Opens the spool of a writer; all are closed at the end."""
    opened = []

    def open_one(writer: str) -> Appender:
        opened.append(Appender(tmp_path / "spool" / writer))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@pytest.fixture
def take_in(tmp_path, ledger):
    """An intake that is closed at the end."""
    intake = Intake(tmp_path / "spool", ledger)
    yield intake
    intake.close()


def append(appender: Appender, *numbers: int, call: str = CALL) -> None:
    kept = [appender.append(call, "hold", {"n": n}, 1_000 + n) for n in numbers]
    assert all(one.result(5) for one in kept)


def kept(ledger: Ledger) -> list[int]:
    with ledger.transaction() as connection:
        rows = connection.scalars(select(event.c.body).order_by(event.c.stream, event.c.number))
        return [json.loads(body)["n"] for body in rows]


def test_records_are_taken_in_once_and_in_order(spools, take_in, ledger):
    door, assist = spools("door"), spools("assist")
    append(door, 1, 2, 3)
    append(assist, 11, 12)
    assert take_in.take_in() == 5
    assert take_in.take_in() == 0
    append(door, 4)
    assert take_in.take_in() == 1
    assert sorted(kept(ledger)) == [1, 2, 3, 4, 11, 12]
    with ledger.transaction() as connection:
        rows = connection.execute(select(stream.c.writer, stream.c.through, stream.c.missing).order_by(stream.c.writer))
        assert rows.all() == [("assist", 2, 0), ("door", 4, 0)]
        first = connection.execute(select(event).order_by(event.c.at).limit(1)).one()
    assert (first.at, first.call, first.kind, first.body) == (1_001, CALL, "hold", '{"n":1}')


def test_a_backlog_is_taken_in_by_steps_and_its_segments_go(spools, take_in, ledger, tmp_path):
    door = spools("door")
    append(door, *range(250))
    door.close()
    assert [take_in.take_in(100) for _ in range(4)] == [100, 100, 50, 0]
    assert kept(ledger) == list(range(250))
    assert list((tmp_path / "spool" / "door").iterdir()) == []


def test_a_ledger_that_starts_again_goes_on_where_it_was(spools, ledger, tmp_path):
    door = spools("door")
    append(door, 1, 2, 3)
    for most, numbers in ((2, [1, 2]), (2, [1, 2, 3]), (9, [1, 2, 3])):
        intake = Intake(tmp_path / "spool", ledger)
        intake.take_in(most)
        intake.close()
        assert kept(ledger) == numbers


def test_spare_records_are_timelines_and_not_events(spools, take_in, ledger):
    door = spools("door")
    assert door.append(CALL, "timeline", {"events": ["x" * 500]}, 5, spare=True).result(5)
    append(door, 1)
    take_in.take_in()
    assert kept(ledger) == [1]
    with ledger.transaction() as connection:
        row = connection.execute(select(timeline)).one()
    assert json.loads(zlib.decompress(row.body)) == {"events": ["x" * 500]}
    assert len(row.body) < 60


def test_what_stands_for_a_lost_record_is_passed_over(spools, take_in, ledger):
    door = spools("door")
    assert door.append("", LOST, {}, 0, spare=True).result(5)
    append(door, 1)
    assert take_in.take_in() == 2
    with ledger.transaction() as connection:
        assert connection.scalar(select(func.count()).select_from(timeline)) == 0
        assert connection.execute(select(stream.c.through, stream.c.missing)).one() == (2, 0)


def test_what_no_database_takes_is_taken(spools, take_in, ledger):
    door = spools("door")
    assert door.append("a\0b\ud800", "hold\0", {"n": 1, "text": "\0\ud800😀"}, 5).result(5)
    take_in.take_in()
    assert kept(ledger) == [1]
    with ledger.transaction() as connection:
        row = connection.execute(select(event.c.call, event.c.kind, event.c.body)).one()
    assert (row.call, row.kind) == ("ab?", "hold")
    assert json.loads(row.body)["text"] == "\0\ud800😀"


def test_the_calls_with_new_events_are_counted_in_the_same_transaction(spools, ledger, tmp_path):
    door, counted = spools("door"), []

    def count(connection, calls):
        assert connection.scalar(select(func.count()).select_from(event)) == len(kept_before) + 3
        counted.append(set(calls))

    kept_before = kept(ledger)
    append(door, 1, 2)
    append(door, 3, call=OTHER)
    intake = Intake(tmp_path / "spool", ledger, count)
    intake.take_in()
    intake.close()
    assert counted == [{CALL, OTHER}]


def test_what_cannot_be_counted_is_not_taken_in_and_tried_again(spools, ledger, tmp_path):
    door, fails = spools("door"), [True]

    def count(_connection, _calls):
        if fails:
            fails.clear()
            raise OSError("as a bug would")

    append(door, 1, 2)
    intake = Intake(tmp_path / "spool", ledger, count)
    intake.take_in()
    assert kept(ledger) == []
    intake.take_in()
    assert kept(ledger) == [1, 2]
    intake.close()


# ---- one taker -------------------------------------------------------------------------------------------------------
def test_a_second_process_on_the_same_spools_is_refused(take_in, ledger, tmp_path):
    with pytest.raises(TakenElsewhere):
        Intake(tmp_path / "spool", ledger)


def test_a_second_process_on_a_copy_of_a_stream_is_refused(spools, take_in, ledger, tmp_path):
    """Two machines, or a folder that somebody has copied: whoever comes second has nothing to say."""
    door = spools("door")
    append(door, 1, 2)
    take_in.take_in(1)
    shutil.copytree(tmp_path / "spool", tmp_path / "copy")
    other = Intake(tmp_path / "copy", ledger)
    assert other.take_in() == 1  # it is the taker now
    append(door, 3)
    with pytest.raises(TakenElsewhere):
        take_in.take_in()
    other.close()
    assert kept(ledger) == [1, 2]


# ---- damage ----------------------------------------------------------------------------------------------------------
def test_missing_records_are_counted_once_and_the_segment_kept(spools, take_in, ledger, tmp_path):
    door = spools("door")
    append(door, 1, 2, 3, 4)
    door.close()
    (file,) = (tmp_path / "spool" / "door").iterdir()
    file.write_bytes(file.read_bytes().replace(b'"n":2', b'"n":7').replace(b'"n":3', b'"n":8'))
    take_in.take_in()
    assert kept(ledger) == [1, 4]
    with ledger.transaction() as connection:
        assert connection.scalar(select(stream.c.missing)) == 2
    assert [one.suffix for one in (tmp_path / "spool" / "door").iterdir()] == [".damaged"]


def test_a_stream_that_cannot_be_read_holds_up_no_other(spools, take_in, ledger, tmp_path, caplog):
    append(spools("assist"), 1)
    unreadable = tmp_path / "spool" / "door"
    (unreadable / "00000001-0123abcd.000001.spool").mkdir(parents=True)
    append(spools("door"), 2)
    assert take_in.take_in() == 2
    assert take_in.take_in() == 0
    assert sorted(kept(ledger)) == [1, 2]
    assert [one.getMessage().partition(":")[0] for one in caplog.records] == ["spool door cannot be read"]


# ---- a database that is away -----------------------------------------------------------------------------------------
def test_a_locked_sqlite_is_waited_for_and_nothing_is_lost(spools, tmp_path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    file = tmp_path / "ledger.sqlite"
    ledger = Ledger(f"sqlite:///{file}")
    ledger.migrate()
    append(spools("door"), 1, 2)
    intake = Intake(tmp_path / "spool", ledger)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for _ in range(3):
        with pytest.raises(DBAPIError):
            intake.take_in()
    other.execute("COMMIT")
    other.close()
    assert intake.take_in() == 2
    assert kept(ledger) == [1, 2]
    intake.close()
    ledger.close()


def test_a_postgresql_that_is_killed_comes_back_and_nothing_is_lost_or_doubled(spools, tmp_path, postgres):
    postgres.execute("CREATE DATABASE killed")
    ledger = Ledger(postgres.url("killed"))
    ledger.migrate()
    door = spools("door")
    intake = Intake(tmp_path / "spool", ledger)
    append(door, *range(40))
    stopped, failures = threading.Event(), 0

    def goes_on() -> None:
        n = 40
        while not stopped.is_set():
            append(door, n)
            n += 1

    appends = threading.Thread(target=goes_on)
    appends.start()
    try:
        for _ in range(3):
            intake.take_in(5)
            postgres.kill()
            with pytest.raises(DBAPIError):
                intake.take_in(5)
            postgres.start()
    finally:
        stopped.set()
        appends.join()
    while True:
        try:
            if not intake.take_in():
                break
        except DBAPIError:
            failures += 1
            assert failures < 5
    numbers = kept(ledger)
    assert numbers == list(range(len(numbers))) and len(numbers) > 40
    intake.close()
    ledger.close()
    postgres.execute("DROP DATABASE killed WITH (FORCE)")
