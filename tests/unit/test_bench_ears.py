"""The labels of the ears' test set are correct. Uses synthetic sounds, so nothing is downloaded."""

import zipfile
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from bench.ears import labels, mixing, synthetic, train
from bench.ears.measure import claimed, delay_ms, missed, rows
from bench.ears.packages import _unpack_archives
from bench.ears.recordings import Sound, utterances
from bench.ears.run import Heard, run
from bench.ears.sources import read_sources
from bench.ears.testset import Material, _other, build, talk
from bench.ears.train import CALLER, LEFT_OUT, NOBODY

from hearline.audio.level.p56 import active_speech_level, rms_dbov
from hearline.audio.vad import near_speech
from hearline.audio.vad.detector import Detector

RATE = 8000


def syllables(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Something with the envelope of speech: five bursts a second."""
    t = np.arange(round(seconds * RATE)) / RATE
    return synthetic.coloured(rng, t.size, 0.5) * np.maximum(np.sin(2 * np.pi * 2.5 * t), 0) ** 0.5


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.fixture(scope="module")
def material() -> Material:
    rng = np.random.default_rng(2)

    def sounds(kind: str, count: int, subkind: str) -> list[Sound]:
        pieces = [mixing.at_active_level(syllables(rng, 1.2), -26).astype(np.float32) for _ in range(3)]
        return [Sound(f"{kind}-{i}", kind, subkind, "tuning", pieces) for i in range(count)]

    prompts = {"opening": (mixing.at_active_level(syllables(rng, 3), -23) * 32768).astype(np.int16)}
    return Material(
        "tuning",
        sounds("speech", 9, "en"),
        sounds("noise", 1, "rain"),
        sounds("music", 1, "music"),
        sounds("transient", 1, "door"),
        prompts,
    )


@pytest.fixture(scope="module")
def clips(material: Material) -> list:
    return build(material, scale=0.02)


def test_levels_are_what_was_asked_for(rng):
    x = syllables(rng, 4)
    assert active_speech_level(mixing.at_active_level(x, -32), RATE).active_dbov == pytest.approx(-32, abs=0.05)
    assert rms_dbov(mixing.at_rms(x, -45)) == pytest.approx(-45, abs=0.01)
    assert not mixing.at_rms(np.zeros(100), -45).any()


def test_the_telephone_band_is_all_that_is_left_and_nothing_is_delayed(rng):
    x = mixing.band_limited(synthetic.coloured(rng, RATE, 0), (300, 3400))
    power = np.abs(np.fft.rfft(x)) ** 2  # 1 Hz a bin
    assert power[:200].sum() + power[3550:].sum() < 0.001 * power.sum()
    click = np.zeros(2000)
    click[1000] = 1
    assert np.argmax(np.abs(mixing.band_limited(click, (300, 3400)))) == 1000


def test_onset_and_end_are_those_of_sustained_sound(rng):
    x = np.zeros(3 * RATE)
    x[12_000:20_000] = mixing.at_rms(rng.standard_normal(8_000), -26)
    x[4_000:4_040] = 0.05  # a click is no onset
    assert labels.onset_and_end_ms(x, -26) == (1500, 2500)


def test_speech_counts_as_spoken_with_its_hangover_but_without_its_pauses(rng):
    x = np.zeros(5 * RATE)
    x[:RATE] = mixing.at_rms(rng.standard_normal(RATE), -26)
    x[3 * RATE : 4 * RATE] = mixing.at_rms(rng.standard_normal(RATE), -26)
    assert labels.spoken_by_ms(x, -26, 1000) == pytest.approx(1000, abs=10)
    assert labels.spoken_by_ms(x, -26, 2000) == pytest.approx(3800, abs=20)
    assert labels.spoken_by_ms(x, -26, 3000) is None


def test_utterances_are_cut_at_pauses_and_noisy_recordings_are_left_out(rng):
    spoken = np.concatenate([mixing.at_rms(rng.standard_normal(4000), -20), np.zeros(8000)] * 3)
    pieces = utterances((spoken + 1e-5 * rng.standard_normal(spoken.size)).astype(np.float32))
    assert [piece.size for piece in pieces] == pytest.approx([4000] * 3, abs=160)
    noisy = spoken + mixing.at_rms(rng.standard_normal(spoken.size), -35)
    assert utterances(noisy.astype(np.float32)) == []


def test_a_rustle_beside_the_speech_is_no_utterance_but_a_softer_word_is(rng):
    said, softer, rustle, pause = (mixing.at_rms(rng.standard_normal(4000), dbov) for dbov in (-20, -32, -46, -90))
    pieces = utterances(np.concatenate([rustle, pause, said, pause, softer, pause]).astype(np.float32))
    assert [piece.size for piece in pieces] == pytest.approx([4000] * 2, abs=160)


def test_echo_is_later_and_softer_by_what_was_asked_for(rng):
    played = np.zeros(2 * RATE)
    played[:4000] = mixing.at_rms(rng.standard_normal(4000), -20)
    back = mixing.echo(rng, played, 30, 100)
    assert not back[:800].any()
    assert rms_dbov(played) - rms_dbov(back) == pytest.approx(30, abs=0.1)


def test_silence_suppression_sends_speech_and_a_moment_after_it(rng):
    x = np.zeros(2 * RATE)
    x[4000:8000] = mixing.at_rms(rng.standard_normal(4000), -26)
    sent = np.flatnonzero(mixing.not_suppressed(x, -26))
    assert (sent[0], sent[-1]) == (25, pytest.approx(65, abs=1))


def test_a_talk_has_pauses_and_the_length_asked_for(rng, material):
    x = talk(rng, material.speakers[0], 5 * RATE)
    assert x.size == 5 * RATE
    assert active_speech_level(x, RATE).activity < 1


def test_clips_carry_true_labels(clips):
    for clip in clips:
        assert clip.frames.shape == (len(clip.present), 160)
        assert not clip.frames[~clip.present].any()
        if clip.kind == "speech":
            assert 900 <= clip.onset_ms <= 2600 and clip.onset_ms < clip.end_ms <= clip.ms
            before = clip.frames[10 : clip.onset_ms // 20 - 1]
            speech = clip.frames[clip.onset_ms // 20 : clip.end_ms // 20]
            if clip.snr_db != 5:
                assert rms_dbov(speech.ravel()) > rms_dbov(before.ravel()) + 3
        if clip.kind == "answered":
            assert clip.onset_ms <= 20
    clean = next(c for c in clips if c.kind == "speech" and c.snr_db is None and c.suppression == "none")
    assert active_speech_level(clean.frames.ravel(), RATE).active_dbov == pytest.approx(clean.level_dbov, abs=1)


def test_the_noise_lies_under_the_speech_by_the_snr(clips):
    noisy = [c for c in clips if c.kind == "speech" and c.snr_db in (5, 10) and c.noise in ("white", "pink")]
    for clip in noisy:
        before = clip.frames[1 : clip.onset_ms // 20 - 1]
        before = before[clip.present[1 : clip.onset_ms // 20 - 1]]
        if rms_dbov(before.ravel()) > -55:  # over the line's own floor
            assert clip.level_dbov - rms_dbov(before.ravel()) == pytest.approx(clip.snr_db, abs=1.5)


def test_the_played_prompt_is_told_in_the_tick_it_is_played_in(clips):
    for clip in (c for c in clips if c.kind == "echo"):
        start, end = clip.prompt_ms
        played = np.flatnonzero(clip.far.any(axis=1))
        assert played[0] == pytest.approx(start // 20, abs=2) and played[-1] * 20 < end
        before = clip.frames[: played[0]]
        loudest = max(rms_dbov(frame) for frame in clip.frames)
        assert loudest > max((rms_dbov(frame) for frame in before), default=-100)


def test_the_same_seed_builds_the_same_clips(material, clips):
    again = build(material, scale=0.02)
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(clips, again, strict=True))


def test_a_detector_that_takes_the_far_end_is_given_it(clips):
    told = []

    class WithFarEnd(Detector):
        def step(self, frames, present, far):
            told.append(any(frame.any() for frame in far.values()))
            return super().step(frames, present)

    heard = run(WithFarEnd, [c for c in clips if c.kind in ("echo", "no_signal")])
    assert any(told) and all(h.final for h in heard)


def test_figures(clips):
    clip = next(c for c in clips if c.kind == "speech")
    late = Heard(starts_ms=[clip.onset_ms + 120])
    nothing, early = Heard(), Heard(starts_ms=[clip.onset_ms - 500])
    assert delay_ms(50)([(clip, late)]) == 120
    assert delay_ms(95)([(clip, late), (clip, nothing)]) == np.inf
    assert missed([(clip, late), (clip, nothing), (clip, early), (clip, late)]) == 25
    assert claimed([(clip, late), (clip, nothing)]) == 50
    assert {row.name for row in rows(clips, run(Detector, clips)) if not row.pairs} == set()


def test_the_level_is_judged_by_the_clean_speech_so_far(clips):
    clip = next(c for c in clips if c.kind == "speech" and 1000 in c.spoken and (c.snr_db or 99) >= 20)
    clip = replace(clip, nominal_dbov=-26, level_dbov=-30, spoken={1000: replace(clip.spoken[1000], level_dbov=-26.2)})
    exact = Heard(at={clip.spoken[1000].at_ms: SimpleNamespace(active_level_dbov=-26.0)})
    level = {row.name: row for row in rows([clip], [exact]) if "after 1 s" in row.name}
    own, whole = (
        level[f"{name}after 1 s of speech"] for name in ("  its own: from the clean speech so far, ", "level error ")
    )
    assert (own.value, own.passed) == (pytest.approx(0.2), True)
    assert (whole.value, whole.passed) == (pytest.approx(4), None)


def test_a_third_of_the_speakers_is_held_out_and_none_lies_in_both_parts():
    splits: dict[str, set[str]] = {}
    for source in read_sources()[1]:
        if source.kind == "speech":
            splits.setdefault(source.name, set()).add(source.split)
    assert all(len(parts) == 1 for parts in splits.values())
    held_out = sum("held_out" in parts for parts in splits.values())
    assert len(splits) >= 100 and held_out == 23


def test_windows_of_speech_are_the_callers_and_its_pauses_and_edges_are_left_out(clips):
    clip = next(c for c in clips if c.kind == "speech")
    onset, end, loud, soft = clip.onset_ms, clip.end_ms, clip.level_dbov, clip.level_dbov - 20
    windows = [
        (onset - 500, soft, NOBODY),
        (onset - 500, loud, NOBODY),  # a noise before it
        (onset, loud, LEFT_OUT),
        (onset + 20, loud, LEFT_OUT),  # half of the window lies before it
        (onset + 40, loud, CALLER),
        (onset + 200, soft, LEFT_OUT),
        (end, loud, CALLER),
        (end + 100, soft, LEFT_OUT),
        (end + 200, soft, NOBODY),
    ]
    at_ms, level_dbov, expected = (np.array(column) for column in zip(*windows, strict=True))
    label = train.labels(clip, at_ms, level_dbov)
    assert label.tolist() == expected.tolist()
    weight, harder = train.weights(clip, at_ms, label)
    assert weight[label == NOBODY].max() < weight[label == CALLER].min()  # there is plenty of it, so it counts for less
    early = at_ms <= onset + 300
    assert weight[(label == CALLER) & early].min() > weight[(label == CALLER) & ~early].max()
    assert set(harder[(label == CALLER) & early]) == {2} and set(harder[(label != CALLER) | ~early]) == {1}


def test_other_sounds_are_nobody_however_loud(clips):
    for kind in ("noise", "music", "babble", "tone", "transient", "no_signal"):
        clip = next(c for c in clips if c.kind == kind)
        assert (train.labels(clip, np.arange(0, 5000, 32), np.full(157, -10.0)) == NOBODY).all()


def test_training_hears_what_the_detector_hears(clips, monkeypatch):
    some = [c for c in clips if c.kind in ("speech", "babble", "echo", "background")]
    asked = []
    inputs = near_speech.inputs
    monkeypatch.setattr(near_speech, "inputs", lambda *of: asked.append(inputs(*of)) or asked[-1])
    heard = train.examples(some)
    assert len(heard) == sum(c.kind in ("speech", "babble") for c in some)  # the others have tests of their own
    x, label, weight, harder = (np.concatenate(parts) for parts in zip(*heard, strict=True))
    assert len(x) == len(label) == len(weight) == len(harder) < sum(map(len, asked))
    assert set(label) == {CALLER, NOBODY} and (weight > 0).all() and (harder >= 1).all()
    known = {row.tobytes() for row in np.concatenate(asked).astype(x.dtype)}
    assert all(row.tobytes() in known for row in x)


def test_sounds_are_heard_slower_and_faster_too(material):
    varied = train.varied(material.noises)
    assert len({sound.name for sound in varied}) == len(varied) == 3
    assert {sound.subkind for sound in varied} == {"rain"}
    lengths = [sound.pieces[0].size for sound in varied]
    assert lengths[1] > lengths[0] > lengths[2]


def test_only_windows_on_the_wrong_side_or_close_to_it_are_in_doubt():
    network = {"hidden": np.eye(1), "hidden_bias": np.zeros(1), "out": np.ones(1), "out_bias": -5.0}
    x = np.array([[0.0], [3.0], [4.5], [5.5], [7.0]], np.float16)  # log odds −5, −2, −0.5, 0.5, 2
    assert train.in_doubt(network, x, np.full(5, NOBODY)).tolist() == [False, False, True, True, True]
    assert train.in_doubt(network, x, np.full(5, CALLER)).tolist() == [True, True, True, True, False]


def test_networks_side_by_side_answer_with_the_mean_of_their_answers(rng, tmp_path, monkeypatch):
    def network() -> dict[str, np.ndarray]:
        shapes = {"hidden": (6, 4), "hidden_bias": (4,), "out": (4,), "out_bias": (1,)}
        return {name: rng.normal(size=shape) for name, shape in shapes.items()}

    networks, x = [network() for _ in range(3)], rng.normal(size=(5, 6)).astype(np.float32)
    alone = [np.maximum(x @ of["hidden"] + of["hidden_bias"], 0) @ of["out"] + of["out_bias"] for of in networks]
    monkeypatch.setattr(near_speech, "WEIGHTS", tmp_path / "near_speech.npz")
    np.savez(near_speech.WEIGHTS, **train.together(networks))
    monkeypatch.setattr(near_speech, "_weights", near_speech._weights.__wrapped__)
    assert near_speech.CallerNetwork().log_odds(x) == pytest.approx(np.clip(np.mean(alone, axis=0), -9, 9), abs=1e-4)


def test_the_speech_so_far_counts_with_its_hangover(clips):
    clip = next(c for c in clips if c.kind == "speech" and 1000 in c.spoken)
    assert clip.spoken[1000].level_dbov == pytest.approx(clip.level_dbov, abs=3)


def test_what_begins_with_silence_has_no_verdict_then(rng):
    x = syllables(rng, 5.0)
    x[: 3 * RATE] = 0
    assert _other(rng, 0, x, "music", "late", "tuning", -30).verdict is None
    assert _other(rng, 0, x[::-1], "music", "early", "tuning", -30).verdict == "noise"


def test_a_games_archive_becomes_a_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "sounds.pk3", "w") as packed:
        packed.writestr("world/fire.wav", b"crackle")
    _unpack_archives(tmp_path)
    assert [str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*") if f.is_file()] == ["sounds/world/fire.wav"]
