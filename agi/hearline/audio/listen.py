"""Runs whole recordings through the ears of live calls, many side by side (the network is fastest in batches)."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from hearline.audio.hearing import Event, Hearing, Reason, SpeechState, Verdict
from hearline.audio.settings import DEFAULT, FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE_HZ, EarSettings
from hearline.audio.vad.detector import Detector
from hearline.audio.vad.snapshots import LineWatcher, Snapshot
from hearline.audio.wav import BadAudio, read_wav

SIDE_BY_SIDE = 64
_BACKGROUND_EVERY_MS = 3000  # the detector judges steady sounds by the last 3 s
_SHORTEST_MS = 100  # when the detector first looks at the background
_LATEST_ONSET_MS = 400  # of silence after the end: the last word may be detected this late


@dataclass(frozen=True)
class Recording:
    """What was heard in a whole recording."""

    duration_ms: int
    hearing: Hearing
    """The verdict on the whole recording."""
    looks: tuple[Snapshot, ...] = ()
    """Ten a second, if requested; the last ones may lie in the silence after the end."""


def listen(samples: np.ndarray, settings: EarSettings = DEFAULT) -> Recording:
    """Listen to one recording, int16 [n] at 8 kHz."""
    [heard] = listen_all([samples], settings)
    assert isinstance(heard, Recording)  # only a BadAudio yields a BadAudio
    return heard


def listen_to_files(
    paths: Iterable[Path | str], settings: EarSettings = DEFAULT, looks: bool = False
) -> Iterator[tuple[Path | str, Recording | BadAudio]]:
    """Listen to WAV files. Yields each path, in order, with what was heard or what is wrong with the file."""
    heard_paths: list[Path | str] = []

    def read() -> Iterator[np.ndarray | BadAudio]:
        for path in paths:
            heard_paths.append(path)
            try:
                yield read_wav(path)
            except BadAudio as error:
                yield error

    for index, result in enumerate(listen_all(read(), settings, looks)):
        yield heard_paths[index], result


def listen_all(
    recordings: Iterable[np.ndarray | BadAudio], settings: EarSettings = DEFAULT, looks: bool = False
) -> Iterator[Recording | BadAudio]:
    """Listen to recordings, int16 [n] at 8 kHz, side by side. Yields results in order; a BadAudio passes through.

    `looks`: keep ten snapshots a second, for a picture.
    """
    waiting = enumerate(recordings)
    detector = Detector(SIDE_BY_SIDE, settings)
    frames = np.zeros((SIDE_BY_SIDE, FRAME_SAMPLES), np.int16)
    present = np.ones(SIDE_BY_SIDE, bool)
    free = list(range(SIDE_BY_SIDE))
    playing: dict[int, _Playing] = {}  # by slot
    done: dict[int, Recording | BadAudio] = {}  # by index, until it is its turn
    next_index, more = 0, True
    while more or playing:
        while free and more:
            index, samples = next(waiting, (-1, None))
            if samples is None:
                more = False
            elif isinstance(samples, BadAudio):
                done[index] = samples
            else:
                slot = free.pop()
                detector.open(slot)
                playing[slot] = _Playing(index, samples, watcher=LineWatcher(detector, slot) if looks else None)
        for slot, playback in playing.items():
            frames[slot] = playback.next_frame()
        events = detector.step(frames, present)
        for slot, playback in list(playing.items()):
            playback.take_note(detector, slot)
            playback.watch(frames[slot], [event for where, event in events if where == slot])
            if playback.is_over(detector, slot):
                done[playback.index] = playback.result(detector.hearing(slot), settings)
                detector.close(slot)
                free.append(slot)
                del playing[slot]
        while next_index in done:
            yield done.pop(next_index)
            next_index += 1


@dataclass
class _Playing:
    """A recording on its way through the detector."""

    index: int
    samples: np.ndarray
    position: int = 0
    backgrounds: list[Hearing] = field(default_factory=list)
    watcher: LineWatcher | None = None
    looks: list[Snapshot] = field(default_factory=list)

    def next_frame(self) -> np.ndarray:
        frame = self.samples[self.position : self.position + FRAME_SAMPLES]
        self.position += FRAME_SAMPLES
        return np.pad(frame, (0, FRAME_SAMPLES - frame.size)) if frame.size < FRAME_SAMPLES else frame

    def take_note(self, detector: Detector, slot: int) -> None:
        """Keep the verdict every 3 s and at the end, for `_background`."""
        now_ms = detector.now_ms(slot)
        end_ms = max(-(-self.samples.size // FRAME_SAMPLES) * FRAME_MS, _SHORTEST_MS)
        if now_ms == end_ms or (now_ms < end_ms and now_ms % _BACKGROUND_EVERY_MS == 0):
            self.backgrounds.append(detector.hearing(slot))

    def watch(self, frame: np.ndarray, events: list[Event]) -> None:
        if self.watcher and (look := self.watcher.note(frame, events)):
            self.looks.append(look)

    def is_over(self, detector: Detector, slot: int) -> bool:
        if self.position < self.samples.size or detector.now_ms(slot) < _SHORTEST_MS:
            return False
        undecided = detector.state(slot) == SpeechState.STARTING or detector.maybe_speech(slot)
        silence_ms = (self.position - self.samples.size) // FRAME_SAMPLES * FRAME_MS
        return not undecided or silence_ms >= _LATEST_ONSET_MS

    def result(self, hearing: Hearing, settings: EarSettings) -> Recording:
        verdict: Verdict
        reason: Reason
        if hearing.active_level_dbov is not None:
            soft = hearing.active_level_dbov < settings.too_soft_dbov  # no hysteresis, since all of it was heard
            verdict, reason = ("too_soft", "soft") if soft else ("speech", "normal")
            noise = hearing.noise_level_dbov
        else:
            verdict, reason = self._background()
            noise = float(np.median([b.noise_level_dbov for b in self.backgrounds]))
        duration_ms = round(self.samples.size * 1000 / SAMPLE_RATE_HZ)
        speech_ms = min(hearing.speech_ms, duration_ms - (hearing.speech_onset_ms or 0))
        of_all = replace(
            hearing, verdict=verdict, reason=reason, final=True, noise_level_dbov=noise, speech_ms=speech_ms
        )
        return Recording(duration_ms, of_all, (*self.looks, self.watcher.look()) if self.watcher else ())

    def _background(self) -> tuple[Verdict, Reason]:
        """Noise if there was noise a third of the time, else no signal; with the most frequent reason."""
        found = Counter((b.verdict, b.reason) for b in self.backgrounds)
        noise = {what: times for what, times in found.items() if what[0] == "noise"}
        counted = noise if sum(noise.values()) * 3 >= sum(found.values()) else found
        quiet = {what: times for what, times in counted.items() if what[0] == "no_signal"}
        return max((quiet or noise).items(), key=lambda item: item[1])[0]
