"""Whole calls, many side by side, on a clock that jumps, with the engine, ears and player of live calls. The lines
carry an echo of our own prompt, or a television. The result of each call is its timeline."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hearline.audio.settings import FRAME_MS, FRAME_SAMPLES
from hearline.audio.vad.detector import Detector
from hearline.audio.wav import read_wav
from hearline.call.plan import Plan
from hearline.call.timeline import Timeline
from hearline.media.player import cut
from hearline.media.session import Session, SlotEars
from hearline.sounds.manifest import prompt_path
from hearline.sounds.prompt_store import PromptStore, prompt_keys

from . import mixing
from .mixing import RATE

_SIDE_BY_SIDE = 64
_LONGEST_S = 300


@dataclass(frozen=True)
class Call:
    """A caller's line. `says`: float [n] at 8 kHz from the answer on, line noise included, followed by digital silence.
    `echoes`: the echo of each prompt, float, delay included; other prompts have no echo."""

    plan: Plan
    says: np.ndarray
    echoes: Mapping[str, np.ndarray] = field(default_factory=dict)
    law: str = "alaw"


Pieces = Mapping[str, list[np.ndarray]]
"""Utterances by speaker: float at 8 kHz."""

LATEST_ECHO_MS = 500.0


def floor(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """A line with nothing but its noise."""
    return mixing.at_rms(rng.standard_normal(round(seconds * RATE)), rng.uniform(-70, -62))


def silent_with_echo(rng: np.random.Generator, plan: Plan, sounds: Path, law: str, loss_db: float) -> Call:
    """A silent caller; every prompt of `plan` comes back, softer by `loss_db` and up to half a second late, over an
    echo path that does not change."""
    delay_ms, path = rng.uniform(20, LATEST_ECHO_MS), rng.integers(2**32)
    echoes = {}
    for prompt in plan.prompts:
        played = read_wav(prompt_path(sounds, plan.language, plan.phrases, prompt)) / 32768
        played = np.concatenate([mixing.coded(played, law) / 32768, np.zeros(RATE)])  # room for the delay
        echoes[prompt] = mixing.echo(np.random.default_rng(path), played, loss_db, delay_ms)
    return Call(plan, floor(rng, 60), echoes, law)


@dataclass(frozen=True)
class Beside:
    """A caller who speaks once while a television is on."""

    call: Call
    spoke_ms: tuple[int, int]


def beside_television(
    rng: np.random.Generator, plan: Plan, voices: Pieces, law: str, level_dbov: float, under_db: float
) -> Beside:
    """One of `voices` speaks once at `level_dbov`: half of them a single utterance, the others for some seconds. The
    television is softer by the given distance: others of `voices`, one or two at once, in a room."""
    who = str(rng.choice(sorted(voices)))
    others = {name: pieces for name, pieces in voices.items() if name != who}
    utterance = voices[who][rng.integers(len(voices[who]))]
    said = utterance if rng.random() < 0.5 else _talk(rng, voices[who], rng.uniform(1, 3))
    said = mixing.at_active_level(mixing.band_limited(said[: 4 * RATE], mixing.TELEPHONE), level_dbov)
    x = floor(rng, 100)
    x += mixing.at_active_level(television(rng, others, 100), level_dbov - under_db)
    begin = round(rng.uniform(1, 13) * RATE)
    x[begin : begin + said.size] += said
    spoke = begin * 1000 // RATE, (begin + said.size) * 1000 // RATE
    return Beside(Call(plan, np.clip(x, -1, 1), law=law), spoke)


def television(rng: np.random.Generator, voices: Pieces, seconds: float) -> np.ndarray:
    """Scenes of 2 to 7 s, one or two of `voices` in each, heard across a room."""
    x, at = np.zeros(round(seconds * RATE)), 0
    while at < x.size:
        scene = sum(_talk(rng, voices[str(rng.choice(sorted(voices)))], 7) for _ in range(rng.choice((1, 1, 2))))
        scene = scene[: min(round(rng.uniform(2, 7) * RATE), x.size - at)]
        x[at : at + scene.size] += scene
        at += scene.size + round(rng.uniform(0, 0.5) * RATE)
    x = mixing.convolved(x, mixing.room(rng, rng.uniform(0.3, 0.7), rng.uniform(-6, 3)))
    return mixing.band_limited(x, mixing.TELEPHONE)


def _talk(rng: np.random.Generator, pieces: list[np.ndarray], seconds: float) -> np.ndarray:
    """Utterances with short pauses between them."""
    parts = [np.zeros(0)]
    while sum(part.size for part in parts) < seconds * RATE:
        parts += [pieces[rng.integers(len(pieces))], np.zeros(round(rng.uniform(0.08, 0.5) * RATE))]
    return np.concatenate(parts)[: round(seconds * RATE)]


def run(calls: list[Call], sounds: Path) -> list[Timeline]:
    """The record of each of `calls`, in order. `sounds`: the folder of the prompts."""
    store = PromptStore(sounds)
    for call in calls:
        store.want(prompt_keys(call.plan).values())
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
    return {prompt: cut(store.samples(key).tobytes()) for prompt, key in prompt_keys(plan).items()}


class _Line:
    """The sound from one caller, frame by frame."""

    def __init__(self, call: Call, session: Session) -> None:
        self.session = session
        self._call = call
        self._back = np.zeros(0)  # the coming echo of the prompts played so far
        self._events = 0  # number of the timeline's events that were processed
        self._from = self._after = 0  # the position of the prompt's echo in it, in samples

    def frame(self, now: int) -> np.ndarray:
        begin = now * FRAME_SAMPLES // FRAME_MS
        x = np.zeros(FRAME_SAMPLES)
        for part in (self._call.says[begin : begin + FRAME_SAMPLES], self._back[begin : begin + FRAME_SAMPLES]):
            x[: part.size] += part
        return mixing.coded(x, self._call.law)

    def follow_prompts(self, now: int) -> None:
        """Add the echo of a prompt that starts now; if a prompt was cut, keep only the echo of what had been played."""
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
