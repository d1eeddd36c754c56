"""Places calls on a private Asterisk, to be judged by what the phones heard."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from hearline.audio.level.p56 import rms_dbov
from hearline.audio.settings import FRAME_MS
from hearline.audio.wav import read_wav
from hearline.ops.stack import Stack
from hearline.phone import run
from hearline.phone.heard import Glitch, HeardPrompt, find_prompts, glitches
from hearline.phone.judge import Timing, prompts_of, timings
from hearline.phone.run import CallResult
from leaks import Held, held, more
from second_look import live_calls
from stood_still import Watch

TOLERANCE_MS = 40  # between planned and heard
SILENCE = ["opening", "noinput-1", "noinput-2", "noinput-goodbye"]  # what a silent caller hears
LOW = ["low-1", "low-2", "low-move", "low-goodbye"]  # what a caller who is too soft hears after the opening
TOO_SOFT = -28.0  # dB on recordings at −23 dBov, so −51 dBov: too soft even on a raised line
MUSIC_DBOV = -55.0  # softer sound is dead silence
STILL_S = 0.5  # from when the machine stood still until a phone's recording shows it, jitter buffer included
REPO = Path(__file__).resolve().parents[2]
SOUNDS = REPO / "sounds"
SPEECH = SOUNDS / "zh" / "callers"
ACCOUNTS = [f"phone{n:03}" for n in range(250)]
RATE = 8_000
# Threads that stay: the loops of agent assist and of the page, those that watch its media worker and its files, those
# that write records, earlier calls and the audit log, the two that look at PINs, and those that asyncio keeps for what
# blocks; Asterisk's, which come and go by its load.
POOL = 8 + min(32, (os.cpu_count() or 1) + 4)
POOLS = {"agent assist": POOL, "the agents' page": POOL, "the ledger": POOL, "Asterisk": math.inf}
TASKS_OF = {
    "agent assist": "hearline_assist_tasks",
    "the agents' page": "hearline_page_tasks",
    "the ledger": "hearline_ledger_tasks",
}

# Flows that only tests call.
EXTRA_FLOWS = {
    "shut.yaml": 'like: hotline\nnumber: "8101"\nhours: {open: "00:00-00:01", closed: closed}\n',
    "quick.yaml": 'like: hotline\ntest_number: "8102"\n'
    "timers: {noinput_timeout: 600ms, hangup_pause: 600ms, move_time: 600ms}\n",
    "unraised.yaml": 'like: hotline\ntest_number: "8104"\ntimers: {line_gain: 0 dB}\n',
    "freepbx.yaml": 'like: hotline\ntest_number: "8181"\nqueue: "400"\n',
    "collect.yaml": 'test_number: "8105"\nbegin: rate\nsteps:\n'
    "  rate: {play: opening, bargein: key, collect: {name: rating, match: 1-5, personal: no}, "
    "on: {collected: agent, nomatch: rate, noinput: queue}}\n"
    "  agent: {play: noinput-1, bargein: key, collect: {name: agent, minlength: 8, maxlength: 8}, "
    'on: {collected: queue, nomatch: again, noinput: "hangup:noinput"}}\n'
    '  again: {wait: 600ms, on: {noinput: "hangup:nomatch", key: queue}}\n',
    "edit.yaml": 'test_number: "8103"\nbegin: hello\nalways: {speech: queue, key: queue}\n'
    'steps:\n  hello: {play: opening, on: {noinput: "hangup:noinput"}, wait: 1s}\n',
}


class Phones(run.Phones):
    """Softphones. While they run, their calls count as the test's own."""

    def __enter__(self) -> Phones:
        self._calls = ExitStack()
        self._calls.enter_context(live_calls())
        super().__enter__()
        return self

    def close(self) -> None:
        super().close()
        self._calls.close()


@dataclass
class Scenario:
    """One caller: ``say`` holds (ms after the answer, sentence or WAV path, gain dB)."""

    number: str = "8001"
    say: tuple[tuple[float, str, float], ...] = ()
    keys: tuple[tuple[float, str], ...] = ()
    rtp: str = "always"
    codec: str = "PCMA"
    packet_ms: int = 20
    background: str | None = None
    echo_db: float | None = None
    hangup_at_ms: float | None = None
    start_ms: float = 0
    max_ms: float = 60_000


@dataclass
class Call:
    """The result of a scenario."""

    name: str
    account: str
    result: CallResult
    timeline: dict[str, Any] | None
    phrases: str = "lanzhi"
    agents: list[CallResult] = field(default_factory=list)

    @cached_property
    def recording(self) -> np.ndarray:
        return read_wav(self.result.recording)

    @cached_property
    def heard(self) -> list[HeardPrompt]:
        found = find_prompts(self.recording, prompts_of(SOUNDS / "zh" / self.phrases))
        return [prompt for prompt in found if prompt.complete > 0.1]

    @property
    def prompts(self) -> list[str]:
        return [prompt.id for prompt in self.heard]

    @property
    def outcome(self) -> str | None:
        return self.timeline and self.timeline["outcome"]

    def events(self, kind: str) -> list[dict]:
        return [event for event in self.timeline["events"] if event["event"] == kind]

    def since(self, moment: float, ms: float = 0) -> np.ndarray:
        """The recording from ``moment`` (monotonic s) plus ``ms`` on."""
        at = (moment - self.result.answered_at) * RATE + ms * RATE / 1_000
        return self.recording[max(0, round(at)) :]


class World:
    """The stack, and calls on it."""

    def __init__(self, stack: Stack, folder: Path, watch: Watch) -> None:
        self.stack = stack
        self.watch = watch
        self.folder = folder
        self.flows = stack.settings.flows
        callers, self.agents = stack.accounts()
        self._passwords = {account.name: account.password for account in callers}
        self._unused = iter(ACCOUNTS)
        self._ports = itertools.count(0)
        self._takes = itertools.count(1)

    def account(self) -> tuple[str, str]:
        """(name, password) of an account that has not been used yet."""
        name = next(self._unused)
        return name, self._passwords[name]

    def script(self, scenarios: dict[str, Scenario], agents: list[dict] | None = None) -> tuple[dict, dict[str, str]]:
        """(the softphones' script, the account of each scenario). Each account is used for only one call."""
        take = self.folder / f"take{next(self._takes):02}"
        take.mkdir()
        used = {name: next(self._unused) for name in scenarios}
        first = 40_000 + 2_000 * (next(self._ports) % 10)
        callers = []
        for name, s in scenarios.items():
            callers.append(
                {
                    "name": name,
                    "dial": f"sip:{s.number}@{self.stack.sip}",
                    "codec": s.codec,
                    "packet_ms": s.packet_ms,
                    "rtp": s.rtp,
                    "account": {"user": used[name], "password": self._passwords[used[name]]},
                    "start_ms": s.start_ms,
                    "hangup_at_ms": s.hangup_at_ms,
                    "background": s.background,
                    "echo_db": s.echo_db,
                    "say": [
                        {
                            "at_ms": at,
                            "wav": sentence if "/" in sentence else str(SPEECH / f"{sentence}.wav"),
                            "gain_db": gain,
                        }
                        for at, sentence, gain in s.say
                    ],
                    "keys": [{"at_ms": at, "digit": digit} for at, digit in s.keys],
                    "record": str(take / f"{name}.wav"),
                    "max_ms": s.max_ms,
                }
            )
        agents = [{**agent, "record": str(take / f"{agent['name']}.wav")} for agent in agents or []]
        return {"callers": callers, "agents": agents, "rtp_ports": [first, first + 1_999]}, used

    def agent(self, index: int, **more: Any) -> dict:
        """An agent's phone that answers after a second and talks for a while."""
        account = self.agents[index]
        return {
            "name": account.name,
            "answer_after_ms": 1_000,
            "hangup_after_ms": 6_000,
            "account": {"user": account.name, "password": account.password, "server": self.stack.sip},
            **more,
        }

    def place(
        self,
        scenarios: dict[str, Scenario],
        agents: list[dict] | None = None,
        timeout: float = 90.0,
    ) -> dict[str, Call]:
        """Place all calls side by side and wait until they are over."""
        script, used = self.script(scenarios, agents)
        with Phones(script) as phones:
            results = phones.wait(timeout)
        return self.calls(results, used, scenarios)

    def calls(self, results: dict, used: dict[str, str], scenarios: dict[str, Scenario]) -> dict[str, Call]:
        timelines = self.timelines()
        sets = {"8002": "training", "8003": "travel"}
        agent_calls = [call for name, result in results.items() if name not in used for call in result.calls]
        return {
            name: Call(
                name,
                account,
                results[name].call,
                timelines.get(account),
                sets.get(scenarios[name].number, "lanzhi"),
                [
                    a
                    for a in agent_calls
                    if a.answered_at
                    and results[name].call.disconnected_at
                    and abs(a.disconnected_at - results[name].call.disconnected_at) < 0.5
                ],
            )
            for name, account in used.items()
        }

    def timelines_by_call(self) -> dict[str, dict]:
        """The server's records by file name: the call's id, with a number if it is not the call's first record. Waits a
        moment for the last ones to be written."""
        time.sleep(0.3)
        files = (self.stack.settings.state / "calls").rglob("*.json")
        return {file.stem: json.loads(file.read_text("utf-8")) for file in files}

    def timelines(self) -> dict[str, dict]:
        """The server's records by account."""
        return {
            record["channel"].removeprefix("PJSIP/").rpartition("-")[0]: record
            for record in self.timelines_by_call().values()
        }

    @contextmanager
    def endpoints(self, conf: str) -> Iterator[None]:
        """Further accounts and trunks, in the words of pjsip.conf, for a while."""
        file = self.stack.home / "etc" / "pjsip.conf"
        as_it_was = file.read_text()
        file.write_text(f"{as_it_was}\n{conf}")
        self.stack.console("module reload res_pjsip.so")
        try:
            [name, *_] = re.findall(r"^\[(.+)\]", conf, re.MULTILINE)
            until(lambda: f" {name}" in self.stack.console("pjsip show endpoints"), 5)
            yield
        finally:
            file.write_text(as_it_was)
            self.stack.console("module reload res_pjsip.so")

    # ---- judgements that allow for a machine that stood still -------------------------------------------------------
    def glitches(self, call: Call, heard: HeardPrompt, prompt: np.ndarray) -> list[Glitch]:
        """Faults in a prompt as a caller heard it, except at times when the machine stood still, since the phone did
        not run then either."""
        found = glitches(call.recording, prompt, heard.start_ms)
        answered = call.result.answered_at
        return [
            glitch
            for glitch in found
            if not self.watch.stood_still(
                answered + glitch.at_ms / 1_000 - STILL_S, answered + glitch.at_ms / 1_000 + STILL_S
            )
        ]

    def off_time(self, call: Call) -> list[Timing]:
        """Waits that were too long or too short as a caller heard them, by more than the time the machine stood still
        in that call: once a phone has received sound late, it plays everything late until the call ends."""
        allowed = TOLERANCE_MS + self.still_ms(call.result)
        found = timings(call.timeline, call.heard, call.result.end("rx_packets"))
        return [timing for timing in found if abs(timing.error_ms) > allowed]

    def held_up(self, calls: int, began: float) -> float:
        """The number of frames that could not be sent on ``calls`` calls since ``began`` (monotonic s), because the
        machine stood still."""
        return calls * 1_000 * self.watch.stood_still_s(began, time.monotonic()) / FRAME_MS

    def still_ms(self, call: CallResult) -> float:
        """How long the machine stood still during that call, in ms."""
        return 1_000 * self.watch.stood_still_s(call.answered_at, call.disconnected_at)

    # ---- what must not leak -----------------------------------------------------------------------------------------
    def channels(self) -> list[list[str]]:
        return [
            line.split("!") for line in self.stack.console("core show channels concise").splitlines() if "!" in line
        ]

    def wait_idle(self, seconds: float = 15.0) -> None:
        deadline = time.monotonic() + seconds
        while channels := self.channels():
            assert time.monotonic() < deadline, f"channels left on Asterisk: {[c[0] for c in channels]}"
            time.sleep(0.2)

    def wait_ready(self, seconds: float = 20.0) -> None:
        """Until agent assist is there as well, and has found out whether it may whisper, and the page listens."""
        until(lambda: self.stack.readiness().get("assist", {}).get("whispers"), seconds)
        until(lambda: "Door.accept" in self.tasks(TASKS_OF["the agents' page"]), seconds)

    def server_pids(self) -> list[int]:
        """The pids of the door and its media worker."""
        door = self.stack.running.server_pid
        return [door, *children_of(door, "hearline.media.worker")]

    def assist_pid(self) -> int:
        """The pid of agent assist."""
        [pid] = children_of(self.stack.running.server_pid, "hearline.server.assist")
        return pid

    def page_pid(self) -> int:
        """The process of the agents' page."""
        [pid] = children_of(self.stack.running.server_pid, "hearline.server.page")
        return pid

    def ledger_pid(self) -> int:
        """The process of the ledger."""
        [pid] = children_of(self.stack.running.server_pid, "hearline.server.ledger")
        return pid

    def processes(self) -> dict[str, int]:
        """The pids of our processes, Asterisk's and the tests' own, by name."""
        door, tests = self.stack.running.server_pid, os.getpid()
        found = {"the tests": tests, "door": door}
        for name, parent, module in (
            ("media worker", door, "hearline.media.worker"),
            ("agent assist", door, "hearline.server.assist"),
            ("the agents' page", door, "hearline.server.page"),
            ("the ledger", door, "hearline.server.ledger"),
            ("softphones", tests, "hearline.phone"),
        ):
            found |= named(name, children_of(parent, module))
        if assist := found.get("agent assist"):
            found |= named("assist's media worker", children_of(assist, "hearline.media.worker"))
            found |= named("recogniser", children_of(assist, "hearline.assist.speech.recogniser"))
        if self.stack.running.kind != "container":
            found["Asterisk"] = self.stack.running.asterisk_pid
        return found

    def holdings(self) -> dict[str, Held]:
        """What each of these processes holds, by name."""
        found = {}
        for name, pid in self.processes().items():
            with suppress(FileNotFoundError, ProcessLookupError):  # one that was just killed
                found[name] = held(pid, self.tasks(TASKS_OF[name]) if name in TASKS_OF else None)
        found["the tests"] = replace(found["the tests"], memory_mb=0.0)  # theirs grows with the recordings they judge
        return found

    def left(self, before: dict[str, Held]) -> list[str]:
        """What is left or has grown since ``before``, for people: channels and softphones (there should be none), and
        what each process holds."""
        now = self.holdings()
        channels = [f"channel left on Asterisk: {channel[0]}" for channel in self.channels()]
        phones = [f"{name} left, pid {now[name].pid}" for name in now.keys() - before if name.startswith("softphones")]
        return channels + phones + more(before, now, POOLS)

    def tasks(self, figure: str) -> dict[str, int]:
        """How many asyncio tasks a process runs, by what they run."""
        try:
            figures = text_string_to_metric_families(self._metrics())
        except OSError:  # no server is there
            return {}
        return {
            sample.labels["task"]: int(sample.value)
            for family in figures
            if family.name == figure
            for sample in family.samples
        }

    def metric(self, name: str) -> float:
        """The value of a metric of the only media worker. Raises KeyError."""
        for line in self._metrics().splitlines():
            if line.startswith((name + " ", name + "{")):
                return float(line.split()[1])
        raise KeyError(name)

    def _metrics(self) -> str:
        with urllib.request.urlopen(f"http://{self.stack.running.status}/metrics", timeout=3) as answer:
            return answer.read().decode()


def dead(sound: np.ndarray) -> list[float]:
    """The half seconds of this sound that are softer than any music, by their beginning in s."""
    parts = sound[: sound.size // (RATE // 2) * (RATE // 2)].reshape(-1, RATE // 2)
    return [number / 2 for number, part in enumerate(parts) if rms_dbov(part) <= MUSIC_DBOV]


def silence_s(call: Call) -> float:
    """The longest silence that this caller heard, s."""
    part = RATE // 10
    parts = call.recording[: call.recording.size // part * part].reshape(-1, part)
    longest = run = 0
    for one in parts:
        run = run + 1 if rms_dbov(one) <= MUSIC_DBOV else 0
        longest = max(longest, run)
    return longest * part / RATE


def named(name: str, pids: list[int]) -> dict[str, int]:
    """The pids by name: the first by this name, further ones with a number added."""
    return {name if number == 1 else f"{name} {number}": pid for number, pid in enumerate(pids, 1)}


def children_of(parent: int, module: str) -> list[int]:
    """The processes that run ``module`` and were started by any thread of ``parent``."""
    found = []
    for children in Path(f"/proc/{parent}/task").glob("*/children"):
        with suppress(OSError):  # the thread, or the child, has just ended
            for pid in children.read_text().split():
                if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(int(pid))
    return sorted(found)


def until(condition: Callable[[], Any], seconds: float) -> Any:
    """Wait until ``condition`` returns something true, and return that. It must do so within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found
