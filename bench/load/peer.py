"""Asterisk's side of many AudioSocket connections at once, in a separate process: sends each call's frames every 20 ms
and reads what comes back.

A pass over all calls takes too long for exact arrival times, so there are two of these processes: one for most calls,
and one for a few sampled calls, which waits on their sockets between its passes and notes when each frame came.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import select
import socket
import time
import uuid
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection

from hearline.core.precedence import take_precedence
from hearline.media.frames import AUDIO_HEADER, MESSAGE_BYTES

from .callers import Kind, frames_of, sounds
from .processes import pin

TICK_S = 0.020
_READ = 16 * MESSAGE_BYTES


@dataclass(frozen=True)
class Dial:
    """A command: connect this call, and send its kind's frames from `offset` on."""

    uuid: str
    address: tuple[str, int]
    kind: Kind
    offset: int


@dataclass
class Tally:
    """Counts of frames and passes since the last tally.

    `late`: passes over all calls that ended more than 20 ms after their time. `gaps_ms`: the times between frames, as
    they arrived, of sampled calls.
    """

    passes: int = 0
    late: int = 0
    sent: int = 0
    not_taken: int = 0
    received: int = 0
    closed: int = 0
    gaps_ms: list[float] = field(default_factory=list)


class Peer:
    """A handle to the process. `listening`: note arrival times."""

    def __init__(self, core: int, listening: bool = False) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_main, args=(theirs, core, listening), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.recv()  # it is ready

    def dial(self, call: Dial) -> None:
        self._pipe.send(call)

    def tally(self) -> Tally:
        """The counts since the last call of this method."""
        self._pipe.send("tally")
        return self._pipe.recv()

    def close(self) -> None:
        """End the process, and with it its connections."""
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _main(pipe: Connection, core: int, listening: bool) -> None:
    pin(os.getpid(), core)
    frames = {kind: frames_of(samples, AUDIO_HEADER) for kind, samples in sounds().items()}
    take_precedence()
    gc.freeze()
    gc.disable()
    pipe.send("ready")
    _Calls(pipe, frames, listening).run()


class _Calls:
    def __init__(self, pipe: Connection, frames: dict[Kind, list[bytes]], listening: bool) -> None:
        self._pipe, self._frames = pipe, frames
        self._calls: list[tuple[int, list[bytes], int, socket.socket]] = []
        self._poll = select.poll() if listening else None
        self._came: dict[int, float] = {}  # when the last frame of each sampled call came
        self._rest: dict[int, int] = {}  # bytes of an incomplete frame
        self._bytes = 0  # received bytes of an incomplete frame
        self._tally = Tally()

    def run(self) -> None:
        deadline, tick = time.monotonic(), 0
        try:
            while True:
                deadline += TICK_S
                tick += 1
                self._wait(deadline)
                self._pass(tick)
                behind = time.monotonic() - deadline
                self._tally.passes += 1
                self._tally.late += behind > TICK_S
                if behind > 0.5:
                    deadline += behind
                while self._pipe.poll():
                    self._obey(self._pipe.recv())
        except (EOFError, OSError):
            return  # our parent process is done

    def _obey(self, message: Dial | str) -> None:
        if isinstance(message, Dial):
            connection = socket.create_connection(message.address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.send(b"\x01\x00\x10" + uuid.UUID(message.uuid).bytes)
            connection.setblocking(False)
            fd = connection.fileno()
            self._calls.append((fd, self._frames[message.kind], message.offset, connection))
            if self._poll:
                self._poll.register(fd, select.POLLIN)
            return
        self._pipe.send(replace(self._tally))
        self._tally = Tally()

    def _pass(self, tick: int) -> None:
        tally, write, read, listening = self._tally, os.write, os.read, self._poll is not None
        received = 0
        for fd, frames, offset, _ in self._calls:
            try:
                write(fd, frames[(tick + offset) % len(frames)])
            except BlockingIOError:
                tally.not_taken += 1
            except OSError:
                tally.closed += 1
            if listening:
                continue
            try:
                received += len(read(fd, _READ))
            except OSError:  # nothing there yet, or closed, which writing notices
                pass
        tally.sent += len(self._calls)
        self._bytes += received
        tally.received, self._bytes = tally.received + self._bytes // MESSAGE_BYTES, self._bytes % MESSAGE_BYTES

    def _wait(self, deadline: float) -> None:
        while (ahead := deadline - time.monotonic()) > 0:
            if not self._poll:
                time.sleep(ahead)
                continue
            for fd, _ in self._poll.poll(ahead * 1_000):
                self._note(fd, time.monotonic())

    def _note(self, fd: int, now: float) -> None:
        data = os.read(fd, _READ)
        if not data:
            self._poll.unregister(fd)
            self._tally.closed += 1
            return
        frames, self._rest[fd] = divmod(self._rest.get(fd, 0) + len(data), MESSAGE_BYTES)
        for _ in range(frames):
            if fd in self._came:
                self._tally.gaps_ms.append((now - self._came[fd]) * 1_000)
            self._came[fd] = now
        self._tally.received += frames
