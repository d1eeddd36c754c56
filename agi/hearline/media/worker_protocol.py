"""The messages between the door process and a media worker, over a socket pair that never blocks the tick. Both ends
are ours and of the same version, so a message is a pickled dataclass, cut into datagrams."""

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

PART = 60 * 1024  # bytes in a datagram, after a first byte that says whether more follow; Linux takes some 200 kB
MOST_MESSAGE = 64 * 1024 * 1024  # bytes; a prompt has at most 5 MB
_KEPT = 10_000  # messages
_MORE, _LAST = b"+", b"."


@dataclass(frozen=True)
class Announce:
    """A connection with this UUID will come within seconds, for this plan. Without a plan it is a leg of agent assist,
    see ``monitor_session.MonitorSession``; if ``tone_hz`` is given, its reports give the level of this tone only.
    ``uuid`` admits one connection and is a secret; the call's id, ``entry.call``, is not."""

    uuid: str
    plan: Plan | None
    begin: str | None
    channel: str = ""
    tone_hz: float | None = None
    entry: Entry | None = None


@dataclass(frozen=True)
class Recording:
    """A prompt that plans may use from now on: 16-bit samples, 8 kHz. It replaces an earlier one with the same key
    (``zh/lanzhi/opening``); calls that already use the earlier one keep it."""

    key: str
    pcm: bytes


@dataclass(frozen=True)
class Watch:
    """Somebody is watching the live calls: send their rows with the next beats."""


@dataclass(frozen=True)
class Follow:
    """Somebody follows this call: send what the ears hear of it, for two seconds from now."""

    uuid: str


@dataclass(frozen=True)
class Say:
    """Play this into a leg of agent assist: 16-bit samples, 8 kHz; b'' stops what is playing."""

    uuid: str
    pcm: bytes


@dataclass(frozen=True)
class PassOn:
    """Pass this leg's sound on to a recogniser at the Unix socket ``to``; see ``relay.Relay``. '' stops that."""

    uuid: str
    to: str


class LegReport(NamedTuple):
    """What is heard on a leg: ``at_ms`` since it came, the ears' events since the last report, and the level of the
    last 100 ms (of the announced tone, if there is one). ``missing_ms``: how long no frame has come, to the nearest
    100 ms. Sent ten times a second, and on every event; the worker sends the reports of all legs in one tick as a
    list."""

    uuid: str
    at_ms: int
    events: tuple[object, ...]
    level_dbov: float
    missing_ms: int = 0


@dataclass(frozen=True)
class Withdraw:
    """The announced connection is no longer expected; a live call with this UUID is ended."""

    uuid: str


@dataclass(frozen=True)
class Finished:
    """The IVR part of a call is over. ``outcome`` is None if the call could not be served; the caller belongs in the
    queue. ``collected``: keys by the field's name in the flow. They are personal data, for the dialplan and the flow's
    own use, never for a record or a log."""

    uuid: str
    channel: str
    outcome: str | None
    heard: str
    timeline: dict[str, Any]
    collected: Mapping[str, str] = field(default_factory=dict, repr=False)
    entry: Entry | None = None


@dataclass(frozen=True)
class CallSummary:
    """A live call as shown to people, who see ``call``, its id, and not ``uuid``. Times in ms. ``channel`` is
    Asterisk's name for the caller's leg. ``gain_db``: how far it is to be raised for the agent, so far. ``ears``: the
    settings by which it is judged. ``prompt``: what is being played, since ``prompt_at_ms``; '' if nothing is."""

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
    prompt: str = ""
    prompt_at_ms: int | None = None


@dataclass(frozen=True)
class Ears:
    """What is heard on a followed call; sent ten times a second."""

    row: CallSummary
    look: Snapshot


@dataclass(frozen=True)
class Beat:
    """The worker is alive.

    Counters since its start: ``late_20`` and ``late_40``, frames sent more than 20 or 40 ms after their deadline;
    ``shed``, frames that were heard without the speech network because the tick was late; ``skipped_ms``, time that was
    given up; ``refused``, connections; ``lost_out``, frames that the other side did not take.

    Since the last beat: ``worst_ms``, the worst lateness; ``work_ms``, the most CPU time in one tick; ``busy``, the
    share of the time that ticks took, 0…1 and more. Lateness without much work means that the machine did not let us
    run.
    """

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
    rows: list[CallSummary] | None = None  # None: nobody is watching


NO_BEAT = Beat(calls=0, frames=0, late_20=0, late_40=0, worst_ms=0.0, work_ms=0.0, skipped_ms=0, refused=0, lost_out=0)


class Channel:
    """One end of the socket pair."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1024 * 1024)
        self._unsent: deque[deque[bytes]] = deque()  # messages, each as its unsent parts
        self._begun = bytearray()  # the parts so far of a message whose end has not come
        self.closed = False

    @staticmethod
    def pair() -> tuple[socket.socket, socket.socket]:
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def behind(self) -> bool:
        """True if something waits for the next ``flush``."""
        return bool(self._unsent)

    def send(self, message: object) -> None:
        """Send a message, or keep it for the next ``flush`` if the other side is slow. Beyond ten thousand messages,
        the oldest is dropped."""
        if len(self._unsent) >= _KEPT:
            del self._unsent[1]  # not the first, which may have been sent in part
        self._unsent.append(_cut(message))
        self.flush()

    def offer(self, message: object) -> None:
        """Send a message, or drop it if the other side is slow: for messages that are soon out of date."""
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
        """The messages that have come. One that cannot be read is logged and skipped. Sets ``closed`` if the other side
        is gone."""
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
