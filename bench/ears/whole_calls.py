"""Whole calls, many side by side, with a clock that jumps: engine, ears and player of the live line, and a line on which
our own prompt comes back. What became of each is its timeline."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hearline.audio.vad.detector import Detector
from hearline.audio.settings import FRAME_MS, FRAME_SAMPLES
from hearline.audio.wav import read_wav
from hearline.call.plan import Plan
from hearline.call.timeline import Timeline
from hearline.media.player import PromptStore
from hearline.media.session import Session, SlotEars
from hearline.sounds.manifest import prompt_path

from . import mixing

_SIDE_BY_SIDE = 64
_LONGEST_S = 300


@dataclass(frozen=True)
class Call:
    """A caller's line. `says`: float [n] at 8 kHz from the answer on, the line's own noise included; after it there is
    digital silence. `echoes`: what comes back of each prompt, float, its delay included; none comes of others."""

    plan: Plan
    says: np.ndarray
    echoes: Mapping[str, np.ndarray] = field(default_factory=dict)
    law: str = "alaw"


def run(calls: list[Call], sounds: Path) -> list[Timeline]:
    """The record of each of `calls`, in their order. `sounds`: where the prompts lie."""
    store = PromptStore(lambda *which: prompt_path(sounds, *which), lambda path: read_wav(path).tobytes())
    done = []
    for start in range(0, len(calls), _SIDE_BY_SIDE):
        done += _run_batch(calls[start : start + _SIDE_BY_SIDE], store)
    return done


def _run_batch(calls: list[Call], store: PromptStore) -> list[Timeline]:
    detector = Detector(len(calls))
    lines = [_Line(call, Session(call.plan, None, _prompts(call.plan, store), SlotEars(detector, slot, call.plan)))
             for slot, call in enumerate(calls)]  # fmt: skip
    frames, present = np.zeros((len(calls), FRAME_SAMPLES), np.int16), np.ones(len(calls), bool)
    going, sent = dict(enumerate(lines)), {}
    for now in range(0, _LONGEST_S * 1000, FRAME_MS):
        for slot, line in going.items():
            frames[slot] = line.frame(now)
        events: dict[int, list[object]] = {}
        for slot, event in detector.step(frames, present, sent):
            events.setdefault(slot, []).append(event)
        sent = {}
        for slot, line in list(going.items()):
            line.session.tick(now, events.get(slot, ()))
            if line.session.outcome is not None:
                del going[slot]
                detector.close(slot)
            elif frame := line.session.next_frame():
                sent[slot] = frame
            line.follow_prompts(now)
        if not going:
            break
    return [line.session.timeline for line in lines]


def _prompts(plan: Plan, store: PromptStore) -> dict[str, list[bytes]]:
    return {prompt: store.frames(plan.language, plan.phrases, prompt) for prompt in plan.prompts}


class _Line:
    """What comes from one caller, frame by frame."""

    def __init__(self, call: Call, session: Session) -> None:
        self.session = session
        self._call = call
        self._back = np.zeros(0)  # what will come back of the prompts played so far
        self._events = 0  # of the timeline that were looked at
        self._from = self._after = 0  # where the prompt's echo lies in it, samples

    def frame(self, now: int) -> np.ndarray:
        begin = now * FRAME_SAMPLES // FRAME_MS
        x = np.zeros(FRAME_SAMPLES)
        for part in (self._call.says[begin : begin + FRAME_SAMPLES], self._back[begin : begin + FRAME_SAMPLES]):
            x[: part.size] += part
        return mixing.coded(x, self._call.law)

    def follow_prompts(self, now: int) -> None:
        """A prompt that starts now comes back; of one that was cut, what had been played."""
        events, at = self.session.timeline.events, now * FRAME_SAMPLES // FRAME_MS
        for event in events[self._events :]:
            echo = self._call.echoes.get(event.get("prompt"))
            if echo is not None and event["event"] == "prompt_start":
                # heard in the tick after it was sent
                self._from = at + FRAME_SAMPLES
                self._back = np.pad(self._back, (0, max(0, self._from + echo.size - self._back.size)))
                self._back[self._from : self._from + echo.size] += echo
            elif echo is not None and event["event"] == "prompt_stop":
                silent = int(np.flatnonzero(echo)[0]) if echo.any() else 0  # its delay
                self._back[at + FRAME_SAMPLES + silent :] = 0
        self._events = len(events)
