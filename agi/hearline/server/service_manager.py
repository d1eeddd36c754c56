"""Notifies systemd that the server is ready, and regularly that it is alive. Without systemd it does nothing.

The protocol is sd_notify(3): datagrams to the socket in NOTIFY_SOCKET, and a beat within every WATCHDOG_USEC.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress


def notify(state: str) -> None:
    """Send ``READY=1``, ``WATCHDOG=1`` or ``STOPPING=1``; does nothing if nobody listens."""
    where = os.environ.get("NOTIFY_SOCKET", "")
    if not where:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
        to.connect("\0" + where[1:] if where.startswith("@") else where)
        to.send(state.encode())


def watchdog_s() -> float:
    """How long systemd waits for a beat before it restarts us, s; 0: it does not watch."""
    usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    meant = not pid or pid == str(os.getpid())
    return int(usec) / 1_000_000 if meant and usec.isdecimal() else 0.0


def keep_beating(alive: Callable[[], bool], stop: threading.Event) -> None:
    """Send beats until ``stop`` is set, while ``alive`` returns True; returns at once if systemd does not watch."""
    every = watchdog_s() / 3
    while every and not stop.wait(every):
        if alive():
            notify("WATCHDOG=1")
