"""Writes records one after another in a thread of its own, so that a slow disk delays no call."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

MOST = 2_000  # records that may wait for the disk; a call's record has some 10 kB
SAY_S = 10.0  # how often losses are logged


class RecordWriter:
    """Runs the writing functions passed to ``later``. The thread begins with ``start`` or the first ``later``, and ends
    with ``close``.

    ``lost``: how many records were lost.

    Args:
        most: how many records may wait for the disk. Further ones are lost, counted and logged.
    """

    def __init__(self, most: int = MOST) -> None:
        self._waiting: queue.Queue[Callable[[], object] | None] = queue.Queue(most)
        self._thread: threading.Thread | None = None
        self._said = 0.0
        self.lost = 0

    def start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="records", daemon=True)
            self._thread.start()

    def later(self, write: Callable[[], object]) -> None:
        """Have ``write`` called in the thread; errors it raises are logged. Returns at once."""
        self.start()
        try:
            self._waiting.put_nowait(write)
        except queue.Full:
            self.lost += 1
            if time.monotonic() - self._said > SAY_S:
                self._said = time.monotonic()
                log.error("the disk does not keep up: %d records have been lost so far", self.lost)

    def settle(self, within_s: float) -> bool:
        """Wait until everything passed so far is written. Returns False if that takes longer than ``within_s``."""
        done = threading.Event()
        self.later(done.set)
        return done.wait(within_s)

    def close(self, within_s: float) -> None:
        """Write what waits, for at most ``within_s``, and end the thread."""
        if self._thread is None:
            return
        deadline = time.monotonic() + within_s
        try:
            self._waiting.put(None, timeout=within_s)
        except queue.Full:
            pass
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            log.error("%d records were not written: the disk does not answer", self._waiting.qsize())

    def _run(self) -> None:
        while (write := self._waiting.get()) is not None:
            try:
                write()
            except Exception:
                log.exception("a record could not be written")
