"""The picture of a call: its words, and the meaning of its colours."""

from __future__ import annotations

import pytest

from hearline.phone import picture

EVENTS = [
    {"at_ms": 0, "event": "prompt_start", "prompt": "opening", "planned_ms": 0},
    {"at_ms": 3_600, "event": "prompt_end", "prompt": "opening", "planned_ms": 3_600},
    {"at_ms": 4_000, "event": "key"},
    {"at_ms": 4_100, "event": "collected", "name": "rating", "count": 1},
    {"at_ms": 5_000, "event": "speech_start"},
    {"at_ms": 6_000, "event": "verdict", "verdict": "too_soft", "level_dbov": -48.0},
    {"at_ms": 7_000, "event": "verdict", "verdict": "speech", "level_dbov": -21.0},
    {"at_ms": 8_000, "event": "speech_end"},
    {"at_ms": 9_000, "event": "route", "to": "queue:care", "planned_ms": 9_000},
]


@pytest.mark.parametrize(
    ("prompts", "late", "says"),
    [
        (1, 0, "10.0 s   ·   1 prompt   ·   1 timed point, never off plan"),
        (2, 0, "10.0 s   ·   2 prompts   ·   2 timed points, never off plan"),
        (2, 12, "10.0 s   ·   2 prompts   ·   2 timed points, at most 12 ms off plan"),
    ],
)
def test_the_subtitle_counts_as_one_would_say_it(prompts, late, says):
    events = [{"at_ms": at + late, "planned_ms": at, "event": "prompt_start"} for at in range(prompts)]
    _, subtitle, _ = picture._title("", {"outcome": "queue:care"}, events, 10_000)
    assert subtitle == says


@pytest.mark.parametrize("late", [0, 30, 50])
def test_every_colour_is_in_the_legend_and_the_agents_is_the_agents_alone(late):
    events = [{**event, "at_ms": event["at_ms"] + late} for event in EVENTS]
    used = {label.colour for label in picture._timing_labels(events) + picture._noticed_labels(events)}
    explained = {colour for line in picture.LEGEND for colour, _ in line}
    assert used <= explained and picture.PLUM in explained - used


def test_the_legend_fits_the_picture():
    with picture.lettering(None):
        page = picture._Page(10_000)
        for line in picture.LEGEND:
            widths = [page.width_px(text, picture.LEGEND_SIZE) + picture.SWATCH_GAP + 16 for _, text in line]
            assert sum(widths) < picture.WIDTH - 56
