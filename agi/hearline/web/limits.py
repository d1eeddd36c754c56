"""Limits for attempts to sign in: by work number, by address, and by browser. Pure: it has no clock.

Six digits are a million PINs, so wrong ones must cost time; but agents who know their PIN must not wait because of
others who guess. So a browser in which a number has signed in before has its own count, which others' wrong PINs do not
affect (OWASP's "device cookies"). Among the other attempts, a number with an account comes before one without, and a
number that nobody has guessed at before one that somebody has. Work numbers are not secret: agents tell callers theirs.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

FREE_TRIES = 5
FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 60.0
FORGOTTEN_S = 900.0
ADDRESS_TRIES, ADDRESS_PACE_S = 20, 5.0
_MOST_REMEMBERED = 1_000
_MOST_ADDRESSES = 10_000


@dataclass(frozen=True)
class Attempt:
    """An attempt to sign in.

    Args:
        known: True if the number has an account.
        address: see `address_key`.
        browser: the browser, if this number has signed in there before; '' otherwise.
    """

    number: str
    known: bool
    address: str
    browser: str = ""


class Tries:
    """Counts wrong PINs by number or browser. From the fifth on, each one costs a wait, twice as long as the one
    before, up to a minute. During the wait, even the right PIN is refused."""

    def __init__(self, most: int = _MOST_REMEMBERED) -> None:
        self._most = most
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()  # how many, and when the last was

    def count(self, key: str, now: float) -> int:
        count, last = self._wrong.get(key, (0, 0.0))
        return count if now - last <= FORGOTTEN_S else 0

    def wait_s(self, key: str, now: float) -> float:
        """How long this number or browser must still wait; 0: not at all."""
        if (over := self.count(key, now) - FREE_TRIES) < 0:
            return 0.0
        return max(0.0, self._wrong[key][1] + min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(over, 10)) - now)

    def note(self, key: str, right: bool, now: float) -> None:
        count = self.count(key, now)
        self._wrong.pop(key, None)
        if not right:
            self._wrong[key] = count + 1, now
        while len(self._wrong) > self._most:
            self._wrong.popitem(last=False)


class Pace:
    """Limits wrong PINs by address, as a leaky bucket: twenty at once, then one every 5 s. A right PIN does not empty
    it, since agents share addresses with each other, and perhaps with somebody who guesses."""

    def __init__(self) -> None:
        self._full: OrderedDict[str, tuple[float, float]] = OrderedDict()  # how full, and when

    def _level(self, address: str, now: float) -> float:
        level, at = self._full.get(address, (0.0, now))
        return max(0.0, level - (now - at) / ADDRESS_PACE_S)

    def wait_s(self, address: str, now: float) -> float:
        return max(0.0, (self._level(address, now) - (ADDRESS_TRIES - 1)) * ADDRESS_PACE_S)

    def note_wrong(self, address: str, now: float) -> None:
        level = self._level(address, now)
        self._full.pop(address, None)
        self._full[address] = level + 1, now
        while len(self._full) > _MOST_ADDRESSES:
            self._full.popitem(last=False)


class Limits:
    """All limits together. Times are in s, of a monotonic clock."""

    def __init__(self) -> None:
        self._known, self._unknown = Tries(most=100_000), Tries()  # apart, so that made-up numbers evict no real one
        self._browsers, self._addresses = Tries(), Pace()

    def _trusted(self, attempt: Attempt, now: float) -> bool:
        return bool(attempt.browser) and not self._browsers.wait_s(attempt.browser, now)

    def _numbers(self, attempt: Attempt) -> Tries:
        return self._known if attempt.known else self._unknown

    def refused_s(self, attempt: Attempt, now: float) -> float:
        """How long this attempt is refused, without a check of its PIN; 0: it is not refused."""
        if self._trusted(attempt, now):
            return 0.0
        by_number = self._numbers(attempt).wait_s(attempt.number, now)
        return max(by_number, 0.0 if attempt.known else self._addresses.wait_s(attempt.address, now))

    def due_s(self, attempt: Attempt, now: float) -> float:
        """How long this attempt, if it is not refused, must wait for its turn because of its address."""
        return 0.0 if self._trusted(attempt, now) else self._addresses.wait_s(attempt.address, now)

    def rank(self, attempt: Attempt, now: float) -> tuple[bool, bool, int]:
        """The order in which waiting attempts are admitted: the smallest rank first."""
        wrong = self._numbers(attempt).count(attempt.number, now)
        return not self._trusted(attempt, now), not attempt.known, wrong

    def note(self, attempt: Attempt, right: bool, now: float) -> None:
        if self._trusted(attempt, now):
            self._browsers.note(attempt.browser, right, now)
            return
        self._numbers(attempt).note(attempt.number, right, now)
        if not right:
            self._addresses.note_wrong(attempt.address, now)
