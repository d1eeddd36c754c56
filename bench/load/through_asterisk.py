"""The same calls through a real Asterisk, answered in four ways: by Hearline, by a C program that only reads and writes
frames, by one EAGI process per call, and by Asterisk's own applications.

Each way has its own, freshly started Asterisk. Silent callers hear the whole flow, and are then hung up on; callers who
speak are listened to until they hang up, so all calls last about equally long. The C program does not hear anybody; the
silent callers hang up on it themselves, after as long. The cost of a way is the CPU time of all
its processes, from before the first call until after the last, divided by the total time of the calls.
"""

from __future__ import annotations

import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from hearline.audio.wav import read_wav
from hearline.core.settings import Settings
from hearline.ops.stack import Stack
from hearline.server.flow_store import load_flow
from hearline.sounds.manifest import prompt_path

from . import only_frames
from .callers import RATE, THIRDS, Kind, sounds
from .figures import Figure, at_most, ratios
from .private_asterisk import private_asterisk
from .processes import children, cpu_s, family, pss_kb, reaped_cpu_s
from .sipp import Group, callers, group

FLOWS = Path(__file__).with_name("flows")
ANSWER_MS = 200  # the dialplan's Wait() before the first prompt
STAYS_MS = 8_000  # callers who are still there this long after the flow's end hang up
PILOT_CALLS = 12  # with the EAGI script, to see how many the machine can carry
ROOM = 0.6  # the share of all cores for them and Asterisk, since the telephones run here, too
SETTLE_S = 30  # starting takes about 5 s
IDLE_SHARE = 0.05  # of a core
PEAK_S = 3.0  # after the last call began: by then all calls are there

Say = Callable[[str], None]


@dataclass(frozen=True)
class Way:
    """A way to answer calls.

    `own`: True if it has processes besides Asterisk. `a_second`: calls begun per second, few enough that starting them
    does not slow down the present calls. `hears`: True if it hangs up on silent callers; they hang up themselves else.
    """

    name: str
    number: str
    own: bool
    a_second: float
    hears: bool = True

    def stay_ms(self, kind: Kind) -> int:
        """The time after which callers of this kind hang up if nobody else has."""
        end = round(course_ms())
        return end if kind is Kind.SILENT and not self.hears else end + STAYS_MS


HEARLINE = Way("Hearline", "8200", True, 30.0)
ONLY_FRAMES = Way("a C program that only reads and writes", "8204", True, 30.0, hears=False)
BY_HAND = Way("an EAGI process a call", "8201", True, 4.0)
OWN_MEANS = Way("Asterisk's own applications", "8202", False, 30.0)


@dataclass(frozen=True)
class Run:
    """Calls answered in one way. CPU in ms per call and second; memory in kB per call, shared pages counted once."""

    way: Way
    calls: int
    at_once: int
    asterisk_cpu: float
    own_cpu: float
    asterisk_kb: float
    own_kb: float
    groups: tuple[Group, ...]
    told_too_soft: int  # according to Hearline's records
    version: str  # Asterisk's

    @property
    def failed(self) -> int:
        return sum(group.failed for group in self.groups)

    def ended(self, kind: Kind) -> int:
        """How many callers of this kind were hung up on."""
        return sum(len(group.ended_ms) for group in self.groups if group.kind is kind)

    def of(self, kind: Kind) -> int:
        return sum(group.calls for group in self.groups if group.kind is kind)

    @property
    def judged_rightly(self) -> float:
        """The share, 0…1, of silent callers who were hung up on and speaking callers who were not."""
        right = self.ended(Kind.SILENT) + self.of(Kind.SPEAKING) - self.ended(Kind.SPEAKING)
        return right / (self.of(Kind.SILENT) + self.of(Kind.SPEAKING))

    @property
    def soft_kept(self) -> float:
        """The share, 0…1, of too soft callers who were not taken for silent."""
        return 1 - self.ended(Kind.SOFT) / self.of(Kind.SOFT)

    @property
    def over_ms(self) -> list[float]:
        """How much longer than planned each silent caller's call was, summed over all timers."""
        planned = course_ms()
        return [ms - planned for group in self.groups if group.kind is Kind.SILENT for ms in group.ended_ms]

    def __str__(self) -> str:
        over = sorted(self.over_ms)
        middle = f"{over[0]:.0f} to {over[-1]:.0f} ms" if over else "–"
        cost = (
            f"{self.way.name}: {self.at_once} of {self.calls} calls at once, {self.failed} failed, Asterisk "
            f"{self.asterisk_cpu:.2f} ms and {self.own_cpu:.2f} ms a call and second, {self.own_kb:.0f} kB a call"
        )
        judged = f"{100 * self.judged_rightly:.0f} % judged rightly, silent calls longer by {middle}"
        return f"{cost}, {judged}" if self.way.hears else cost


def measure(calls: int, repetitions: int, say: Say) -> tuple[list[Figure], str]:
    """The figures of all ways, measured in turn `repetitions` times, and Asterisk's version. Without a C compiler, the
    way that needs one is left out."""
    with tempfile.TemporaryDirectory(prefix="hearline-bench-") as folder:
        program = None
        try:
            program = only_frames.compiled(Path(folder))
        except RuntimeError as error:
            say(f"through Asterisk: {ONLY_FRAMES.name}: left out, {error}")
        by_hand = by_hand_calls(run(BY_HAND, min(calls, PILOT_CALLS), say), calls)
        say(f"through Asterisk: {calls} calls; of the EAGI script {by_hand}, which is what this machine can carry")
        ways = (HEARLINE, *([ONLY_FRAMES] if program else []), BY_HAND, OWN_MEANS)
        runs: dict[Way, list[Run]] = {way: [] for way in ways}
        for repetition in range(1, repetitions + 1):
            say(f"through Asterisk: {repetition} of {repetitions}")
            for way, done in runs.items():
                done.append(run(way, by_hand if way is BY_HAND else calls, say, program))
    return figures(runs), runs[HEARLINE][0].version


def by_hand_calls(pilot: Run, wanted: int) -> int:
    """The number of calls, `wanted` at most, that leave the machine enough time for the telephones, and can all be
    begun before the first is over."""
    room = ROOM * len(os.sched_getaffinity(0)) * 1_000 / (pilot.asterisk_cpu + pilot.own_cpu)
    begun = BY_HAND.a_second * (course_ms() / 1_000 - 2 * PEAK_S)
    return max(len(THIRDS), int(min(wanted, room, begun)) // len(THIRDS) * len(THIRDS))


def figures(runs: dict[Way, list[Run]]) -> list[Figure]:
    """The cost and accuracy of each way, then comparisons. `ONLY_FRAMES` may be missing."""
    found = [figure for way, done in runs.items() for figure in _of_way(way, done)]
    hearline, by_hand, own_means = runs[HEARLINE], runs[BY_HAND], runs[OWN_MEANS]
    part = "Through Asterisk: one against the other, CPU a call and second"

    def own(done: Sequence[Run]) -> list[float]:
        return [one.own_cpu for one in done]

    def both(done: Sequence[Run]) -> list[float]:
        return [one.asterisk_cpu + one.own_cpu for one in done]

    asterisk = [one.asterisk_cpu for one in hearline]
    if ONLY_FRAMES in runs:
        least = ratios(own(hearline), own(runs[ONLY_FRAMES]))
        found.append(Figure(part, f"Hearline against {ONLY_FRAMES.name}", "×", least, at_most(2.5)))
    return [
        *found,
        Figure(
            part,
            "Hearline against Asterisk in the same calls",
            "×",
            ratios(own(hearline), asterisk),
            note="no bar, but a wish: ≤ 0.5",
        ),
        Figure(part, "Hearline against the EAGI processes", "×", ratios(own(hearline), own(by_hand))),
        Figure(part, "the same with Asterisk's part of each", "×", ratios(both(hearline), both(by_hand))),
        Figure(part, "Hearline and Asterisk against Asterisk's own", "×", ratios(both(hearline), both(own_means))),
    ]


def _of_way(way: Way, runs: Sequence[Run]) -> list[Figure]:
    part = f"Through Asterisk: {way.name}, {runs[0].calls} calls"
    found = [
        Figure(part, "calls at once", "calls", [one.at_once for one in runs]),
        Figure(part, "CPU of Asterisk, a call and second", "ms", [one.asterisk_cpu for one in runs]),
        Figure(part, "memory of Asterisk a call", "kB", [one.asterisk_kb for one in runs]),
    ]
    if way.own:
        found += [
            Figure(part, "CPU of its own processes, a call and second", "ms", [one.own_cpu for one in runs]),
            Figure(part, "memory of its own processes a call", "kB", [one.own_kb for one in runs]),
        ]
    if way.hears:
        found += [
            Figure(part, "silent and speaking judged rightly", "%", [100 * one.judged_rightly for one in runs]),
            Figure(part, "too soft: not hung up on as silent", "%", [100 * one.soft_kept for one in runs]),
        ]
    if way is HEARLINE:
        told = [100 * one.told_too_soft / one.of(Kind.SOFT) for one in runs]
        found.append(Figure(part, "too soft: told to be too soft", "%", told))
    if all(one.over_ms for one in runs):
        found += [
            Figure(part, "silent calls longer than planned, median", "ms", [median(one.over_ms) for one in runs]),
            Figure(part, "the same, furthest from the plan", "ms", [max(one.over_ms, key=abs) for one in runs]),
        ]
    if any(one.failed for one in runs):
        found.append(Figure(part, "calls that failed", "calls", [one.failed for one in runs]))
    return found


def course_ms() -> float:
    """A silent caller's call from answer to hang-up: every prompt and every wait once."""
    shipped = Settings()
    plan = load_flow(FLOWS / "load.yaml", shipped.flows, shipped.sounds).plan
    samples = [len(read_wav(prompt_path(shipped.sounds, plan.language, plan.phrases, p))) for p in plan.prompts]
    return ANSWER_MS + 1_000 * sum(samples) / RATE + sum(step.wait_ms for step in plan.steps.values())


def run(way: Way, calls: int, say: Say, program: Path | None = None) -> Run:
    """`calls` calls, a third of each kind. `program`: the compiled program for `ONLY_FRAMES`."""
    _allow_many_files()
    each = -(-calls // len(THIRDS))
    calls = each * len(THIRDS)
    heard = sounds()
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="hearline-bench-")))
        stack = exits.enter_context(private_asterisk(folder, server=way is HEARLINE))
        helper = None
        if way is ONLY_FRAMES:
            helper = exits.enter_context(only_frames.serving(program))[0].pid
        before = _settled(stack, helper)
        a_second = way.a_second / len(THIRDS)
        placed = [
            exits.enter_context(
                callers(stack, folder / kind, way.number, kind, heard[kind], each, a_second, way.stay_ms(kind))
            )
            for kind in THIRDS
        ]
        time.sleep(calls / way.a_second + PEAK_S)
        peak, at_once = _Usage.of(stack, helper), _channels(stack)
        for process in placed:
            process.wait()
        _wait_idle(stack)
        after = _Usage.of(stack, helper)
        groups = tuple(group(folder / kind, kind) for kind in THIRDS)
        seconds = sum((sum(g.ended_ms) + (g.calls - len(g.ended_ms)) * way.stay_ms(g.kind)) / 1_000 for g in groups)
        found = Run(
            way,
            calls,
            at_once,
            asterisk_cpu=1_000 * (after.asterisk_s - before.asterisk_s) / seconds,
            own_cpu=1_000 * (after.own_s - before.own_s) / seconds,
            asterisk_kb=(peak.asterisk_kb - before.asterisk_kb) / max(1, at_once),
            own_kb=(peak.own_kb - before.own_kb) / max(1, at_once),
            groups=groups,
            told_too_soft=_told_too_soft(stack),
            version=" ".join(stack.console("core show version").split()[:2]),
        )
    say(f"  {found}")
    return found


@dataclass(frozen=True)
class _Usage:
    """CPU seconds so far, and memory now in kB, of Asterisk and of the processes that work for it."""

    asterisk_s: float
    own_s: float
    asterisk_kb: int
    own_kb: int

    @classmethod
    def of(cls, stack: Stack, helper: int | None = None) -> _Usage:
        """`helper`: the id of one more process that works for Asterisk."""
        asterisk, server = stack.running.asterisk_pid, stack.running.server_pid
        own = children(asterisk) | (family(server) if server else set()) | ({helper} if helper else set())
        return cls(
            cpu_s(asterisk),
            reaped_cpu_s(asterisk) + sum(_or_nothing(cpu_s, pid) for pid in own),
            pss_kb(asterisk),
            sum(_or_nothing(pss_kb, pid) for pid in own),
        )


def _settled(stack: Stack, helper: int | None) -> _Usage:
    """The usage once all processes have started: from then on they spend next to nothing until the first call."""
    usage = _Usage.of(stack, helper)
    for _ in range(SETTLE_S):
        time.sleep(1)
        usage, before = _Usage.of(stack, helper), usage
        if usage.own_s - before.own_s < IDLE_SHARE and usage.asterisk_s - before.asterisk_s < IDLE_SHARE:
            return usage
    raise RuntimeError(f"the processes do not come to rest within {SETTLE_S} s")


def _or_nothing(measure: Callable[[int], float], pid: int) -> float:
    """The value; 0 if the process has ended meanwhile."""
    with suppress(OSError, KeyError):
        return measure(pid)
    return 0


def _channels(stack: Stack) -> int:
    return stack.console("core show channels concise").count("PJSIP/")


def _wait_idle(stack: Stack, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while (_channels(stack) or children(stack.running.asterisk_pid)) and time.monotonic() < deadline:
        time.sleep(0.2)


def _told_too_soft(stack: Stack) -> int:
    """The number of calls whose record says that the caller was too soft."""
    records = (json.loads(file.read_text()) for file in (stack.settings.state / "calls").rglob("*.json"))
    return sum(
        record["channel"].startswith(f"PJSIP/{Kind.SOFT}-")
        and any(event.get("verdict") == "too_soft" for event in record["events"])
        for record in records
    )


def _allow_many_files() -> None:
    """Raise the limit of open files, which child processes inherit: Asterisk needs a dozen per call."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
