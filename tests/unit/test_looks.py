"""Looks at others' desks in the audit log: each is there, and no flood of them fills it."""

from __future__ import annotations

import asyncio

import pytest

import virtual_time
from hearline.web.looks import LOG_EVERY_S, MOST_DESKS, Looks


class Lines:
    """Stands in for the audit log."""

    def __init__(self) -> None:
        self.lines: list[dict] = []

    def note(self, event: str, **more: object) -> None:
        self.lines.append({"event": event, **more})


@pytest.fixture
def lines():
    return Lines()


def look(of: str | None, result: str, **more: object) -> dict:
    return {"event": "look", "by": "8001", "network": "192.0.2.0/24", "of": of, "result": result, **more}


def test_the_first_look_has_its_line_at_once_and_the_others_a_sum(lines):
    async def story() -> None:
        looks = Looks(lines)
        for _ in range(1_000):
            looks.note("8001", "8016", "refused", "192.0.2.0/24")
        looks.note("8001", "8017", "seen", "192.0.2.0/24")
        assert lines.lines == [look("8016", "refused"), look("8017", "seen")]
        await asyncio.sleep(LOG_EVERY_S + 1)
        assert lines.lines[2:] == [look("8016", "refused", count=999)]
        looks.note("8001", "8016", "refused", "192.0.2.0/24")
        assert len(lines.lines) == 3, "the minute is not over"
        looks.close()
        assert lines.lines[3:] == [look("8016", "refused", count=1)]

    virtual_time.run(story())


def test_one_after_a_quiet_minute_has_its_line_at_once(lines):
    async def story() -> None:
        looks = Looks(lines)
        looks.note("8001", "8016", "seen", "192.0.2.0/24")
        await asyncio.sleep(LOG_EVERY_S + 1)
        assert looks._logging is None
        looks.note("8001", "8016", "seen", "192.0.2.0/24")
        assert lines.lines == [look("8016", "seen")] * 2
        looks.close()
        assert len(lines.lines) == 2

    virtual_time.run(story())


def test_many_desks_are_few_lines_and_others_looks_keep_theirs(lines):
    async def story() -> None:
        looks = Looks(lines)
        for number in range(5_000):
            looks.note("8001", str(number), "refused", "192.0.2.0/24")
        assert len(lines.lines) == MOST_DESKS + 1
        looks.note("8002", "8016", "seen", "192.0.2.0/24")
        assert lines.lines[-1]["of"] == "8016"
        looks.close()
        assert lines.lines[-1] == look(None, "refused", count=5_000 - MOST_DESKS - 1)

    virtual_time.run(story())
