"""Recognises what is said on a few legs and tells which groups of phrases it heard; nothing else leaves it. A process
of its own, behind everything that is live: slow, dead or wrong, it costs a hint and no more.

    in   standard input, a line of JSON each:   {"leg": UUID, "groups": {NAME: a Group, …}}
         (without groups: no more of this leg); its end ends us
         a Unix socket, datagrams of 100 ms:    see ``media/relay``
    out  standard output, a line of JSON each:  {"ready": true}, {"failed": WHY}, {"leg": UUID, "spoken": NAME},
                                                {"lost_ms": MS}
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hearline.assist.hints.cards import Group
from hearline.assist.hints.events import Side
from hearline.assist.speech.phrases import Listener
from hearline.media.relay import FRAMES, unpacked
from hearline.media.transport import FRAME_MS, FRAME_SAMPLES

RATE = 8000
NICE = 10  # whatever is live comes first
BEAT_S = 1.0
MOST_WAITING = 30  # datagrams of a leg: 3 s. What is older is of no use to a hint


class Engine(Protocol):
    """Speech to text, as it is spoken."""

    def stream(self) -> Any:
        """For one leg."""

    def hear(self, stream: Any, samples: np.ndarray) -> tuple[str, bool]:
        """Hear more (int16 [n], 8 kHz). → the text of the present utterance so far, and whether it has ended; if so,
        the next one begins from nothing."""


@dataclass
class _Leg:
    stream: Any
    listener: Listener
    waiting: list[bytes] = field(default_factory=list)
    next_number: int | None = None


class Recogniser:
    """The legs that are recognised.

    Args:
        tell: takes what goes out.
    """

    def __init__(self, engine: Engine, tell: Callable[[dict[str, Any]], None]) -> None:
        self._engine, self._tell = engine, tell
        self._legs: dict[str, _Leg] = {}

    def obey(self, told: dict[str, Any]) -> None:
        """A line of standard input."""
        uuid = told["leg"]
        self._legs.pop(uuid, None)
        if "groups" in told:
            groups = {
                name: Group(Side(group["of"]), tuple(group["phrases"]), tuple(group["not_in"]))
                for name, group in told["groups"].items()
            }
            self._legs[uuid] = _Leg(self._engine.stream(), Listener(groups))

    def take(self, datagram: bytes) -> None:
        """Keep it for ``work``. Where sound is missing before it, what was said is cut there: two halves of sentences
        are no sentence."""
        uuid, number, pcm = unpacked(datagram)
        leg = self._legs.get(uuid)
        if leg is None:
            return
        lost = 0 if leg.next_number is None else number - leg.next_number
        if len(leg.waiting) >= MOST_WAITING:
            lost += len(leg.waiting)
            leg.waiting.clear()
        leg.next_number = number + 1
        if lost > 0:
            leg.stream = self._engine.stream()
            leg.listener.hear("", ended=True)
            self._tell({"lost_ms": lost * FRAMES * FRAME_MS})
        leg.waiting.append(pcm)

    def work(self) -> None:
        """Hear all that waits."""
        for uuid, leg in self._legs.items():
            if leg.waiting:
                samples = np.frombuffer(b"".join(leg.waiting), np.int16)
                leg.waiting.clear()
                for group in leg.listener.hear(*self._engine.hear(leg.stream, samples)):
                    self._tell({"leg": uuid, "spoken": group})


class Trial:
    """The recogniser on recordings. Raises `sherpa.ModelFault`. ``sound_s``, ``cpu_s``: what was heard so far, and
    what it cost."""

    def __init__(self, model: Path, groups: Mapping[str, Group]) -> None:
        self._engine, self._groups = load(model), groups
        self.sound_s = self.cpu_s = 0.0

    def hear(self, samples: np.ndarray) -> Iterator[tuple[float, str]]:
        """(seconds, group) in a recording, int16 [n] at 8 kHz. Silence follows, so that what was said last ends."""
        piece = FRAMES * FRAME_SAMPLES
        padded = np.concatenate([samples, np.zeros(2 * RATE + piece, np.int16)])
        stream, listener = self._engine.stream(), Listener(self._groups)
        for at in range(0, padded.size - piece, piece):
            began = time.process_time()
            found = listener.hear(*self._engine.hear(stream, padded[at : at + piece]))
            self.cpu_s += time.process_time() - began
            self.sound_s += piece / RATE
            for group in found:
                yield (at + piece) / RATE, group


def load(model: Path) -> Engine:
    """The engine. Raises `sherpa.ModelFault`, also where something is not installed."""
    from hearline.assist.speech.sherpa import ModelFault, Sherpa

    for package in ("sherpa_onnx", "pypinyin"):  # told now, not at the first word
        if find_spec(package) is None:
            raise ModelFault(f"{package} is not installed: pip install 'hearline[recogniser]'")
    return Sherpa(model)


def serve(recogniser: Recogniser, sound: socket.socket, orders: Any, beat: Callable[[], None]) -> None:
    """Until ``orders`` (a binary stream) ends; ``beat``: told every `BEAT_S` that we are alive."""
    sound.setblocking(False)
    os.set_blocking(orders.fileno(), False)
    begun = b""
    next_beat = time.monotonic()
    while True:
        ready, _, _ = select.select([sound, orders], [], [], BEAT_S)
        if time.monotonic() >= next_beat:
            next_beat = time.monotonic() + BEAT_S
            beat()
        if orders in ready:
            if not (more := orders.read(65_536)):
                return
            *lines, begun = (begun + more).split(b"\n")
            for line in lines:
                recogniser.obey(json.loads(line))
        try:
            while True:
                recogniser.take(sound.recv(65_536))
        except BlockingIOError:
            pass
        recogniser.work()


def main() -> None:
    """Entry of the process; started by ``recognition.py``, not by people. Arguments: the model's folder, and where to
    put the socket."""

    def tell(what: dict[str, Any]) -> None:
        out.write(json.dumps(what) + "\n")
        out.flush()

    # Libraries that print to standard output must not be taken for us.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.nice(NICE)
    from hearline.assist.speech.sherpa import ModelFault

    try:
        engine = load(Path(sys.argv[1]))
    except ModelFault as error:
        tell({"failed": str(error)})
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sound:
        sound.bind(sys.argv[2])
        _quieten_libraries()
        tell({"ready": True})
        try:
            serve(Recogniser(engine, tell), sound, sys.stdin.buffer.raw, lambda: tell({"beat": True}))
        except (BrokenPipeError, KeyboardInterrupt):
            pass


def _quieten_libraries() -> None:
    """Sherpa-onnx writes some lines to standard error for every leg; what Python has to say still comes out."""
    sys.stderr = os.fdopen(os.dup(2), "w", encoding="utf-8")
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)


if __name__ == "__main__":
    main()
