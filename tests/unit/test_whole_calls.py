"""Whole calls on imperfect lines: with an echo, a television, a single sound."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from bench.ears import mixing, synthetic
from bench.ears.whole_calls import Call, beside_television, floor, run, silent_with_echo

from audio_corpus import CLIPS, RATE
from hearline.audio.level.p56 import rms_dbov
from hearline.audio.wav import read_wav
from hearline.media.player import cut
from hearline.media.simulate import simulate
from hearline.media.transport import FRAME_MS
from hearline.sounds.manifest import prompt_path

SOUNDS = Path(__file__).resolve().parents[2] / "sounds"
LAWS = ("alaw", "mulaw")
LIKE_THE_HOTLINE = ("hotline", "training", "travel", "national", "elder")


def heard(timeline) -> str:
    return next(event["heard"] for event in timeline.events if event["event"] in ("route", "hangup"))


def voices() -> dict[str, list[np.ndarray]]:
    found: dict[str, list[np.ndarray]] = {}
    for path in (*CLIPS, *sorted((SOUNDS / "zh" / "callers").glob("*.wav"))):
        found.setdefault(path.stem.partition("-")[0], []).append(read_wav(path) / 32768)
    return found


# ---- our own prompt comes back -----------------------------------------------------------------------------------
@pytest.mark.parametrize("flow", LIKE_THE_HOTLINE)
def test_a_silent_caller_whose_line_echoes_is_silent(flow, flows):
    """−20 to −40 dB, 20 to 500 ms late: nobody has spoken, and nothing else was there."""
    plan = flows.flows[flow].plan
    calls = [
        silent_with_echo(np.random.default_rng([1, n]), plan, SOUNDS, LAWS[n % 2], loss_db)
        for n, loss_db in enumerate((20, 24, 28, 32, 36, 40))
    ]
    ended = run(calls, SOUNDS)
    assert not [event for timeline in ended for event in timeline.events if event["event"] == "speech_start"]
    if flow == "elder":
        assert {(timeline.outcome, heard(timeline)) for timeline in ended} == {("queue:care", "silent2")}
    else:
        assert {timeline.outcome for timeline in ended} == {"hangup:noinput"}


@pytest.mark.parametrize("pause_ms", [500, 1_000, 5_000])
def test_an_echo_is_no_noise_however_short_the_pause(pause_ms, flows):
    plan = flows.flows["hotline"].plan
    goodbye = dataclasses.replace(plan.steps["no_sound"], wait_ms=pause_ms)
    plan = dataclasses.replace(plan, steps={**plan.steps, "no_sound": goodbye})
    calls = [
        silent_with_echo(np.random.default_rng([2, n]), plan, SOUNDS, "alaw", loss_db)
        for n, loss_db in enumerate((20, 30))
    ]
    assert {timeline.outcome for timeline in run(calls, SOUNDS)} == {"hangup:noinput"}


# ---- a television ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("under_db", [15, 20, 25])
def test_who_speaks_once_beside_a_television_reaches_a_person(under_db, flows):
    """At a normal level, −20 to −28 dBov. Nobody is asked to speak up, and the television does not keep them waiting:
    most are through 3 s after their last word."""
    said = [
        beside_television(
            np.random.default_rng([3, n, under_db]), flows.flows[flow].plan, voices(), LAWS[n % 2], level, under_db
        )
        for n, (flow, level) in enumerate(zip((*LIKE_THE_HOTLINE, "hotline"), (-28, -28, -24, -28, -20, -28)))
    ]
    waited = []
    for beside, timeline in zip(said, run([beside.call for beside in said], SOUNDS), strict=True):
        began_ms, ended_ms = beside.spoke_ms
        asked = [e for e in timeline.events if e.get("prompt", "").startswith("low") and e["at_ms"] > began_ms + 200]
        assert timeline.outcome == "queue:care" and not asked
        waited.append(timeline.duration_ms - ended_ms)
    assert np.median(waited) < 3_000


# ---- a single sound ----------------------------------------------------------------------------------------------
def knock(rng):
    return synthetic.knock(rng, 3_200)


def click(rng):
    x = np.zeros(160)
    x[20:40] = rng.choice((-1, 1))
    return x


def rustle(rng):
    return synthetic.coloured(rng, RATE // 3, 0.4)


def times_s(plan) -> dict[str, tuple[float, float]]:
    """From when to when the last wait, the goodbye's last second and the pause last, for a silent caller."""
    at, found = 0, {}
    for name in ("opening", "connected", "hear_me", "no_sound"):
        step = plan.steps[name]
        prompt = read_wav(prompt_path(SOUNDS, plan.language, plan.phrases, step.prompt))
        ended = at + len(cut(prompt.tobytes())) * FRAME_MS
        at = ended + step.wait_ms
        found[name] = ended, at
    (goodbye, over), wait = found["no_sound"], found["hear_me"]
    spans = {"wait": wait, "goodbye": (goodbye - 1_000, goodbye), "pause": (goodbye, over)}
    return {when: (first / 1000, last / 1000) for when, (first, last) in spans.items()}


@pytest.mark.parametrize(("on_sound", "outcome"), [("person", "queue:care"), ("countdown", "hangup:noinput")])
@pytest.mark.parametrize("when", ["wait", "goodbye", "pause"])
@pytest.mark.parametrize("flow", ["hotline", "national"])
def test_a_single_sound_leads_to_a_person_or_the_countdown_goes_on(flow, when, on_sound, outcome, flows):
    """Wherever it comes, whatever it is and however loud: as the profile says."""
    plan = dataclasses.replace(flows.flows[flow].plan, on_sound=on_sound)
    first, last = times_s(plan)[when]
    calls = []
    for n, make in enumerate((knock, click, rustle)):
        rng = np.random.default_rng([4, n])
        x, sound = floor(rng, 70), make(rng)
        at = round(rng.uniform(first, last - sound.size / RATE - 0.2) * RATE)
        x[at : at + sound.size] += sound * 10 ** ((rng.uniform(-45, -25) - rms_dbov(sound)) / 20)
        calls.append(Call(plan, np.clip(x, -1, 1)))
    assert [timeline.outcome for timeline in run(calls, SOUNDS)] == [outcome] * len(calls)


# ---- what is lost on the way -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(("lost", "burst"), [(0.01, 4), (0.03, 4), (0.08, 1), (0.08, 4)])
def test_comfort_noise_of_which_frames_are_lost_is_silence_all_the_same(lost, burst, flows):
    """A gap makes a steady sound unsteady, but no noise."""
    rng = np.random.default_rng([5, burst, round(lost * 100)])
    noise = mixing.at_rms(rng.standard_normal(40 * RATE), -58)
    frames = np.rint(noise * 32768).astype(np.int16).reshape(-1, RATE // 50)
    for at in np.flatnonzero(rng.random(len(frames)) < lost / burst):
        frames[at : at + burst] = 0
    timeline, _ = simulate(flows.flows["hotline"].plan, None, frames.reshape(-1), SOUNDS, drop_silence=True)
    assert (timeline.outcome, heard(timeline)) == ("hangup:noinput", "silent2")
