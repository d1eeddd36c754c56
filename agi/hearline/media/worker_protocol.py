"""What the door process and a media worker say to each other: whole messages over a socket pair, never blocking the
tick. Both ends are ours and of one version, so a message is a pickled dataclass, cut into datagrams."""

from __future__ import annotations

import logging
import pickle
import socket
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hearline.audio.settings import CallSettings
from hearline.audio.vad.snapshots import Snapshot
from hearline.call.entry import Entry
from hearline.call.plan import Plan

log = logging.getLogger(__name__)

PART = 60 * 1024  # bytes of a datagram; Linux takes some 200 kB, its first byte says whether more follows
MOST_MESSAGE = 64 * 1024 * 1024  # bytes; a prompt has at most 5 MB
_KEPT = 10_000  # messages
_MORE, _LAST = b"+", b"."


@dataclass(frozen=True)
class Announce:
    """A connection with this UUID will come within seconds; this is what to do with it. Without a plan it is a leg of
    two people's talk, to be listened to: see ``tap.Tap``. ``tone_hz``: of what is on that leg, tell the level of
    this tone alone. ``uuid`` lets one connection in and is a secret; the call's id, ``entry.call``, is none."""

    uuid: str
    plan: Plan | None
    begin: str | None
    channel: str = ""
    tone_hz: float | None = None
    entry: Entry | None = None


@dataclass(frozen=True)
class Recording:
    """A prompt that plans may name from now on, and what it sounds like: 16-bit samples, 8 kHz. Takes the place of an
    earlier one with this key (``zh/lanzhi/opening``); calls that play that one go on with it."""

    key: str
    pcm: bytes


@dataclass(frozen=True)
class Watch:
    """Somebody looks at the live calls: tell their rows with the next beats."""


@dataclass(frozen=True)
class Follow:
    """Somebody follows this call: tell what the ears hear of it, for two seconds from now."""

    uuid: str


@dataclass(frozen=True)
class Say:
    """Say this into a leg that is listened to: 16-bit samples, 8 kHz; b'' ends what is being said."""

    uuid: str
    pcm: bytes


@dataclass(frozen=True)
class PassOn:
    """Pass on what comes on this leg to a recogniser, at the Unix socket ``to``; see ``relay.Relay``. '' ends it."""

    uuid: str
    to: str


class LegReport(NamedTuple):
    """What is heard on a leg: ``at_ms`` since it came, the ears' events since the last report, and the level of the
    last 100 ms (of the announced tone, where there was one); ten times a second, and with every event. The worker sends
    a list of them, those of all legs in one tick."""

    uuid: str
    at_ms: int
    events: tuple[object, ...]
    level_dbov: float


@dataclass(frozen=True)
class Withdraw:
    """The announced connection is not expected any more; a live call with this UUID is let go."""

    uuid: str


@dataclass(frozen=True)
class Finished:
    """A call's IVR part is over. ``outcome`` None: it could not be served; the caller belongs in the queue.
    ``collected``: the keys by the name that the flow gives them. Personal data: for the dialplan and whoever asked, not
    for a record or a log."""

    uuid: str
    channel: str
    outcome: str | None
    heard: str
    timeline: dict[str, Any]
    collected: Mapping[str, str] = field(default_factory=dict, repr=False)
    entry: Entry | None = None


@dataclass(frozen=True)
class CallSummary:
    """A live call as shown to people, who get ``call``, its id, in place of ``uuid``. Times in ms. ``channel`` is
    Asterisk's name for the caller's leg. ``gain_db``: how far it is raised for the agent, so far; ``ears``: by what it
    is judged."""

    uuid: str
    channel: str
    flow: str
    step: str
    state: str
    at_ms: int
    timer_ms: int | None
    level_dbov: float | None
    verdict: str | None
    gain_db: int = 0
    ears: CallSettings = CallSettings()
    call: str = ""


@dataclass(frozen=True)
class Ears:
    """A followed call, ten times a second."""

    row: CallSummary
    look: Snapshot


@dataclass(frozen=True)
class Beat:
    """The worker is alive. Counters since its start; ``late_*``: frames sent so many ms after their deadline.
    Since the last beat: ``worst_ms``, the worst lateness; ``work_ms``, the most CPU time that one tick took. Late
    without much work means that the machine did not let us run. ``busy``: share of its time that the ticks took, 0…1
    and more. ``shed``: frames that were heard without asking the speech network, because the tick was late."""

    calls: int
    frames: int
    late_20: int
    late_40: int
    worst_ms: float
    work_ms: float
    skipped_ms: int
    refused: int
    lost_out: int
    busy: float = 0.0
    shed: int = 0
    rows: list[CallSummary] | None = None  # None: nobody looks


NO_BEAT = Beat(calls=0, frames=0, late_20=0, late_40=0, worst_ms=0.0, work_ms=0.0, skipped_ms=0, refused=0, lost_out=0)


class Channel:
    """One end of the socket pair."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1024 * 1024)
        self._unsent: deque[deque[bytes]] = deque()  # messages, each the parts of it that have not been sent
        self._begun = bytearray()  # of a message whose end has not come
        self.closed = False

    @staticmethod
    def pair() -> tuple[socket.socket, socket.socket]:
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def behind(self) -> bool:
        """Is something kept for the next ``flush``?"""
        return bool(self._unsent)

    def send(self, message: object) -> None:
        """Send, or keep for the next ``flush`` when the other side is slow; of more than ten thousand messages the
        oldest is dropped."""
        if len(self._unsent) >= _KEPT:
            del self._unsent[1]  # of the first, a part may have been sent
        self._unsent.append(_cut(message))
        self.flush()

    def offer(self, message: object) -> None:
        """Send unless the other side is slow; then it is dropped (for what is soon out of date)."""
        if self._unsent:
            return
        parts = _cut(message)
        if self._send(parts[0]):
            parts.popleft()
            if parts:
                self._unsent.append(parts)
                self.flush()

    def flush(self) -> None:
        while self._unsent:
            parts = self._unsent[0]
            while parts:
                if not self._send(parts[0]):
                    return
                parts.popleft()
            self._unsent.popleft()

    def _send(self, data: bytes) -> bool:
        try:
            self._socket.send(data)
        except BlockingIOError:
            return False
        except OSError:
            self.closed = True
            return False
        return True

    def received(self) -> Iterator[Any]:
        """The messages that have come. One that cannot be read is logged and left out. Sets ``closed`` when the other
        side is gone."""
        while True:
            try:
                data = self._socket.recv(PART + 1)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.closed = True
                return
            if len(self._begun) <= MOST_MESSAGE:
                self._begun += data[1:]
            if data[:1] == _LAST:
                whole, self._begun = self._begun, bytearray()
                try:
                    message = pickle.loads(whole)
                except Exception:
                    log.exception("a message of %d bytes cannot be read", len(whole))
                    continue
                yield message

    def close(self) -> None:
        self.closed = True
        self._socket.close()


def _cut(message: object) -> deque[bytes]:
    """The datagrams of a message."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    parts = [data[at : at + PART] for at in range(0, len(data), PART)]
    return deque([*(_MORE + part for part in parts[:-1]), _LAST + parts[-1]])
