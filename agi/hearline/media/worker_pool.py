"""Several media workers behind one door: each call goes to the worker that has the fewest."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping

from hearline.call.entry import Entry
from hearline.call.plan import Plan
from hearline.media.worker_client import ROWS_S, PendingCall, WorkerClient, WorkerDown
from hearline.media.worker_protocol import CallSummary, Ears, Finished


class WorkerPool:
    """Several workers, one per core. Each listens on its own port, from the given one upwards.

    Args:
        listen: (host, port) of the first worker; port 0 gives each any free port.
        workers: their number.
        allow, on_finished: as for ``WorkerClient``.
    """

    def __init__(
        self,
        listen: tuple[str, int],
        workers: int,
        allow: str,
        on_finished: Callable[[Finished], None] = lambda f: None,
    ) -> None:
        host, port = listen
        host = f"[{host}]" if ":" in host else host
        self._lines = [WorkerClient(f"{host}:{port and port + i}", allow, on_finished) for i in range(workers)]

        self.refused = 0  # calls that no worker could take

    def __iter__(self) -> Iterator[WorkerClient]:
        return iter(self._lines)

    @property
    def capacity(self) -> int:
        """The most calls at once."""
        return sum(line.capacity for line in self._lines)

    @property
    def well(self) -> bool:
        """True if at least one worker can take calls."""
        return any(line.well for line in self._lines)

    def announce(self, plan: Plan, begin: str | None, channel: str = "", entry: Entry | None = None) -> PendingCall:
        """Expect a connection for a new call. Raises WorkerDown if no worker can take it."""
        refusal = WorkerDown("the media worker does not answer")
        for line in sorted(self._lines, key=lambda line: line.calls):
            try:
                return line.announce(plan, begin, channel, entry=entry)
            except WorkerDown as error:
                refusal = error
        self.refused += 1
        raise refusal

    def withdraw(self, visit: PendingCall) -> None:
        """Asterisk is done with this visit."""
        for line in self._lines:
            line.withdraw(visit)

    def load(self, recordings: Mapping[str, bytes]) -> None:
        """Give all workers these prompts; see ``WorkerClient.load``."""
        for line in self._lines:
            line.load(recordings)

    def rows(self) -> list[CallSummary]:
        """The live calls of all workers; all are asked at the same time."""
        for line in self._lines:
            line.watch()
        deadline = time.monotonic() + ROWS_S
        return [row for line in self._lines for row in line.rows(deadline)]

    def follow(self, uuid: str) -> Generator[Ears | Finished]:
        """What the ears hear of a live call; see ``WorkerClient.follow``. Raises WorkerDown."""
        for line in self._lines:
            if line.has(uuid):
                return line.follow(uuid)
        raise WorkerDown("the call is over")

    def start(self) -> None:
        """Start all workers. Raises WorkerDown if one does not start; then none runs."""
        try:
            for line in self._lines:
                line.start()
        except WorkerDown:
            self.stop()
            raise

    def stop(self) -> None:
        """End all workers, at the same time; their callers go to the queue."""
        for line in self._lines:
            line.begin_to_stop()
        for line in self._lines:
            line.stop()
