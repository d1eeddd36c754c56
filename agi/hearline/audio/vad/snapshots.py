"""What the ears make of one line, told ten times a second to people: on a screen, as JSON, as a picture.

Asking the detector costs as much as many ticks of a call, so only lines that somebody looks at have a `LineWatcher`.
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
    """Of every frame of 20 ms since the last look, oldest first."""
    state: str
    """QUIET, STARTING, SPEAKING or STOPPING."""
    hearing: Hearing
    events: tuple[SpeechStarted | SpeechEnded, ...] = ()
    """Since the last look."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON, the hearing's fields among the others; levels to 0.1 dB, shares to 0.001."""
        names = {kind: name for name, kind in _EVENTS.items()}
        return {
            "at_ms": self.at_ms,
            "levels_dbov": [round(x, 1) for x in self.levels_dbov],
            "state": self.state,
            **{name: _rounded(name, value) for name, value in asdict(self.hearing).items()},
            "events": [{"event": names[type(event)], **_times(event)} for event in self.events],
        }

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Snapshot:
        """Of what `as_dict` gave; further keys are passed over."""
        events = [{**event} for event in told["events"]]
        found = tuple(_EVENTS[event.pop("event")](**event) for event in events)
        hearing = Hearing(**{field.name: told[field.name] for field in fields(Hearing)})
        return cls(told["at_ms"], tuple(told["levels_dbov"]), told["state"], hearing, found)


def _rounded(name: str, value: Any) -> Any:
    return round(value, 1 if "_db" in name else 3) if isinstance(value, float) else value


def _times(event: SpeechStarted | SpeechEnded) -> dict[str, int]:
    return {name: value for name, value in vars(event).items() if name != "hearing"}


class LineWatcher:
    """Looks at one open slot of a detector."""

    def __init__(self, detector: Detector, slot: int):
        self._detector, self._slot = detector, slot
        self._frames: list[np.ndarray] = []
        self._events: list[SpeechStarted | SpeechEnded] = []

    def note(self, frame: np.ndarray | None, events: Iterable[Event] = ()) -> Snapshot | None:
        """After every tick: the frame, int16 [160], that the detector heard (None where none came) and the events of
        this slot. Every 100 ms of the line, a look."""
        self._frames.append(np.zeros(FRAME_SAMPLES, np.int16) if frame is None else frame.copy())
        self._events += [event for event in events if isinstance(event, SpeechStarted | SpeechEnded)]
        return None if self._detector.now_ms(self._slot) % LOOK_MS else self.look()

    def look(self) -> Snapshot:
        """The line as it is now, with what came since the last look."""
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
    """One stretch of speech, ms. ``None`` at its end: it was not over yet."""

    onset_ms: int
    """When it really began; ``started_ms`` is when the ears knew."""
    started_ms: int
    end_ms: int | None = None
    """Where the silence began; ``ended_ms`` is when the ears took it for the end."""
    ended_ms: int | None = None


def segments(looks: Sequence[Snapshot]) -> list[Segment]:
    """The speech in these looks. Where they begin in the middle of it, it begins with them."""
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
    """Middle of every frame in ms, and its level in dBov; NaN where looks are missing."""
    if not looks:
        return np.zeros(0), np.zeros(0)
    first_ms = looks[0].at_ms - len(looks[0].levels_dbov) * FRAME_MS
    level = np.full((looks[-1].at_ms - first_ms) // FRAME_MS, np.nan)
    for look in looks:
        end = (look.at_ms - first_ms) // FRAME_MS
        level[max(0, end - len(look.levels_dbov)) : end] = look.levels_dbov
    return first_ms + (np.arange(level.size) + 0.5) * FRAME_MS, np.maximum(level, SILENCE_DBOV)
