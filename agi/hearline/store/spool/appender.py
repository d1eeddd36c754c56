"""The writing end of a spool.

A record is *acknowledged* once it is on the disk (fdatasync). A thread writes and syncs what has come meanwhile, in
one go. A disk that is slow, full or broken delays only that thread. It goes on trying, in a new segment, since Linux
forgets what it could not sync. A record keeps its number meanwhile: the reader may have seen it in the old segment.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hearline.core.files import private_folder, sync_folder
from hearline.core.log_limit import LogLimit
from hearline.store.spool.segments import (
    LOST,
    MOST_LINE,
    NEW,
    encoded,
    line_of,
    next_age,
    seed_of,
    segment_path,
    segments_in,
)

log = logging.getLogger(__name__)

GATHER_S = 0.02  # from the first record to the writing of all that have come: at most 50 syncs a second
OVERHEAD = 2_000  # bytes of memory that a waiting record takes besides its own
BATCH_BYTES = 1024 * 1024  # are written in one go
SEGMENT_BYTES = 4 * 1024 * 1024
SEGMENT_S = 60.0  # the longest that a segment is written to: the ledger can delete only whole ones
FULL = (errno.ENOSPC, errno.EDQUOT)
AGAIN_S = (0.1, 0.2, 0.5, 1.0, 2.0)  # the last again and again


@dataclass(frozen=True)
class Limits:
    """In bytes. ``spare_on_disk``: the size of the spool from which on spare records are lost. ``spare_waiting`` and
    ``waiting``: how much may wait for the disk, in memory, before spare records are lost, and before any are."""

    spare_on_disk: int = 512 * 1024 * 1024
    spare_waiting: int = 32 * 1024 * 1024
    waiting: int = 256 * 1024 * 1024


@dataclass(frozen=True)
class SpoolState:
    """``waiting``: records that are not acknowledged yet. ``lost``, ``spare_lost``: how many were lost, of the others
    and of the spare ones. ``trouble``: why the disk takes nothing, since ``trouble_s``; '' if it does."""

    waiting: int
    lost: int
    spare_lost: int
    trouble: str
    trouble_s: float


@dataclass(eq=False)
class _Waiting:
    record: bytes
    spare: bool
    memory: int = 0  # bytes
    kept: Future[bool] = field(default_factory=Future)


class Appender:
    """Appends to the spool in ``folder``, which belongs to this kind of process alone. The first record starts the
    thread; ``close`` ends it.

    Several processes may write to the same folder, as during a restart: each has its own stream.
    """

    def __init__(self, folder: Path, limits: Limits = Limits()) -> None:
        self._folder, self._limits = folder, limits
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting] = deque()
        self._open: set[Future[bool]] = set()
        self._bytes = 0  # of all records that are not acknowledged
        self._wake, self._closing = threading.Event(), threading.Event()
        self._ends_at = float("inf")
        self._thread: threading.Thread | None = None
        self._lost = self._spare_lost = 0
        self._trouble, self._trouble_since = "", 0.0
        self._said = LogLimit()
        # The thread's own:
        self._stream, self._seed, self._ordinal, self._number = "", 0, 0, 0
        self._segment: int | None = None
        self._segment_bytes, self._segment_ends, self._on_disk = 0, 0.0, 0

    def start(self) -> None:
        """Start the thread; the first record does so, too."""
        with self._lock:
            self._started()

    def _started(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"spool {self._folder.name}", daemon=True)
            self._thread.start()

    def append(self, call: str, kind: str, body: Mapping[str, Any], at_ms: int, spare: bool = False) -> Future[bool]:
        """Append a record. Returns at once, with a future: True once it is on the disk, False if it is lost.

        Raises TypeError, ValueError if ``body`` cannot be written as JSON, or another argument makes no sense.
        """
        waiting = _Waiting(encoded(at_ms, call, kind, body, spare), spare)
        waiting.kept.set_running_or_notify_cancel()  # nobody can cancel it
        size = len(waiting.record)
        waiting.memory = size + OVERHEAD
        with self._lock:
            most = self._limits.spare_waiting if spare else self._limits.waiting
            fits = size < MOST_LINE and self._bytes + waiting.memory <= most and not self._closing.is_set()
            if fits:
                self._waiting.append(waiting)
                self._open.add(waiting.kept)
                self._bytes += waiting.memory
                self._started()
        if fits:
            if not self._wake.is_set():
                self._wake.set()
        else:
            self._lose(waiting, "too much waits for the disk" if size < MOST_LINE else "it is too large")
        return waiting.kept

    @property
    def state(self) -> SpoolState:
        trouble_s = time.monotonic() - self._trouble_since if self._trouble else 0.0
        return SpoolState(len(self._open), self._lost, self._spare_lost, self._trouble, trouble_s)

    def settle(self, within_s: float) -> bool:
        """Wait until all records so far are acknowledged or lost. Returns False if that takes longer."""
        with self._lock:
            waiting = list(self._open)
        return not wait(waiting, within_s).not_done

    def close(self, within_s: float = 3.0) -> None:
        """Write what waits, for at most ``within_s``; then let the segment go. Later records are lost."""
        self._ends_at = time.monotonic() + within_s
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(within_s + 1.0)
            if self._thread.is_alive():
                log.error("%s: %d records are lost: the disk does not answer", self._folder.name, len(self._open))

    # ---- in the thread ----------------------------------------------------------------------------------------------
    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._closing.wait(GATHER_S)
            self._wake.clear()
            while batch := self._next_batch():
                self._write_at_last(batch)
            if self._closing.is_set() and not self._waiting:
                self._let_go()
                return

    def _next_batch(self) -> list[_Waiting]:
        batch, size = [], 0
        with self._lock:
            while self._waiting and size < BATCH_BYTES:
                batch.append(self._waiting.popleft())
                size += len(batch[-1].record)
        return batch

    def _write_at_last(self, batch: list[_Waiting]) -> None:
        """Write and sync the batch, however often that fails, until the process ends."""
        tries = 0
        if self._is_large():
            batch = self._without_spare(batch, "the spool is large")
        while batch:
            try:
                self._write(batch)
            except OSError as error:
                self._let_go(failed=True)
                self._fails(error)
                if error.errno in FULL:
                    self._drop_spare(batch)
                if time.monotonic() >= self._ends_at:
                    for one in batch:
                        if not one.kept.done():
                            self._lose(one, "the process ends")
                    return
                self._closing.wait(AGAIN_S[min(tries, len(AGAIN_S) - 1)])
                if self._closing.is_set():
                    time.sleep(AGAIN_S[0])
                tries += 1
            else:
                self._number += len(batch)
                self._works_again()
                for one in batch:
                    if not one.kept.done():
                        self._over(one, True)
                return

    def _write(self, batch: list[_Waiting]) -> None:
        """Write the batch behind what is there, and sync it. Raises OSError; then some of it may be in the segment."""
        if self._segment is not None and self._is_long_enough():
            self._let_go()
        if self._segment is None:
            self._begin()
        segment = self._segment
        assert segment is not None
        lines = b"".join(line_of(self._seed, self._number + n, one.record) for n, one in enumerate(batch, start=1))
        left = memoryview(lines)
        while left:
            left = left[os.write(segment, left) :]
        os.fdatasync(segment)
        self._segment_bytes += len(lines)
        self._on_disk += len(lines)

    def _is_long_enough(self) -> bool:
        return self._segment_bytes >= SEGMENT_BYTES or time.monotonic() >= self._segment_ends

    def _is_large(self) -> bool:
        """True if the spool holds so much that spare records are lost. Looks at the disk where a segment begins."""
        if self._segment is None or self._is_long_enough():
            sizes = []
            with suppress(FileNotFoundError):
                for one in segments_in(self._folder):
                    with suppress(FileNotFoundError):  # the ledger has just taken it in
                        sizes.append(one.path.stat().st_size)
            self._on_disk = sum(sizes)
        return self._on_disk >= self._limits.spare_on_disk

    def _begin(self) -> None:
        """Begin a segment. It gets its name only once we hold its lock, so nobody takes it for a closed one."""
        private_folder(self._folder)
        if not self._stream:
            self._stream = f"{next_age(self._folder):08d}-{secrets.token_hex(4)}"
            self._seed = seed_of(self._stream)
        self._ordinal += 1
        path = segment_path(self._folder, self._stream, self._ordinal)
        unnamed = path.with_name(f".{path.name}{NEW}")
        opened = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(unnamed, path)
            sync_folder(self._folder)
        except BaseException:
            os.close(opened)
            with suppress(OSError):
                os.unlink(unnamed)
            raise
        self._segment, self._segment_bytes = opened, 0
        self._segment_ends = time.monotonic() + SEGMENT_S

    def _let_go(self, failed: bool = False) -> None:
        """Close the segment. One that has failed and holds nothing acknowledged goes: there may be many."""
        if self._segment is not None:
            if failed and not self._segment_bytes:
                with suppress(OSError):
                    os.unlink(segment_path(self._folder, self._stream, self._ordinal))
            with suppress(OSError):
                os.close(self._segment)  # and so its lock
            self._segment = None

    # ---- what becomes of records ------------------------------------------------------------------------------------
    def _without_spare(self, batch: list[_Waiting], why: str) -> list[_Waiting]:
        for one in batch:
            if one.spare:
                self._lose(one, why)
        return [one for one in batch if not one.spare]

    def _drop_spare(self, batch: list[_Waiting]) -> None:
        """The disk is full: lose the spare records that wait. Those of the batch have numbers, so something small
        stands for them."""
        for one in batch:
            if one.spare and not one.kept.done():
                self._lose(one, "the disk is full")
                one.record = encoded(0, "", LOST, {}, True)
        with self._lock:
            behind = [one for one in self._waiting if one.spare]
            self._waiting = deque(one for one in self._waiting if not one.spare)
        for one in behind:
            self._lose(one, "the disk is full")

    def _over(self, one: _Waiting, kept: bool) -> None:
        with self._lock:
            if one.kept in self._open:
                self._open.discard(one.kept)
                self._bytes -= one.memory
        one.kept.set_result(kept)

    def _lose(self, one: _Waiting, why: str) -> None:
        with self._lock:
            if one.spare:
                self._spare_lost += 1
            else:
                self._lost += 1
        if self._said.allows(("lost", one.spare)):
            what, many = ("spare records", self._spare_lost) if one.spare else ("records", self._lost)
            log.error("spool %s: %s are lost, %d so far: %s", self._folder.name, what, many, why)
        self._over(one, False)

    def _fails(self, error: OSError) -> None:
        if not self._trouble:
            self._trouble_since = time.monotonic()
        self._trouble = error.strerror or type(error).__name__
        if self._said.allows("fails"):
            log.error("spool %s cannot be written, and what comes waits: %s", self._folder.name, self._trouble)

    def _works_again(self) -> None:
        if self._trouble:
            log.warning("spool %s can be written again", self._folder.name)
            self._trouble = ""
