"""Runs softphones for tests and the demo: starts them, watches them, waits for them, and always cleans up."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hearline.phone import script as scripts

Event = dict[str, Any]


class PhonesError(RuntimeError):
    """The softphones failed; the message holds what they printed."""


@dataclass
class CallResult:
    """One call of one phone. Times are in seconds of `time.monotonic()`; None if it did not happen."""

    number: int
    events: list[Event] = field(default_factory=list)

    def first(self, event: str) -> Event | None:
        return next((e for e in self.events if e["event"] == event), None)

    def _at(self, event: str) -> float | None:
        found = self.first(event)
        return found["at"] if found else None

    @property
    def ringing_at(self) -> float | None:
        return self._at("ringing")

    @property
    def answered_at(self) -> float | None:
        """When it was answered; also 0 ms of the recording and of `at_ms`."""
        return self._at("answered")

    @property
    def disconnected_at(self) -> float | None:
        return self._at("disconnected")

    @property
    def recording(self) -> Path | None:
        answered = self.first("answered")
        return Path(answered["record"]) if answered and answered["record"] else None

    def end(self, key: str) -> Any:
        """A value of the `disconnected` event: code, cause, by, duration_ms, tx_packets, rx_packets."""
        return (self.first("disconnected") or {}).get(key)


@dataclass
class PhoneResult:
    """All calls of one phone, in order."""

    name: str
    registered: bool = False
    calls: list[CallResult] = field(default_factory=list)

    @property
    def call(self) -> CallResult:
        """The first call (a caller has only one)."""
        if not self.calls:
            raise PhonesError(f"{self.name}: no call")
        return self.calls[0]


class Phones:
    """Softphones that run for the duration of a `with` block. Can be used from any thread.

    script: a parsed Script, the object of a JSON script, or the path of a JSON file. A script with more phones than one
    process can hold is spread over several processes. The callers' common time begins when all agents are registered.
    on_event: called from reader threads with every event, one at a time.
    """

    def __init__(
        self,
        script: scripts.Script | dict | str | Path,
        *,
        on_event: Callable[[Event], None] | None = None,
        ready_timeout: float = 20.0,
    ) -> None:
        if isinstance(script, (str, Path)):
            script = scripts.load(script)
        elif isinstance(script, dict):
            script = scripts.parse(script)
        self.script = script
        self.events: list[Event] = []
        self._on_event = on_event
        self._ready_timeout = ready_timeout
        self._changed = threading.Condition(threading.RLock())
        self._processes: list[_Process] = []

    def __enter__(self) -> Phones:
        try:
            for part in scripts.split(self.script):
                self._processes.append(_Process(part, self._take))
            deadline = time.monotonic() + self._ready_timeout
            self._until(lambda: all(p.ready or p.exited for p in self._processes), deadline)
            for process in self._processes:
                if not process.ready:
                    state = "ended" if process.exited else "not ready in time"
                    raise PhonesError(f"softphones {state}: {process.errors() or 'no message'}")
            start = time.monotonic() + 0.05
            for process in self._processes:
                process.command({"do": "start", "at": start})
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self, timeout: float | None = None) -> dict[str, PhoneResult]:
        """Wait until every caller's call is over (without callers: until each agent has had `max_answers`), then end
        the agents.

        Raises TimeoutError, which gives the state of the calls, after `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        callers = [p for p in self._processes if p.script.callers] or self._processes
        if not self._until(lambda: all(p.exited for p in callers), deadline):
            busy = [phone.name for p in callers if not p.exited for phone in p.script.phones]
            raise TimeoutError(f"softphones still busy after {timeout} s: {busy}; last: {self.events[-4:]}")
        linger = time.monotonic() + self.script.linger_ms / 1000
        self._until(lambda: not self._agents_busy(), linger)
        self.close()
        if failed := [p for p in callers if p.process.returncode]:
            raise PhonesError(f"softphones failed ({failed[0].process.returncode}): {failed[0].errors()}")
        return self.results()

    def wait_for(
        self,
        event: str,
        phone: str | None = None,
        *,
        call: int | None = None,
        timeout: float = 30.0,
        since: int = 0,
    ) -> Event:
        """The first `event` (of `phone`, of its call number `call`); waits for it if necessary.

        since: look only at `events[since:]`, to wait for a later event of the same kind.
        """

        def match() -> Event | None:
            for found in self.events[since:]:
                wanted = phone in (None, found["phone"]) and call in (None, found["call"])
                if wanted and found["event"] == event:
                    return found
            return None

        self._until(lambda: match() is not None, time.monotonic() + timeout)
        found = match()
        if found is None:
            who = phone or "any phone"
            raise TimeoutError(f"no {event!r} of {who} within {timeout} s; last: {self.events[-8:]}")
        return found

    def say(self, phone: str, wav: str | Path, gain_db: float = 0.0) -> None:
        """Make `phone` say `wav` now, in its running call."""
        self._command(phone, do="say", wav=str(wav), gain_db=gain_db)

    def key(self, phone: str, digit: str) -> None:
        """Make `phone` press a key now."""
        self._command(phone, do="key", digit=digit)

    def act(self, phone: str, do: str, to: str = "") -> None:
        """Make `phone` do one of `script.ACTS` now. To consult, it needs two `lines`."""
        scripts.check_act(phone, do, to)
        self._command(phone, do=do, to=to)

    def hang_up(self, phone: str) -> None:
        """Make `phone` hang up now."""
        self._command(phone, do="hangup")

    def results(self) -> dict[str, PhoneResult]:
        """The results so far, by the phones' names."""
        with self._changed:
            events = list(self.events)
        results = {phone.name: PhoneResult(phone.name) for phone in self.script.phones}
        for event in events:
            result = results.get(event["phone"])
            if result is None:
                continue
            if event["event"] == "registered":
                result.registered = True
            if number := event["call"]:
                while len(result.calls) < number:
                    result.calls.append(CallResult(len(result.calls) + 1))
                result.calls[number - 1].events.append(event)
        return results

    def close(self) -> None:
        """Hang up all calls and end the processes, by force after 5 s. Can be called again."""
        for process in self._processes:
            process.terminate()
        deadline = time.monotonic() + 5
        for process in self._processes:
            process.end(max(0.1, deadline - time.monotonic()))

    def _command(self, phone: str, **command: Any) -> None:
        for process in self._processes:
            if any(p.name == phone for p in process.script.phones):
                process.command({**command, "phone": phone})
                return
        raise KeyError(f"no phone {phone!r}")

    def _agents_busy(self) -> bool:
        agents = {agent.name for agent in self.script.agents}
        open_calls: set[tuple[str, int]] = set()
        for event in self.events:
            if event["phone"] in agents and event["call"]:
                key = (event["phone"], event["call"])
                (open_calls.discard if event["event"] == "disconnected" else open_calls.add)(key)
        return bool(open_calls) and not all(p.exited for p in self._processes)

    def _take(self, event: Event | None) -> None:
        """Called by the reader threads with an event, or with None when a process has ended."""
        with self._changed:
            if event is not None:
                self.events.append(event)
                if self._on_event:
                    self._on_event(event)
            self._changed.notify_all()

    def _until(self, condition: Callable[[], bool], deadline: float | None) -> bool:
        with self._changed:
            while not condition():
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._changed.wait(left)
            return True


class _Process:
    """One process of `python -m hearline.phone`, and the thread that reads its events."""

    def __init__(self, script: scripts.Script, take: Callable[[Event | None], None]) -> None:
        self.script = script
        self.ready = self.exited = False
        self._take = take
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (read when the process has ended)
        self._said = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hearline.phone", "--held", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        self._write(scripts.to_json(script))
        self._reader = threading.Thread(target=self._read, name="phones", daemon=True)
        self._reader.start()

    def command(self, command: dict) -> None:
        self._write(json.dumps(command))

    def errors(self) -> str:
        """The end of what the process wrote to stderr."""
        if not self._stderr.closed:
            self._stderr.seek(0)
            self._said = self._stderr.read().decode(errors="replace").strip()[-2000:]
        return self._said

    def terminate(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()

    def end(self, timeout: float) -> None:
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(2)
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except OSError:
                pass  # a last command that nobody read any more
        self.errors()
        self._stderr.close()

    def _write(self, line: str) -> None:
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass  # it has ended; the reader reports that

    def _read(self) -> None:
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except json.JSONDecodeError:
                continue  # not ours
            if event["event"] == "ready":
                self.ready = True
            self._take(event)
        self.process.wait()
        self.exited = True
        self._take(None)
