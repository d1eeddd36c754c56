"""Do two workers on two cores carry twice as many calls as one?

A load generator would need cores of its own, so there is none: the worker's ticks follow one another without a pause,
and its legs replay frames from memory. Compared with a live worker, only the sockets' system calls are missing.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection

import numpy as np

from hearline.core.settings import Settings
from hearline.media.worker import Worker
from hearline.media.worker_protocol import Announce, Channel, Recording
from hearline.sounds.prompt_store import PromptStore, prompt_keys

from .callers import FRAME, THIRDS, sounds, spread
from .figures import Figure, at_least, ratios
from .processes import pin
from .worker_alone import endless_plan

TICK_S = 0.020
WARM_UP_TICKS = 150


class ReplayLeg:
    """A caller from memory: replays frames, int16 [160], in a loop. See `hearline.media.transport.Leg`."""

    gone = False
    lost_out = 0

    def __init__(self, frames: np.ndarray, offset: int) -> None:
        self.frames = itertools.cycle((*frames[offset:], *frames[:offset]))

    def keys(self) -> str:
        return ""

    def finish(self) -> None:
        pass

    def drained(self) -> bool:
        return True

    def close(self) -> None:
        pass


class ReplayTrunk(dict[int, ReplayLeg]):
    """See `hearline.media.transport.Connections`."""

    join = dict.__setitem__

    def leave(self, slot: int) -> None:
        self.pop(slot, None)

    def send(self, spoken: Mapping[int, bytes]) -> None:
        pass

    def receive(self, rows: np.ndarray, came: np.ndarray) -> set[int]:
        for slot, leg in self.items():
            rows[slot] = next(leg.frames)
        came.fill(True)
        return set()


def measure(calls: int, seconds: float, repetitions: int, say: Callable[[str], None]) -> list[Figure]:
    """Measure one worker, then two at once, in turn."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        say("two workers: this machine has one core; not measured")
        return []
    one, two = [], []
    for repetition in range(1, repetitions + 1):
        one.append(sum(_capacities(cores[:1], calls, seconds)))
        two.append(sum(_capacities(cores, calls, seconds)))
        say(f"two workers, {repetition} of {repetitions}: one {one[-1]:.0f} calls, two {two[-1]:.0f}")
    part = f"Two workers on two cores, {calls} calls each, thirds as above, without sockets"
    return [
        Figure(part, "one worker's core, all its time used", "calls", one),
        Figure(part, "two workers' cores", "calls", two),
        Figure(part, "two against one", "×", ratios(two, one), at_least(1.8)),
    ]


def _capacities(cores: Sequence[int], calls: int, seconds: float) -> list[float]:
    """The capacity, in calls, of a worker on each of these cores, all running at once, if it used all of its core's
    time."""
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pipes = []
        for core in cores:
            ours, theirs = context.Pipe()
            process = context.Process(target=_main, args=(theirs, core, calls, seconds), daemon=True)
            process.start()
            stack.callback(_end, process, ours)
            theirs.close()
            pipes.append(ours)
        for step in ("ready", "go"):
            for pipe in pipes:
                pipe.recv() if step == "ready" else pipe.send("go")
        return [pipe.recv() for pipe in pipes]


def _end(process: multiprocessing.Process, pipe: Connection) -> None:
    pipe.close()
    process.join(5)
    if process.is_alive():
        process.kill()
        process.join()


def _main(pipe: Connection, core: int, calls: int, seconds: float) -> None:
    pin(os.getpid(), core)
    ours, theirs = Channel.pair()
    with ours, theirs:  # nobody reads the worker's beats, so it drops them
        worker = _worker(Channel(ours), calls)
        for _ in range(WARM_UP_TICKS):
            worker.tick(time.monotonic())
        pipe.send("ready")
        try:
            pipe.recv()
            pipe.send(_run(worker, calls, seconds))
        except EOFError:
            pass  # our parent process is gone
        worker.close()


def _worker(channel: Channel, calls: int) -> Worker:
    worker = Worker(("127.0.0.1", 0), lambda _host: False, channel, calls, ReplayTrunk())
    frames = {kind: samples.reshape(-1, FRAME) for kind, samples in sounds().items()}
    plan = endless_plan()
    store = PromptStore(Settings().sounds, lambda read: [worker._do(Recording(*one)) for one in read.items()])
    store.want(prompt_keys(plan).values())
    for index, (kind, offset) in enumerate(spread(THIRDS, calls, {k: len(f) for k, f in frames.items()})):
        worker._begin(Announce(str(index), plan, None), ReplayLeg(frames[kind], offset))
        if index % 4 == 3:
            worker.tick(time.monotonic())
    return worker


def _run(worker: Worker, calls: int, seconds: float) -> float:
    """The number of calls that one second of CPU time is enough for."""
    ticks, cpu, until = 0, time.process_time(), time.monotonic() + seconds
    while time.monotonic() < until:
        worker.tick(time.monotonic())
        ticks += 1
    return calls * ticks * TICK_S / (time.process_time() - cpu)
