"""Simulated calls: a clock that jumps does not change the result, and saves time."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from audio_corpus import CLIPS, RATE, speech
from hearline.audio.vad.detector import Detector
from hearline.media.simulate import simulate

REPO = Path(__file__).resolve().parents[2]


def said_after(*pauses_s: float, dbov: float = -26) -> np.ndarray:
    """Digital silence of so many seconds, each followed by a sentence: int16 at 8 kHz."""
    silences = [np.zeros(int(pause * RATE), np.int16) for pause in pauses_s]
    sentence = np.rint(speech(CLIPS[1], dbov) * 32768).astype(np.int16)
    return np.concatenate([part for silence in silences for part in (silence, sentence)] or [np.zeros(0, np.int16)])


CALLERS = {
    "nobody": said_after(),
    "in the first wait": said_after(5.5),
    "in the second wait, after a whole second and a bit": said_after(9.37),
    "too soft": said_after(8.1, 10, 9, dbov=-48),
}


@pytest.mark.parametrize("drop_silence", [False, True])
@pytest.mark.parametrize("caller", CALLERS)
def test_silence_that_is_passed_by_is_as_if_it_had_been_heard(caller, drop_silence, flows, monkeypatch):
    plan, steps = flows.flows["hotline"].plan, []
    step = Detector.step
    monkeypatch.setattr(Detector, "step", lambda *told: steps.append(1) or step(*told))

    def run() -> tuple[dict, bytes, int]:
        steps.clear()
        timeline, heard = simulate(plan, None, CALLERS[caller], flows._sounds, drop_silence=drop_silence)
        return timeline.as_dict(), heard.tobytes(), len(steps)

    quick, quick_heard, quick_steps = run()
    monkeypatch.setattr(Detector, "let_pass", lambda *_: False)
    whole, whole_heard, whole_steps = run()
    assert quick == whole and quick_heard == whole_heard
    assert whole_steps > 1.5 * quick_steps and (caller != "nobody" or whole_steps > 8 * quick_steps)


@pytest.mark.parametrize(("in_haste", "outcome"), [(1.0, "queue:care"), (0.8, "hangup:noinput")])
def test_nobody_is_sent_away_for_a_silence_that_was_not_listened_to(in_haste, outcome, flows, monkeypatch):
    """Where there was no time for the ears a caller might be speaking all the while."""
    hasty, step = np.random.default_rng(1), Detector.step
    monkeypatch.setattr(
        Detector,
        "step",
        lambda ears, frames, present, played=None: step(ears, frames, present, played, hasty.random() < in_haste),
    )
    monkeypatch.setattr(Detector, "let_pass", lambda *_: False)
    timeline, _ = simulate(flows.flows["hotline"].plan, None, CALLERS["nobody"], flows._sounds)
    assert timeline.outcome == outcome
    assert [event.get("deaf", False) for event in timeline.events if event["event"] == "timer"][0] == (in_haste == 1)


def test_to_run_a_flow_takes_little_longer_than_to_start():
    """Against what nobody can spare, the interpreter and the libraries: so it does not depend on the machine."""

    def cpu_s(*arguments: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, cwd=REPO, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    caller = str(REPO / "sounds" / "zh" / "callers" / "caller-ask.wav")
    starts, runs = [], []
    for _ in range(3):
        starts.append(cpu_s("-c", "import numpy, pydantic, typer, yaml; pydantic.BaseModel"))
        runs.append(cpu_s("-m", "hearline", "flow", "run", "ivr_flows/hotline.yaml", "--caller", caller))
    assert min(runs) < 3 * min(starts)
