"""Precedence over ordinary processes, for those that handle sound: people hear a late frame, but nobody notices a late
web page."""

from __future__ import annotations

import os

AHEAD = -10  # the nice value where real-time scheduling is not permitted


def take_precedence(*, all_threads: bool = False) -> bool:
    """Run this thread ahead of ordinary ones: in real-time round robin at its lowest priority, like Asterisk's ``-p``,
    or else with a negative nice value. False if neither is permitted.

    With ``all_threads``, threads that it starts later run ahead as well, and so would processes.
    """
    policy = os.SCHED_RR if all_threads else os.SCHED_RR | os.SCHED_RESET_ON_FORK
    try:
        os.sched_setscheduler(0, policy, os.sched_param(1))
        return True
    except OSError:
        pass
    try:
        os.setpriority(os.PRIO_PROCESS, 0, AHEAD)
        return True
    except OSError:
        return False
