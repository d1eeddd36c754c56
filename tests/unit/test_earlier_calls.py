"""Earlier calls: found by the caller's number, which is stored nowhere."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import time
from types import SimpleNamespace

import pytest

from hearline.store.earlier_calls import EarlierCalls

NUMBER = "13800005678"
DAY_S = 86_400


@pytest.fixture
def calls(tmp_path):
    calls = EarlierCalls(tmp_path / "callers")
    yield calls
    calls.close()


def keep(calls: EarlierCalls, call: str, number: str = NUMBER, at: float | None = None, **what) -> None:
    calls.note(call, who=calls.who(number), at=time.time() if at is None else at, **what)
    calls.close()  # written


def test_a_call_of_two_processes_is_one(calls, tmp_path):
    other = EarlierCalls(tmp_path / "callers")
    keep(calls, "1.1", heard="silent1", ended="queue:care")
    keep(other, "1.1", agent="8016", talk_s=61.5, outcome="inquiry", note="a bed")
    [one] = calls.of(calls.who("+86" + NUMBER))
    assert (one.heard, one.ended, one.agent, one.talk_s, one.outcome, one.note) == (
        "silent1", "queue:care", "8016", 61.5, "inquiry", "a bed",
    )  # fmt: skip


def test_the_latest_come_first_and_the_call_itself_is_none_of_them(calls):
    for day in range(7):
        keep(calls, f"1.{day}", at=time.time() - day * DAY_S)
    ages = [round((time.time() - one.at) / DAY_S) for one in calls.of(calls.who(NUMBER), besides="1.0")]
    assert ages == [1, 2, 3, 4, 5]


def test_who_tells_no_number_is_nobody(calls):
    assert calls.who("") == calls.who("unknown") == ""
    keep(calls, "1.1", number="")
    assert calls.of("") == []


def test_the_number_is_in_no_file_and_the_files_are_private(calls, tmp_path):
    keep(calls, "1.1")
    for file in (tmp_path / "callers").iterdir():
        assert NUMBER.encode() not in file.read_bytes()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert stat.S_IMODE((tmp_path / "callers").stat().st_mode) == 0o700


def rows(tmp_path) -> int:
    with contextlib.closing(sqlite3.connect(tmp_path / "callers" / "calls.sqlite")) as database:
        return database.execute("SELECT count(*) FROM calls").fetchone()[0]


def test_with_another_key_nobody_is_known_again(calls, tmp_path):
    keep(calls, "1.1")
    (tmp_path / "callers" / "key").unlink()
    again = EarlierCalls(tmp_path / "callers")
    assert again.of(again.who(NUMBER)) == []


def test_what_is_too_old_goes(tmp_path):
    calls = EarlierCalls(tmp_path / "callers", days=90)
    keep(calls, "1.1", at=time.time() - 91 * DAY_S)
    assert calls.of(calls.who(NUMBER)) == [] and rows(tmp_path) == 1, "not told, and deleted within an hour or so"
    calls._even_since = time.monotonic() - 3_601, time.time() - 3_601
    keep(calls, "1.2", at=time.time() - 89 * DAY_S)
    assert len(calls.of(calls.who(NUMBER))) == 1 and rows(tmp_path) == 1


def test_a_clock_that_jumps_ahead_and_back_deletes_nothing(tmp_path, monkeypatch, caplog):
    calls, now, passed = EarlierCalls(tmp_path / "callers", days=90), time.time(), time.monotonic()
    at = {"wall": now, "run": passed}
    clock = SimpleNamespace(time=lambda: at["wall"], monotonic=lambda: at["run"])
    monkeypatch.setattr("hearline.store.earlier_calls.time", clock)
    calls._even_since = passed, now
    keep(calls, "1.1", at=now)
    at |= {"wall": now + 91 * DAY_S + 3_700, "run": passed + 3_700}
    keep(calls, "1.2", at=at["wall"])
    assert rows(tmp_path) == 2 and "the clock has jumped" in caplog.text
    at |= {"wall": now + 3_800, "run": passed + 3_800}
    keep(calls, "1.3", at=at["wall"])
    at |= {"wall": now + 3_800 + 3_601, "run": passed + 3_800 + 3_601}
    keep(calls, "1.4", at=at["wall"])
    assert rows(tmp_path) == 4


def test_who_wishes_it_is_forgotten(calls):
    keep(calls, "1.1")
    keep(calls, "1.2", number="13900000000")
    assert calls.forget("+86" + NUMBER) == 1
    assert calls.of(calls.who(NUMBER)) == []
    assert len(calls.of(calls.who("13900000000"))) == 1


def test_calls_that_an_agent_ended_first(calls):
    for call, agent, side in [("1", "8016", "agent"), ("2", "8016", "caller"), ("3", "8017", "agent")]:
        keep(calls, call, agent=agent, left_first=side)
    keep(calls, "4", at=time.time() - 2 * DAY_S, agent="8016", left_first="agent")
    assert calls.left_first("8016", time.time() - DAY_S) == 1


# ---- a database that is not there ------------------------------------------------------------------------------------
def test_a_locked_database_holds_nobody_up_and_loses_nothing(calls, tmp_path, monkeypatch):
    """What comes while it is locked is kept when it is free again, and nobody is told so before."""
    monkeypatch.setattr("hearline.store.earlier_calls.WAIT_S", 0.2)
    keep(calls, "1.1")
    who = calls.who(NUMBER)
    with contextlib.closing(sqlite3.connect(tmp_path / "callers" / "calls.sqlite")) as other:
        other.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        kept = [calls.note("1.2", who=who, at=time.time(), outcome="inquiry"), calls.note("1.3", who=who, at=1.0)]
        assert time.monotonic() - began < 0.1
        time.sleep(1.0)
        kept += [calls.note("1.2", note="a bed", at=time.time() + 9), calls.note("1.2", note="two beds")]
        assert calls.of(who) == [] and not any(one.done() for one in kept)
        assert time.monotonic() - began < 2
        other.rollback()
    assert [one.result(8) for one in kept] == [True] * 4
    [newest, _] = calls.of(who)
    assert (newest.outcome, newest.note) == ("inquiry", "two beds") and newest.at < time.time()
    assert rows(tmp_path) == 3


def test_a_database_that_stays_locked_is_told_of_at_the_end(calls, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("hearline.store.earlier_calls.WAIT_S", 0.2)
    keep(calls, "1.1")
    with contextlib.closing(sqlite3.connect(tmp_path / "callers" / "calls.sqlite")) as other:
        other.execute("BEGIN EXCLUSIVE")
        kept = calls.note("1.2", who=calls.who(NUMBER), at=time.time())
        calls.close()
        assert kept.result(2) is False and "1 writes are lost" in caplog.text


def test_while_a_database_is_locked_a_call_waits_once_however_often_its_note_is_sent(calls, tmp_path, monkeypatch):
    monkeypatch.setattr("hearline.store.earlier_calls.WAIT_S", 0.1)
    keep(calls, "1.1")
    with contextlib.closing(sqlite3.connect(tmp_path / "callers" / "calls.sqlite")) as other:
        other.execute("BEGIN EXCLUSIVE")
        kept = {id(calls.note("1.2", at=time.time(), note=str(number))) for number in range(5_000)}
        assert len(kept) == 1 and calls._writer.lost == 0
        other.rollback()


def test_what_is_known_while_the_call_is_being_written_is_kept_too(calls, monkeypatch):
    from hearline.store import earlier_calls

    who, write, later = calls.who(NUMBER), earlier_calls._upsert, []

    def written(database, call, what) -> None:
        write(database, call, what)
        if not later:
            later.append(calls.note("1.1", note="a bed"))

    monkeypatch.setattr(earlier_calls, "_upsert", written)
    calls.note("1.1", who=who, at=time.time(), outcome="inquiry")
    until(lambda: later and later[0].done())
    assert later[0].result() and [(one.outcome, one.note) for one in calls.of(who)] == [("inquiry", "a bed")]


def test_a_key_that_cannot_be_read_just_now_makes_no_caller_nobody(calls, tmp_path):
    (tmp_path / "callers" / "key").mkdir(parents=True)
    kept = calls.note("1.1", number=NUMBER, at=time.time())
    time.sleep(0.3)
    assert not kept.done()
    (tmp_path / "callers" / "key").rmdir()
    assert kept.result(8) and len(calls.of(calls.who(NUMBER))) == 1


def until(condition) -> None:
    deadline = time.monotonic() + 8
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_lost_database_is_begun_anew(calls, tmp_path):
    keep(calls, "1.1")
    (tmp_path / "callers" / "calls.sqlite").unlink()
    keep(calls, "1.2")
    assert len(calls.of(calls.who(NUMBER))) == 1


@pytest.mark.parametrize("spoil", ["file", "folder"])
def test_a_database_that_cannot_be_had_costs_only_this_list(tmp_path, spoil):
    if spoil == "folder":
        (tmp_path / "callers").write_text("no folder")
    else:
        (tmp_path / "callers").mkdir()
        (tmp_path / "callers" / "calls.sqlite").write_text("no database, but long enough to be taken for one " * 99)
    calls = EarlierCalls(tmp_path / "callers")
    calls.note("1.1", who=calls.who(NUMBER), at=time.time())
    calls.close()
    assert calls.of("abc") == [] and calls.left_first("8016", 0.0) == 0


def test_a_note_that_cannot_be_written_costs_that_note_only(tmp_path):
    calls = EarlierCalls(tmp_path / "callers")
    who = calls.who("13800005678")
    for call, note in enumerate(("one", "half a character: \ud83d", "three")):
        calls.note(str(call), who=who, at=time.time() + call, note=note)
    calls.close()
    assert [call.note for call in calls.of(who)] == ["three", "one"]


def test_what_is_forgotten_is_overwritten_whatever_sqlite_does_by_itself(calls, tmp_path, monkeypatch):
    connect = sqlite3.connect

    def careless(*where, **how) -> sqlite3.Connection:
        database = connect(*where, **how)
        database.execute("PRAGMA secure_delete = OFF")
        return database

    monkeypatch.setattr(sqlite3, "connect", careless)
    file = tmp_path / "callers" / "calls.sqlite"
    keep(calls, "1.1", note="想了解护理床")
    assert "想了解护理床".encode() in file.read_bytes()
    calls.forget(NUMBER)
    assert "想了解护理床".encode() not in file.read_bytes()


def test_a_caller_from_abroad_is_not_one_from_here_with_the_same_digits(calls):
    """13805551234 in China, +1 380 555 1234 in Ohio: their notes were once mixed."""
    keep(calls, "1.1", number="+13805551234", note="Ohio")
    keep(calls, "1.2", number="13805551234", note="China")
    assert [call.note for call in calls.of(calls.who("0013805551234"))] == ["Ohio"]
    assert [call.note for call in calls.of(calls.who("+8613805551234"))] == ["China"]
