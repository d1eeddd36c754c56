"""The ledger's process: takes what the door and agent assist have appended to their spools into the database, and works
out the facts. No call waits for it: while it, or the database, is not there, the spools grow.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from sqlalchemy.exc import DBAPIError

from hearline.core.settings import Settings
from hearline.figures.counting import Counting
from hearline.figures.ends_unseen import EndsUnseen
from hearline.server.child import run_child
from hearline.store.ledger.database import Ledger, TakenElsewhere, WrongDatabase
from hearline.store.ledger.intake import Intake
from hearline.store.ledger.retention import Periods, Retention
from hearline.store.spool.appender import Appender

log = logging.getLogger(__name__)

LOOK_S = 0.25  # between two looks into spools that had nothing new
AGAIN_S = (0.5, 1.0, 2.0, 5.0)  # the last again and again
TIDY_S = 600.0  # between two looks for what is too old
TOLD_S = 1.0
END_S = 3.0


@dataclass(frozen=True)
class Standing:
    """What the process reports. ``taken_in``: records since it began. ``backlog_bytes``: size of the spools.
    ``trouble``: why the database takes nothing, '' if it does; ``since``: from when on, s since 1970."""

    taken_in: int = 0
    backlog_bytes: int = 0
    trouble: str = ""
    since: float = 0.0


class LedgerKeeper:
    """Takes in the spools, in a thread of its own, until ``stop``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._periods = Periods(settings.earlier_calls_days, settings.timeline_days, settings.figures_days)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="ledger", daemon=True)
        self.standing = Standing()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends after the transaction that runs now, or after `END_S`: then that is undone, and taken in next time."""
        self._stopping.set()
        self._thread.join(END_S)

    # ---- in the thread ----------------------------------------------------------------------------------------------
    def _keep(self) -> None:
        tries = 0
        while not self._stopping.is_set():
            taken_in = self.standing.taken_in
            try:
                self._take_in_all()
            except (WrongDatabase, TakenElsewhere, OSError, DBAPIError) as error:
                self._fails(_cause(error))
            except Exception as error:
                log.exception("the ledger cannot be kept; it is tried again")
                self._fails(type(error).__name__)
            tries = tries + 1 if taken_in == self.standing.taken_in else 0
            self._stopping.wait(AGAIN_S[min(tries, len(AGAIN_S) - 1)])

    def _take_in_all(self) -> None:
        ledger = Ledger(self._settings.database_url)
        try:
            ledger.migrate()
            retention = Retention(ledger, self._periods)
            counting = Counting(lambda _flow: self._settings.calendar, retention.whole_since)
            own = Appender(self._settings.spool / "ledger")
            intake, tidy_at = Intake(self._settings.spool, ledger, counting, EndsUnseen(own)), 0.0
            try:
                intake.clean()
                while not self._stopping.is_set():
                    taken = intake.take_in()
                    self._works(taken, intake.backlog_bytes())
                    if not taken and time.monotonic() >= tidy_at and not retention.tidy():
                        tidy_at = time.monotonic() + TIDY_S
                    if not taken:
                        self._stopping.wait(LOOK_S)
            finally:
                own.close()
                intake.close()
        finally:
            ledger.close()

    def _works(self, taken: int, backlog_bytes: int) -> None:
        if self.standing.trouble:
            log.warning("the ledger's database takes records again")
        self.standing = Standing(self.standing.taken_in + taken, backlog_bytes)

    def _fails(self, why: str) -> None:
        if self.standing.trouble != why:
            log.error("the ledger takes nothing in, and the spools grow: %s", why)
        since = self.standing.since or time.time()
        self.standing = replace(self.standing, trouble=why, since=since)


def _cause(error: Exception) -> str:
    """For people; without what was to be written."""
    if isinstance(error, DBAPIError):
        told = str(error.orig).strip().partition("\n")[0]
        return f"{type(error.orig).__name__}: {told}"
    return str(error)


async def serve(settings: Settings, tell: Callable[[bytes], None]) -> None:
    logging.getLogger("alembic").setLevel(logging.WARNING)
    keeper = LedgerKeeper(settings)
    keeper.start()
    try:
        sent = None
        while True:
            if sent != (sent := keeper.standing):
                tell(json.dumps(asdict(sent)).encode() + b"\n")
            await asyncio.sleep(TOLD_S)
    finally:
        await asyncio.to_thread(keeper.stop)


def main() -> None:
    """Entry of the ledger's process; started by ``hearline serve``, not by people."""
    run_child(serve)


if __name__ == "__main__":
    main()
