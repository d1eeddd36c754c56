"""Callers and agents as real SIP softphones, up to `CALLS_PER_PROCESS` at once, driven by a script.

It runs in its own process: pjsua2 is GPL, needs one main thread for everything, and has one endpoint per process.
Events go to stdout, one JSON object per line: {"at", "phone", "call", "event", …}; "at" is `time.monotonic()` in
seconds, which other processes on the machine can compare with their own. pjsua2 itself writes to stdout, so file
descriptor 1 is redirected, and the events keep their own descriptor.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from hearline.core.precedence import take_precedence
from hearline.phone import wav
from hearline.phone.calls import SipAccount, SipCall, with_code
from hearline.phone.endpoint import Endpoint, pj
from hearline.phone.script import ACTS, Account, Act, Agent, Caller, Phone, Say, Script

POLL_MS = 10


def run(script: Script, *, held: bool = False, log_level: int = 0) -> int:
    """Run `script` to its end, then exit the process: status 0, or 1 if it failed.

    held: report "ready" when all agents are registered, then read commands from stdin, one JSON object per line:
    {"do": "start", "at": monotonic seconds} starts the callers' time; {"do": "say", "phone", "wav", "gain_db"},
    {"do": "key", "phone", "digit"}, {"do": "hangup", "phone"} and {"do": one of `ACTS`, "phone", "to"} act on a running
    call. The end of stdin hangs up.
    """
    events = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    if log_level:
        os.dup2(2, 1)
    else:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    take_precedence(all_threads=True)  # a real phone has a processor of its own
    desk = Desk(script, events, held, log_level)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: desk.stop("signal"))
    try:
        desk.open()
        desk.loop()
    except pj.Error as error:
        desk.fail(error.info())
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        desk.fail(repr(error))
    desk.close()
    events.flush()
    # An ordinary exit would tear down SWIG's objects in no particular order, some after the library that owns them.
    os._exit(int(desk.failed))


class Desk:
    """The endpoint, the schedule and the phones of one process."""

    def __init__(self, script: Script, events: Any, held: bool, log_level: int) -> None:
        self.script = script
        self.events = events
        self.held = held
        self.log_level = log_level
        self.endpoint: Endpoint | None = None
        self.failed = False
        self.agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.order = itertools.count()
        self.callers = [CallerPhone(self, caller) for caller in script.callers]
        self.agents = [AgentPhone(self, agent) for agent in script.agents]
        self.by_name = {phone.spec.name: phone for phone in (*self.callers, *self.agents)}
        self.accounts: dict[Account, SipAccount] = {}
        self.finished: list[SipCall] = []  # dropped outside the callback that ended them
        self.started = False
        self.stopping_at: float | None = None
        self.callers_over_at: float | None = None
        self.input = b""

    # ---- events and time

    def emit(self, phone: str, call: int, event: str, **more: Any) -> None:
        line = {"at": round(time.monotonic(), 4), "phone": phone, "call": call, "event": event, **more}
        self.events.write(json.dumps(line) + "\n")

    def later(self, delay_ms: float, act: Callable[[], None]) -> None:
        self.at(time.monotonic() + delay_ms / 1000, act)

    def at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self.agenda, (when, next(self.order), act))

    # ---- life

    def open(self) -> None:
        self.endpoint = Endpoint(self.script.bind, self.script.phones[0].packet_ms, self.log_level)
        for phone in self.by_name.values():
            phone.prepare()
        for agent in self.agents:
            agent.register()

    def loop(self) -> None:
        if not self.held:
            self.start_callers_when_ready(time.monotonic())
        announced = False
        while True:
            self.endpoint.library.libHandleEvents(POLL_MS)
            self.finished.clear()
            now = time.monotonic()
            while self.agenda and self.agenda[0][0] <= now:
                heapq.heappop(self.agenda)[2]()
            if self.held:
                if not announced and self.registered:
                    announced = True
                    self.emit("", 0, "ready")
                self.read_commands()
            if self.is_over(now):
                return

    @property
    def registered(self) -> bool:
        return all(agent.answered_register for agent in self.agents)

    def start_callers_when_ready(self, now: float) -> None:
        if self.registered:
            self.emit("", 0, "ready")
            self.start_callers(now)
        else:
            self.later(POLL_MS, lambda: self.start_callers_when_ready(time.monotonic()))

    def start_callers(self, zero: float) -> None:
        self.started = True
        for caller in self.callers:
            self.at(zero + caller.spec.start_ms / 1000, caller.begin)

    def is_over(self, now: float) -> bool:
        busy = any(phone.live for phone in self.by_name.values())
        if self.stopping_at is not None:
            return not busy or now > self.stopping_at + 2
        if not self.started or not all(caller.over for caller in self.callers):
            return False
        if not self.callers:
            return all(agent.full for agent in self.agents) and not busy
        if self.callers_over_at is None:
            self.callers_over_at = now
        return not busy or now > self.callers_over_at + self.script.linger_ms / 1000

    def stop(self, cause: str) -> None:
        """Hang up all calls; `loop` ends when the far sides have confirmed that, or after 2 s."""
        if self.stopping_at is not None:
            return
        self.stopping_at = time.monotonic()
        self.at(0, lambda: self._hang_up_all(cause))

    def _hang_up_all(self, cause: str) -> None:
        self.emit("", 0, "stopping", cause=cause)
        for caller in self.callers:
            caller.over = True
        for phone in self.by_name.values():
            phone.hang_up()

    def fail(self, cause: str) -> None:
        """Report an error of our own, and end the run with status 1."""
        self.failed = True
        self.emit("", 0, "error", cause=cause)
        self.stop("error")

    def close(self) -> None:
        for phone in self.by_name.values():
            phone.hang_up()
        self.finished.clear()
        self.agenda.clear()  # also drops the players that it holds, which must go before the library
        for account in self.accounts.values():
            account.shutdown()
        if self.endpoint:
            self.endpoint.close()
        self.emit("", 0, "over")

    def read_commands(self) -> None:
        while select.select([0], [], [], 0)[0]:
            chunk = os.read(0, 65536)
            if not chunk:
                self.stop("end of input")
                self.held = False
                return
            self.input += chunk
            *lines, self.input = self.input.split(b"\n")
            for line in lines:
                command = json.loads(line)
                if command["do"] == "start":
                    self.start_callers(command.get("at", time.monotonic()))
                elif phone := self.by_name.get(command.get("phone", "")):
                    phone.command(command)

    # ---- what the phones share

    def account(self, who: Account, server: str) -> SipAccount:
        """Callers with the same account share one: pjsua2 holds only 8."""
        if who not in self.accounts:
            self.accounts[who] = SipAccount(self, who, server)
        return self.accounts[who]


class SoftPhone:
    """The common part of callers' and agents' phones."""

    hangup_ms: float | None = None

    def __init__(self, desk: Desk, spec: Phone) -> None:
        self.desk = desk
        self.spec = spec
        self.account: Any = None
        self.track: str | None = None
        self.live: list[SipCall] = []
        self.calls = 0

    def prepare(self) -> None:
        """Render what the phone will say, before a call needs it."""
        if not (self.spec.say or self.spec.background or self.spec.said):
            return
        samples = wav.track(self.spec)
        if len(samples):
            if self.spec.said:
                wav.write(self.spec.said, samples)
            self.track = self.desk.endpoint.wav_of(samples, "track")

    def record_path(self, number: int) -> str | None:
        return self.spec.record

    def command(self, command: dict) -> None:
        do = command["do"]
        for call in [call for call in self.live if call.begun]:
            if do == "say" and not call.held:
                call.say(Say(0, command["wav"], command.get("gain_db", 0.0)), from_track=False)
            elif do == "key" and not call.held:
                call.key(command["digit"])
            elif do in ACTS and call.about is None:
                call.act(Act(0, do, command.get("to", "")))
        if do == "hangup":
            self.hang_up()

    def dial(self, to: str, about: SipCall | None = None) -> SipCall:
        """A call to the SIP URI `to`; `about`: a consultation about that call."""
        self.calls += 1
        call = SipCall(self, self.calls, about=about)
        self.live.append(call)
        call.emit("dialled", dial=to)
        parameters = pj.CallOpParam(True)
        parameters.opt.videoCount = 0
        self.desk.endpoint.offer(self.spec.codec)
        try:
            call.makeCall(to, parameters)
        except pj.Error as error:
            if call in self.live:  # otherwise pjsip has reported the end already
                call.gone = True
                call.emit(
                    "disconnected",
                    code=0,
                    cause=error.info(),
                    by="phone",
                    answered=False,
                    record=None,
                    duration_ms=0,
                    tx_packets=0,
                    rx_packets=0,
                )
                self.on_end(call)
        finally:
            self.desk.endpoint.offer(None)
        return call

    def hang_up(self) -> None:
        for call in list(self.live):
            call.hang_up()

    def on_end(self, call: SipCall) -> None:
        self.live.remove(call)
        self.desk.finished.append(call)


class CallerPhone(SoftPhone):
    spec: Caller

    def __init__(self, desk: Desk, spec: Caller) -> None:
        super().__init__(desk, spec)
        self.hangup_ms = spec.hangup_at_ms
        self.over = False

    def begin(self) -> None:
        if self.over:
            return
        server = self.spec.account.server or self.spec.dial.partition("@")[2].partition(";")[0]
        self.account = self.desk.account(self.spec.account, server)
        call = self.dial(self.spec.dial)
        self.desk.later(self.spec.give_up_ms, lambda: None if call.begun else call.hang_up())

    def on_end(self, call: SipCall) -> None:
        super().on_end(call)
        self.over = not self.live


class AgentPhone(SoftPhone):
    spec: Agent

    def __init__(self, desk: Desk, spec: Agent) -> None:
        super().__init__(desk, spec)
        self.hangup_ms = spec.hangup_after_ms
        self.answered_register = False
        self.answers = 0

    @property
    def full(self) -> bool:
        return self.spec.max_answers is not None and self.answers >= self.spec.max_answers

    def register(self) -> None:
        self.account = SipAccount(self.desk, self.spec.account, self.spec.account.server, self)

    def on_register(self, code: int, reason: str) -> None:
        if self.desk.stopping_at is None and not self.answered_register:
            event = "registered" if code == 200 else "refused"
            self.desk.emit(self.spec.name, 0, event, code=code, cause=reason)
        self.answered_register = True

    def on_incoming(self, call_id: int) -> None:
        if self.full or self.live or self.desk.stopping_at is not None:
            call = SipCall(self, 0, call_id)
            self.live.append(call)
            call.answer(with_code(pj.PJSIP_SC_BUSY_HERE))
            return
        self.calls += 1
        self.answers += 1
        call = SipCall(self, self.calls, call_id)
        self.live.append(call)
        call.answer(with_code(pj.PJSIP_SC_RINGING))
        call.emit("ringing", remote=call.getInfo().remoteUri)
        if self.spec.answer_after_ms is not None:
            call.later(self.spec.answer_after_ms, lambda: self.answer(call))

    def answer(self, call: SipCall) -> None:
        self.desk.endpoint.offer(self.spec.codec)
        try:
            call.answer(with_code(pj.PJSIP_SC_OK))
        finally:
            self.desk.endpoint.offer(None)

    def record_path(self, number: int) -> str | None:
        """`agent.wav` becomes `agent-1.wav`, `agent-2.wav`, …, one per call."""
        if not self.spec.record:
            return None
        stem, extension = os.path.splitext(self.spec.record)
        return f"{stem}-{number}{extension or '.wav'}"
