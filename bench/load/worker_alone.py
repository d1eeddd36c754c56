"""One media worker on one core, driven from another: how many calls are on time, and what does one cost?

The door's `WorkerClient` starts the worker. Calls are added rung by rung. On each rung, all of them are measured
together for some seconds, until a rung is late.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hearline.call.plan import Plan
from hearline.core.settings import Settings
from hearline.media.worker_client import PendingCall, WorkerClient, WorkerDown
from hearline.media.worker_protocol import Beat
from hearline.server.flow_store import load_flow
from hearline.sounds.prompt_store import PromptStore, prompt_keys

from .callers import FRAME, Kind, sounds, spread
from .figures import Bar, Figure, percentile
from .peer import Dial, Peer, Tally
from .processes import children, cpu_s, pin, rss_kb

FLOWS = Path(__file__).with_name("flows")
SAMPLED = 8  # calls whose frames' arrival is timed
A_TICK = 4  # calls that are added every 20 ms
SETTLE_S = 3.0  # from the last connection to the measurement, since the ears' first second differs from the others
ON_TIME = 0.999
HEARD = 0.99  # a late worker may skip the speech network for a tick, but not regularly

Say = Callable[[str], None]


@dataclass(frozen=True)
class Rung:
    """A number of calls, measured for some seconds. Shares are 0…1. `gap_ms`: 99.9 % of the sampled frames came within
    this time after the previous frame."""

    calls: int
    on_time: float
    heard: float  # share of frames heard in full, with the speech network
    cpu_ms: float  # per call and second
    rss_kb: int
    gap_ms: float
    peer_late: float  # share of late passes of the load generator
    work_ms: float  # most CPU time of a tick
    worst_ms: float  # lateness of the latest tick

    @property
    def carried(self) -> bool:
        return self.on_time >= ON_TIME and self.heard >= HEARD

    def __str__(self) -> str:
        return (
            f"{self.calls} calls: {100 * self.on_time:.2f} % on time, {100 * self.heard:.1f} % heard in full, "
            f"{self.cpu_ms:.2f} ms a call and second, worst {self.worst_ms:.0f} ms, sampled gaps {self.gap_ms:.0f} ms, "
            f"generator late {100 * self.peer_late:.1f} %"
        )


def climb(kinds: Sequence[Kind], rungs: Sequence[int], seconds: float, seed: int, say: Say) -> list[Rung]:
    """All rungs up to and including the first that is late."""
    worker_core, peer_core = cores()
    crowd = spread(kinds, max(rungs), {kind: len(of) // FRAME for kind, of in sounds().items()}, seed)
    with ExitStack() as stack:
        line, pid = start_worker(stack, max(rungs), worker_core)
        many = stack.enter_context(Peer(peer_core))
        few = stack.enter_context(Peer(peer_core, listening=True))
        done: list[Rung] = []
        up = 0
        for calls in rungs:
            while up < calls and (visit := _announce(line)):
                kind, offset = crowd[up]
                (few if up < SAMPLED else many).dial(Dial(visit.uuid, visit.address, kind, offset))
                up += 1
                if up % A_TICK == 0:
                    time.sleep(0.02)
            if up < calls:
                say(f"  a further call than {up} was refused")
            time.sleep(SETTLE_S)
            rung = _measure(line, pid, (many, few), seconds)
            say(f"  {rung}")
            if not rung.carried:  # try again: the host may have taken the core away for a tick
                rung = _measure(line, pid, (many, few), seconds)
                say(f"  once more: {rung}")
            done.append(rung)
            if up < calls or not rung.carried:
                break
        return done


def _announce(line: WorkerClient) -> PendingCall | None:
    """Announce a call. None if the worker has no time for it, even after a moment (new calls cost more at first)."""
    plan = endless_plan()
    for _ in range(20):
        with suppress(WorkerDown):
            return line.announce(plan, None)
        time.sleep(0.1)
    return None


def figures(
    part: str, climbs: Sequence[Sequence[Rung]], bar: Bar | None, memory_bar: Bar | None = None
) -> list[Figure]:
    """Figures of one mix of callers, from one climb per repetition. Cost and memory are those of the highest rung that
    was on time."""
    tops = [max((r for r in rungs if r.carried), key=lambda r: r.calls, default=None) for rungs in climbs]
    measured = [(top or rungs[0], rungs) for top, rungs in zip(tops, climbs, strict=True)]
    highest = max(rung.calls for rungs in climbs for rung in rungs)
    bar = bar if bar and highest >= bar.limit else None  # no bar if its number of calls was not tried
    note = "the highest that was tried" if any(top and top.calls == highest for top in tops) else ""
    found = [
        Figure(
            part,
            f"calls with {100 * ON_TIME:g} % of frames on time",
            "calls",
            [t.calls if t else 0 for t in tops],
            bar,
            note,
        ),
        Figure(part, "CPU of the worker, a call and second", "ms", [top.cpu_ms for top, _ in measured]),
        Figure(part, "from frame to frame, 99.9 % within", "ms", [top.gap_ms for top, _ in measured]),
        Figure(part, "most CPU time of a tick", "ms", [top.work_ms for top, _ in measured]),
    ]
    more = [memory_per_call(rungs[0], top) for top, rungs in measured if top.calls > rungs[0].calls]
    if more:
        found.append(
            Figure(part, "memory per further call", "kB", more, memory_bar, f"from {climbs[0][0].calls} calls on")
        )
    late = max(rung.peer_late for rungs in climbs for rung in rungs)
    if late > 1 - ON_TIME:
        found.append(Figure(part, "the load generator itself was late", "%", [100 * late]))
    return found


def memory_per_call(few: Rung, many: Rung) -> float:
    """The memory of each additional call, in kB."""
    return (many.rss_kb - few.rss_kb) / (many.calls - few.calls)


@cache
def endless_plan() -> Plan:
    """A flow that never ends."""
    return load_flow(FLOWS / "endless.yaml", Settings().flows, Settings().sounds).plan


def cores() -> tuple[int, int]:
    """(the worker's core, the load generator's core): two cores, or the same one twice if there is only one."""
    mine = sorted(os.sched_getaffinity(0))
    return mine[-1], mine[0]


def start_worker(stack: ExitStack, capacity: int, core: int) -> tuple[WorkerClient, int]:
    """A media worker on `core`, and its pid; `stack` ends it."""
    before = children(os.getpid())
    line = WorkerClient("127.0.0.1:0", "127.0.0.0/8", capacity=capacity)
    stack.callback(line.stop)
    line.start()
    prompts = PromptStore(Settings().sounds, line.load)
    prompts.want(prompt_keys(endless_plan()).values())
    (pid,) = children(os.getpid()) - before
    pin(pid, core)
    return line, pid


def _measure(line: WorkerClient, pid: int, peers: Sequence[Peer], seconds: float) -> Rung:
    first = next_beat(line)
    for peer in peers:
        peer.tally()
    began, cpu = time.monotonic(), cpu_s(pid)
    time.sleep(seconds)
    took, cpu = time.monotonic() - began, cpu_s(pid) - cpu
    tallies = [peer.tally() for peer in peers]
    last = next_beat(line)
    if last.calls != first.calls or any(tally.closed for tally in tallies):
        raise RuntimeError(f"calls were lost while it was measured: {first.calls} before, {last.calls} after")
    beats = round(took / 0.2)
    return Rung(
        calls=last.calls,
        on_time=on_time(first, last),
        heard=1 - (last.shed - first.shed) / (last.frames - first.frames),
        cpu_ms=cpu * 1_000 / took / last.calls,
        rss_kb=rss_kb(pid),
        gap_ms=percentile(tallies[1].gaps_ms, 0.999),
        peer_late=_late(tallies),
        work_ms=max(list(line.work_ms)[-beats:]),
        worst_ms=max(list(line.worst_ms)[-beats:]),
    )


def on_time(first: Beat, last: Beat) -> float:
    """The share of frames between two beats that were sent within 20 ms of their deadline. Frames of skipped time, and
    those that the other side did not take, count as late."""
    sent = last.frames - first.frames
    skipped = (last.skipped_ms - first.skipped_ms) / 20 * last.calls
    late = last.late_20 - first.late_20 + last.lost_out - first.lost_out + skipped
    return 1 - late / (sent + skipped)


def next_beat(line: WorkerClient) -> Beat:
    """The next beat from now on."""
    old = line.beat
    while line.beat is old and line.well:
        time.sleep(0.01)
    if not line.well:
        raise RuntimeError("the media worker was lost")
    return line.beat


def _late(tallies: Sequence[Tally]) -> float:
    return sum(tally.late for tally in tallies) / max(1, sum(tally.passes for tally in tallies))
