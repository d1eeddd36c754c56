"""The snapshots of a line, ten a second."""

from __future__ import annotations

import json

import numpy as np
import pytest

from audio_corpus import CLIPS, call, over_a_line, speech, white
from hearline.audio.hearing import Hearing, SpeechEnded, SpeechStarted
from hearline.audio.level.p56 import rms_dbov
from hearline.audio.listen import listen, listen_all
from hearline.audio.settings import DEFAULT
from hearline.audio.vad.snapshots import LOOK_MS, Segment, Snapshot, levels, segments


def looked_at(sound: np.ndarray):
    [heard] = listen_all([over_a_line(sound)], looks=True)
    return heard


@pytest.fixture(scope="module")
def spoken():
    """A caller who speaks from about 1.5 s on, and is silent again."""
    return looked_at(call(speech(CLIPS[1], -26), after_s=2.0))


def test_looks_are_kept_only_where_they_are_asked_for():
    assert listen(over_a_line(white(1, -40))).looks == ()


def test_ten_looks_a_second_with_the_level_of_every_frame(spoken):
    whole = spoken.looks[:-1]  # the last one is of what was left over
    assert [look.at_ms for look in whole] == list(range(LOOK_MS, spoken.duration_ms + 1, LOOK_MS))
    assert {len(look.levels_dbov) for look in whole} == {5}
    line = over_a_line(call(speech(CLIPS[1], -26), after_s=2.0))
    at, level = levels(spoken.looks)
    for frame in (10, 90, 110):
        assert at[frame] == frame * 20 + 10
        assert level[frame] == pytest.approx(rms_dbov(line[frame * 160 :][:160]), abs=0.5)


def test_the_states_and_the_speech(spoken):
    assert [look.state for look in spoken.looks[:10]] == ["QUIET"] * 10
    assert {"SPEAKING", "STOPPING"} <= {look.state for look in spoken.looks}
    [part] = segments(spoken.looks)
    assert part.onset_ms == spoken.hearing.speech_onset_ms == pytest.approx(1_500, abs=200)
    assert part.started_ms == part.onset_ms + DEFAULT.onset_backdate_ms
    assert part.ended_ms - part.end_ms == pytest.approx(700, abs=20)
    assert spoken.looks[-1].hearing.active_level_dbov == spoken.hearing.active_level_dbov


def look(at_ms: int, state: str, *events, count: int = 5) -> Snapshot:
    hearing = Hearing("speech", "normal", True, -30.0, 1.9, -60.0, 1_000, 0, 0.0, 0.9)
    return Snapshot(at_ms, (-30.0,) * count, state, hearing, events)


def test_speech_that_was_there_before_or_goes_on_after_all_looks():
    began = [look(500, "SPEAKING"), look(600, "QUIET", SpeechEnded(600, 0))]
    assert segments(began) == [Segment(400, 400, 0, 600)]
    assert segments([look(500, "STARTING"), look(600, "SPEAKING", SpeechStarted(580, 480))]) == [Segment(480, 580)]
    assert segments([]) == []


def test_looks_that_are_missing_leave_a_gap():
    at, level = levels([look(100, "QUIET"), look(300, "QUIET")])
    assert at.tolist() == [10 + 20 * n for n in range(15)]
    assert np.isnan(level).tolist() == [False] * 5 + [True] * 5 + [False] * 5
    assert levels([])[0].size == 0


def test_json_and_back(spoken):
    for one in spoken.looks:
        told = json.loads(json.dumps(one.as_dict()))
        again = Snapshot.from_dict(told | {"step": "opening"})
        assert again.events == one.events and again.hearing.verdict == one.hearing.verdict
        assert again.hearing.noise_level_dbov == pytest.approx(one.hearing.noise_level_dbov, abs=0.06)
        assert again.hearing.max_p_recent == pytest.approx(one.hearing.max_p_recent, abs=0.0006)
        assert again.levels_dbov == pytest.approx(one.levels_dbov, abs=0.06)
