"""An event loop for tests, whose clock jumps to the next timer as soon as there is nothing else to do."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import TypeVar

Found = TypeVar("Found")


def run(coroutine: Coroutine[object, object, Found]) -> Found:
    """Like ``asyncio.run``, but an hour of sleep takes no time, and is an hour on the loop's clock. Not for code that
    waits for threads or other processes."""
    with asyncio.Runner(loop_factory=VirtualTime) as runner:
        return runner.run(coroutine)


class VirtualTime(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self.now


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: VirtualTime) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list:
        if timeout is None:
            raise RuntimeError("nothing will ever happen in this loop again")
        self._loop.now += max(0.0, timeout)
        return super().select(0)
