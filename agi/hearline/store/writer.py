"""Writes what is kept, one thing after another, in a thread of its own, so that a slow disk or a locked database delays
no call. A write that fails for a reason that may pass is repeated until it succeeds, or the process ends."""

from __future__ import annotations

import errno
import logging
import queue
import sqlite3
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hearline.core.log_limit import LogLimit

log = logging.getLogger(__name__)

MOST = 2_000  # writes that may wait; a call's record has some 10 kB
AGAIN_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # the last again and again
# Errors of the file itself, or of a limit of ours (None): the next try would fail in the same way.
NOT_THE_DISK = {None, errno.EFBIG, errno.ELOOP, errno.ENAMETOOLONG}
NOT_THE_DATABASE = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG}


@dataclass(eq=False)
class _Job:
    write: Callable[[], object]
    about: str
    kept: Future[bool] = field(default_factory=Future)


class Writer:
    """Runs the writing functions passed to ``later``. The thread begins with ``start`` or the first ``later``, and ends
    with ``close``.

    ``lost``: how many writes were lost because too many waited.

    Args:
        name: the thread's.
        most: how many writes may wait. Further ones are lost, counted and logged.
    """

    def __init__(self, name: str = "records", most: int = MOST) -> None:
        self._name, self._most = name, most
        self._given: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._left: list[_Job] = []  # failed so far, with what came after it about the same thing; the thread's alone
        self._open: set[Future[bool]] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ends_at = 0.0
        self._said = LogLimit()
        self.lost = 0

    def start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def later(self, write: Callable[[], object], about: str = "") -> Future[bool]:
        """Have ``write`` called in the thread, and called again if it fails because of the disk or the database. What
        is ``about`` the same thing is written in the order in which it came. Returns at once, with a future: True once
        it is written, False if it is lost."""
        self.start()
        job = _Job(write, about)
        job.kept.set_running_or_notify_cancel()  # nobody can cancel it
        with self._lock:
            full = len(self._open) >= self._most
            if not full:
                self._open.add(job.kept)
        if full:
            self.lost += 1
            if self._said.allows("lost"):
                log.error("%s: the disk does not keep up: %d have been lost so far", self._name, self.lost)
            job.kept.set_result(False)
        else:
            self._given.put(job)
        return job.kept

    def settle(self, within_s: float) -> bool:
        """Wait until everything passed so far is written or lost. Returns False if that takes longer than
        ``within_s``."""
        with self._lock:
            waiting = list(self._open)
        return not wait(waiting, within_s).not_done

    def close(self, within_s: float) -> None:
        """Write what waits, for at most ``within_s``, and end the thread."""
        if (thread := self._thread) is None:
            return
        self._ends_at = time.monotonic() + within_s
        self._given.put(None)
        thread.join(within_s)
        if waiting := len(self._open):
            log.error("%s: %d writes are lost: the disk does not answer", self._name, waiting)
        self._thread = None

    # ---- in the thread ----------------------------------------------------------------------------------------------
    def _run(self) -> None:
        tries, next_try, ends = 0, 0.0, False
        while not ends or (self._left and time.monotonic() < self._ends_at):
            with suppress(queue.Empty):
                job = self._given.get(timeout=max(0.0, next_try - time.monotonic()) if self._left else None)
                if job is None:
                    ends = True
                elif self._comes_after_another(job) or not self._written(job):
                    self._left.append(job)
            if self._left and (not tries or time.monotonic() >= next_try):
                tries = tries + 1 if not tries or not self._try_again() else 1
                next_try = time.monotonic() + AGAIN_S[min(tries, len(AGAIN_S)) - 1]
            if not self._left:
                tries = 0
        for job in self._left:
            self._over(job, False)
        self._left.clear()

    def _comes_after_another(self, job: _Job) -> bool:
        return any(job.about == other.about for other in self._left)

    def _try_again(self) -> bool:
        """Repeat the failed writes, until one fails again; it and all about the same thing are then last in line, since
        only they may be at fault. Returns True if any write has succeeded."""
        some = False
        while self._left:
            if not self._written(first := self._left[0]):
                self._left.sort(key=lambda job: job.about == first.about)
                break
            self._left.pop(0)
            some = True
        return some

    def _written(self, job: _Job) -> bool:
        """Try once. Returns False if another try may succeed."""
        try:
            job.write()
        except Exception as error:
            again = _may_pass(error)
            if self._said.allows((again, type(error))):
                what = "fails and is repeated" if again else "has failed"
                log.error("%s: a write %s: %s", self._name, what, _cause(error))
            if not again:
                self._over(job, False)
            return not again
        self._over(job, True)
        return True

    def _over(self, job: _Job, kept: bool) -> None:
        with self._lock:
            self._open.discard(job.kept)
        job.kept.set_result(kept)


def _may_pass(error: Exception) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF not in NOT_THE_DATABASE
    return isinstance(error, OSError) and error.errno not in NOT_THE_DISK


def _cause(error: Exception) -> str:
    """For the log. Messages of a file system or SQLite name files; others may quote what was to be written."""
    if isinstance(error, OSError | sqlite3.Error):
        return f"{type(error).__name__}: {error}"
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(where.filename).name}:{where.lineno}"
