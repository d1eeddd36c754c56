"""The cost of hundreds of calls in agent assist itself, without its media worker: Asterisk's events and the ears'
reports come at their real rate, but there are no calls and no sound. See `event_replay`, `reporting_worker`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hearline.core.settings import Settings

from .event_replay import SECRET, EventReplay
from .figures import Figure, at_most, percentile
from .processes import children, cpu_s, pin, rss_kb

PART = "Agent assist alone: callers of whom half talk, events and reports at their real rate"
BAR_CORE, BAR_LAG_MS, BAR_CALLERS = 25.0, 50.0, 1_000
START_S = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """``core``: % of one core. ``lag_ms``: lateness of its loop, 99th percentile. ``events``: per second. ``legs``:
    their number."""

    core: float
    lag_ms: float
    events: float
    legs: int
    rss_kb: int


def measure(callers: Sequence[int], seconds: float, repetitions: int, say: Say) -> list[Figure]:
    """The curve over these numbers of callers."""
    figures: list[Figure] = []
    for number in callers:
        runs = []
        for repetition in range(1, repetitions + 1):
            say(f"agent assist alone: {number} callers, {repetition} of {repetitions}")
            runs.append(run(number, seconds))
            say(f"  {runs[-1]}")
        last = number == BAR_CALLERS
        figures += [
            Figure(PART, f"{number}: CPU", "% of a core", [r.core for r in runs], at_most(BAR_CORE) if last else None),
            Figure(
                PART, f"{number}: its loop is late, p99", "ms", [r.lag_ms for r in runs],
                at_most(BAR_LAG_MS) if last else None,
            ),
            Figure(PART, f"{number}: events of Asterisk", "a second", [r.events for r in runs]),
            Figure(PART, f"{number}: legs that report ten times a second", "", [r.legs for r in runs]),
        ]  # fmt: skip
    return figures


def run(callers: int, seconds: float) -> Run:
    with tempfile.TemporaryDirectory(prefix="hearline-bench-") as folder, replayed(callers) as replay:
        lags = Path(folder) / "lags.json"
        with assist(Path(folder), replay, lags) as pid:
            _until(lambda: replay.spied >= callers // 2 * 2, START_S)
            time.sleep(max(3.0, replay.steady_at - time.monotonic()))  # first questions of each talk
            _lags(pid, lags)
            cpu, told, began = cpu_s(pid), replay.told, time.monotonic()
            time.sleep(seconds)
            passed = time.monotonic() - began
            return Run(
                core=round(100 * (cpu_s(pid) - cpu) / passed, 1),
                lag_ms=round(percentile(_lags(pid, lags), 0.99), 1),
                events=round((replay.told - told) / passed, 1),
                legs=replay.spied,
                rss_kb=rss_kb(pid),
            )


@contextmanager
def replayed(callers: int) -> Iterator[EventReplay]:
    """Run it in a thread, on the second core if there is one, like everything else of ours."""
    replay, loop = EventReplay(callers), asyncio.new_event_loop()
    running: list[asyncio.Task] = []

    def serve() -> None:
        asyncio.set_event_loop(loop)
        running.append(loop.create_task(replay.run()))
        try:
            loop.run_until_complete(running[0])
        except asyncio.CancelledError:
            pass

    thread = threading.Thread(target=serve, name="replay", daemon=True)
    thread.start()
    _until(lambda: replay.address[1], 5)
    try:
        yield replay
    finally:
        loop.call_soon_threadsafe(running[0].cancel)
        thread.join(5)


@contextmanager
def assist(folder: Path, replay: EventReplay, lags: Path) -> Iterator[int]:
    """Run the process, alone on the first core. Yields its pid."""
    cores = sorted(os.sched_getaffinity(0))
    secret = folder / "secret"
    secret.write_text(SECRET)
    here = {"ami": "{}:{}".format(*replay.address), "legs": "127.0.0.1:0", "page": "127.0.0.1:0"}
    settings = Settings(state=folder, ami_secret_file=secret, **here)
    command = [sys.executable, "-m", "bench.load.assist_process", settings.model_dump_json(), str(lags)]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        try:
            _until(lambda: children(process.pid) or process.poll() is not None, 20)
            if len(cores) > 1:
                pin(process.pid, cores[0])
                for other in (os.getpid(), *children(process.pid)):
                    pin(other, *cores[1:])
            yield process.pid
        finally:
            pin(os.getpid(), *cores)
            process.terminate()
            process.wait(10)


def _lags(pid: int, file: Path) -> list[float]:
    """The lateness of its loop since the last call, in ms."""
    file.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    _until(file.exists, 5)
    return json.loads(file.read_text())


def _until(is_so: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError("agent assist did not reach this state in time")
        time.sleep(0.02)
