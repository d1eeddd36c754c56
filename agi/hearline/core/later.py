"""What a disk may take its time for is done in a thread of its own: no call and no event loop waits for it."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress

log = logging.getLogger(__name__)

CLOSE_S = 2.0


class Later:
    """Does one thing after the other. What fails is logged, and so is what finds no room.

    Args:
        name: what it does, for the log: "call records".
        most: so many things may wait.
    """

    def __init__(self, name: str, most: int = 1_000) -> None:
        self._name = name
        self._waiting: queue.Queue[Callable[[], object] | None] = queue.Queue(most)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; the first thing to do does so as well."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()

    def do(self, what: Callable[[], object]) -> None:
        """Have this done. Returns at once."""
        self.start()
        try:
            self._waiting.put_nowait(what)
        except queue.Full:
            log.error("%s: the disk does not keep up, one is lost", self._name)

    def settle(self, patience_s: float = CLOSE_S) -> bool:
        """Wait until all that has been asked for so far is done; returns whether it is."""
        done = threading.Event()
        self.do(done.set)
        return done.wait(patience_s)

    def close(self) -> None:
        """Do what waits, as far as that is possible within two seconds."""
        if self._thread:
            with suppress(queue.Full):
                self._waiting.put(None, timeout=CLOSE_S)
            self._thread.join(CLOSE_S)
            self._thread = None

    def _work(self) -> None:
        while (what := self._waiting.get()) is not None:
            try:
                what()
            except Exception as error:  # the next one is another's
                log.error("%s: one could not be kept: %s", self._name, error or type(error).__name__)
