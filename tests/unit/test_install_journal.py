"""Killed at any moment, an installation is finished or undone by the next run, and no file of theirs is ever broken.

A child process installs, or takes away, and is killed at its n-th operation on a file: for every n there is. The
operations are those that Python itself reports (`sys.addaudithook`), so that none can be forgotten here.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hearline.install import disk, order
from hearline.install.disk import Busy, ChangedMeanwhile, only_one
from hearline.install.farewell import NONE
from hearline.install.journal import JournalError, read_journal, unfinished
from hearline.install.tree import sha256
from install_box import SECRET, Box, parts, values
from whole_trees import differences, put_back, shown

OPERATIONS = frozenset({
    "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.setxattr", "os.symlink",
    "os.truncate", "open",
})  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@pytest.fixture(autouse=True)
def unsynced(monkeypatch):
    """What SIGKILL leaves behind does not depend on the disk, which would take minutes here."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


def operations_of(work: Callable[[], object], die_at: int = 0) -> int:
    """Do the work in a child process that is killed at its operation number ``die_at``, counted from 1. Returns how
    many there were, or 0 if it was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            count = 0

            def operation() -> None:
                nonlocal count
                count += 1
                if count == die_at:
                    os.kill(os.getpid(), signal.SIGKILL)

            def audit(event: str, arguments: tuple) -> None:
                if event in OPERATIONS and (event != "open" or (arguments[2] or 0) & WRITES):
                    operation()

            os.fsync = lambda _descriptor: operation()
            os.close(reader)
            sys.addaudithook(audit)
            work()
            os.write(writer, str(count).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as read:
        told = read.read()
    _, status = os.waitpid(child, 0)
    if not told:
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, "the child has failed"
        return 0
    return int(told)


JOURNAL = "hearline-install.json"


def unbroken(states: States) -> None:
    """Each path is as it was, or as it is to be, and what a line of ours includes is there, all of it."""
    before, after, now = states.shown_before, states.shown_after, states.box.shown()
    manager = "etc/asterisk/hearline/manager.conf"
    if manager in now and now[manager][3] == NONE:  # the last word to the manager interface
        now[manager] = after[manager]
    for path in before.keys() | after.keys() | now.keys():
        if JOURNAL not in path and not path.endswith(".hearline-unfinished"):
            assert now.get(path) in (before.get(path), after.get(path)), path
    ours = {path for path in after if path.startswith("etc/asterisk/hearline")}
    lines = {path for path in after if before.get(path) != after[path] and path.startswith("etc/asterisk/")} - ours
    if any(now.get(path) == after[path] for path in lines):
        assert {path for path in ours if now.get(path) != after[path]} == set()


class States:
    """A box before and after an installation, both kept."""

    def __init__(self, folder: Path, profile: str, ordered: bool = False) -> None:
        self.box = Box(folder / "box", profile, console=lambda _command: "", ordered=ordered)  # an Asterisk runs
        self.before, self.after = folder / "before", folder / "after"
        put_back(self.box.path, self.before)
        self.box.install()
        put_back(self.box.path, self.after)
        self.shown_before, self.shown_after = shown(self.before), shown(self.after)


@pytest.fixture(params=["debian", "freepbx"])
def states(request, tmp_path) -> States:
    return States(tmp_path, request.param)


@pytest.fixture
def ordered(tmp_path, monkeypatch) -> States:
    """As the command line installs, settings and flows included. What takes long, and a new secret for each run, are
    replaced."""
    monkeypatch.setattr(order, "dialplan_values", lambda *_arguments: values())
    monkeypatch.setattr(order, "render_parts", lambda *_arguments: parts())
    monkeypatch.setattr(order.secrets, "token_urlsafe", lambda _bytes: SECRET)
    return States(tmp_path, "debian", ordered=True)


@pytest.mark.parametrize("then", ["install", "uninstall"])
def test_killed_at_any_operation_an_installation_by_command_is_finished_or_undone(ordered, then):
    killed_everywhere(ordered, "install", then)


@pytest.mark.parametrize("then", ["install", "uninstall"])
@pytest.mark.parametrize("killed", ["install", "uninstall"])
def test_killed_at_any_operation_the_next_run_finishes_or_undoes(states, killed, then):
    killed_everywhere(states, killed, then)


def killed_everywhere(states: States, killed: str, then: str) -> None:
    box, kept = states.box, states.before if killed == "install" else states.after
    put_back(kept, box.path)
    count = operations_of(lambda: getattr(box, killed)())
    assert count > 60
    for number in range(1, count + 1):
        put_back(kept, box.path)
        assert operations_of(lambda: getattr(box, killed)(), number) == 0
        unbroken(states)
        getattr(box, then)()
        expected = states.shown_after if then == "install" else states.shown_before
        assert differences(box.shown(), expected) == [], f"killed at operation {number} of {count}"


def test_the_work_in_the_child_is_the_whole_work(states):
    """A child that is not killed gets to the end."""
    put_back(states.before, states.box.path)
    operations_of(states.box.install)
    assert states.box.differs_from(states.shown_after) == []
    operations_of(states.box.uninstall)
    assert states.box.differs_from(states.shown_before) == []


def test_killed_again_and_again_it_comes_to_its_end(states):
    """Each run is killed one operation later than the one before, on what that has left."""
    put_back(states.before, states.box.path)
    number = 1
    while operations_of(states.box.install, number) == 0:
        number += 1
    assert states.box.differs_from(states.shown_after) == []
    number = 1
    while operations_of(states.box.uninstall, number) == 0:
        number += 1
    assert states.box.differs_from(states.shown_before) == []


def test_what_people_change_between_kill_and_next_run_survives(tmp_path):
    states = States(tmp_path, "debian")
    box = states.box
    put_back(states.before, box.path)
    count = operations_of(box.install)
    for number in range(1, count + 1):
        put_back(states.before, box.path)
        operations_of(box.install, number)
        file = box.asterisk / "extensions.conf"
        file.write_text("; mine\n" + file.read_text())
        box.uninstall()
        expected = "; mine\n" + (states.before / "etc/asterisk/extensions.conf").read_text()
        assert file.read_text() == expected
        file.write_text(file.read_text().removeprefix("; mine\n"))
        assert box.differs_from(states.shown_before) == []


# ---- the journal itself ----------------------------------------------------------------------------------------------
def test_the_journal_is_on_disk_before_the_first_change(tmp_path, monkeypatch):
    box = Box(tmp_path / "box", "debian")
    did: list[str] = []
    synced, write, execute = os.fsync, os.replace, disk.execute
    monkeypatch.setattr(os, "fsync", lambda descriptor: did.append("sync") or synced(descriptor))
    monkeypatch.setattr(os, "replace", lambda old, new: did.append(f"in place: {Path(new).name}") or write(old, new))
    monkeypatch.setattr("hearline.install.run.execute", lambda step: did.append("step") or execute(step))
    box.install()
    assert did[: did.index("step")] == ["sync", "in place: hearline-install.json", "sync"]


def test_the_journal_says_what_was_and_what_is(tmp_path):

    box = Box(tmp_path / "box", "debian")
    file = box.asterisk / "queues.conf"
    before, status = file.read_bytes(), file.stat()
    box.install()
    entry = next(entry for entry in read_journal(box.journal).entries if entry.path == str(file))
    assert (entry.before.sha256, entry.after) == (sha256(before), sha256(file.read_bytes()))
    assert (entry.before.mode, entry.before.uid, entry.before.gid) == (
        status.st_mode & 0o7777, status.st_uid, status.st_gid,
    )  # fmt: skip
    assert (entry.line, entry.newline) == ('#tryinclude "hearline/queues.conf"', True)
    assert box.journal.stat().st_mode & 0o777 == 0o600


def test_a_half_written_file_of_a_killed_run_goes(tmp_path):
    box = Box(tmp_path / "box", "debian")
    before = box.shown()
    box.install()
    unfinished(box.asterisk / "extensions.conf").write_text("[gene")
    unfinished(box.journal).write_text("{")
    box.uninstall()
    assert box.differs_from(before) == []


def test_a_journal_that_cannot_be_read_stops_everything(tmp_path):
    box = Box(tmp_path / "box", "debian")
    box.install()
    box.journal.write_text('{"version": 2}')
    before = box.shown()
    for work in (box.install, box.uninstall):
        with pytest.raises(JournalError, match="use the version that wrote it"):
            work()
    assert box.differs_from(before) == []


def test_two_runs_do_not_meet(tmp_path):
    box = Box(tmp_path / "box", "debian")
    with only_one(box.asterisk), pytest.raises(Busy):
        box.install()
    box.install()
    with only_one(box.asterisk), pytest.raises(Busy):
        box.uninstall()


def test_a_file_that_changes_under_the_run_is_not_written_over(tmp_path, monkeypatch):
    box = Box(tmp_path / "box", "debian")
    before = box.shown()
    execute = disk.execute

    def meanwhile(step):
        if step.path.endswith("/extensions.conf") and step.before is not None:
            (box.asterisk / "extensions.conf").write_text("[globals]\nnew = 1\n")
        return execute(step)

    monkeypatch.setattr("hearline.install.run.execute", meanwhile)
    with pytest.raises(ChangedMeanwhile, match="run this again"):
        box.install()
    monkeypatch.undo()
    assert (box.asterisk / "extensions.conf").read_text() == "[globals]\nnew = 1\n"
    box.install()
    box.uninstall()
    assert box.differs_from(before) == ["etc/asterisk/extensions.conf"]
