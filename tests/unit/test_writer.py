"""What is kept is written one after the other, by a thread that may wait for the disk and tries again."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hearline.store.writer import Writer


def test_what_is_given_is_written_in_order_and_before_the_end(caplog):
    written, writer = [], Writer()
    writer.start()
    writer.later(lambda: written.append(1))
    writer.later(lambda: 1 / 0)
    writer.later(lambda: written.append(2))
    writer.close(5)
    assert written == [1, 2] and "has failed" in caplog.text


def test_a_disk_that_does_not_answer_holds_up_nobody(caplog):
    caplog.set_level(logging.ERROR)
    hangs, writer = threading.Event(), Writer(most=3)
    writer.start()
    began = time.monotonic()
    for _ in range(10):
        writer.later(hangs.wait)
    assert writer.lost >= 6 and caplog.text.count("have been lost") == 1
    writer.close(0.2)
    assert time.monotonic() - began < 2 and "the disk does not answer" in caplog.text
    hangs.set()


class Disk:
    """Keeps what is about one of ``full`` only once that is taken out."""

    def __init__(self, *full: str) -> None:
        self.full, self.written, self.tries = set(full), [], 0

    def write(self, what: str) -> Callable[[], None]:
        def written() -> None:
            self.tries += 1
            if what[0] in self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.written.append(what)

        return written


@pytest.fixture
def writer():
    writer = Writer()
    yield writer
    writer.close(0)


def test_what_cannot_be_kept_is_tried_again_until_it_is(writer, caplog):
    disk = Disk("a")
    kept = writer.later(disk.write("a1"), "a")
    until(lambda: disk.tries >= 3)
    assert not kept.done() and not writer.settle(0) and caplog.text.count("is repeated") == 1, "said once"
    disk.full.clear()
    assert kept.result(5) is True and disk.written == ["a1"] and writer.settle(0)


def test_one_that_cannot_be_kept_holds_up_only_what_is_about_the_same(writer):
    disk = Disk("a")
    first = [writer.later(disk.write(what), what[0]) for what in ("a1", "a2")]
    other = [writer.later(disk.write(what), what[0]) for what in ("b1", "c1", "b2")]
    assert all(kept.result(5) for kept in other) and disk.written == ["b1", "c1", "b2"]
    disk.full.clear()
    assert all(kept.result(5) for kept in first) and disk.written[3:] == ["a1", "a2"]


def test_what_one_disk_after_the_other_cannot_keep_is_kept_in_order(writer):
    disk = Disk("a", "b")
    for what in ("a1", "b1", "a2", "b2"):
        writer.later(disk.write(what), what[0])
    until(lambda: disk.tries >= 4)
    disk.full = {"a"}
    until(lambda: disk.written == ["b1", "b2"])
    disk.full.clear()
    assert writer.settle(8) and disk.written == ["b1", "b2", "a1", "a2"]


def test_what_no_further_try_would_keep_is_given_up_and_no_log_has_it(writer, caplog):
    def write() -> None:
        raise ValueError("13800001234 cannot be written")

    assert writer.later(write).result(5) is False
    assert writer.later(Path("x" * 300).touch).result(5) is False, "nor is a name that is too long"
    assert "ValueError in test_writer.py" in caplog.text and "13800001234" not in caplog.text


def test_what_waits_to_be_tried_again_is_bounded():
    disk, writer = Disk("a"), Writer(most=3)
    kept = [writer.later(disk.write(f"a{number}"), "a") for number in range(5)]
    assert writer.lost == 2 and [one.done() and one.result() for one in kept] == [False] * 5
    assert sum(one.done() for one in kept) == 2
    writer.close(0.3)
    until(lambda: all(one.done() for one in kept))
    assert disk.written == [] and not any(one.result() for one in kept), "nobody is told that it is kept"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 8
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
