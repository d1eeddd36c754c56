"""The spool: what is acknowledged is on the disk, what is on the disk is read once, and trouble with the disk stays
there."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hearline.store.spool import appender as appending
from hearline.store.spool.appender import Appender, Limits
from hearline.store.spool.reader import SpoolReader
from hearline.store.spool.segments import LOST, encoded, line_of, record_in, seed_of, segments_in

CALL = "20261129-083015123-482139075-shanghai"
SOON_S = 5.0
TEXT = st.text(st.characters())  # also halves of surrogate pairs


@pytest.fixture
def open_appender(tmp_path, monkeypatch):
    """Opens appenders to ``tmp_path/door``, which are closed at the end."""
    monkeypatch.setattr(appending, "AGAIN_S", (0.01,))
    opened = []

    def open_one(limits: Limits = Limits()) -> Appender:
        opened.append(Appender(tmp_path / "door", limits))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close(1.0)


@pytest.fixture
def appender(open_appender):
    return open_appender()


@pytest.fixture
def reader(tmp_path):
    (tmp_path / "door").mkdir(exist_ok=True)
    return SpoolReader(tmp_path / "door")


def append(appender: Appender, *numbers: int, spare: bool = False) -> None:
    kept = [appender.append(CALL, "hold", {"n": n}, n, spare) for n in numbers]
    assert all(one.result(SOON_S) for one in kept)


def read_all(reader: SpoolReader) -> list[int]:
    """All ``n`` of all streams, by steps of 7."""
    found = []
    for stream in reader.streams():
        after = 0
        while records := reader.read(stream, after, 7):
            found += [one.body["n"] for one in records if one.kind != LOST]
            after = records[-1].number
    return found


def until(true) -> None:
    ends = time.monotonic() + SOON_S
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.005)


# ---- order, numbers, streams -----------------------------------------------------------------------------------------
def test_what_is_appended_is_read_once_and_in_order(appender, reader):
    append(appender, *range(100))
    assert read_all(reader) == list(range(100))
    (stream,) = reader.streams()
    assert reader.read(stream, 100, 7) == []
    append(appender, 100)
    (last,) = reader.read(stream, 100, 7)
    assert (last.number, last.at_ms, last.call, last.kind, last.body) == (101, 100, CALL, "hold", {"n": 100})


def test_each_start_has_a_stream_of_its_own_and_the_earlier_is_read_first(open_appender, reader):
    first = open_appender()
    append(first, 1, 2)
    first.close()
    append(open_appender(), 3)
    ages = [one.age for one in segments_in(reader.folder)]
    assert ages == [1, 2]
    assert read_all(reader) == [1, 2, 3]


def test_two_processes_at_once_do_not_disturb_each_other(open_appender, reader):
    one, other = open_appender(), open_appender()
    threads = [threading.Thread(target=append, args=(each, *range(50))) for each in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_all(reader) == [*range(50), *range(50)]


@given(body=st.dictionaries(TEXT, st.one_of(TEXT, st.integers(), st.none(), st.booleans())))
def test_any_text_stays_on_one_line(body):
    line = line_of(seed_of("a"), 7, encoded(5, CALL, "note", body, True))
    assert line.count(b"\n") == 1
    record = record_in(seed_of("a"), line[:-1])
    assert (record.number, record.at_ms, record.body, record.spare) == (7, 5, body, True)
    assert record_in(seed_of("b"), line[:-1]) is None


def test_what_is_no_json_is_refused_at_once(appender):
    with pytest.raises(TypeError):
        appender.append(CALL, "hold", {"n": object()}, 1)
    with pytest.raises(ValueError):
        appender.append(CALL, "hold", {"n": float("nan")}, 1)
    for moment in (-1, 10**18, 1.5, None):
        with pytest.raises(ValueError):
            appender.append(CALL, "hold", {}, moment)
    with pytest.raises(TypeError):
        appender.append(None, "hold", {}, 1)
    assert appender.state.waiting == 0


# ---- segments are finished, and go -----------------------------------------------------------------------------------
def test_a_segment_goes_once_it_is_closed_and_taken_in(open_appender, reader, monkeypatch):
    monkeypatch.setattr(appending, "SEGMENT_BYTES", 200)
    appender = open_appender()
    for n in range(20):
        append(appender, n)
    before = segments_in(reader.folder)
    assert len(before) > 3
    (stream,) = reader.streams()
    records = reader.read(stream, 0, 100)
    reader.forget(stream, 10)
    assert records[-1].number == 20
    left = SpoolReader(reader.folder).read(stream, 0, 100)
    assert left[0].number <= 11 and left[-1].number == 20
    reader.forget(stream, 20)
    assert segments_in(reader.folder) == before[-1:]  # it is still being written to
    appender.close()
    assert reader.read(stream, 20, 100) == []
    reader.forget(stream, 20)
    assert list(reader.folder.iterdir()) == []


def test_a_live_segment_is_locked_and_a_killed_ones_is_not(appender, reader):
    append(appender, 1)
    (live,) = segments_in(reader.folder)
    assert not live.is_closed()
    appender.close()
    assert live.is_closed()


def test_unnamed_leftovers_of_a_killed_process_go(appender, reader):
    append(appender, 1)
    left = reader.folder / ".00000009-0123abcd.000001.spool.new"
    left.touch()
    reader.clean()
    assert not left.exists()
    assert read_all(reader) == [1]


# ---- damage ----------------------------------------------------------------------------------------------------------
def test_a_torn_last_line_is_cut(appender, reader):
    append(appender, 1, 2, 3)
    appender.close()
    (file,) = (one.path for one in segments_in(reader.folder))
    file.write_bytes(file.read_bytes()[:-9])
    assert read_all(reader) == [1, 2]
    (stream,) = reader.streams()
    reader.forget(stream, 2)
    assert list(reader.folder.iterdir()) == []  # it was never acknowledged: nothing is damaged


def test_a_half_written_line_of_a_live_segment_is_waited_for(appender, reader):
    append(appender, 1)
    (file,) = (one.path for one in segments_in(reader.folder))
    (stream,) = reader.streams()
    line = line_of(seed_of(stream), 2, encoded(2, CALL, "hold", {"n": 2}, False))
    with open(file, "ab") as out:
        out.write(line[:20])
        out.flush()
        assert [one.number for one in reader.read(stream, 0, 9)] == [1]
        assert reader.read(stream, 1, 9) == []
        out.write(line[20:])
        out.flush()
        assert [one.number for one in reader.read(stream, 1, 9)] == [2]


def test_a_damaged_segment_is_kept_aside_and_the_rest_is_read(appender, reader):
    append(appender, 1, 2, 3)
    appender.close()
    (file,) = (one.path for one in segments_in(reader.folder))
    lines = file.read_bytes().split(b"\n")
    lines[1] = lines[1].replace(b'"n":2', b'"n":5')
    file.write_bytes(b"\n".join(lines))
    (stream,) = reader.streams()
    assert [one.number for one in reader.read(stream, 0, 9)] == [1, 3]
    reader.forget(stream, 3)
    assert [one.name for one in reader.folder.iterdir()] == [file.name + ".damaged"]
    assert reader.streams() == []


def test_after_damage_no_stream_gets_a_number_twice(open_appender, reader):
    (reader.folder / "00000041-0123abcd.000001.spool.damaged").touch()
    append(open_appender(), 1)
    assert [one.age for one in segments_in(reader.folder)] == [42]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    many=st.integers(1, 12),
    hits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    cut=st.floats(0, 1),
)
def test_whatever_a_disk_does_only_true_records_are_read(many, hits, cut):
    """Random bytes of a closed segment are overwritten, and its end is cut off: every line that is still whole is read,
    no other, and nothing raises."""
    with tempfile.TemporaryDirectory() as folder:
        stream = "00000001-0123abcd"
        lines = [line_of(seed_of(stream), n, encoded(n, CALL, "hold", {"n": n}, False)) for n in range(1, many + 1)]
        data = bytearray(b"".join(lines))
        for place, value in hits:
            data[int(place * len(data))] = value
        data = data[: len(data) - int(cut * len(data) / 2)]
        Path(folder, f"{stream}.000001.spool").write_bytes(data)
        found = [one.number for one in SpoolReader(Path(folder)).read(stream, 0, 100)]
        whole = [n for n, line in enumerate(lines, start=1) if line[:-1] in bytes(data).split(b"\n")[:-1]]
        assert found == whole


# ---- a disk that fails -----------------------------------------------------------------------------------------------
class Disk:
    """What os.write and os.fdatasync do, until told to fail."""

    def __init__(self, monkeypatch) -> None:
        self.full = self.sync_fails = False
        self.error = errno.EIO  # of a sync that fails
        self.half = False  # the next write takes only half
        self.write, self.fdatasync = os.write, os.fdatasync
        self.hangs = threading.Event()
        self.hangs.set()
        monkeypatch.setattr(appending.os, "write", self._write)
        monkeypatch.setattr(appending.os, "fdatasync", self._sync)

    def _write(self, opened: int, data) -> int:
        if self.half:
            self.half, self.full = False, True
            return self.write(opened, data[: len(data) // 2])
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.write(opened, data)

    def _sync(self, opened: int) -> None:
        self.hangs.wait(SOON_S)
        if self.sync_fails:
            raise OSError(self.error, os.strerror(self.error))
        self.fdatasync(opened)


@pytest.fixture
def disk(monkeypatch):
    disk = Disk(monkeypatch)
    yield disk
    disk.full = disk.sync_fails = False
    disk.hangs.set()


@pytest.mark.parametrize("fault", ["full", "half", "sync_fails"])
def test_a_disk_that_takes_nothing_is_waited_for_and_reported(appender, reader, disk, caplog, fault):
    append(appender, 1, 2)
    setattr(disk, fault, True)
    kept = [appender.append(CALL, "hold", {"n": n}, n) for n in (3, 4, 5)]
    until(lambda: appender.state.trouble)
    assert not any(one.done() for one in kept)
    assert appender.state.waiting == 3
    disk.full = disk.half = disk.sync_fails = False
    assert all(one.result(SOON_S) for one in kept)
    assert appender.state.trouble == "" and appender.state.lost == 0
    assert read_all(reader) == [1, 2, 3, 4, 5]
    assert [one.levelname for one in caplog.records] == ["ERROR", "WARNING"]  # said once, however often it was tried


def test_nothing_is_acknowledged_before_it_is_synced(appender, disk):
    disk.hangs.clear()
    kept = appender.append(CALL, "hold", {"n": 1}, 1)
    assert not appender.settle(0.1) and not kept.done()
    disk.hangs.set()
    assert kept.result(SOON_S)


def test_append_never_waits_for_a_disk_that_hangs(appender, disk):
    append(appender, 0)
    disk.hangs.clear()
    began = time.monotonic()
    kept = [appender.append(CALL, "hold", {"n": n}, n) for n in range(1, 2_001)]
    assert time.monotonic() - began < 1.0  # a sync here lasts up to SOON_S
    disk.hangs.set()
    assert all(one.result(SOON_S) for one in kept)


def test_on_a_full_disk_spare_records_are_lost_first(appender, reader, disk):
    append(appender, 1)
    disk.full = True
    essential = appender.append(CALL, "hold", {"n": 2}, 2)
    spare = appender.append(CALL, "timeline", {"n": 3}, 3, spare=True)
    assert spare.result(SOON_S) is False
    disk.full = False
    assert essential.result(SOON_S)
    assert appender.state.spare_lost == 1 and appender.state.lost == 0
    assert read_all(reader) == [1, 2]
    (stream,) = reader.streams()
    numbers = [one.number for one in reader.read(stream, 0, 9)]
    assert numbers == list(range(1, len(numbers) + 1))  # what is lost leaves no gap


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])  # some file systems find out late that they are full
def test_what_was_read_before_it_was_synced_keeps_its_number(appender, reader, disk, error):
    """The reader may take in what stands in a segment, though its sync then fails: the record after it must not come
    under the same number."""
    append(appender, 1)
    disk.hangs.clear()
    disk.sync_fails, disk.error = True, error
    kept = [appender.append(CALL, "timeline" if n == 2 else "hold", {"n": n}, n, n == 2) for n in (2, 3)]
    (stream,) = reader.streams()
    found = []
    until(lambda: found or found.extend(reader.read(stream, 1, 9)))
    until(lambda: len(found) == 2 or found.extend(reader.read(stream, 2, 9)))
    assert [one.number for one in found] == [2, 3]
    disk.hangs.set()
    until(lambda: appender.state.trouble)
    last = appender.append(CALL, "hold", {"n": 4}, 4)
    disk.sync_fails = False
    assert kept[1].result(SOON_S) and last.result(SOON_S)
    assert kept[0].result(SOON_S) is (error == errno.EIO)
    assert [(one.number, one.body) for one in reader.read(stream, 3, 9)] == [(4, {"n": 4})]
    afresh = SpoolReader(reader.folder).read(stream, 0, 9)
    assert [one.number for one in afresh] == [1, 2, 3, 4]


def test_a_disk_that_stays_full_does_not_fill_the_folder(appender, reader, disk):
    append(appender, 1)
    disk.full = True
    kept = appender.append(CALL, "hold", {"n": 2}, 2)
    until(lambda: appender._ordinal > 10)
    assert len(list(reader.folder.iterdir())) <= 2
    spare = appender.append(CALL, "timeline", {"n": 3}, 3, spare=True)  # behind the one that fails
    assert spare.result(SOON_S) is False
    disk.full = False
    assert kept.result(SOON_S)
    assert read_all(reader) == [1, 2]


def test_in_a_large_spool_spare_records_are_lost(open_appender, reader, monkeypatch):
    monkeypatch.setattr(appending, "SEGMENT_BYTES", 100)
    appender = open_appender(Limits(spare_on_disk=300))
    append(appender, *range(10))
    assert appender.append(CALL, "timeline", {"n": 10}, 1, spare=True).result(SOON_S) is False
    append(appender, 11)
    assert read_all(reader) == [*range(10), 11]
    for stream in reader.streams():
        reader.forget(stream, 11)
    appender.append(CALL, "hold", {"n": 12}, 1).result(SOON_S)  # begins a segment, and looks at the disk
    append(appender, 13, spare=True)


def test_memory_is_bounded_and_spare_records_go_first(open_appender, disk):
    appender = open_appender(Limits(spare_waiting=40_000, waiting=80_000))
    disk.hangs.clear()
    kept = [appender.append(CALL, "hold", {"n": n}, n) for n in range(100)]
    spare = appender.append(CALL, "timeline", {"n": 1}, 1, spare=True)
    assert spare.result(0) is False
    disk.hangs.set()
    results = [one.result(SOON_S) for one in kept]
    assert 10 < sum(results) < 40 and results == sorted(results, reverse=True)
    assert appender.state.lost == results.count(False) and appender.state.spare_lost == 1


def test_close_writes_what_waits(open_appender, reader):
    appender = open_appender()
    kept = [appender.append(CALL, "hold", {"n": n}, n) for n in range(500)]
    appender.close()
    assert all(one.result(0) for one in kept)
    assert appender.append(CALL, "hold", {"n": 1}, 1).result(0) is False
    assert read_all(reader) == list(range(500))


def test_close_gives_up_on_a_disk_that_stays_full(open_appender, disk):
    appender = open_appender()
    disk.full = True
    kept = appender.append(CALL, "hold", {"n": 1}, 1)
    began = time.monotonic()
    appender.close(0.2)
    assert time.monotonic() - began < 2.0
    assert kept.result(0) is False and appender.state.lost == 1
