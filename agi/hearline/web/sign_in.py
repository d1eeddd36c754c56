"""Signing in: chooses which PIN to check next, checks it in its own thread, and logs the result.

A check costs 0.4 s of a core, so only a few run at once. The others wait in the order of `limits.Limits.rank`. Of
equals the newest comes first, since those who guess come in large numbers, again and again. Among known browsers the
oldest comes first.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from hearline.store.accounts import Account, Accounts
from hearline.store.audit import AuditLog, network
from hearline.web.limits import Attempt, Limits

log = logging.getLogger(__name__)

AT_ONCE = max(1, min(2, (os.cpu_count() or 1) - 1))  # checks, 128 MiB each; one core stays free for the loop
MOST_WAITING = 32  # about as many as can have their turn within `PATIENCE_S`
PATIENCE_S = 15.0
BUSY_S = 5.0  # the wait before another try when too many are waiting
LOG_EVERY_S = 60.0
RESULTS = ("right", "wrong", "refused", "busy")


@dataclass(frozen=True)
class Outcome:
    """The result of an attempt. ``account``: the account that is let in; None: nobody is. ``wait_s``: the wait before
    the next try. ``why``: the reason, a word for which the page has a sentence."""

    account: Account | None
    why: str = ""
    wait_s: float = 0.0


class SignIn:
    """Lets people in.

    Args:
        counts: counts sign-ins by result.
        now: a monotonic clock, s.
    """

    def __init__(
        self,
        accounts: Accounts,
        audit: AuditLog,
        counts: Counter[str],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._accounts, self._audit, self._counts, self._now = accounts, audit, counts, now
        self._limits = Limits()
        self._pool = ThreadPoolExecutor(AT_ONCE, "PINs")
        self._looking = 0
        self._waiting: list[tuple[Attempt, asyncio.Future[bool]]] = []  # the oldest first
        self._next: asyncio.TimerHandle | None = None
        self._unlogged: Counter[tuple[str, str, str]] = Counter()  # result, number, network
        self._logging: asyncio.TimerHandle | None = None

    async def let_in(self, number: str, pin: str, address: str, key: str, browser: str) -> Outcome:
        """Check a PIN, and log the result. ``address`` is logged, shortened to its network; ``key`` is for the limits.

        Raises:
            ValueError: the accounts cannot be read.
        """
        attempt = Attempt(number, self._accounts.of(number) is not None, key, browser)
        outcome = await self._outcome(attempt, pin)
        result = "right" if outcome.account else outcome.why if outcome.why in RESULTS else "refused"
        self._note(result, number if attempt.known else "", network(address))
        return outcome

    async def _outcome(self, attempt: Attempt, pin: str) -> Outcome:
        if wait_s := self._limits.refused_s(attempt, self._now()):
            return Outcome(None, "wait", wait_s)
        if not await self._turn(attempt):
            return Outcome(None, "busy", max(BUSY_S, self._limits.due_s(attempt, self._now())))
        try:
            if wait_s := self._limits.refused_s(attempt, self._now()):  # others may have guessed meanwhile
                return Outcome(None, "wait", wait_s)
            loop = asyncio.get_running_loop()
            right = await loop.run_in_executor(self._pool, self._accounts.check, attempt.number, pin)
            self._limits.note(attempt, right, self._now())
        finally:
            self._looking -= 1
            self._admit()
        account = self._accounts.of(attempt.number)
        if right and account:
            return Outcome(account)
        wait_s = self._limits.refused_s(attempt, self._now())
        return Outcome(None, "wrong", wait_s)

    # ---- whose turn it is -------------------------------------------------------------------------------------------
    async def _turn(self, attempt: Attempt) -> bool:
        """Wait for a turn. Returns True if the PIN may be checked now, which `_looking` then counts; False if there are
        too many attempts."""
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((attempt, place))
        self._admit()
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await place
        except TimeoutError:
            return place.done() and not place.cancelled() and place.result()

    def _admit(self) -> None:
        """Admit the next attempts, as long as there is room for checks, and send away those that are too many."""
        now, loop = self._now(), asyncio.get_running_loop()
        if self._next:
            self._next.cancel()
            self._next = None
        self._waiting = [one for one in self._waiting if not one[1].done()]
        if len(self._waiting) > MOST_WAITING:
            self._waiting.pop(self._pick(max, range(len(self._waiting)), now))[1].set_result(False)
        while self._waiting and self._looking < AT_ONCE:
            waits = [self._limits.due_s(attempt, now) for attempt, _ in self._waiting]
            due = [place for place, wait_s in enumerate(waits) if wait_s == 0.0]
            if not due:
                self._next = loop.call_later(min(waits) + 0.001, self._admit)
                return
            self._waiting.pop(self._pick(min, due, now))[1].set_result(True)
            self._looking += 1

    def _pick(self, which: Callable, places: Iterable[int], now: float) -> int:
        """The place of the attempt that comes first (min) or last (max). Several attempts for one number at once count
        like as many wrong guesses at it."""
        wanted = Counter(attempt.number for attempt, _ in self._waiting)

        def rank(place: int) -> tuple:
            attempt = self._waiting[place][0]
            stranger, unknown, wrong = self._limits.rank(attempt, now)
            return stranger, unknown, wrong + wanted[attempt.number], -place if stranger else place

        return which(places, key=rank)

    # ---- the logs ---------------------------------------------------------------------------------------------------
    def _note(self, result: str, number: str, net: str) -> None:
        """Log each PIN that was checked, and once a minute a summary of the refused attempts, which may be thousands a
        second."""
        self._counts[result] += 1
        if result in ("right", "wrong"):
            self._audit.note("sign-in", result=result, number=number or None, network=net)
        if result != "right":
            if len(self._unlogged) < 1_000:
                self._unlogged[result, number, net] += 1
            if self._logging is None:
                self._log()

    def _log(self) -> None:
        """Log a line at the first failure, then one a minute as long as there are more."""
        self._logging = None
        if not self._unlogged:
            return
        unlogged, self._unlogged = self._unlogged, Counter()
        by_result: Counter[str] = Counter()
        numbers, networks = set(), set()
        for (result, number, net), count in unlogged.items():
            by_result[result] += count
            numbers.add(number or "unknown numbers")
            networks.add(net)
        counts = ", ".join(f"{count} {result}" for result, count in sorted(by_result.items()))
        log.warning("sign-in: %s; numbers: %s; networks: %s", counts, _some(numbers), _some(networks))
        for result in ("refused", "busy"):
            if by_result[result]:
                nets = sorted({net for one, _, net in unlogged if one == result})[:20]
                self._audit.note("sign-in", result=result, count=by_result[result], networks=nets)
        self._logging = asyncio.get_running_loop().call_later(LOG_EVERY_S, self._log)

    def close(self) -> None:
        for timer in (self._next, self._logging):
            if timer:
                timer.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _some(names: set[str]) -> str:
    shown = sorted(names)[:5]
    return ", ".join(shown) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
