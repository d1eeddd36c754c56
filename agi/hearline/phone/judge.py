"""Compares what was planned with what a softphone heard: the ms between prompts, and who heard whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hearline.audio.wav import read_wav
from hearline.phone.heard import HeardPrompt, contains

WHOLE = 0.97  # a prompt heard to this share counts as whole
AUDIBLE_DB = 6.0  # a sentence that was heard is at least this far above chance …
CLEAR_DB = -12.0  # … and, if it was heard well, at least this loud relative to its file


@dataclass(frozen=True)
class Timing:
    """One planned wait: its planned length, and its length as the phone heard it, in ms."""

    what: str
    planned_ms: float
    heard_ms: float

    @property
    def error_ms(self) -> float:
        return self.heard_ms - self.planned_ms


@dataclass(frozen=True)
class Presence:
    """A sentence in a recording: its level relative to its file, and above the level reached by chance, in dB."""

    level_db: float
    above_chance_db: float
    at_ms: float

    @property
    def heard(self) -> bool:
        return self.above_chance_db > AUDIBLE_DB and self.level_db > CLEAR_DB

    @property
    def absent(self) -> bool:
        return self.above_chance_db <= AUDIBLE_DB or self.level_db < -40


def prompts_of(folder: Path) -> dict[str, np.ndarray]:
    """All 8 kHz prompts of a phrase set's folder, int16, by id."""
    return {path.stem: read_wav(path) for path in sorted(folder.glob("*.wav"))}


def presence(recording: np.ndarray, sentence: np.ndarray) -> Presence:
    found = contains(recording, sentence)
    return Presence(round(found.level_db, 1), round(found.above_floor_db, 1), round(found.at_ms, 1))


def timings(timeline: Mapping[str, Any], heard: list[HeardPrompt], packets: int) -> list[Timing]:
    """Every wait between two prompts, and the one before a hang-up.

    Args:
        timeline: the record of the call.
        heard: its prompts in order, as the phone heard them.
        packets: the number of RTP packets of 20 ms that the phone received. They begin with the first prompt and end
            with the call, so they give the length of the last pause. The phone's clock would not, since its jitter
            buffer delays the sound but not the hang-up.
    """
    found, left = [], list(heard)
    stream_ms = packets * 20 + (heard[0].start_ms if heard else 0)
    ended: tuple[str, float, float] | None = None  # prompt, planned end, heard end
    for event in timeline["events"]:
        if event["event"] == "prompt_start":
            spoken = next((h for h in left if h.id == event["prompt"]), None)
            if spoken is None:
                ended = None
                continue
            left = left[left.index(spoken) + 1 :]
            if ended:
                planned = event["planned_ms"] - ended[1]
                found.append(Timing(f"{ended[0]} → {spoken.id}", planned, spoken.start_ms - ended[2]))
            ended = None
        elif event["event"] == "prompt_end" and spoken is not None:
            ended = (event["prompt"], event["planned_ms"], spoken.end_ms)
        elif event["event"] == "hangup" and ended and event["to"] != "hangup:caller":
            found.append(Timing(f"{ended[0]} → hang-up", event["planned_ms"] - ended[1], stream_ms - ended[2]))
    return found
