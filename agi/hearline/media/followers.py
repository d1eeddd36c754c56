"""Who follows which call, on the door's side: what a worker tells of it goes to everybody who does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from queue import Empty, Full, Queue

from hearline.media.worker_protocol import Ears, Finished

MOST = 8  # each costs the worker what ten silent calls do
ASK_S = 0.8  # a worker tells of a call for two seconds after it was asked to
KEPT = 50  # looks, 5 s, for one who reads slowly; then looks are dropped


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
        """All that is told of a call until it is over. ``ask`` has its worker tell, and says whether it is there."""
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
