"""Precedence over ordinary processes, where it is permitted (root, or a limit on real-time priority)."""

import os
import threading

import pytest

from hearline.core.precedence import take_precedence

ROUND_ROBIN = os.SCHED_RR
RESETS = os.SCHED_RESET_ON_FORK


@pytest.fixture
def in_a_thread():
    """Calls a function in a new thread, whose scheduling ends with it, and returns what it returned."""

    def call(what):
        found = []
        thread = threading.Thread(target=lambda: found.append(what()))
        thread.start()
        thread.join()
        return found[0]

    return call


def scheduling():
    return os.sched_getscheduler(0) & ~RESETS


@pytest.mark.parametrize("all_threads, later", [(False, os.SCHED_OTHER), (True, ROUND_ROBIN)])
def test_a_thread_runs_ahead_and_those_it_starts_if_they_are_to(in_a_thread, all_threads, later):
    def ahead():
        return take_precedence(all_threads=all_threads), scheduling(), in_a_thread(scheduling)

    taken, own, of_later = in_a_thread(ahead)
    if not taken or own != ROUND_ROBIN:
        pytest.skip("real-time scheduling is not permitted here")
    assert of_later == later
    assert scheduling() == os.SCHED_OTHER


def test_without_real_time_scheduling_it_is_a_negative_nice_value(in_a_thread, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    asked = []
    monkeypatch.setattr(os, "setpriority", lambda *how: asked.append(how))
    assert take_precedence()
    assert asked == [(os.PRIO_PROCESS, 0, -10)]
    monkeypatch.setattr(os, "setpriority", refuse)
    assert not take_precedence()
