"""Finds leaks: what processes hold more of than before, of descriptors, threads, memory and tasks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SETTLE_S = 6.0  # connections linger this long, and tasks are reported once a second
MEMORY_MB = 24  # allowed for buffers and caches that have grown for good
MEMORY_OF_MB = {"Asterisk": 96}  # it keeps some of the memory that thousands of channels once took
SEGMENT = ".spool"  # one of them is open while a process has something to append
NO_POOLS: Mapping[str, float] = {}


@dataclass(frozen=True)
class Held:
    """``things``: by kind (threads, descriptors, …), the names of the things held and their numbers."""

    pid: int
    things: Mapping[str, Counter[str]]
    memory_mb: float = 0.0


def held(pid: int, tasks: Mapping[str, int] | None = None) -> Held:
    """What this process holds now. Raises OSError if it is gone."""
    process = Path(f"/proc/{pid}")
    descriptors, threads = Counter[str](), Counter[str]()
    for entry in (process / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            descriptors[str(entry.readlink())] += 1
    if segments := [name for name in descriptors if name.endswith(SEGMENT)]:
        descriptors[segments[0]] -= 1
    for entry in (process / "task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            threads[(entry / "comm").read_text().strip()] += 1
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    memory_mb = int(status.get("RssAnon", "0").split()[0]) / 1_024
    return Held(pid, {"descriptors": descriptors, "threads": threads, "tasks": Counter(tasks or {})}, memory_mb)


def more(before: Mapping[str, Held], now: Mapping[str, Held], pools: Mapping[str, float] = NO_POOLS) -> list[str]:
    """What these processes, by name, hold more of than before, one line each. A process that has been replaced by
    another is not judged.

    Args:
        pools: the number of threads that a process may have in any case, by its name, since it starts them as needed
            and keeps them.
    """
    found = []
    for name, then in before.items():
        if name not in now or now[name].pid != then.pid:
            continue
        for kind, things in now[name].things.items():
            was = then.things[kind]
            spare = pools.get(name, 0) if kind == "threads" else 0
            if things.total() > max(was.total(), spare):
                found.append(f"{name}: {things.total()} {kind}, {was.total()} before; new: {dict(things - was)}")
        if (grown_mb := now[name].memory_mb - then.memory_mb) > MEMORY_OF_MB.get(name, MEMORY_MB):
            found.append(f"{name}: {now[name].memory_mb:.0f} MiB, {grown_mb:.0f} MiB more than before")
    return found


def settled(look: Callable[[], list[str]], seconds: float = SETTLE_S) -> list[str]:
    """Call ``look`` until it returns nothing, for at most ``seconds``; returns its last result."""
    deadline = time.monotonic() + seconds
    while (found := look()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found
