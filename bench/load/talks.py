"""Callers and agents who talk through a real Asterisk, with agent assist: how soon are both listened to, at what cost,
and what is left behind?

SIPp's callers go straight to the queue; SIPp's agents answer and hear the whisper; then the two are joined until the
caller hangs up. Asterisk's events give the time of the join, and the talks' records the time when sound came from both.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

from hearline.core.settings import address
from hearline.ops.stack import Stack
from hearline.pbx.ami import Ami, Message
from hearline.pbx.config import ami_secret

from .callers import Kind, sounds
from .figures import Figure, at_least, at_most, percentile
from .private_asterisk import private_asterisk
from .processes import children, cpu_s
from .sipp import agents, callers, group

NUMBER = "8203"
A_SECOND = 4.0  # calls begun
STAY_MS = 9_000  # from the caller's answer; the first 3.5 s are ringing and whisper
BAR_MS = 500
SETTLE_S = 2.0
POOL = min(32, (os.cpu_count() or 1) + 4)  # threads for blocking work, which asyncio keeps once it has started them
SIDES = {"caller", "agent"}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """`heard_ms`: for each talk, the time from the join until sound had come from both. CPU in ms per talk and second.
    `…_left`: what was still there after everybody had hung up. `more_…`: additional threads and files of agent assist,
    compared with before."""

    calls: int
    failed: int
    heard_ms: list[float]
    at_once: int
    asterisk_cpu: float
    assist_cpu: float
    channels_left: int
    bridges_left: int
    more_threads: int
    more_files: int

    def __str__(self) -> str:
        return (
            f"{len(self.heard_ms)} of {self.calls} talks heard, {self.at_once} at once, {self.failed} failed; both "
            f"after {median(self.heard_ms or [0]):.0f} ms, p99 {percentile(self.heard_ms, 0.99):.0f}, at most "
            f"{max(self.heard_ms, default=0):.0f}; left: {self.channels_left} channels, {self.bridges_left} bridges, "
            f"{self.more_threads} threads, {self.more_files} files"
        )


def measure(calls: int, repetitions: int, say: Say) -> tuple[list[Figure], str]:
    """The figures of `calls` talks, measured `repetitions` times, and Asterisk's version."""
    runs = []
    for repetition in range(1, repetitions + 1):
        say(f"talks: {repetition} of {repetitions}, about {calls / A_SECOND + STAY_MS / 1_000 + 15:.0f} s")
        with (
            tempfile.TemporaryDirectory(prefix="hearline-bench-") as folder,
            private_asterisk(Path(folder), server=True, script=False) as stack,
        ):
            runs.append(run(stack, Path(folder), calls))
            version = " ".join(stack.console("core show version").split()[:2])
        say(f"  {runs[-1]}")
    return figures(runs), version


def figures(runs: Sequence[Run]) -> list[Figure]:
    part = f"Talks: {runs[0].calls} through the queue, {max(one.at_once for one in runs)} at once"
    heard = [one.heard_ms for one in runs]
    return [
        Figure(part, "both sides are listened to", "talks", [len(ms) for ms in heard], at_least(runs[0].calls)),
        Figure(part, "from the join until both are, median", "ms", [percentile(ms, 0.5) for ms in heard]),
        Figure(part, "the same, 99 % of them", "ms", [percentile(ms, 0.99) for ms in heard], at_most(BAR_MS)),
        Figure(part, "the same, the last", "ms", [max(ms, default=0.0) for ms in heard], at_most(BAR_MS)),
        Figure(part, "channels left afterwards", "channels", [one.channels_left for one in runs], at_most(0)),
        Figure(part, "bridges left afterwards", "bridges", [one.bridges_left for one in runs], at_most(0)),
        Figure(
            part, "threads of agent assist, more than before", "", [one.more_threads for one in runs], at_most(POOL)
        ),
        Figure(part, "files of agent assist, more than before", "", [one.more_files for one in runs], at_most(0)),
        Figure(part, "CPU of Asterisk, a talk and second", "ms", [one.asterisk_cpu for one in runs]),
        Figure(part, "CPU of agent assist, a talk and second", "ms", [one.assist_cpu for one in runs]),
    ]


def run(stack: Stack, folder: Path, calls: int, a_second: float = A_SECOND, stay_ms: int = STAY_MS) -> Run:
    heard = sounds()
    _wait(lambda: stack.get("/ready")["assist"].get("whispers"), 20)
    _wait(lambda: not _channels(stack), 10)
    time.sleep(SETTLE_S)  # for the last connections of the whisper self-test
    assist = _assist(stack)
    before = _holdings(assist)
    asterisk_s, assist_s = cpu_s(stack.running.asterisk_pid), sum(map(cpu_s, assist))
    joins = _Joins(stack)
    caller = callers(stack, folder / "callers", NUMBER, Kind.TALKING, heard[Kind.TALKING], calls, a_second, stay_ms)
    with joins.noted(), agents(folder / "agents", heard[Kind.SPEAKING]), caller as placed:
        at_once = 0
        while placed.poll() is None:
            at_once = max(at_once, _channels(stack, f"PJSIP/{Kind.TALKING}-"))
            time.sleep(1.0)
        _until(lambda: not _channels(stack), 10)
    asterisk_s = cpu_s(stack.running.asterisk_pid) - asterisk_s
    assist_s = sum(map(cpu_s, assist)) - assist_s
    _until(lambda: _more(before, _holdings(assist))[1] <= 0, 10)
    threads, files = _more(before, _holdings(assist))
    seconds = calls * stay_ms / 1_000
    return Run(
        calls,
        group(folder / "callers", Kind.TALKING).failed,
        heard_ms(stack.settings.state / "talks", joins.at),
        at_once,
        1_000 * asterisk_s / seconds,
        1_000 * assist_s / seconds,
        _channels(stack),
        sum(line.count("-") >= 4 for line in stack.console("bridge show all").splitlines()[1:]),
        threads,
        files,
    )


class _Joins:
    """When each caller was joined with an agent, by Asterisk's clock. `at`: by channel, in Unix seconds."""

    def __init__(self, stack: Stack) -> None:
        self.at: dict[str, float] = {}
        self._where, self._secret = address(stack.running.ami), ami_secret(stack.home).read_text()

    def _note(self, event: Message) -> None:
        if event["Event"] == "AgentConnect":
            self.at[event["Channel"]] = float(event["Timestamp"])

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Record joins within this block."""
        up, over = threading.Event(), None

        async def listen() -> None:
            nonlocal over
            over = asyncio.Event()
            ami = Ami(self._where, "hearline-assist", self._secret, self._note, lambda: asyncio.sleep(0, up.set()))
            running = asyncio.create_task(ami.run())
            await over.wait()
            running.cancel()
            await asyncio.wait([running])

        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            thread = threading.Thread(target=runner.run, args=(listen(),), name="joins")
            thread.start()
            try:
                if not up.wait(5):
                    raise RuntimeError("no connection to Asterisk's manager interface")
                yield
            finally:
                loop.call_soon_threadsafe(over.set)
                thread.join()


def heard_ms(records: Path, joined: dict[str, float]) -> list[float]:
    """For each talk in which both sides were heard: the time from the join until then, in ms."""
    found = []
    for file in records.glob("*/*.json"):
        talk = json.loads(file.read_text("utf-8"))
        began = datetime.fromisoformat(talk["began_at"]).timestamp()
        came: dict[str, float] = {}
        for event in talk["events"]:
            if event["event"] == "sound":
                came.setdefault(event["side"], began + event["at_ms"] / 1_000)
        if came.keys() == SIDES and talk["caller"] in joined:
            found.append(1_000 * (max(came.values()) - joined[talk["caller"]]))
    return found


def _assist(stack: Stack) -> list[int]:
    """The pids of agent assist and its media worker."""
    [assist] = [pid for pid in children(stack.running.server_pid) if b"hearline.server.assist" in _command(pid)]
    return [assist, *children(assist)]


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _holdings(pids: Sequence[int]) -> tuple[int, int]:
    """(threads, open files) of these processes."""
    threads = sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids)
    return threads, sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)


def _more(before: tuple[int, int], now: tuple[int, int]) -> tuple[int, int]:
    return now[0] - before[0], now[1] - before[1]


def _channels(stack: Stack, prefix: str = "") -> int:
    return sum(line.startswith(prefix) and "!" in line for line in _console(stack, "core show channels concise"))


def _console(stack: Stack, command: str) -> list[str]:
    return stack.console(command).splitlines()


def _until(condition: Callable[[], object], seconds: float) -> bool:
    """Wait for the condition, for at most `seconds`. Returns True if it was met."""
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return bool(found)


def _wait(condition: Callable[[], object], seconds: float) -> None:
    if not _until(condition, seconds):
        raise RuntimeError("agent assist did not get ready")
