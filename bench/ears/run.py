"""Runs a detector on the clips, many side by side as in the media worker, and records what it reports and when."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from hearline.audio.hearing import Hearing, SpeechEnded, SpeechStarted
from hearline.audio.settings import FRAME_MS, FRAME_SAMPLES
from hearline.audio.vad.detector import Detector

from .clips import Clip

SIDE_BY_SIDE = 256


@dataclass
class Heard:
    """What the detector reported for one clip. Times are in ms since the answer."""

    starts_ms: list[int] = field(default_factory=list)
    ends_ms: list[int] = field(default_factory=list)
    at: dict[int, Hearing] = field(default_factory=dict)
    """The verdicts at the requested moments."""
    final: Hearing | None = None
    """The verdict at the end of the clip."""

    @property
    def claims_speech(self) -> bool:
        return bool(self.starts_ms)

    def speaking_at(self, ms: int) -> bool:
        """True if speech had started, and not ended, by `ms`."""
        return sum(start <= ms for start in self.starts_ms) > sum(end <= ms for end in self.ends_ms)

    def first_start_ms(self, from_ms: int = 0) -> int | None:
        return next((start for start in self.starts_ms if start >= from_ms), None)


def run(detector_factory: Callable[[int], Detector], clips: list[Clip]) -> list[Heard]:
    """Run the clips. `detector_factory` makes a detector for a number of calls; if its `step` takes a third argument,
    it also gets what is played to callers in this tick, int16 [160] by slot. Returns one Heard per clip, in order."""
    heard = [Heard() for _ in clips]
    for batch in _batches(clips):
        _run_batch(detector_factory(len(batch)), [clips[i] for i in batch], [heard[i] for i in batch])
    return heard


def _batches(clips: list[Clip]) -> Iterator[list[int]]:
    """Group clips of similar length, so that no slot is empty for long."""
    order = sorted(range(len(clips)), key=lambda i: len(clips[i].frames))
    for start in range(0, len(order), SIDE_BY_SIDE):
        yield order[start : start + SIDE_BY_SIDE]


def _run_batch(detector: Detector, clips: list[Clip], heard: list[Heard]) -> None:
    lengths = np.array([len(clip.frames) for clip in clips])
    frames = np.zeros((lengths.max(), len(clips), FRAME_SAMPLES), np.int16)
    present = np.zeros(frames.shape[:2], bool)
    far: dict[int, np.ndarray] = {}  # by slot, int16 [frames, 160]
    questions: dict[int, list[tuple[int, int]]] = {}
    for slot, clip in enumerate(clips):
        frames[: lengths[slot], slot] = clip.frames
        present[: lengths[slot], slot] = clip.present
        if clip.far is not None:
            far[slot] = clip.far
        for ms in {clip.verdict_ms, *(spoken.at_ms for spoken in clip.spoken.values())} - {None}:
            questions.setdefault(min(-(-ms // FRAME_MS), lengths[slot]) - 1, []).append((slot, ms))
        detector.open(slot)

    takes_far = len(inspect.signature(detector.step).parameters) > 2
    for tick in range(len(frames)):
        played = {slot: sound[tick] for slot, sound in far.items() if tick < len(sound)}
        told = (frames[tick], present[tick], played) if takes_far else (frames[tick], present[tick])
        for slot, event in detector.step(*told):
            if isinstance(event, SpeechStarted):
                heard[slot].starts_ms.append(event.at_ms)
            elif isinstance(event, SpeechEnded):
                heard[slot].ends_ms.append(event.at_ms)
        for slot, ms in questions.get(tick, ()):
            heard[slot].at[ms] = detector.hearing(slot)
        for slot in np.flatnonzero(lengths == tick + 1):
            heard[slot].final = detector.hearing(int(slot))
            detector.close(int(slot))
