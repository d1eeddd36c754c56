"""Records lie in the folder of their business day."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from hearline.core.calendar import Calendar
from hearline.store.records import Records, write


@pytest.mark.parametrize("machine", ["UTC", "America/New_York", "Asia/Shanghai"])
@pytest.mark.parametrize(
    ("moment", "day"),
    [("2026-11-28 15:59:59", "2026-11-28"), ("2026-11-28 16:00", "2026-11-29"), ("2026-11-29 00:00", "2026-11-29")],
)
def test_the_day_is_the_sites_and_not_the_machines(tmp_path, machine, machine_zone, moment, day):
    machine_zone(machine)
    now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    records = Records(tmp_path, Calendar(ZoneInfo("Asia/Shanghai")), lambda: now)
    file, number = records.next("call")
    assert number == 1
    write(file, {"outcome": "queue:care"})
    assert file == tmp_path / day / "call.json"
    assert json.loads(file.read_text()) == {"outcome": "queue:care"}
    assert records.last("call") == file


def test_a_calls_further_records_are_numbered_also_over_midnight_and_restarts(tmp_path):
    began, calendar = datetime(2026, 11, 28, 15, 59, tzinfo=UTC), Calendar(ZoneInfo("Asia/Shanghai"))
    moments = iter([began, began + timedelta(seconds=20), began + timedelta(seconds=80)])
    for expected in ("2026-11-28/call.json", "2026-11-28/call.2.json", "2026-11-29/call.3.json"):
        now = next(moments)
        records = Records(tmp_path, calendar, lambda now=now: now)
        assert records.last("call-") is None
        file, _ = records.next("call")
        write(file, {})
        assert file == tmp_path / expected and records.last("call") == file
    assert records.next("another") == (tmp_path / "2026-11-29" / "another.json", 1)
