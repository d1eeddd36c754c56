"""The analysis of what a softphone heard, tested on recordings made from the real prompts with known times and
faults."""

from __future__ import annotations

import time
import wave
from pathlib import Path

import numpy as np
import pytest

from hearline.phone import heard

SOUNDS = Path(__file__).parents[2] / "sounds" / "zh"
RATE = 8000
MS = RATE // 1000


def read(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2") / 32768


def alaw(samples: np.ndarray) -> np.ndarray:
    """What A-law leaves of float samples (13 segments, sign and magnitude, middle of each step)."""
    magnitude = np.clip(np.abs(samples) * 4096, 0, 4095).astype(int)
    exponent = np.maximum(np.floor(np.log2(np.maximum(magnitude, 32))).astype(int) - 5, 0)
    step = 2 << np.maximum(exponent, 0)
    return np.sign(samples) * (magnitude // step * step + step / 2) / 4096


def mulaw(samples: np.ndarray) -> np.ndarray:
    """What mu-law leaves of float samples: bias, 8 segments of 16 steps, middle of each step."""
    biased = np.minimum(np.abs(samples) * 8192, 8158) + 33
    step = 2.0 ** (np.floor(np.log2(biased)) - 4)
    return np.sign(samples) * (np.floor(biased / step) * step + step / 2 - 33) / 8192


@pytest.fixture(scope="module")
def prompts() -> dict[str, np.ndarray]:
    found = {path.stem: read(path) for path in sorted((SOUNDS / "lanzhi").glob("*.wav"))}
    assert {"opening", "noinput-1", "noinput-2", "noinput-goodbye", "low-1", "low-2"} <= set(found)
    return found


@pytest.fixture(scope="module")
def sentence() -> np.ndarray:
    return read(SOUNDS / "callers" / "caller-ask.wav")


def recording(length_ms: float, *parts: tuple[float, np.ndarray], noise_dbov: float | None = None) -> np.ndarray:
    """Silence of `length_ms` with each part at its ms; `noise_dbov` is the level of white noise under it."""
    out = np.zeros(round(length_ms * MS))
    for at_ms, part in parts:
        start = round(at_ms * MS)
        out[start : start + len(part)] += part[: len(out) - start]
    if noise_dbov is not None:
        out += np.random.default_rng(7).standard_normal(len(out)) * 10 ** (noise_dbov / 20)
    return out


def ms(samples: np.ndarray) -> float:
    return len(samples) / MS


def last_sound(samples: np.ndarray, before_ms: float) -> float:
    """ms up to which there is something to hear before `before_ms`: a prompt may be cut in one of its
    pauses.
    """
    part = samples[: round(before_ms * MS)]
    return (np.flatnonzero(np.abs(part) > 0.02 * np.abs(samples).max())[-1] + 1) / MS


@pytest.mark.parametrize("code", [alaw, mulaw], ids=["alaw", "mulaw"])
@pytest.mark.parametrize("gain_db", [0, -12])
def test_the_silent_call_is_heard_as_it_was(prompts, code, gain_db):
    at, plan = 61.0, []
    for name in ("opening", "noinput-1", "noinput-2", "noinput-goodbye"):
        plan.append((at, name))
        at += ms(prompts[name]) + 3000
    sound = recording(at, *((start, prompts[name]) for start, name in plan)) * 10 ** (gain_db / 20)
    found = heard.find_prompts(code(sound), prompts)
    assert [prompt.id for prompt in found] == [name for _, name in plan]
    for prompt, (start, name) in zip(found, plan, strict=True):
        assert prompt.start_ms == pytest.approx(start, abs=2)
        assert prompt.end_ms == pytest.approx(start + ms(prompts[name]), abs=2)
        assert prompt.complete > 0.995
        assert prompt.score > 0.95
        assert prompt.level_db == pytest.approx(gain_db, abs=0.5)


def test_int16_and_float_are_the_same(prompts):
    sound = recording(6000, (500, prompts["opening"]))
    [found] = heard.find_prompts(np.round(sound * 32767).astype(np.int16), prompts)
    assert found.start_ms == pytest.approx(500)


def test_no_prompt_is_taken_for_another(prompts):
    for name, prompt in prompts.items():
        found = heard.find_prompts(mulaw(recording(ms(prompt) + 1000, (333, prompt))), prompts)
        assert [(one.id, round(one.start_ms)) for one in found] == [(name, 333)]


def test_line_noise_changes_nothing(prompts):
    sound = recording(12000, (700, prompts["low-1"]), (7000, prompts["low-2"]), noise_dbov=-50)
    found = heard.find_prompts(alaw(sound), prompts)
    assert [(one.id, round(one.start_ms)) for one in found] == [("low-1", 700), ("low-2", 7000)]
    assert all(one.complete > 0.99 for one in found)


def test_nothing_is_found_in_silence_noise_and_other_speech(prompts, sentence):
    assert heard.find_prompts(np.zeros(40000), prompts) == []
    assert heard.find_prompts(recording(5000, noise_dbov=-40), prompts) == []
    assert heard.find_prompts(alaw(recording(8000, (1000, sentence))), prompts) == []
    assert heard.find_prompts(np.zeros(10), prompts) == []


@pytest.mark.parametrize("name", ["opening", "noinput-1", "noinput-goodbye"])
@pytest.mark.parametrize("cut_ms", [340, 700, 1500, 2400])
@pytest.mark.parametrize("then", ["silence", "speech"])
def test_a_prompt_broken_off_ends_where_it_was_broken_off(prompts, sentence, name, cut_ms, then):
    prompt = prompts[name]
    parts = [(1000, prompt[: cut_ms * MS])]
    if then == "speech":
        parts.append((1000 + cut_ms + 40, sentence))
    found = heard.find_prompts(alaw(recording(9000, *parts)), prompts)
    assert len(found) == 1
    # Two prompts may begin with the very same sound; then the beginning alone does not tell which it was.
    assert found[0].id == name or cut_ms < 1000
    assert found[0].start_ms == pytest.approx(1000, abs=2)
    assert 1000 + last_sound(prompt, cut_ms) - 2 <= found[0].end_ms <= 1000 + cut_ms + 2
    if found[0].id == name:
        assert found[0].complete == pytest.approx((found[0].end_ms - 1000) / ms(prompt), abs=0.001)


def test_a_recording_that_begins_within_the_prompt(prompts):
    found = heard.find_prompts(alaw(recording(6000, (0, prompts["opening"][60 * MS :]))), prompts)
    assert [(one.id, round(one.start_ms)) for one in found] == [("opening", -60)]


def test_the_same_prompt_twice(prompts):
    sound = recording(14000, (1000, prompts["noinput-2"]), (8000, prompts["noinput-2"]))
    assert [round(one.start_ms) for one in heard.find_prompts(mulaw(sound), prompts)] == [1000, 8000]


@pytest.mark.parametrize("code", [alaw, mulaw], ids=["alaw", "mulaw"])
def test_a_clean_prompt_has_no_glitches(prompts, code):
    for prompt in prompts.values():
        assert heard.glitches(code(recording(ms(prompt) + 1000, (200, prompt))), prompt, 200) == []
        noisy = code(recording(ms(prompt) + 1000, (200, prompt), noise_dbov=-55))
        assert heard.glitches(noisy, prompt, 200) == []


def busy_frames(prompt: np.ndarray) -> list[int]:
    """First samples of 20 ms frames in the middle of speech; in the first 200 ms a fault would also move the
    start.
    """
    frames = prompt[: len(prompt) // 160 * 160].reshape(-1, 160)
    power = (frames**2).mean(axis=1)
    busy = [i for i in range(10, len(frames) - 12) if power[i - 1 : i + 2].min() > 0.3 * power.mean()]
    return [i * 160 for i in busy[::13]]


@pytest.mark.parametrize("name", ["opening", "low-2"])
def test_a_missing_frame_is_one_glitch(prompts, name):
    prompt = prompts[name]
    for at in busy_frames(prompt):
        broken = alaw(recording(9000, (1000, np.delete(prompt, np.s_[at : at + 160]))))
        found = heard.find_prompts(broken, prompts)
        assert [one.id for one in found] == [name]
        assert found[0].start_ms == pytest.approx(1000, abs=2), at
        assert found[0].complete > 0.99
        faults = heard.glitches(broken, prompt, 1000)
        assert [(one.kind, one.ms) for one in faults] == [("missing", 20)], (at, faults)
        assert faults[0].at_ms == pytest.approx(1000 + at / MS, abs=25)


@pytest.mark.parametrize("name", ["opening", "low-2"])
@pytest.mark.parametrize("fault", ["repeated", "gap"])
def test_an_additional_frame_is_one_glitch(prompts, name, fault):
    prompt = prompts[name]
    for at in busy_frames(prompt):
        frame = prompt[at - 160 : at] if fault == "repeated" else np.zeros(160)
        broken = mulaw(recording(9000, (1000, np.insert(prompt, at, frame))))
        faults = heard.glitches(broken, prompt, 1000)
        assert [(one.kind, one.ms) for one in faults] == [("inserted", 20)], (at, faults)
        found = heard.find_prompts(broken, prompts)[0]
        assert (found.id, found.start_ms) == (name, pytest.approx(1000, abs=2))
        assert found.end_ms == pytest.approx(1020 + ms(prompt), abs=2)


@pytest.mark.parametrize("at_ms", [780, 980, 1060])  # of 1,180
@pytest.mark.parametrize("gap_ms", [80, 100, 200, 300])
def test_what_was_held_up_near_its_end_was_heard_to_its_end(prompts, gap_ms, at_ms):
    prompt = read(SOUNDS / "hints" / "agent-too-soft.wav")
    at = at_ms * MS
    held_up = alaw(recording(4000, (1000, np.insert(prompt, at, np.zeros(gap_ms * MS)))))
    [found] = heard.find_prompts(held_up, prompts | {"whisper": prompt})
    assert (found.id, found.complete) == ("whisper", 1.0)
    assert found.end_ms == pytest.approx(1000 + ms(prompt) + gap_ms, abs=2)
    [fault] = heard.glitches(held_up, prompt, found.start_ms)
    assert (fault.kind, fault.ms) == ("inserted", gap_ms)


@pytest.mark.parametrize("lost_ms", [60, 100, 200])
def test_what_was_lost_near_its_end_is_a_hole_and_not_its_end(prompts, lost_ms):
    prompt = read(SOUNDS / "hints" / "agent-too-soft.wav")
    lossy = prompt.copy()
    lossy[780 * MS : (780 + lost_ms) * MS] = 0
    lossy = alaw(recording(4000, (1000, lossy)))
    [found] = heard.find_prompts(lossy, prompts | {"whisper": prompt})
    assert (found.id, found.complete) == ("whisper", 1.0)
    assert any(fault.kind == "hole" for fault in heard.glitches(lossy, prompt, found.start_ms))


def test_an_end_softer_than_the_noise_counts_as_heard(prompts):
    prompt = np.concatenate([prompts["low-1"], 0.02 * prompts["low-2"]])
    noisy = alaw(recording(ms(prompt) + 2000, (1000, prompt), noise_dbov=-45))
    [found] = heard.find_prompts(noisy, {"soft-end": prompt})
    assert found.complete == 1.0
    assert heard.glitches(noisy, prompt, found.start_ms) == []


def test_a_hole_and_a_click_are_told_apart(prompts):
    prompt = prompts["opening"]
    for at in busy_frames(prompt):
        hole, click = prompt.copy(), prompt.copy()
        hole[at : at + 160] = 0
        click[at + 30 : at + 34] += [0.5, -0.5, 0.4, -0.3]
        [fault] = heard.glitches(alaw(recording(9000, (1000, hole))), prompt, 1000)
        assert (fault.kind, fault.ms) == ("hole", pytest.approx(20, abs=5))
        assert fault.at_ms == pytest.approx(1000 + at / MS, abs=5)
        [fault] = heard.glitches(alaw(recording(9000, (1000, click))), prompt, 1000)
        assert (fault.kind, fault.ms) == ("click", pytest.approx(5, abs=5))


def test_contains_gives_the_level_of_a_sentence(prompts, sentence):
    for gain_db in (0, -15, -30):
        quiet = sentence * 10 ** (gain_db / 20)
        found = heard.contains(alaw(recording(12000, (2345, quiet), (6000, prompts["closed"]))), sentence)
        assert found.level_db == pytest.approx(gain_db, abs=1)
        assert found.at_ms == pytest.approx(2345, abs=1)
        assert found.above_floor_db > 6
    assert heard.contains(alaw(recording(8000, (1000, sentence))), sentence).score > 0.95


def test_contains_says_not_there(prompts, sentence):
    prompt, noise = recording(9000, (500, prompts["opening"])), recording(9000, noise_dbov=-45)
    for sound in (prompt, noise, np.zeros(80000)):
        found = heard.contains(alaw(sound), sentence)
        assert found.score < 0.2
        assert found.above_floor_db < 6


def test_silences():
    sound = recording(3000, (500, np.full(300 * MS, 0.1)), (1800, np.full(200 * MS, 0.1)))
    assert heard.silences(sound, min_ms=200) == [(0, 500), (800, 1800), (2000, 3000)]
    assert heard.silences(np.full(800, 0.5)) == []


def test_tone_level():
    tone = 0.1 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    sound = recording(5000, (2000, tone))
    assert heard.tone_level_db(sound, 1000) == pytest.approx(-23.0, abs=0.2)
    assert heard.tone_level_db(alaw(sound), 700) < -70
    assert heard.tone_level_db(np.zeros(0), 700) < -100


def test_fast_enough_for_a_test_suite(prompts):
    sound = alaw(recording(40000, (1000, prompts["opening"]), (20000, prompts["low-1"]), noise_dbov=-60))
    started = time.process_time()
    assert len(heard.find_prompts(sound, prompts)) == 2
    assert time.process_time() - started < 2
