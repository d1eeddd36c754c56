"""The IVR as the page "Try it" sees it, without telephones: what the ears hear of a simulated caller, served like the
server's status interface, at the pace that a test wants."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import numpy as np

from hearline.audio.settings import SAMPLE_RATE_HZ
from hearline.audio.vad.detector import Detector
from hearline.audio.vad.snapshots import LineWatcher
from hearline.audio.wav import read_wav
from hearline.core.settings import Settings
from hearline.media.player import cut
from hearline.media.session import Session, SlotEars
from hearline.media.transport import FRAME_MS, FRAME_SAMPLES
from hearline.server.flow_store import read_flows
from hearline.sounds.prompt_store import PromptStore, prompt_keys

REPO = Path(__file__).resolve().parents[2]
SAID = "caller-ask"
RECORDED_DBOV = -23.0
SOFT_DBOV = -50.0


@dataclass(frozen=True)
class Visit:
    """A call in the IVR: the looks at it, ten a second, and its record."""

    looks: list[dict[str, Any]]
    record: dict[str, Any]


@cache
def visit(*says: tuple[int, float], hangup_ms: int | None = None) -> Visit:
    """A call to the hotline. ``says``: (ms, dBov) for each time that the caller asks."""
    settings = Settings(flows=REPO / "ivr_flows", sounds=REPO / "sounds")
    plan = read_flows(settings).flows["hotline"].plan
    store, keys = PromptStore(settings.sounds), prompt_keys(plan)
    store.want(keys.values())
    prompts = {prompt: cut(store.samples(key).tobytes()) for prompt, key in keys.items()}
    detector = Detector(1)
    session = Session(plan, None, prompts, SlotEars(detector, 0, plan))
    watcher, frames = LineWatcher(detector, 0), _frames(settings.sounds, says)
    looks: list[dict[str, Any]] = []
    played: bytes | None = None
    now = 0
    while session.outcome is None:
        frame = frames[now // FRAME_MS] if now // FRAME_MS < len(frames) else np.zeros(FRAME_SAMPLES, np.int16)
        events = [event for _, event in detector.step(frame[None], np.array([True]), {0: played} if played else None)]
        session.tick(now, events, gone=hangup_ms is not None and now >= hangup_ms)
        played = session.next_frame()
        now += FRAME_MS
        if (look := watcher.note(frame, events)) and session.outcome is None:
            engine, (prompt, since) = session.engine, session.playing
            left = None if engine.timer is None else max(0, engine.timer - now)
            row = {"step": engine.step.name, "flow_state": str(engine.state), "timer_ms": left}
            row |= {"prompt": prompt, "prompt_at_ms": since, "gain_db": session.timeline.gain_db}
            looks.append(
                {"channel": "x", "flow": "hotline", **row, **look.as_dict(), "ears": asdict(session.ears.settings)}
            )
    return Visit(looks, {"heard": session.heard, "queue": None, **session.record()})


def _frames(sounds: Path, says: Iterable[tuple[int, float]]) -> np.ndarray:
    said = read_wav(sounds / "zh" / "callers" / f"{SAID}.wav")
    line = np.zeros(0)
    for at_ms, dbov in says:
        at = at_ms * SAMPLE_RATE_HZ // 1_000
        line = np.pad(line, (0, max(0, at + said.size - line.size)))
        line[at : at + said.size] += said * 10 ** ((dbov - RECORDED_DBOV) / 20)
    return np.pad(line, (0, -line.size % FRAME_SAMPLES)).round().astype(np.int16).reshape(-1, FRAME_SAMPLES)


class StatusServer:
    """``/calls/ID/ears`` for the calls that were begun here. ``port`` is free to be asked; a context manager."""

    def __init__(self) -> None:
        self._calls: dict[str, Queue[dict[str, Any] | None]] = {}
        calls = self._calls

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                call = self.path.removeprefix("/calls/").removesuffix("/ears")
                if call not in calls:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.end_headers()
                for look in _until_over(calls[call]):
                    self.wfile.write(json.dumps({"call": call} | look).encode() + b"\n")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port

    def __enter__(self) -> StatusServer:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for call in self._calls.values():
            call.put(None)
        self._server.shutdown()
        self._server.server_close()

    def begin(self, call: str) -> None:
        self._calls.setdefault(call, Queue())

    def send(self, call: str, looks: Iterable[dict[str, Any]]) -> None:
        for look in looks:
            self._calls[call].put(look)

    def over(self, call: str, outcome: str, heard: str) -> None:
        self._calls[call].put({"over": True, "outcome": outcome, "heard": heard})

    def die(self, call: str) -> None:
        """The server's end of the stream is cut."""
        self._calls.pop(call).put(None)


def _until_over(waiting: Queue[dict[str, Any] | None]) -> Iterator[dict[str, Any]]:
    while True:
        try:
            look = waiting.get(timeout=10)
        except Empty:
            return
        if look is None:
            return
        yield look
        if "over" in look:
            return
