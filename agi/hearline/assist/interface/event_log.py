"""A log of agent assist's newest events, numbered, so that a reader can resume where it stopped. No clock, no
sockets."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

KEPT = 20_000  # some minutes of a thousand calls


@dataclass(frozen=True)
class Happened:
    """An event. ``number``: one more than that of the event before. ``at``: s since 1970."""

    number: int
    kind: str
    at: float
    data: dict[str, Any]


class EventLog:
    """The newest events.

    Args:
        epoch: a name for this start of the process, since numbers of another start are not valid here.
        kept: the number of events that are kept.

    ``added`` is called after each event.
    """

    def __init__(self, epoch: str, kept: int = KEPT) -> None:
        self._epoch, self._events = epoch, deque[Happened](maxlen=kept)
        self.last = 0
        self.added: Callable[[], None] = lambda: None

    def add(self, kind: str, at: float, **data: Any) -> None:
        self.last += 1
        self._events.append(Happened(self.last, kind, at, data))
        self.added()

    def name(self, number: int) -> str:
        """The number as readers see it, which includes the start of the process."""
        return f"{self._epoch}-{number}"

    def number(self, name: str) -> int | None:
        """The number that a reader gives as ``name``. None if it is not of this start, or the events after it are gone,
        so that the reader needs a snapshot."""
        epoch, _, digits = name.rpartition("-")
        if epoch != self._epoch or not (digits.isascii() and digits.isdecimal()):
            return None
        number = int(digits[:18])
        return number if self._oldest() - 1 <= number <= self.last else None

    def after(self, number: int, most: int) -> list[Happened] | None:
        """Up to ``most`` events after this number, oldest first; None if the next one is gone already."""
        if number < self._oldest() - 1:
            return None
        skip = number - self._oldest() + 1
        return [self._events[i] for i in range(skip, min(skip + most, len(self._events)))]

    def _oldest(self) -> int:
        return self.last - len(self._events) + 1
