"""Records are written by a thread of their own, one after the other: a disk that takes its time holds up no call."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

MOST = 2_000  # that wait for the disk; a call's record has some 10 kB
SAY_S = 10.0  # how often losses are logged


class RecordWriter:
    """``later`` takes what is to be written, and starts the thread unless ``start`` has; ``close`` ends it.

    Args:
        most: so many wait for the disk; what comes beyond that is lost, counted and logged.

    ``lost``: how many were.
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
        """Have this called; what it raises is logged. Returns at once."""
        self.start()
        try:
            self._waiting.put_nowait(write)
        except queue.Full:
            self.lost += 1
            if time.monotonic() - self._said > SAY_S:
                self._said = time.monotonic()
                log.error("the disk does not keep up: %d records are lost so far", self.lost)

    def settle(self, within_s: float) -> bool:
        """Wait until all that was given so far is written; returns whether it is."""
        done = threading.Event()
        self.later(done.set)
        return done.wait(within_s)

    def close(self, within_s: float) -> None:
        """Write what waits, for so long at the most."""
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
                log.exception("a record could not be kept")
