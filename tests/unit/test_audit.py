"""The audit log: what a line holds, and what it never holds; who can read it; floods and clocks that jump do not harm
it."""

from __future__ import annotations

import errno
import json
import os
import stat
from datetime import UTC, datetime, timedelta

import pytest

from hearline.store import audit as module
from hearline.store.audit import AuditLog, DayFull, network


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 29, 23, 59, 30, 123_456, UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def audit(tmp_path, clock):
    return AuditLog(tmp_path / "audit", days=190, now=clock)


def names(audit: AuditLog) -> list[str]:
    return sorted(file.name for file in audit.folder.iterdir())


def test_a_line_each_in_utc_for_the_owner_alone(audit, clock):
    clock.now = clock.now.astimezone(tz=None)
    audit.write("pin-set", by="uid 0", of="8016")
    audit.note("sign-in", result="right", number="8016", network="192.0.2.0/24")
    assert audit.settle()
    [file] = audit.folder.iterdir()
    assert file.name == "2026-11-29.0.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(audit.folder.stat().st_mode) == 0o700
    assert [json.loads(line) for line in file.read_text().splitlines()] == [
        {"at": "2026-11-29T23:59:30.123Z", "event": "pin-set", "by": "uid 0", "of": "8016"},
        {"at": "2026-11-29T23:59:30.123Z", "event": "sign-in", "result": "right", "number": "8016",
         "network": "192.0.2.0/24"},
    ]  # fmt: skip


def test_a_day_a_file_and_another_where_one_is_full(audit, clock, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    monkeypatch.setattr(module, "MOST_FILES", 2)
    for _ in range(4):
        audit.write("sign-out", by="8016")
    assert names(audit) == ["2026-11-29.0.jsonl", "2026-11-29.1.jsonl"]
    with pytest.raises(DayFull):
        audit.write("sign-out", by="8016")
    clock.now += timedelta(minutes=1)
    audit.write("sign-out", by="8016")
    assert names(audit)[-1] == "2026-11-30.0.jsonl"


def test_looks_crowd_out_nothing_else(audit, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 1)
    monkeypatch.setattr(module, "MOST_FILES", 4)
    for _ in range(2):
        audit.write("look", by="8016")
    with pytest.raises(DayFull):
        audit.write("look", by="8016")
    for _ in range(2):
        audit.write("sign-out", by="8017")


def test_several_processes_write_into_one_file(audit, clock):
    other = AuditLog(audit.folder, now=clock)
    for n in range(50):
        (audit, other)[n % 2].write("sign-out", by=str(n))
    [file] = audit.folder.iterdir()
    assert [json.loads(line)["by"] for line in file.read_text().splitlines()] == [str(n) for n in range(50)]


def test_what_is_old_goes_and_what_is_not_ours_stays(audit, clock):
    audit.write("sign-out")
    (audit.folder / "notes.txt").write_text("mine")
    clock.now += timedelta(days=100)
    AuditLog(audit.folder, 190, clock).write("sign-out")
    clock.now += timedelta(days=91)
    AuditLog(audit.folder, 190, clock).write("sign-out")  # the first to be written since is a day behind: one more
    clock.now += timedelta(days=1)
    AuditLog(audit.folder, 190, clock).write("sign-out")
    assert names(audit) == ["2027-03-09.0.jsonl", "2027-06-08.0.jsonl", "2027-06-09.0.jsonl", "notes.txt"]


def test_a_clock_that_jumps_forward_and_back_deletes_nothing(audit, clock):
    audit.write("sign-out")
    clock.now += timedelta(days=400)
    audit.write("sign-out")
    clock.now -= timedelta(days=400)
    audit.write("sign-out")
    first, _ = names(audit)
    assert first == "2026-11-29.0.jsonl" and len((audit.folder / first).read_text().splitlines()) == 2


def test_a_link_in_its_place_is_not_followed(audit, tmp_path):
    audit.folder.mkdir()
    (tmp_path / "other").write_text("")
    (audit.folder / "2026-11-29.0.jsonl").symlink_to(tmp_path / "other")
    with pytest.raises(OSError):
        audit.write("sign-out")
    audit.note("sign-out")
    assert audit.settle(), "and nobody waits for it"


def test_a_full_disk_leaves_no_half_line(audit, monkeypatch):
    audit.write("sign-out", by="8016")
    [file] = audit.folder.iterdir()
    whole, write = file.read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:20]))
    with pytest.raises(OSError) as raised:
        audit.write("sign-out", by="8017")
    assert raised.value.errno == errno.ENOSPC and file.read_bytes() == whole
    monkeypatch.undo()
    audit.write("sign-out", by="8018")
    assert [json.loads(line)["by"] for line in file.read_text().splitlines()] == ["8016", "8018"]


def test_a_line_that_the_disk_did_not_take_is_not_there_twice(audit, monkeypatch):
    """The writer repeats a write that failed."""

    def broken(_descriptor: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "fdatasync", broken)
    with pytest.raises(OSError):
        audit.write("sign-out", by="8016")
    monkeypatch.undo()
    audit.write("sign-out", by="8016")
    [file] = audit.folder.iterdir()
    assert len(file.read_text().splitlines()) == 1


def test_the_line_after_half_a_line_is_a_line_of_its_own(audit):
    audit.folder.mkdir()
    file = audit.folder / "2026-11-29.0.jsonl"
    file.write_bytes(b'{"at": "2026-')
    audit.write("sign-out", by="8016")
    half, line = file.read_text().splitlines()
    assert half == '{"at": "2026-' and json.loads(line)["by"] == "8016"


@pytest.mark.parametrize(
    ("address", "known"),
    [
        ("192.0.2.57", "192.0.2.0/24"), ("::ffff:192.0.2.57", "192.0.2.0/24"), ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"), ("", ""), ("unknown", ""),
    ],
)  # fmt: skip
def test_of_an_address_only_the_network_is_kept(address, known):
    assert network(address) == known
