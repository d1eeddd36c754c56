"""Records are kept in the folder of their business day."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from hearline.core.calendar import Calendar
from hearline.store.records import Kept, Records

SHANGHAI = Calendar(ZoneInfo("Asia/Shanghai"))


@pytest.mark.parametrize("machine", ["UTC", "America/New_York", "Asia/Shanghai"])
@pytest.mark.parametrize(
    ("moment", "day"),
    [("2026-11-28 15:59:59", "2026-11-28"), ("2026-11-28 16:00", "2026-11-29"), ("2026-11-29 00:00", "2026-11-29")],
)
def test_the_day_is_the_sites_and_not_the_machines(tmp_path, machine, machine_zone, moment, day):
    machine_zone(machine)
    now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    records = Records(tmp_path, SHANGHAI, lambda: now)
    file = kept(records, "call", {"outcome": "queue:care"})
    assert file == tmp_path / day / "call.json"
    assert json.loads(file.read_text()) == {"outcome": "queue:care"}


def kept(records: Records, call: str, record: dict) -> Path:
    """A record that is written at once: its file."""
    one = Kept(call, number_as="talk" if "talk" in record else "")
    records.write(one, record)
    assert records.settle()
    return one.file


def test_a_record_is_written_while_others_go_on_and_more_is_put_into_it_later(tmp_path):
    records = Records(tmp_path, SHANGHAI)
    one = Kept("call")
    records.write(one, {"outcome": "hangup:caller", "heard": "normal"})
    records.amend("call", outcome="queue:lost_media")
    records.amend("another", outcome="x")
    assert records.settle()
    assert json.loads(one.file.read_text()) == {"outcome": "queue:lost_media", "heard": "normal"}
    records.write(one, {"outcome": "queue:care"})
    records.close()
    assert [json.loads(file.read_text()) for file in tmp_path.rglob("*.json")] == [{"outcome": "queue:care"}]


def test_of_the_versions_that_wait_only_the_newest_is_written(tmp_path, monkeypatch):
    """Somebody who changes a record again and again does not hold up the others' records."""
    going_on, written = threading.Event(), []

    def slowly(file: Path, record: dict) -> None:
        assert going_on.wait(5)
        written.append((file.stem, record["n"]))

    monkeypatch.setattr("hearline.store.records.write", slowly)
    records, one, other = Records(tmp_path, SHANGHAI), Kept("one"), Kept("other")
    records.write(one, {"n": 0})
    while one.waiting:  # until the thread has begun with it
        time.sleep(0.001)
    for number in range(1, 3_000):
        records.write(one, {"n": number})
    records.write(other, {"n": 0})
    going_on.set()
    assert records.settle()
    assert written == [("one", 0), ("one", 2_999), ("other", 0)]
    records.write(one, {"n": 3_000})
    records.close()
    assert written[-1] == ("one", 3_000)


def test_a_calls_further_records_are_numbered_also_over_midnight_and_restarts(tmp_path):
    began = datetime(2026, 11, 28, 15, 59, tzinfo=UTC)
    moments = [began, began + timedelta(seconds=20), began + timedelta(seconds=80)]
    names = ("2026-11-28/call.json", "2026-11-28/call.2.json", "2026-11-29/call.3.json")
    for number, (now, name) in enumerate(zip(moments, names), 1):
        records = Records(tmp_path, SHANGHAI, lambda now=now: now)
        assert kept(records, "call", {"talk": 0, "queue": "care"}) == tmp_path / name
        records.amend("call", outcome="x")
        records.close()
        told = json.loads((tmp_path / name).read_text())
        assert told == {"talk": number, "queue": "care", "outcome": "x"}, "and only the last one is amended"
    records = Records(tmp_path, SHANGHAI, lambda: moments[-1])
    assert kept(records, "another", {}) == tmp_path / "2026-11-29" / "another.json"
    records.close()
