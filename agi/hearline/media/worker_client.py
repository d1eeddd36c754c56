"""A media worker as the door process sees it: starts the worker, watches its beat, hands it calls, receives results."""

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
STOP_S = 2.0
BEAT_S = 1.0  # a worker that is silent for this long counts as hung: it is killed and replaced
RESTART_S = (0.5, 1.0, 2.0, 5.0)  # delays before restarts; the last repeats
LASTED_S = 5.0  # after a worker has run for this long, the delays start over
ROWS_S = 0.6
TWO_MINUTES = 600  # beats
CAPACITY = 1_500
FULL = 0.9  # a worker busy for more than this share of its time takes no further call, to protect the live ones


class WorkerDown(RuntimeError):
    """No media worker can take the call; the caller belongs in the queue."""


@dataclass
class PendingCall:
    """A call handed to a worker. ``uuid``: the secret that admits its connection, once. ``address``: where Asterisk
    must connect."""

    uuid: str
    address: tuple[str, int]
    result: Finished | None = None
    over: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float) -> Finished | None:
        """The result of the call; None if there is none within ``seconds``."""
        return self.result if self.over.wait(seconds) else None


class WorkerClient:
    """One media worker process, kept alive.

    Args:
        listen: the address for AudioSocket, ``host:port``.
        allow: the networks that may connect, comma separated.
        on_finished: called with every call that ended, in the watching thread.
        capacity: the most calls at once.
        on_reports: called in the same thread with the reports from the legs of agent assist, one tick at a time.
        module: the module that the worker process runs.
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
        self._recordings: dict[str, bytes] = {}  # by key: sent first to every new worker
        self._followers = Followers()
        self._process: subprocess.Popen | None = None
        self._channel: Channel | None = None
        self._address: tuple[str, int] | None = None  # set once the worker takes calls
        self._listening: tuple[str, int] | None = None
        self._failure = "see its message above"
        self._last_beat = 0.0
        self.beat: Beat | None = None
        self.restarts = 0
        self._spawned, self._in_a_row = 0.0, 0
        self.busy = 0.0  # the share of the worker's time that is used, smoothed over about a second
        self.worst_ms: deque[float] = deque(maxlen=TWO_MINUTES)
        self.work_ms: deque[float] = deque(maxlen=TWO_MINUTES)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="line", daemon=True)

    @property
    def calls(self) -> int:
        """The number of calls that are live or announced."""
        return len(self._visits)

    def has(self, uuid: str) -> bool:
        return uuid in self._visits

    # ---- for the scripts --------------------------------------------------------------------------------------------
    @property
    def well(self) -> bool:
        """True if the worker takes calls and was heard from within the last second."""
        return self._address is not None and time.monotonic() - self._last_beat < BEAT_S

    def announce(
        self,
        plan: Plan | None,
        begin: str | None = None,
        channel: str = "",
        tone_hz: float | None = None,
        entry: Entry | None = None,
    ) -> PendingCall:
        """Expect a connection for a new call, or, without a plan, for a leg of agent assist; see
        ``worker_protocol.Announce``. Raises WorkerDown if the worker cannot take it."""
        with self._lock:
            if not self.well:
                raise WorkerDown("the media worker does not answer")
            if len(self._visits) >= self.capacity:
                raise WorkerDown(f"the media worker has {self.capacity} calls, and takes no more")
            if self.busy > FULL:
                raise WorkerDown("the media worker has no time left for a further call")
            visit = PendingCall(str(uuid.uuid4()), self._address)
            self._visits[visit.uuid] = visit
            self._channel.send(Announce(visit.uuid, plan, begin, channel, tone_hz, entry))
        return visit

    def load(self, recordings: Mapping[str, bytes]) -> None:
        """Send these prompts (16-bit samples, 8 kHz, by key) to the worker and to every later one. Calls announced from
        now on may use them."""
        with self._lock:
            self._recordings |= recordings
            if self._listening is not None:
                self._send_recordings(recordings)

    def _send_recordings(self, recordings: Mapping[str, bytes]) -> None:
        for key, pcm in recordings.items():
            self._channel.send(Recording(key, pcm))

    def say(self, uuid: str, pcm: bytes) -> None:
        """Play 16-bit samples (8 kHz) into a leg of agent assist, in place of anything playing there."""
        with self._lock:
            if self._channel and not self._channel.closed:
                self._channel.send(Say(uuid, pcm))

    def pass_on(self, uuid: str, to: str) -> None:
        """Pass the sound of a leg of agent assist on to the Unix socket ``to``; '' stops that."""
        with self._lock:
            if self._channel and not self._channel.closed:
                self._channel.send(PassOn(uuid, to))

    def withdraw(self, visit: PendingCall) -> None:
        """Asterisk is done with this visit: drop whatever is left of it."""
        with self._lock:
            if self._visits.pop(visit.uuid, None) and not visit.over.is_set() and self._channel:
                self._channel.send(Withdraw(visit.uuid))

    def watch(self) -> None:
        """Request `rows`: the worker sends them with its next beats."""
        with self._lock:
            if self._channel and not self._channel.closed:
                self._channel.send(Watch())

    def rows(self, deadline: float) -> list[CallSummary]:
        """The live calls, at most one beat old. Waits until ``deadline`` (monotonic seconds) for the next beat if
        nobody has asked for a while. Call `watch` first."""
        while self.well:
            if self.beat and self.beat.rows is not None:
                return self.beat.rows
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        return []

    def follow(self, uuid: str) -> Generator[Ears | Finished]:
        """What the ears hear of a live call, ten times a second, and its result at the end (missing if it is unknown).
        Raises WorkerDown if too many calls are being followed."""
        if self._followers.full:
            raise WorkerDown("too many calls are being followed; stop following another one first")
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
                self._read(0)  # its last message may give the reason
                self._kill()
                raise WorkerDown(f"the media worker did not start: {self._failure}")
            self._read(0.1)
        self._thread.start()

    def begin_to_stop(self) -> None:
        """Ask the worker to end its calls and itself; ``stop`` waits for that."""
        self._stopping.set()
        if self._process and self._process.poll() is None:
            self._process.terminate()

    def stop(self) -> None:
        """End the worker, and take in what it still reports of its calls."""
        self.begin_to_stop()
        if self._thread.is_alive():
            self._thread.join()
        deadline = time.monotonic() + STOP_S
        while self._channel and not self._channel.closed and time.monotonic() < deadline:
            self._read(0.1)
        self._kill()
        self._let_go()

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
                log.exception("a message from the media worker could not be read")
            away = time.monotonic() - looked
            looked += away
            if away > BEAT_S / 2:  # this process was not running: the worker's beats may be waiting to be read
                self._last_beat = max(self._last_beat, looked)
            hung = time.monotonic() - self._last_beat > BEAT_S
            gone = self._channel.closed or self._process.poll() is not None
            if (hung or gone) and not self._stopping.is_set():
                log.error(
                    "the media worker %s; starting another, its callers go to the queue", "hangs" if hung else "is gone"
                )
                try:
                    self._replace()
                except OSError as error:  # no memory, no process, no file handle: try again
                    log.error("no media worker could be started, trying again: %s", error)
                    self._stopping.wait(RESTART_S[-1])

    def _replace(self) -> None:
        self._address = self._listening = None
        self._kill()
        self._let_go()
        self.restarts += 1
        lasted = time.monotonic() - self._spawned > LASTED_S
        self._in_a_row = 0 if lasted else min(self._in_a_row + 1, len(RESTART_S) - 1)
        if not self._stopping.wait(RESTART_S[self._in_a_row]):
            with self._lock:
                self._spawn()

    def _let_go(self) -> None:
        """Nobody will report on these calls any more."""
        with self._lock:
            lost, self._visits = list(self._visits.values()), {}
        for visit in lost:
            visit.over.set()

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
            except Exception:  # one bad message must not stop the others
                log.exception("a message from the media worker could not be processed: %s", type(message).__name__)
        with self._lock:
            self._channel.flush()
            if self._address is None and not self._channel.behind:  # the worker has all its prompts
                self._address = self._listening

    def _hear(self, message: Any) -> None:
        self._last_beat = time.monotonic()  # any message counts, since a busy channel may drop beats
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
