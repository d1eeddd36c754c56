"""Reports at the end of a run how long each part took: the unit tests, the page, each module of live calls."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePath

import pytest


def pytest_terminal_summary(terminalreporter):
    spent_s = Counter[str]()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                spent_s[part(report.nodeid)] += report.duration
    if len(spent_s) > 1:
        terminalreporter.section("how long each part took")
        for name, seconds in spent_s.most_common():
            terminalreporter.write_line(f"{seconds:6.0f} s  {name}")


def part(nodeid: str) -> str:
    """The part of a test: for live tests their module (tests/live/talks/test_join.py), for all others their folder."""
    file = PurePath(nodeid.partition("::")[0])
    return str(file if "live" in file.parts else file.parent)
