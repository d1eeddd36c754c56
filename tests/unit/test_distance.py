"""Into the telephone, or across the room? Decided by the changes of the level, and only after enough speech."""

import numpy as np
import pytest
from bench.ears.mixing import convolved, room
from bench.ears.rooms import box

from audio_corpus import LONG_CLIPS, RATE, call, hear, over_a_line, speech, white
from hearline.audio.settings import FRAME_SAMPLES
from hearline.audio.vad.detector import Detector
from hearline.audio.vad.distance import Distances

T60_S, DIRECT_DB = 1.2, -10  # a room about which there is no doubt


def said(dbov: float = -26) -> np.ndarray:
    return np.concatenate([speech(path, dbov) for path in LONG_CLIPS])


def across_the_room(x: np.ndarray) -> np.ndarray:
    return convolved(x, room(np.random.default_rng(1), T60_S, DIRECT_DB))


@pytest.mark.parametrize("law", ("alaw", "mulaw"))
def test_a_voice_across_the_room_is_told_from_one_at_the_telephone(law):
    near, soft, far = said(), said(-40), across_the_room(said())
    noisy = near + white(near.size / RATE, -36)
    _, hearings = hear([over_a_line(call(x), law) for x in (near, soft, noisy, far)])
    assert [hearing.far for hearing in hearings] == [False, False, False, True]
    assert hearings[0].verdict == hearings[3].verdict == "speech"  # it changes nothing in the verdict


def test_how_loud_the_far_voice_is_does_not_matter():
    far = across_the_room(said())
    _, hearings = hear([over_a_line(call(far * gain)) for gain in (0.5, 1, 2)])
    assert [hearing.far for hearing in hearings] == [True] * 3


def test_nothing_is_told_of_little_speech_nor_of_none():
    far = across_the_room(said())[: 3 * RATE]
    _, hearings = hear([over_a_line(call(far)), over_a_line(white(4, -40))])
    assert hearings[0].speech_ms and [hearing.far for hearing in hearings] == [None, None]


def test_a_new_question_begins_anew():
    line = over_a_line(call(across_the_room(said()), after_s=0))
    detector = Detector(1)
    hear([line], detector)
    assert detector.hearing(0).far
    detector.restart_measure(0)
    assert detector.hearing(0).far is None
    frames = over_a_line(said())[: 8 * RATE].reshape(-1, 1, FRAME_SAMPLES)
    for frame in frames:
        detector.step(frame, np.ones(1, bool))
    assert detector.hearing(0).far is False


def test_what_counts_is_the_last_five_seconds_in_their_order():
    rng = np.random.default_rng(5)
    powers = 10 ** rng.uniform(-6, -2, 400)
    long, short = Distances(1), Distances(2)
    one, other = np.array([0]), np.array([1])
    for power in powers:
        long.add(one, power[None])
    short.add_past(other, powers[None, -250:-50])
    for power in powers[-50:]:
        short.add(other, power[None])
    short.grow(5)
    np.testing.assert_array_equal(long.changes_db(0), short.changes_db(1))
    assert short.changes_db(0) is None


def test_a_steady_fall_is_measured_whatever_is_lost():
    """60 dB in 0.6 s: 2 dB a frame. Lost frames, and those after them, show no fall of their own."""
    falls = np.tile(10 ** (-0.2 * np.arange(10)), 20)
    whole, lossy = Distances(1), Distances(1)
    slot = np.array([0])
    for i, power in enumerate(falls):
        whole.add(slot, power[None])
        lossy.add(slot, power[None] * (i % 23 > 0))
    for heard in (whole, lossy):
        lags = heard.changes_db(0).reshape(3, 8)
        np.testing.assert_allclose(lags[:, 4], (-2, -4, -8), atol=0.01)  # medians
        assert lags[0, 0] == pytest.approx(-2, abs=0.01)


@pytest.mark.parametrize(("distance_m", "least_db", "most_db"), [(0.05, 10, 30), (1.5, -15, 3)])
def test_a_box_answers_a_far_voice_more_than_a_near_one(distance_m, least_db, most_db):
    """The direct sound over all that comes back, as in a room of that size; and it comes first."""
    for seed in range(3):
        response = box(np.random.default_rng(seed), distance_m, 0.5)
        direct = np.argmax(np.abs(response))
        back = np.sum(response[direct + 20 :] ** 2)
        assert direct < 20
        assert least_db < 10 * np.log10(np.sum(response[: direct + 20] ** 2) / back) < most_db
