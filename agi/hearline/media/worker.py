"""The media process: one tick of 20 ms for all calls.

    every tick:  speak:  send every leg the frame decided in the last tick
                 listen: announcements → arrivals → a frame from every leg → ears (all at once)
                 decide: the sessions that have an event or whose time has come

Speaking comes first, so that frames are on time however much there was to hear. Deadlines are absolute; prompts and
timers are counted in frames. Nothing in a tick waits: sockets are non-blocking, with one ``read`` and one ``write`` per
call and tick (`connections.py`). When the door process is gone, the worker ends at once, so that Asterisk notices and
the callers reach the queue.
"""

from __future__ import annotations

import argparse
import gc
import heapq
import logging
import math
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from hearline.audio.vad.detector import Detector
from hearline.audio.vad.snapshots import LineWatcher
from hearline.call.entry import Entry
from hearline.core.logs import about_call, log_to_stderr
from hearline.core.peers import is_allowed, parse_networks
from hearline.core.precedence import take_precedence
from hearline.core.settings import address
from hearline.media import connections
from hearline.media.audiosocket import AudioSocketListener
from hearline.media.monitor_session import MonitorSession
from hearline.media.player import Frames, cut
from hearline.media.relay import Relay
from hearline.media.session import Session, SlotEars
from hearline.media.transport import FRAME_MS, FRAME_SAMPLES, Connections, Leg
from hearline.media.worker_protocol import (
    Announce,
    Beat,
    CallSummary,
    Channel,
    Ears,
    Finished,
    Follow,
    LegReport,
    PassOn,
    Recording,
    Say,
    Watch,
    Withdraw,
)
from hearline.sounds.prompt_store import prompt_keys

log = logging.getLogger(__name__)

TICK_S = FRAME_MS / 1_000
ANNOUNCED_S = 5.0  # an announced connection that has not come by then never will
LINGER_S = 1.0
REPORTED_S = 1.0  # for the last reports to the door process
SKIP_S = 0.5  # when further behind than this, skip the lost time instead of sending it in a burst
SHED_S = 0.008  # a tick that begins this late skips the ears' network: sound comes before detection
REPORTS = 256  # per message
BEAT_TICKS = 10
WATCH_TICKS = 100  # how long rows are sent after each request


@dataclass(slots=True)
class LiveCall:
    uuid: str
    channel: str
    entry: Entry | None  # None for a leg of agent assist
    session: Session | MonitorSession
    leg: Leg
    slot: int
    began: int  # tick of its first decision
    due: int  # tick at which its session must move on, even if nothing happens

    @property
    def id(self) -> str:
        """The call's id; '' for a leg of agent assist."""
        return _id(self.entry)


class Worker:
    """All live calls of one process.

    Args:
        address: (host, port) on which to listen for AudioSocket connections.
        allowed: True if this peer address may connect.
        channel: the channel to the door process.
        capacity: the most calls at once; further ones are refused and go to the queue.
        sound: the connections that carry the sound; AudioSocket by default.
    """

    def __init__(
        self,
        address: tuple[str, int],
        allowed: Callable[[str], bool],
        channel: Channel,
        capacity: int,
        sound: Connections | None = None,
    ) -> None:
        self._listener = AudioSocketListener(address, allowed, self._claim)
        self.address = self._listener.address
        self._channel = channel
        self._prompts: dict[str, Frames] = {}  # by key, sent by the door process
        self._expected: dict[str, tuple[Announce, float]] = {}
        self._detector = Detector(capacity)
        self._free = list(range(capacity - 1, -1, -1))
        self._frames = np.zeros((capacity, FRAME_SAMPLES), np.int16)
        self._present = np.zeros(capacity, bool)
        self._calls: dict[int, LiveCall] = {}  # by slot
        own = connections.AudioSocketConnections
        self._connections: Connections = own(capacity) if sound is None else sound  # type: ignore[assignment]
        self._speaking: dict[int, Callable[[], bytes | None]] = {}  # by slot: returns the next frame
        self._spoken: dict[int, bytes] = {}  # by slot: the frames sent in this tick, except silence
        self._moved: list[LiveCall] = []  # calls whose sessions have added something to their timelines
        self._due: list[tuple[int, int]] = []  # heap of (tick, slot); valid only if the call's own `due` is the same
        self._leaving: list[tuple[Leg, float]] = []
        self._ticks = 0
        self._watched_until = 0
        self._reports: list[LegReport] = []  # in this tick
        self._followed: dict[int, tuple[LineWatcher, int]] = {}  # by slot: (watcher, tick until which it is needed)
        self._relays: dict[int, Relay] = {}  # by slot
        self._sent = self._late_20 = self._late_40 = self._skipped_ms = self._lost_out = 0
        self._worst_s = self._work_s = self._busy_s = 0.0
        self._shed = 0
        self.stopping = False
        self._warm_up()

    def _warm_up(self) -> None:
        """Run the network and take a verdict once. The first of each is slow (20 ms), and must not delay a call."""
        self._detector.open(0)
        noise = np.zeros_like(self._frames)
        noise[0] = np.random.default_rng(0).normal(0, 3_000, FRAME_SAMPLES)
        for _ in range(50):
            self._detector.step(noise, np.ones_like(self._present))
        LineWatcher(self._detector, 0).note(noise[0])
        self._detector.close(0)

    # ---- the clock --------------------------------------------------------------------------------------------------
    def run(self) -> None:
        deadline = time.monotonic()
        knocks = select.poll()
        for which in (self._listener, self._channel):
            knocks.register(which, select.POLLIN)
        while not self.stopping and not self._channel.closed:
            deadline += TICK_S
            if self._idle:
                deadline += self._rest(knocks, deadline) * TICK_S
            ahead = deadline - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            elif ahead < -SKIP_S:
                self._skipped_ms += round(-ahead * 1_000)
                deadline -= ahead
            self.tick(deadline)
        self.close()

    @property
    def _idle(self) -> bool:
        """True if there is no call, and none is arriving or leaving."""
        return not (self._calls or self._leaving or self._listener.shaking_hands or self._channel.behind)

    def _rest(self, knocks: select.poll, deadline: float) -> int:
        """Sleep until a connection or a message from the door process comes, or a beat is due. Returns how many ticks
        passed, counted from the one due at ``deadline``."""
        most = BEAT_TICKS - 1 - self._ticks % BEAT_TICKS
        knocks.poll(max(0.0, deadline + most * TICK_S - time.monotonic()) * 1_000)
        passed = min(most, max(0, math.ceil((time.monotonic() - deadline) / TICK_S)))
        self._ticks += passed
        return passed

    def tick(self, deadline: float) -> None:
        """Do the tick that is due at ``deadline`` (monotonic seconds)."""
        cpu_before, began = time.thread_time(), time.monotonic()
        self._speak(deadline)
        self._hear_door()
        for announcement, leg in self._listener.arrivals():
            self._begin(announcement, leg)
        if self._calls:
            events, stirred = self._listen(in_haste=began - deadline > SHED_S)
            self._decide(events, stirred)
            if self._followed:
                self._tell_ears(events)
        self._send_reports()
        self._see_off()
        self._work_s = max(self._work_s, time.thread_time() - cpu_before)
        # If the process was stopped during the tick, that is not load.
        self._busy_s += min(time.monotonic() - began, 2 * TICK_S)
        self._ticks += 1
        if self._ticks % BEAT_TICKS == 0:
            self._beat()

    # ---- one tick, in order -----------------------------------------------------------------------------------------
    def _speak(self, deadline: float) -> None:
        if not self._connections:
            return
        moved, self._moved = self._moved, []
        over = [call for call in moved if call.session.outcome is not None]
        for call in over:
            self._connections.leave(call.slot)
        self._spoken = spoken = self._next_frames()
        self._connections.send(spoken)
        self._sent += len(self._connections)
        late_s = time.monotonic() - deadline
        self._note_lateness(late_s, len(self._connections))
        for call in moved:
            call.session.settle(late_s * 1_000)
        for call in over:
            self._end(call, call.session.outcome)

    def _send_reports(self) -> None:
        """Send what was heard on the legs in this tick, in few messages: each costs more than its content."""
        for first in range(0, len(self._reports), REPORTS):
            self._channel.send(self._reports[first : first + REPORTS])
        self._reports.clear()

    def _next_frames(self) -> dict[int, bytes]:
        """The next frame by slot; only slots that have something to say."""
        frames = {slot: next_frame() for slot, next_frame in self._speaking.items()}
        for slot in [slot for slot, frame in frames.items() if frame is None]:
            del frames[slot], self._speaking[slot]
        return frames

    def _hear_door(self) -> None:
        self._channel.flush()
        for message in self._channel.received():
            try:
                self._do(message)
            except Exception:  # one bad message must not stop the others
                log.exception("a message from the door process could not be processed: %s", type(message).__name__)

    def _do(self, message: object) -> None:
        match message:
            case Watch():
                self._watched_until = self._ticks + WATCH_TICKS
            case Follow(uuid):
                self._follow(uuid)
            case Recording(key, pcm):
                self._prompts[key] = cut(pcm)
            case Say(uuid, pcm):
                for call in [c for c in self._calls.values() if c.uuid == uuid]:
                    call.session.say(pcm)
                    self._speaking[call.slot] = call.session.next_frame
            case PassOn(uuid, to):
                self._pass_on(uuid, to)
            case Announce():
                self._expected[message.uuid] = (message, time.monotonic() + ANNOUNCED_S)
            case Withdraw(uuid):
                self._expected.pop(uuid, None)
                for call in [c for c in self._calls.values() if c.uuid == uuid]:
                    self._end(call, None)

    def _pass_on(self, uuid: str, to: str) -> None:
        for slot, call in self._calls.items():
            if call.uuid == uuid:
                if relay := self._relays.pop(slot, None):
                    relay.close()
                if to:
                    self._relays[slot] = Relay(uuid, to)

    def _claim(self, uuid: str) -> Announce | None:
        if uuid not in self._expected:  # perhaps announced in this tick, after we read the door's messages
            self._hear_door()
        announcement, _ = self._expected.pop(uuid, (None, 0))
        return announcement

    def _begin(self, announcement: Announce, leg: Leg) -> None:
        plan = announcement.plan
        try:
            slot = self._free.pop()
        except IndexError:
            with about_call(_id(announcement.entry)):
                log.error("all %d places for calls are taken; this call goes to the queue", len(self._frames))
            self._refuse(announcement, leg)
            return
        if plan is None:
            self._tap(announcement, leg, slot)
            return
        try:
            prompts = {prompt: self._prompts[key] for prompt, key in prompt_keys(plan).items()}
        except KeyError as error:
            with about_call(_id(announcement.entry)):
                log.error("the call goes to the queue: flow %s has a prompt that is not loaded, %s", plan.flow, error)
            self._free.append(slot)
            self._refuse(announcement, leg)
            return
        session = Session(plan, announcement.begin, prompts, SlotEars(self._detector, slot, plan))
        self._take_in(announcement, session, leg, slot)

    def _tap(self, announcement: Announce, leg: Leg, slot: int) -> None:
        def tell(at_ms: int, events: Sequence[object], level_dbov: float, missing_ms: int) -> None:
            self._reports.append(LegReport(announcement.uuid, at_ms, tuple(events), level_dbov, missing_ms))

        self._detector.open(slot)
        detector, hz = self._detector, announcement.tone_hz
        level = partial(detector.tone_dbov, slot, hz) if hz else partial(detector.level_dbov, slot)
        tap = MonitorSession(partial(self._present.item, slot), level, partial(detector.restart_measure, slot), tell)
        self._take_in(announcement, tap, leg, slot)

    def _take_in(self, announcement: Announce, session: Session | MonitorSession, leg: Leg, slot: int) -> None:
        now = self._ticks
        uuid, channel, entry = announcement.uuid, announcement.channel, announcement.entry
        self._calls[slot] = LiveCall(uuid, channel, entry, session, leg, slot, began=now, due=now)
        self._connections.join(slot, leg)
        heapq.heappush(self._due, (now, slot))

    def _refuse(self, announcement: Announce, leg: Leg) -> None:
        self._channel.send(
            Finished(announcement.uuid, announcement.channel, None, "unknown", {}, entry=announcement.entry)
        )
        self._say_goodbye(leg)

    def _listen(self, in_haste: bool) -> tuple[dict[int, list[object]], set[int]]:
        """Returns (the ears' events by slot, the slots on which a key was pressed or the other side is gone)."""
        stirred = self._connections.receive(self._frames, self._present)
        for slot, relay in self._relays.items():
            if self._present[slot]:
                relay.take(self._frames[slot].tobytes())
        events: dict[int, list[object]] = {}
        self._shed += len(self._calls) if in_haste else 0
        for slot, event in self._detector.step(self._frames, self._present, self._spoken, in_haste):
            events.setdefault(slot, []).append(event)
        return events, stirred

    def _decide(self, events: dict[int, list[object]], stirred: set[int]) -> None:
        for slot in self._due_now() | events.keys() | stirred:
            call = self._calls[slot]
            leg, session = call.leg, call.session
            try:
                session.tick((self._ticks - call.began) * FRAME_MS, events.get(slot, ()), leg.keys(), leg.gone)
            except Exception:  # a failure affects only its own call
                with about_call(call.id):
                    log.exception("the call failed; it goes to the queue")
                self._end(call, None)
                continue
            if session.moved:
                self._moved.append(call)
                self._speaking[slot] = session.next_frame
            due = max(self._ticks + 1, call.began + -(-session.nothing_until // FRAME_MS))
            if due != call.due:
                call.due = due
                heapq.heappush(self._due, (due, slot))

    def _due_now(self) -> set[int]:
        """The slots whose time has come."""
        found = set()
        while self._due and self._due[0][0] <= self._ticks:
            tick, slot = heapq.heappop(self._due)
            call = self._calls.get(slot)
            if call and call.due == tick:
                found.add(slot)
        return found

    def _end(self, call: LiveCall, outcome: str | None) -> None:
        session = call.session
        self._channel.send(
            Finished(call.uuid, call.channel, outcome, session.heard, session.record(), session.collected, call.entry)
        )
        del self._calls[call.slot]
        if relay := self._relays.pop(call.slot, None):
            relay.close()
        self._connections.leave(call.slot)
        for by_slot in (self._speaking, self._spoken, self._followed):
            by_slot.pop(call.slot, None)
        self._detector.close(call.slot)
        self._free.append(call.slot)
        self._lost_out += call.leg.lost_out
        self._say_goodbye(call.leg)

    def _break_off(self, call: LiveCall) -> None:
        call.session.tick((self._ticks - call.began) * FRAME_MS, gone=True)
        call.session.settle(0)
        self._end(call, call.session.outcome)

    def _say_goodbye(self, leg: Leg) -> None:
        if leg.gone:
            leg.close()
        else:
            leg.finish()
            self._leaving.append((leg, time.monotonic() + LINGER_S))

    def _see_off(self) -> None:
        if self._leaving:
            still = []
            for leg, until in self._leaving:
                if leg.drained() or time.monotonic() > until:
                    leg.close()
                else:
                    still.append((leg, until))
            self._leaving = still
        if self._expected and self._ticks % 50 == 0:
            now = time.monotonic()
            self._expected = {uuid: kept for uuid, kept in self._expected.items() if kept[1] > now}

    def _note_lateness(self, late_s: float, frames: int) -> None:
        """Count late frames. The lateness of the call served last is taken for all frames of the tick."""
        self._worst_s = max(self._worst_s, late_s)
        if late_s > 0.020:
            self._late_20 += frames
            if late_s > 0.040:
                self._late_40 += frames

    def _beat(self) -> None:
        self._channel.offer(
            Beat(
                calls=len(self._calls),
                frames=self._sent,
                late_20=self._late_20,
                late_40=self._late_40,
                worst_ms=round(self._worst_s * 1_000, 2),
                work_ms=round(self._work_s * 1_000, 2),
                busy=round(self._busy_s / (BEAT_TICKS * TICK_S), 3),
                shed=self._shed,
                skipped_ms=self._skipped_ms,
                refused=self._listener.refused,
                lost_out=self._lost_out,
                rows=self._rows(),
            )
        )
        self._worst_s = self._work_s = self._busy_s = 0.0

    def _rows(self) -> list[CallSummary] | None:
        """The live calls; None while nobody is watching them."""
        if self._ticks > self._watched_until:
            return None
        return [self._row(call) for call in self._calls.values() if isinstance(call.session, Session)]

    def _row(self, call: LiveCall) -> CallSummary:
        engine = call.session.engine
        hearing = call.session.last_hearing  # asking the detector again would cost as much as ten ticks of a call
        now = (self._ticks - call.began) * FRAME_MS
        left = None if engine.timer is None else max(0, engine.timer - now)
        return CallSummary(
            call.uuid,
            call.channel,
            engine.plan.flow,
            engine.step.name,
            str(engine.state),
            now,
            left,
            hearing and hearing.active_level_dbov,
            hearing and hearing.verdict,
            call.session.timeline.gain_db,
            call.session.ears.settings,
            call.id,
            *call.session.playing,
        )

    def _follow(self, uuid: str) -> None:
        for slot, call in self._calls.items():
            if call.uuid == uuid:
                watcher, _ = self._followed.get(slot) or (LineWatcher(self._detector, slot), 0)
                self._followed[slot] = watcher, self._ticks + WATCH_TICKS

    def _tell_ears(self, events: dict[int, list[object]]) -> None:
        """Send what is heard on the followed calls. An error here must not affect the calls."""
        for slot, (watcher, until) in list(self._followed.items()):
            try:
                look = watcher.note(self._frames[slot] if self._present[slot] else None, events.get(slot, ()))
                if look is not None:
                    self._channel.offer(Ears(self._row(self._calls[slot]), look))
            except Exception:
                with about_call(self._calls[slot].id):
                    log.exception("the call cannot be followed any further")
                until = 0
            if self._ticks >= until:
                del self._followed[slot]

    def close(self) -> None:
        """Report the calls' timelines as if the callers had hung up, and close everything. Asterisk sees that, the AGI
        scripts go on, and find out who is still there and goes to the queue."""
        for call in [call for call in self._calls.values() if isinstance(call.session, Session)]:
            try:
                self._break_off(call)
            except Exception:
                with about_call(call.id):
                    log.exception("the call's timeline is lost")
        for call in self._calls.values():
            call.leg.close()
        for leg, _ in self._leaving:
            leg.close()
        for relay in self._relays.values():
            relay.close()
        self._listener.close()
        deadline = time.monotonic() + REPORTED_S
        while self._channel.behind and not self._channel.closed and time.monotonic() < deadline:
            time.sleep(TICK_S / 10)
            self._channel.flush()


def _id(entry: Entry | None) -> str:
    return entry.call if entry else ""


def main() -> None:
    """Entry point of the worker process, which ``media/worker_client.py`` starts."""
    parser = argparse.ArgumentParser(prog="hearline media worker")
    parser.add_argument("--channel-fd", type=int, required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--allow", required=True)
    parser.add_argument("--capacity", type=int, required=True)
    given = parser.parse_args()
    log_to_stderr()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C is the door's to handle

    networks = parse_networks(given.allow)
    channel = Channel(socket.socket(fileno=given.channel_fd))
    try:
        worker = Worker(address(given.listen), lambda host: is_allowed(host, networks), channel, given.capacity)
    except OSError as error:
        channel.send(("failed", f"cannot listen on {given.listen}: {error.strerror or error}"))
        return
    signal.signal(signal.SIGTERM, lambda *_: setattr(worker, "stopping", True))
    if not take_precedence():
        log.info(
            "running at ordinary priority; to keep frames on time under load, permit real-time scheduling or nice -10"
        )
    if connections.compiled is None:
        log.warning(
            "frames are sent and received in Python, which takes more CPU time; to have that part compiled, install a "
            "C compiler and Python's headers (Debian: gcc, libc6-dev, python3-dev), then install Hearline again"
        )
    channel.send(("listening", worker.address))
    gc.freeze()
    worker.run()


if __name__ == "__main__":
    main()
