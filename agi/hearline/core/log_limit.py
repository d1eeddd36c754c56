"""Limits repeated log messages to one a minute, so that outsiders cannot fill the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

EVERY_S = 60.0


class LogLimit(logging.Filter):
    """Lets one record a minute through from each line of code, and says how many it held back.

    Args:
        now: a monotonic clock, in s.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._last: dict[object, tuple[float, int]] = {}  # (when one was let through, how many were held back since)

    def forget(self) -> None:
        """Forget what has been logged."""
        self._last.clear()

    def allows(self, what: object) -> bool:
        """True if ``what`` has not been logged for a minute."""
        return self._kept_back(what) is not None

    def filter(self, record: logging.LogRecord) -> bool:
        kept_back = self._kept_back((record.pathname, record.lineno))
        if kept_back:
            record.msg = f"{record.msg} (and {kept_back} more since the last one)"
        return kept_back is not None

    def _kept_back(self, what: object) -> int | None:
        """How many records were held back before this one. None if this one is held back, too."""
        last, kept_back = self._last.get(what, (float("-inf"), 0))
        if self._now() - last < EVERY_S:
            self._last[what] = last, kept_back + 1
            return None
        self._last[what] = self._now(), 0
        return kept_back
