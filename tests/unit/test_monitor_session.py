"""A leg of agent assist in the media worker: its reports."""

from __future__ import annotations

from hearline.audio.hearing import SpeechStarted
from hearline.media.monitor_session import MonitorSession, SoundCame


def test_the_first_frame_is_told_at_once_and_the_level_ten_times_a_second():
    told, came = [], set(range(120, 500, 20)) - {140}
    tap = MonitorSession(lambda: now in came, lambda: -30.0, lambda: None, lambda *what: told.append(what))
    for now in range(0, 320, 20):
        if now >= tap.nothing_until:
            tap.tick(now)
    assert told == [
        (0, (), -30.0, 0),
        (100, (), -30.0, 100),
        (120, (SoundCame(),), -30.0, 0),
        (200, (), -30.0, 0),
        (300, (), -30.0, 0),
    ]


def test_what_the_ears_tell_with_the_first_frame_is_told_with_it():
    told = []
    tap = MonitorSession(lambda: True, lambda: -30.0, lambda: None, lambda *what: told.append(what))
    started = SpeechStarted(0, 0)
    tap.tick(0, [started])
    assert told == [(0, (SoundCame(), started), -30.0, 0)]


def test_it_tells_for_how_long_no_frame_has_come():
    told, came = [], {*range(0, 220, 20), *range(500, 620, 20)}
    tap = MonitorSession(lambda: now in came, lambda: -30.0, lambda: None, lambda *what: told.append(what))
    for now in range(0, 620, 20):
        if now >= tap.nothing_until:
            tap.tick(now)
    assert [(at_ms, missing_ms) for at_ms, _, _, missing_ms in told] == [
        (0, 0), (100, 0), (200, 0), (300, 100), (400, 200), (500, 0), (600, 0),
    ]  # fmt: skip
