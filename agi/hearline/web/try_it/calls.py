"""The calls that the page "Try it" has begun, and whose they are: pure."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from hearline.core.ids import TRY_SITE, new_call_id

KEPT_S = 3_600.0  # longer than any trial call
MOST = 500  # calls that are remembered; the oldest is forgotten first
MOST_A_MINUTE = 60  # calls begun, by all visitors together


class TooMany(Exception):
    """Too many calls were begun within a minute."""


@dataclass(frozen=True)
class TryCall:
    call: str
    visitor: str
    at: float


class TryCalls:
    """A visitor is a browser, known by a random word in its cookie. The id of each call is made here, before the
    browser dials, so the page never has to guess which of the server's calls is the visitor's."""

    def __init__(self) -> None:
        self._calls: OrderedDict[str, TryCall] = OrderedDict()

    def begin(self, visitor: str, now: float, at: datetime) -> TryCall:
        """A new call. ``visitor``: the browser's word; a new one is made if it is not known. Raises TooMany.

        Args:
            now: the monotonic time, s.
            at: the time of day, aware, for the call's id.
        """
        for call in [call for call, begun in self._calls.items() if now - begun.at > KEPT_S]:
            del self._calls[call]
        if sum(now - begun.at < 60 for begun in self._calls.values()) >= MOST_A_MINUTE:
            raise TooMany
        if not self.knows(visitor, now):
            visitor = secrets.token_urlsafe(16)
        begun = TryCall(new_call_id(TRY_SITE, at), visitor, now)
        self._calls[begun.call] = begun
        if len(self._calls) > MOST:
            self._calls.popitem(last=False)
        return begun

    def knows(self, visitor: str, now: float) -> bool:
        """True if this visitor has begun a call within the last hour."""
        return any(_same(begun.visitor, visitor) and now - begun.at <= KEPT_S for begun in self._calls.values())

    def owns(self, visitor: str, call: str) -> bool:
        begun = self._calls.get(call)
        return begun is not None and _same(begun.visitor, visitor)


def _same(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode(), other.encode())
