"""Records are written one after another, by a thread that may wait for the disk."""

from __future__ import annotations

import logging
import threading
import time

from hearline.store.record_writer import RecordWriter


def test_what_is_given_is_written_in_order_and_before_the_end(caplog):
    written, writer = [], RecordWriter()
    writer.start()
    writer.later(lambda: written.append(1))
    writer.later(lambda: 1 / 0)
    writer.later(lambda: written.append(2))
    writer.close(5)
    assert written == [1, 2] and "could not be written" in caplog.text


def test_a_disk_that_does_not_answer_holds_up_nobody(caplog):
    caplog.set_level(logging.ERROR)
    hangs, writer = threading.Event(), RecordWriter(most=3)
    writer.start()
    began = time.monotonic()
    for _ in range(10):
        writer.later(hangs.wait)
    assert writer.lost >= 6 and caplog.text.count("records have been lost") == 1
    writer.close(0.2)
    assert time.monotonic() - began < 2 and "the disk does not answer" in caplog.text
    hangs.set()
