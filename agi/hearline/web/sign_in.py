"""Who is at the page: signing in by work number and PIN, and the cookie that remembers it for a shift."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections import OrderedDict
from pathlib import Path

from itsdangerous import BadSignature, URLSafeTimedSerializer

from hearline.core.files import write_private
from hearline.core.keys import lasting_key
from hearline.store.pins import Pins

log = logging.getLogger(__name__)

COOKIE = "hearline"
SHIFT_S = 12 * 3_600
FREE_TRIES = 5
FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 60.0
FORGOTTEN_S = 900.0
_MOST_REMEMBERED = 1_000
_AT_ONCE = 2  # checks of PINs, 16 MiB each


class Sessions:
    """Signed, not stored: they outlive a restart of the server, and end with a new PIN. Only one that was ended by
    signing out is written down, in ``folder``, for as long as its cookie would have been good."""

    def __init__(self, folder: Path, pins: Pins) -> None:
        self._signer = URLSafeTimedSerializer(lasting_key(folder / "cookie-key"), salt="hearline page")
        self._pins = pins
        pins.watched.refresh()
        self._file = folder / "signed-out.json"
        self._ended = self._read()

    def begin(self, agent: str) -> str:
        """The cookie's value."""
        return self._signer.dumps([agent, self._pins.stamp(agent), secrets.token_urlsafe(12)])

    def agent(self, cookie: str) -> str:
        """Whose cookie it is; '' where it is none, too old, of an earlier PIN, or signed out."""
        return self._told_by(cookie)[0]

    def end(self, cookie: str) -> None:
        """Nobody is let in with this cookie any more, whoever has it."""
        agent, session = self._told_by(cookie)
        if not agent:
            return
        now = time.time()
        self._ended = {one: at for one, at in self._ended.items() if now - at < SHIFT_S} | {session: now}
        try:
            write_private(self._file, json.dumps(self._ended))
        except OSError as error:
            log.error("who has signed out is forgotten at the next restart: %s", error)

    def _told_by(self, cookie: str) -> tuple[str, str]:
        """(work number, session)"""
        try:
            agent, stamp, session = self._signer.loads(cookie, max_age=SHIFT_S)
            known = self._pins.stamp(agent)
        except (BadSignature, ValueError, TypeError, OSError):
            return "", ""
        return (agent, session) if known and stamp == known and session not in self._ended else ("", "")

    def _read(self) -> dict[str, float]:
        try:
            return dict(json.loads(self._file.read_text("utf-8")))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError) as error:
            log.error("who has signed out is forgotten: %s: %s", self._file, error)
        return {}


class Tries:
    """Wrong PINs, by work number: after five each one costs a wait, twice as long as the one before, up to a minute.
    In the meantime the right one is refused as well. Others' numbers are not touched: agents share addresses."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()  # how many, and when the last was

    def wait_s(self, agent: str, now: float) -> float:
        """So long this number must still wait; 0: try."""
        count, last = self._wrong.get(agent, (0, 0.0))
        if now - last > FORGOTTEN_S:
            return 0.0
        wait = 0.0 if count < FREE_TRIES else min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (count - FREE_TRIES))
        return max(0.0, last + wait - now)

    def note(self, agent: str, right: bool, now: float) -> None:
        count, last = self._wrong.pop(agent, (0, 0.0))
        if not right:
            self._wrong[agent] = (count + 1 if now - last <= FORGOTTEN_S else 1), now
        while len(self._wrong) > _MOST_REMEMBERED:
            self._wrong.popitem(last=False)


class SignIn:
    """Lets agents in."""

    def __init__(self, pins: Pins) -> None:
        self._pins, self._tries = pins, Tries()
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def let_in(self, agent: str, pin: str) -> tuple[bool, float]:
        """(right, s to wait before the next try). Raises OSError, ValueError: the PINs cannot be read."""
        async with self._room:
            if wait := self._tries.wait_s(agent, time.monotonic()):
                return False, wait
            right = await asyncio.to_thread(self._pins.check, agent, pin)
            self._tries.note(agent, right, time.monotonic())
            return right, self._tries.wait_s(agent, time.monotonic())
