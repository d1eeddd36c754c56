"""Snapshots of what the ears hear on one line, ten a second, for people: on a screen, as JSON, in a picture.

A snapshot takes as long as many ticks of a call, so only lines that somebody is watching have a `LineWatcher`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from hearline.audio.hearing import Event, Hearing, SpeechEnded, SpeechStarted
from hearline.audio.level.p56 import SILENCE_DBOV, power_to_dbov
from hearline.audio.settings import FRAME_MS, FRAME_SAMPLES
from hearline.audio.vad.detector import Detector

LOOK_MS = 100
_EVENTS = {"speech_start": SpeechStarted, "speech_end": SpeechEnded}


@dataclass(frozen=True)
class Snapshot:
    """A line at one moment. Times in ms since the line was opened, levels in dBov."""

    at_ms: int
    levels_dbov: tuple[float, ...]
    """The level of every 20 ms frame since the last look, oldest first."""
    state: str
    """QUIET, STARTING, SPEAKING or STOPPING."""
    hearing: Hearing
    events: tuple[SpeechStarted | SpeechEnded, ...] = ()
    """Those since the last look."""

    def as_dict(self) -> dict[str, Any]:
        """A dictionary for JSON, with the hearing's fields on the same level; levels to 0.1 dB, shares to 0.001."""
        names = {kind: name for name, kind in _EVENTS.items()}
        return {
            "at_ms": self.at_ms,
            "levels_dbov": [round(x, 1) for x in self.levels_dbov],
            "state": self.state,
            **{name: _rounded(name, value) for name, value in asdict(self.hearing).items()},
            "events": [{"event": names[type(event)], **_times(event)} for event in self.events],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Snapshot:
        """The snapshot that `as_dict` turned into `data`; further keys are ignored."""
        events = [{**event} for event in data["events"]]
        found = tuple(_EVENTS[event.pop("event")](**event) for event in events)
        hearing = Hearing(**{field.name: data[field.name] for field in fields(Hearing)})
        return cls(data["at_ms"], tuple(data["levels_dbov"]), data["state"], hearing, found)


def _rounded(name: str, value: Any) -> Any:
    return round(value, 1 if "_db" in name else 3) if isinstance(value, float) else value


def _times(event: SpeechStarted | SpeechEnded) -> dict[str, int]:
    return {name: value for name, value in vars(event).items() if name != "hearing"}


class LineWatcher:
    """Takes snapshots of one open slot of a detector."""

    def __init__(self, detector: Detector, slot: int):
        self._detector, self._slot = detector, slot
        self._frames: list[np.ndarray] = []
        self._events: list[SpeechStarted | SpeechEnded] = []

    def note(self, frame: np.ndarray | None, events: Iterable[Event] = ()) -> Snapshot | None:
        """Call after every tick with the frame, int16 [160], that the detector heard (None if none came) and the slot's
        events. Returns a snapshot after every 100 ms of the line."""
        self._frames.append(np.zeros(FRAME_SAMPLES, np.int16) if frame is None else frame.copy())
        self._events += [event for event in events if isinstance(event, SpeechStarted | SpeechEnded)]
        return None if self._detector.now_ms(self._slot) % LOOK_MS else self.look()

    def look(self) -> Snapshot:
        """A snapshot of the line now, with everything since the last one."""
        levels = _levels_dbov(self._frames)
        events, self._frames, self._events = tuple(self._events), [], []
        detector, slot = self._detector, self._slot
        return Snapshot(detector.now_ms(slot), levels, detector.state(slot).name, detector.hearing(slot), events)


def _levels_dbov(frames: Sequence[np.ndarray]) -> tuple[float, ...]:
    if not frames:
        return ()
    power = np.var(np.stack(frames).astype(np.float32) / 32768, axis=1)
    return tuple(float(level) for level in power_to_dbov(power))


@dataclass(frozen=True)
class Segment:
    """One stretch of speech, times in ms. The ends are None while it is not over."""

    onset_ms: int
    """When speech began; ``started_ms`` is when the ears detected it."""
    started_ms: int
    end_ms: int | None = None
    """When the silence began; ``ended_ms`` is when the ears took it for the end."""
    ended_ms: int | None = None


def segments(looks: Sequence[Snapshot]) -> list[Segment]:
    """The speech in these looks. Speech that was under way when they begin is taken to begin with them."""
    found: list[Segment] = []
    open_: Segment | None = None
    if looks and looks[0].state in ("SPEAKING", "STOPPING") and not looks[0].events:
        began = looks[0].at_ms - len(looks[0].levels_dbov) * FRAME_MS
        open_ = Segment(began, began)
    for event in (event for look in looks for event in look.events):
        if isinstance(event, SpeechStarted):
            open_ = Segment(event.onset_ms, event.at_ms)
        elif open_ is not None:
            found.append(Segment(open_.onset_ms, open_.started_ms, event.end_ms, event.at_ms))
            open_ = None
    return found if open_ is None else [*found, open_]


def levels(looks: Sequence[Snapshot]) -> tuple[np.ndarray, np.ndarray]:
    """The middle of every frame in ms, and its level in dBov, NaN where looks are missing: two arrays [frames]."""
    if not looks:
        return np.zeros(0), np.zeros(0)
    first_ms = looks[0].at_ms - len(looks[0].levels_dbov) * FRAME_MS
    level = np.full((looks[-1].at_ms - first_ms) // FRAME_MS, np.nan)
    for look in looks:
        end = (look.at_ms - first_ms) // FRAME_MS
        level[max(0, end - len(look.levels_dbov)) : end] = look.levels_dbov
    return first_ms + (np.arange(level.size) + 0.5) * FRAME_MS, np.maximum(level, SILENCE_DBOV)
