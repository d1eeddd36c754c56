"""The followers of live calls, in the door process: passes a worker's messages about a call to all who follow it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from queue import Empty, Full, Queue

from hearline.media.worker_protocol import Ears, Finished

MOST = 8  # each costs the worker as much as ten silent calls
ASK_S = 0.8  # a worker reports on a call for two seconds after each request
KEPT = 50  # looks (5 s) for a slow reader; further ones are dropped


class Followers:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[str, list[Queue]] = {}  # by call

    @property
    def full(self) -> bool:
        with self._lock:
            return sum(map(len, self._queues.values())) >= MOST

    def tell(self, uuid: str, message: Ears | Finished) -> None:
        with self._lock:
            for queue in self._queues.get(uuid, ()):
                try:
                    queue.put_nowait(message)
                except Full:
                    pass

    def follow(self, uuid: str, ask: Callable[[], bool]) -> Generator[Ears | Finished]:
        """Yields everything the worker reports on a call until it is over. ``ask`` requests reports from the worker,
        and returns False if the call no longer exists."""
        with self._queue(uuid) as queue:
            there, asked = True, 0.0
            while True:
                if time.monotonic() - asked > ASK_S:
                    there, asked = ask(), time.monotonic()
                try:
                    message = queue.get(timeout=ASK_S / 2)
                except Empty:
                    if not there:
                        return
                    continue
                yield message
                if isinstance(message, Finished):
                    return

    @contextmanager
    def _queue(self, uuid: str) -> Iterator[Queue]:
        queue: Queue = Queue(KEPT)
        with self._lock:
            self._queues.setdefault(uuid, []).append(queue)
        try:
            yield queue
        finally:
            with self._lock:
                self._queues[uuid].remove(queue)
                if not self._queues[uuid]:
                    del self._queues[uuid]
