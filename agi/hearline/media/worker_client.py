"""The door's side of the media workers: start them, watch their beat, hand calls over, learn what came of them."""

from __future__ import annotations

import logging
import select
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hearline.call.entry import Entry
from hearline.call.plan import Plan
from hearline.media.followers import Followers
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

log = logging.getLogger(__name__)

START_S = 20.0
BEAT_S = 1.0  # a worker that has not been heard for so long is taken for hung: it is killed and replaced
RESTART_S = (0.5, 1.0, 2.0, 5.0)  # the last again and again
LASTED_S = 5.0  # a worker that ran for so long is replaced as quickly as the first time
ROWS_S = 0.6
TWO_MINUTES = 600  # beats
CAPACITY = 1_500
FULL = 0.9  # of its time: a worker as busy as this takes no further call, so that the live ones do not suffer


class WorkerDown(RuntimeError):
    """No media worker can take the call; the caller belongs in the queue."""


@dataclass
class PendingCall:
    """A call handed to a worker. ``uuid``: the secret that lets its one connection in, made for it and used once.
    ``address``: where Asterisk must connect for it."""

    uuid: str
    address: tuple[str, int]
    result: Finished | None = None
    over: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float) -> Finished | None:
        """What came of it, None where nothing is known within ``seconds``."""
        return self.result if self.over.wait(seconds) else None


class WorkerClient:
    """One media worker process, kept alive.

    Args:
        listen: address for AudioSocket, ``host:port``.
        on_finished: told of every call that ended, in the watching thread.
        on_reports: called in the same thread with what is heard on the legs that are listened to, a tick at a time.
        module: what the worker process runs.
    """

    def __init__(
        self,
        listen: str,
        allow: str,
        on_finished: Callable[[Finished], None] = lambda f: None,
        capacity: int = CAPACITY,
        on_reports: Callable[[Sequence[LegReport]], None] = lambda r: None,
        module: str = "hearline.media.worker",
    ) -> None:
        self._listen = listen
        self._arguments = ["--allow", allow, "--capacity", str(capacity)]
        self._on_finished, self._on_reports, self._module = on_finished, on_reports, module
        self.capacity = capacity
        self._lock = threading.Lock()
        self._visits: dict[str, PendingCall] = {}
        self._recordings: dict[str, bytes] = {}  # by key: what every new worker is given first
        self._followers = Followers()
        self._process: subprocess.Popen | None = None
        self._channel: Channel | None = None
        self._address: tuple[str, int] | None = None  # once it takes calls
        self._listening: tuple[str, int] | None = None
        self._failure = "see its message above"
        self._last_beat = 0.0
        self.beat: Beat | None = None
        self.restarts = 0
        self._spawned, self._in_a_row = 0.0, 0
        self.busy = 0.0  # share of the worker's time, smoothed over about a second
        self.worst_ms: deque[float] = deque(maxlen=TWO_MINUTES)
        self.work_ms: deque[float] = deque(maxlen=TWO_MINUTES)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="line", daemon=True)

    @property
    def calls(self) -> int:
        """Calls that are here or on their way."""
        return len(self._visits)

    def has(self, uuid: str) -> bool:
        return uuid in self._visits

    # ---- for the scripts --------------------------------------------------------------------------------------------
    @property
    def well(self) -> bool:
        """Is a worker there, and was it heard within the last second?"""
        return self._address is not None and time.monotonic() - self._last_beat < BEAT_S

    def announce(
        self,
        plan: Plan | None,
        begin: str | None = None,
        channel: str = "",
        tone_hz: float | None = None,
        entry: Entry | None = None,
    ) -> PendingCall:
        """Expect a connection for a new call, or without a plan, for a leg that is listened to; see
        ``worker_protocol.Announce``. Raises WorkerDown."""
        with self._lock:
            if not self.well:
                raise WorkerDown("the media worker does not answer")
            if len(self._visits) >= self.capacity:
                raise WorkerDown("as many calls as this machine takes")
            if self.busy > FULL:
                raise WorkerDown("the media worker has no time left for a further call")
            visit = PendingCall(str(uuid.uuid4()), self._address)
            self._visits[visit.uuid] = visit
            self._channel.send(Announce(visit.uuid, plan, begin, channel, tone_hz, entry))
        return visit

    def load(self, recordings: Mapping[str, bytes]) -> None:
        """Give the worker these prompts (16-bit samples, 8 kHz, by key), and every one that is started later. What is
        announced from now on may name them."""
        with self._lock:
            self._recordings |= recordings
            if self._listening is not None:
                self._send_recordings(recordings)

    def _send_recordings(self, recordings: Mapping[str, bytes]) -> None:
        for key, pcm in recordings.items():
            self._channel.send(Recording(key, pcm))

    def say(self, uuid: str, pcm: bytes) -> None:
        """Say 16-bit samples (8 kHz) into a leg that is listened to, instead of what is being said there."""
        with self._lock:
            if self._channel and not self._channel.closed:
                self._channel.send(Say(uuid, pcm))

    def pass_on(self, uuid: str, to: str) -> None:
        """Pass on what comes on a leg that is listened to, to the Unix socket ``to``; '' ends it."""
        with self._lock:
            if self._channel and not self._channel.closed:
                self._channel.send(PassOn(uuid, to))

    def withdraw(self, visit: PendingCall) -> None:
        """Asterisk is done with this visit; whatever is left of it is let go."""
        with self._lock:
            if self._visits.pop(visit.uuid, None) and not visit.over.is_set() and self._channel:
                self._channel.send(Withdraw(visit.uuid))

    def watch(self) -> None:
        """Ask for `rows`: the worker tells them with its next beats."""
        with self._lock:
            if self._channel and not self._channel.closed:
                self._channel.send(Watch())

    def rows(self, deadline: float) -> list[CallSummary]:
        """The live calls, at most a beat old; waits until ``deadline`` (monotonic seconds) for the next beat where
        nobody has looked for a while."""
        while self.well:
            if self.beat and self.beat.rows is not None:
                return self.beat.rows
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        return []

    def follow(self, uuid: str) -> Generator[Ears | Finished]:
        """What the ears hear of a live call, ten times a second, and last, what came of it (missing where nobody
        knows). Raises WorkerDown where as many calls are followed as may be."""
        if self._followers.full:
            raise WorkerDown("as many calls are followed as may be at once")
        return self._followers.follow(uuid, lambda: self._ask_to_follow(uuid))

    def _ask_to_follow(self, uuid: str) -> bool:
        with self._lock:
            there = uuid in self._visits
            if there:
                self._channel.send(Follow(uuid))
        return there

    # ---- keeping the worker alive -----------------------------------------------------------------------------------
    def start(self) -> None:
        """Start the worker and wait until it listens. Raises WorkerDown."""
        self._spawn()
        deadline = time.monotonic() + START_S
        while self._address is None:
            if time.monotonic() > deadline or self._process.poll() is not None:
                self._read(0)  # its last words
                self._kill()
                raise WorkerDown(f"the media worker did not start: {self._failure}")
            self._read(0.1)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:
                pass
        self._kill()

    def _spawn(self) -> None:
        self._spawned = time.monotonic()
        self._last_beat = self._spawned + START_S  # time to start
        ours, theirs = Channel.pair()
        command = [
            sys.executable,
            "-m",
            self._module,
            "--channel-fd",
            str(theirs.fileno()),
            "--listen",
            self._listen,
            *self._arguments,
        ]
        with theirs:
            self._channel = Channel(ours)
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)

    def _watch(self) -> None:
        looked = time.monotonic()
        while not self._stopping.is_set():
            try:
                self._read(0.1)
            except Exception:
                log.exception("a message of the media worker could not be read")
            away = time.monotonic() - looked
            looked += away
            if away > BEAT_S / 2:  # we were not running ourselves: the worker's beats may be waiting to be read
                self._last_beat = max(self._last_beat, looked)
            hung = time.monotonic() - self._last_beat > BEAT_S
            if hung or self._channel.closed or self._process.poll() is not None:
                log.error(
                    "the media worker %s; it is replaced, its callers go to the queue", "hangs" if hung else "is gone"
                )
                try:
                    self._replace()
                except OSError as error:  # no memory, no process, no file handle: try again
                    log.error("no new media worker: %s", error)
                    self._stopping.wait(RESTART_S[-1])

    def _replace(self) -> None:
        self._address = self._listening = None
        self._kill()
        with self._lock:
            lost, self._visits = list(self._visits.values()), {}
        for visit in lost:
            visit.over.set()
        self.restarts += 1
        lasted = time.monotonic() - self._spawned > LASTED_S
        self._in_a_row = 0 if lasted else min(self._in_a_row + 1, len(RESTART_S) - 1)
        if not self._stopping.wait(RESTART_S[self._in_a_row]):
            with self._lock:
                self._spawn()

    def _kill(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        if self._channel:
            self._channel.close()

    def _read(self, seconds: float) -> None:
        if self._channel.closed:
            return
        poll = select.poll()
        poll.register(self._channel, select.POLLIN | (select.POLLOUT if self._channel.behind else 0))
        poll.poll(seconds * 1_000)
        for message in self._channel.received():
            try:
                self._hear(message)
            except Exception:  # one bad message is one bad message
                log.exception("a message of the media worker could not be acted on: %s", type(message).__name__)
        with self._lock:
            self._channel.flush()
            if self._address is None and not self._channel.behind:  # it has all its prompts
                self._address = self._listening

    def _hear(self, message: Any) -> None:
        self._last_beat = time.monotonic()  # whoever speaks lives: where much is said, a beat may be left out
        match message:
            case Beat():
                self.beat = message
                self.worst_ms.append(message.worst_ms)
                self.work_ms.append(message.work_ms)
                self.busy += (message.busy - self.busy) / 4
            case [LegReport(), *_]:
                self._on_reports(message)
            case Ears():
                self._followers.tell(message.row.uuid, message)
            case Finished():
                self._finished(message)
                self._followers.tell(message.uuid, message)
            case ("failed", why):
                self._failure = why
                log.error("the media worker did not start: %s", why)
            case ("listening", address):
                self._listen = f"{address[0]}:{address[1]}"  # the same port after a restart
                with self._lock:
                    self._listening = address
                    self._send_recordings(self._recordings)

    def _finished(self, message: Finished) -> None:
        if message.outcome is not None:
            try:
                self._on_finished(message)
            except Exception:
                log.exception("a call's record could not be kept")
        with self._lock:
            visit = self._visits.pop(message.uuid, None)
        if visit:
            visit.result = message
            visit.over.set()
