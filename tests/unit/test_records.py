"""Records lie in the folder of their business day."""

from __future__ import annotations

import json
from datetime import UTC, datetime
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
    file = records.file("call")
    write(file, {"outcome": "queue:care"})
    assert file == tmp_path / day / "call.json"
    assert json.loads(file.read_text()) == {"outcome": "queue:care"}


def test_a_record_is_written_while_others_go_on_and_more_is_put_into_it_later(tmp_path):
    records = Records(tmp_path, Calendar(ZoneInfo("Asia/Shanghai")))
    file = records.file("call")
    records.write(file, {"outcome": "hangup:caller", "heard": "normal"})
    records.amend("call", outcome="queue:lost_media")
    records.amend("another", outcome="x")
    assert records.settle()
    assert json.loads(file.read_text()) == {"outcome": "queue:lost_media", "heard": "normal"}
    records.close()
