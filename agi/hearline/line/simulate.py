"""A call without a phone: a recording in, a clock that jumps. The engine, ears and player of the live line."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from hearline.audio.detector import Detector
from hearline.audio.wav import read_wav
from hearline.call.plan import Plan
from hearline.call.timeline import Timeline
from hearline.line.player import PromptStore
from hearline.line.session import Session, SlotEars
from hearline.line.transport import FRAME_MS, FRAME_SAMPLES, SILENCE
from hearline.sounds.manifest import prompt_path


def simulate(
    plan: Plan,
    begin: str | None,
    caller: np.ndarray,
    sounds: Path,
    *,
    drop_silence: bool = False,
    keys_ms: Collection[int] = (),
    hangup_ms: int | None = None,
) -> tuple[Timeline, np.ndarray]:
    """Run a call to its end.

    Args:
        caller: int16 [samples], 8 kHz, what the caller sends from 0 ms on; digital silence after it.
        drop_silence: frames of digital silence do not arrive at all.
        keys_ms: when keys are pressed.
        hangup_ms: when the caller hangs up.

    Returns:
        The record, and what the caller heard: int16 [samples], 8 kHz.

    Raises:
        OSError, ValueError: a prompt of the plan is missing or unreadable.
    """
    store = PromptStore(lambda *which: prompt_path(sounds, *which), lambda path: read_wav(path).tobytes())
    prompts = {prompt: store.frames(plan.language, plan.phrases, prompt) for prompt in plan.prompts}
    detector = Detector(1)
    detector.open(0)
    now = 0
    session = Session(plan, begin, prompts, SlotEars(detector, 0))
    presses = sorted(keys_ms)
    frames = np.zeros((1, FRAME_SAMPLES), np.int16)
    present = np.ones(1, bool)
    played = np.zeros((1, FRAME_SAMPLES), np.int16)
    heard: list[bytes] = []
    while session.outcome is None:
        at = now * FRAME_SAMPLES // FRAME_MS
        part = caller[at : at + FRAME_SAMPLES]
        frames[0] = 0
        frames[0, : len(part)] = part
        present[0] = not drop_silence or bool(part.any())
        events = [event for _, event in detector.step(frames, present, played if played.any() else None)]
        keys = "".join("#" for press in presses if press <= now)
        presses = [press for press in presses if press > now]
        gone = hangup_ms is not None and now >= hangup_ms
        heard.append(session.tick(now, events, keys, gone) or SILENCE)
        played[0] = np.frombuffer(heard[-1], np.int16)
        now += FRAME_MS
    return session.timeline, np.frombuffer(b"".join(heard), np.int16)
