"""A log that strangers cannot fill: of what is logged again and again, one line a minute."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

EVERY_S = 60.0


class LogLimit(logging.Filter):
    """Lets one record through a minute from each line of code; says how many it has kept back.

    Args:
        now: a clock in s that only goes forward.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._last: dict[object, tuple[float, int]] = {}  # when it was let through, and how many were not since

    def forget(self) -> None:
        """Begin anew."""
        self._last.clear()

    def allows(self, what: object) -> bool:
        """Has this not been logged for a minute?"""
        return self._kept_back(what) is not None

    def filter(self, record: logging.LogRecord) -> bool:
        kept_back = self._kept_back((record.pathname, record.lineno))
        if kept_back:
            record.msg = f"{record.msg} (and {kept_back} times more in the meantime)"
        return kept_back is not None

    def _kept_back(self, what: object) -> int | None:
        """How many were kept back before this one, which is let through; None: it is not."""
        last, kept_back = self._last.get(what, (float("-inf"), 0))
        if self._now() - last < EVERY_S:
            self._last[what] = last, kept_back + 1
            return None
        self._last[what] = self._now(), 0
        return kept_back
