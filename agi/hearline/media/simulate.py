"""Simulates a call from a recording, on a clock that jumps, with the engine, ears and player of live calls."""

from __future__ import annotations

from collections.abc import Collection
from math import inf
from pathlib import Path

import numpy as np

from hearline.audio.vad.detector import Detector
from hearline.call.plan import Plan
from hearline.call.timeline import Timeline
from hearline.media.player import cut
from hearline.media.session import Session, SlotEars
from hearline.media.transport import FRAME_MS, FRAME_SAMPLES, SILENCE
from hearline.sounds.prompt_store import PromptStore, prompt_keys

ECHO_MS = 1_000  # what we played up to this long before a sound may echo in it


def simulate(
    plan: Plan,
    begin: str | None,
    caller: np.ndarray,
    sounds: Path,
    *,
    drop_silence: bool = False,
    keys: Collection[tuple[int, str]] = (),
    hangup_ms: int | None = None,
) -> tuple[Timeline, np.ndarray]:
    """Run a call to its end.

    Args:
        caller: int16 [samples], 8 kHz: what the caller sends, from 0 ms on; digital silence follows.
        drop_silence: frames of digital silence do not arrive at all.
        keys: (ms, key) of each key press.
        hangup_ms: when the caller hangs up.

    Returns:
        The record, and what the caller heard: int16 [samples], 8 kHz.

    Raises:
        OSError, ValueError: a prompt of the plan is missing or unreadable.
    """
    store, keys_of = PromptStore(sounds), prompt_keys(plan)
    store.want(keys_of.values())
    prompts = {prompt: cut(store.samples(key).tobytes()) for prompt, key in keys_of.items()}
    detector = Detector(1)
    session = Session(plan, begin, prompts, SlotEars(detector, 0, plan))
    line = _Line(caller, drop_silence)
    presses = sorted(keys, key=lambda press: press[0])
    hangup = inf if hangup_ms is None else hangup_ms
    frame: bytes | None = None
    heard: list[bytes] = []
    now = 0
    while session.outcome is None:
        something = min(session.nothing_until, line.silent_until(now) - ECHO_MS, hangup, *(at for at, _ in presses[:1]))
        ticks = int(something - now) // FRAME_MS
        if ticks > 0 and detector.let_pass(0, ticks):
            heard += [session.next_frame() or SILENCE for _ in range(ticks)]
            now += ticks * FRAME_MS
            frame = None
            continue
        events = [event for _, event in detector.step(*line.at(now), {0: frame} if frame else None)]
        pressed = "".join(key for at, key in presses if at <= now)
        presses = [press for press in presses if press[0] > now]
        session.tick(now, events, pressed, gone=now >= hangup)
        frame = session.next_frame()
        heard.append(frame or SILENCE)
        now += FRAME_MS
    return session.timeline, np.frombuffer(b"".join(heard), np.int16)


class _Line:
    """The caller's sound, frame by frame. Times in ms, multiples of 20."""

    def __init__(self, samples: np.ndarray, drop_silence: bool) -> None:
        self._frames = np.pad(samples, (0, -len(samples) % FRAME_SAMPLES)).reshape(-1, 1, FRAME_SAMPLES)
        self._sounding = np.flatnonzero(self._frames.any(axis=(1, 2)))
        self._drop_silence = drop_silence
        self._silence = np.zeros((1, FRAME_SAMPLES), np.int16)

    def at(self, now: int) -> tuple[np.ndarray, np.ndarray]:
        """The frame, int16 [1, 160], and whether it arrives, bool [1]."""
        number = now // FRAME_MS
        frame = self._frames[number] if number < len(self._frames) else self._silence
        return frame, np.array([not self._drop_silence or bool(frame.any())])

    def silent_until(self, now: int) -> float:
        """The end of the digital silence at ``now``; inf if no sound follows."""
        following = np.searchsorted(self._sounding, now // FRAME_MS)
        return self._sounding[following] * FRAME_MS if following < len(self._sounding) else inf
