"""Files: reading never hangs, and writing replaces the whole file or nothing."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from hearline.core import files
from hearline.core.files import locked, read_regular, stamp, write_private, write_shared, write_whole
from hearline.core.keys import KEY_BYTES, lasting_key
from hearline.store import records
from hearline.store.accounts import Accounts


# ---- reading ---------------------------------------------------------------------------------------------------------
def test_a_fifo_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a regular file"):
        read_regular(tmp_path / "fifo")


@pytest.mark.parametrize("path", ["/dev/zero", "/"])
def test_a_device_or_a_folder_is_refused(path):
    with pytest.raises(OSError, match="not a regular file"):
        read_regular(files.Path(path))


def test_a_large_file_is_refused(tmp_path):
    (tmp_path / "large").write_bytes(bytes(1_001))
    assert len(read_regular(tmp_path / "large", 1_001)) == 1_001
    with pytest.raises(OSError, match=r"larger than 1,000 bytes"):
        read_regular(tmp_path / "large", 1_000)


def test_a_file_that_was_replaced_with_one_of_the_same_age_and_size_is_another(tmp_path):
    file = tmp_path / "flow.yaml"
    file.write_text("one")
    before, times = stamp([file]), file.stat()
    (tmp_path / "new").write_text("two")
    os.utime(tmp_path / "new", ns=(times.st_atime_ns, times.st_mtime_ns))
    os.replace(tmp_path / "new", file)
    assert stamp([file]) != before


# ---- writing ---------------------------------------------------------------------------------------------------------
class Full:
    """A disk that has room for so many bytes a file: os.write fails as on a full one."""

    def __init__(self, monkeypatch) -> None:
        def fsync(_descriptor):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", fsync)


def writes(folder):
    """All that is written whole, by name."""
    return {
        "whole": lambda: write_whole(folder / "whole", "new"),
        "private": lambda: write_private(folder / "private", "new"),
        "pins": lambda: Accounts(folder / "pins.json").set_pin("8016", "271828"),
        "key": lambda: lasting_key(folder / "key"),
    }


@pytest.mark.parametrize("what", ["whole", "private", "pins", "key"])
def test_a_failed_write_leaves_nothing_and_loses_nothing(tmp_path, monkeypatch, what):
    (tmp_path / "whole").write_text("old")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    Full(monkeypatch)
    with pytest.raises(OSError, match="No space"):
        writes(tmp_path)[what]()
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir() if not f.name.endswith(".lock")} == before


@pytest.fixture
def tiny(tmp_path):
    """A file system of 64 kB, where we may mount one."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("only root mounts file systems")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_not_filled_further_and_keeps_what_was_there(tiny):
    write_whole(tiny / "kept", "old")
    (tiny / "filler").write_bytes(bytes(48 * 1024))
    for write in (
        lambda: write_whole(tiny / "kept", "x" * 40_000),
        lambda: records.write(tiny / "2026-11-29" / "call.json", {"events": ["x" * 40_000]}),
    ):
        with pytest.raises(OSError, match="No space"):
            write()
    assert (tiny / "kept").read_text() == "old"
    assert sorted(f.name for f in tiny.rglob("*") if f.is_file()) == ["filler", "kept"]


def test_who_may_read_it(tmp_path):
    write_private(tmp_path / "new" / "private", "x")
    write_whole(tmp_path / "public", "x", mode=0o644)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "new" / "private").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "public").stat().st_mode) == 0o644


@pytest.mark.parametrize(
    ("folder", "file", "lock"), [(0o2770, 0o640, 0o660), (0o2700, 0o600, 0o600), (0o770, 0o600, 0o600)]
)
def test_a_group_reads_what_is_for_it_only_in_a_folder_that_it_shares(tmp_path, folder, file, lock):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(folder)
    with locked(shared / "pins"):
        write_shared(shared / "pins", "x")
    write_private(shared / "key", "x")
    modes = {made.name: stat.S_IMODE(made.stat().st_mode) for made in shared.iterdir()}
    assert modes == {"pins": file, ".pins.lock": lock, "key": 0o600}


def test_what_is_kept_is_synced_with_its_name(tmp_path, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), real(fd)))
    write_whole(tmp_path / "kept", "x")
    assert synced[0].startswith(f"{tmp_path}/.kept.") and synced[1] == str(tmp_path)


# ---- keys ------------------------------------------------------------------------------------------------------------
def test_an_empty_key_is_none(tmp_path, caplog):
    """As a full disk or a power cut may have left it. With it everybody could make what only we should."""
    (tmp_path / "key").touch()
    assert len(lasting_key(tmp_path / "key")) == KEY_BYTES == len((tmp_path / "key").read_bytes())
    assert "was empty" in caplog.text


def test_a_damaged_key_is_told_and_kept(tmp_path):
    (tmp_path / "key").write_bytes(b"half")
    with pytest.raises(OSError, match="restore or remove it"):
        lasting_key(tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == b"half"


def test_all_who_ask_at_once_get_the_same_key(tmp_path):
    with ThreadPoolExecutor(16) as threads:
        assert len(set(threads.map(lambda _: lasting_key(tmp_path / "page" / "key"), range(64)))) == 1


# ---- one at a time ---------------------------------------------------------------------------------------------------
SET_PIN = """
import sys
from pathlib import Path
from hearline.store.accounts import Accounts
Accounts(Path(sys.argv[1])).set_pin(sys.argv[2], "271828")
"""


def test_pins_that_are_set_at_once_are_all_kept(tmp_path):
    agents = [str(8_000 + n) for n in range(12)]
    command = [sys.executable, "-c", SET_PIN, str(tmp_path / "pins.json")]
    started = [subprocess.Popen([*command, agent]) for agent in agents]
    assert [process.wait(60) for process in started] == [0] * 12
    assert [account.number for account in Accounts(tmp_path / "pins.json").all()] == agents


def test_a_lock_is_let_go_of_whatever_happens(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "file"):
        raise ZeroDivisionError
    with locked(tmp_path / "file"):
        pass
