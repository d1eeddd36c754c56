"""Hot reload of files that people edit while the server runs: one thread reads them, all others use the result.

A call must never wait for a disk. So every user takes the value that was read last, and only the watching thread checks
for something newer, reads it, and replaces the whole value.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from hearline.core.files import stamp

log = logging.getLogger(__name__)

T = TypeVar("T")

LOOK_S = 0.5  # between two looks; an edit is taken after two of them
STUCK_S = 5.0  # a look takes this long only if the disk does not answer


class Watched(Generic[T]):
    """The value that ``read`` makes from some files. ``value`` is replaced, never modified, so a reader can keep it.

    ``fault``: why the newest edit was rejected; '' if it was accepted.

    Args:
        name: its name in the log, e.g. "the hints".
        files: returns the files to watch.
        read: takes the current value, returns the next one. If it raises, the current value stays.
        value: the value until something has been read.
        prepare: called with a new value before it is used. If it raises, the current value stays.
    """

    def __init__(
        self,
        name: str,
        files: Callable[[], Iterable[Path]],
        read: Callable[[T], T],
        value: T,
        prepare: Callable[[T], None] = lambda _value: None,
    ) -> None:
        self.name, self.value, self.fault = name, value, ""
        self._files, self._read, self.prepare = files, read, prepare
        self._read_stamp: object = None  # when the files were last read
        self._loaded = False
        self._seen_stamp: object = None  # at the last look
        self._reading = threading.Lock()

    def look(self) -> bool:
        """Read the files if they have changed and then stayed the same for two looks: an editor may still be writing.
        The first read is immediate. Returns True if the files were read. For the watching thread."""
        seen = self._stamp()
        settled, self._seen_stamp = seen == self._seen_stamp or self._read_stamp is None, seen
        return settled and self._take(seen)

    def refresh(self) -> bool:
        """Read the files now if they have changed. Returns True if they were read."""
        self._seen_stamp = self._stamp()
        return self._take(self._seen_stamp)

    def _stamp(self) -> object:
        return stamp(self._files())

    def _take(self, seen: object) -> bool:
        with self._reading:
            if seen == self._read_stamp:
                return False
            self._read_stamp = seen
            try:
                value = self._read(self.value)
                self.prepare(value)
            except Exception as error:
                self.fault = str(error) or repr(error)
                stays = "edit rejected, the version loaded before stays in use" if self._loaded else "not loaded"
                log.error("%s: %s: %s", self.name, stays, self.fault)
            else:
                self.value, self.fault, self._loaded = value, "", True
            return True


class Watcher:
    """One thread that checks everything that may be edited, twice a second.

    Args:
        looks: the functions to call, by name.
    """

    def __init__(self, looks: Mapping[str, Callable[[], object]]) -> None:
        self._looks = looks
        self._looking: tuple[str, float] | None = None  # (name, since when)
        self._stopping, self._looked = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def start(self, patience_s: float = 0.0) -> bool:
        """Start the thread. Returns True if it has checked everything once within ``patience_s``."""
        self._thread.start()
        return self._looked.wait(patience_s)

    def stop(self) -> None:
        """Ask the thread to stop, without waiting: it may hang on a disk."""
        self._stopping.set()

    @property
    def stuck(self) -> tuple[str, float] | None:
        """(name, seconds) of a read that has taken longer than ``STUCK_S``; None if there is none."""
        looking = self._looking
        if looking is None or (since := time.monotonic() - looking[1]) < STUCK_S:
            return None
        return looking[0], since

    def _watch(self) -> None:
        while not self._stopping.is_set():
            for name, look in self._looks.items():
                self._looking = name, time.monotonic()
                try:
                    look()
                except Exception:
                    log.exception("%s: the check for edits failed", name)
                self._looking = None
            self._looked.set()
            self._stopping.wait(LOOK_S)
