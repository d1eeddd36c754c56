"""Several workers behind one door."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from hearline.media.worker_client import FULL, ROWS_S, WorkerDown
from hearline.media.worker_pool import WorkerPool
from hearline.media.worker_protocol import NO_BEAT, CallSummary


class SilentChannel:
    closed = False

    def send(self, message):
        pass


@pytest.fixture
def lines(tmp_path):
    lines = WorkerPool(("127.0.0.1", 9092), 2, "127.0.0.0/8")
    for number, line in enumerate(lines):  # as after their first beat
        line._address, line._channel = ("127.0.0.1", 9092 + number), SilentChannel()
        line._last_beat, line.beat = time.monotonic() + 60, NO_BEAT
    return lines


def ports(lines, plan, count):
    return [lines.announce(plan, None).address[1] for _ in range(count)]


def test_a_call_goes_to_the_worker_with_the_fewest(lines, flows):
    plan = flows.flows["hotline"].plan
    first = lines.announce(plan, None)
    assert sorted([first.address[1], *ports(lines, plan, 3)]) == [9092, 9092, 9093, 9093]
    lines.withdraw(first)
    assert ports(lines, plan, 1) == [first.address[1]]


def test_a_full_or_lost_worker_takes_no_call(lines, flows):
    plan = flows.flows["hotline"].plan
    one, other = lines
    one.busy = FULL + 0.01
    assert ports(lines, plan, 3) == [9093] * 3
    other._last_beat = 0.0
    with pytest.raises(WorkerDown, match="no time left|does not answer"):
        lines.announce(plan, None)
    assert lines.refused == 1
    assert lines.well, "the callers who are here go on"


def test_the_calls_of_all_workers_are_asked_for_at_the_same_time(lines):
    """The one answers with its next beat, the other never."""
    row = CallSummary("u", "PJSIP/x-1", "hotline", "opening", "playing", 0, None, None, None)
    one, other = lines
    for answers, silent in ((one, other), (other, one)):
        silent.beat = answers.beat = NO_BEAT
        told = threading.Timer(0.4, setattr, (answers, "beat", replace(NO_BEAT, rows=[row])))
        told.start()
        began = time.monotonic()
        assert lines.rows() == [row]
        assert time.monotonic() - began < 1.8 * ROWS_S, "whichever it is that does not answer"
    one.beat = other.beat = replace(NO_BEAT, rows=[row])
    began = time.monotonic()
    assert lines.rows() == [row, row]
    assert time.monotonic() - began < ROWS_S / 2, "nobody waits for what is known"


def test_each_worker_listens_on_a_port_of_its_own(tmp_path):
    assert [line._listen for line in WorkerPool(("::1", 9092), 3, "::1")] == [
        "[::1]:9092",
        "[::1]:9093",
        "[::1]:9094",
    ]
    assert [line._listen for line in WorkerPool(("127.0.0.1", 0), 2, "::1")] == ["127.0.0.1:0"] * 2
