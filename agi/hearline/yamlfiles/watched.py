"""What is read from files that people edit while the server runs: read by one thread, used by all the others.

A call must never wait for a disk. So whoever uses a file's content takes what was read last, and only the watching
thread looks whether there is something newer, reads it, and puts it in place as a whole.
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

LOOK_S = 0.5  # between two looks; an edit counts after two of them
STUCK_S = 5.0  # no look takes so long, unless its disk does not answer


class Watched(Generic[T]):
    """What ``read`` makes of some files. ``value`` is replaced and never changed: whoever has it can keep using it.

    ``fault``: why the newest edit was not taken; '' where it was.

    Args:
        name: what it is, for the log: "the hints".
        files: those that are looked at.
        read: given the value that holds now, returns the next one. Whatever it raises, the value stays.
        value: until something has been read.
        prepare: does what must be done before a new value is used.
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
        self._read_stamp: object = None  # of what was read last
        self._seen_stamp: object = None  # at the last look
        self._reading = threading.Lock()

    def look(self) -> bool:
        """Read what has changed and stayed so for two looks: an editor may be in the middle of writing it. What has not
        been read at all is read at once. Returns whether anything was read. For the watching thread."""
        seen = self._stamp()
        settled, self._seen_stamp = seen == self._seen_stamp or self._read_stamp is None, seen
        return settled and self._take(seen)

    def refresh(self) -> bool:
        """Read what has changed, now. Returns whether anything had."""
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
                log.error("%s: an edit is rejected, what was loaded before stays: %s", self.name, self.fault)
            else:
                self.value, self.fault = value, ""
            return True


class Watcher:
    """One thread that looks at everything that may be edited, twice a second.

    Args:
        looks: by name: what is called again and again.
    """

    def __init__(self, looks: Mapping[str, Callable[[], object]]) -> None:
        self._looks = looks
        self._looking: tuple[str, float] | None = None  # at what, since when
        self._stopping, self._looked = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def start(self, patience_s: float = 0.0) -> bool:
        """Start looking; returns whether everything has been looked at once within ``patience_s``."""
        self._thread.start()
        return self._looked.wait(patience_s)

    def stop(self) -> None:
        """It may hang: nobody waits for it."""
        self._stopping.set()

    @property
    def stuck(self) -> tuple[str, float] | None:
        """What it has been reading for longer than any read takes, and for how many seconds."""
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
                    log.exception("%s could not be looked at", name)
                self._looking = None
            self._looked.set()
            self._stopping.wait(LOOK_S)
