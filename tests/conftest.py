"""What all tests share: a watch that tells whether the machine stood still or was slow. What a test found then,
and failed by, tells nothing of us; if all that failed is of that kind, the run ends with `AGAIN`, and `make test` looks
once more."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from stood_still import Watch

AGAIN = os.EX_TEMPFAIL  # 75
FEW = 30  # so many may fail like that; a machine at fault does not fail more
WATCH, BEGAN, FAILED = pytest.StashKey[Watch](), pytest.StashKey[tuple[Path, float]](), pytest.StashKey[list[bool]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session):
    session.config.stash[FAILED] = []
    with tempfile.TemporaryDirectory() as folder, Watch(Path(folder) / "stood-still") as session.config.stash[WATCH]:
        return (yield)


@pytest.fixture(scope="session")
def watch(pytestconfig) -> Watch:
    return pytestconfig.stash[WATCH]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """The calls that a test judges are placed when the first of its module begins."""
    if BEGAN not in item.config.stash or item.config.stash[BEGAN][0] != item.path:
        item.config.stash[BEGAN] = item.path, time.monotonic()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.failed:
        watch, (_, began) = item.config.stash[WATCH], item.config.stash[BEGAN]
        now = time.monotonic()
        told = watch.told(began, now)
        item.config.stash[FAILED].append(bool(told))
        title = f"when the machine stood still or was slow, in the {now - began:.1f} s since this module began"
        report.sections.append((title, told or "never"))
    return report


def machine_at_fault(config) -> bool:
    failed = config.stash.get(FAILED, [])
    return 0 < len(failed) <= FEW and all(failed)


def pytest_sessionfinish(session, exitstatus):
    if exitstatus == pytest.ExitCode.TESTS_FAILED and machine_at_fault(session.config):
        session.exitstatus = AGAIN


def pytest_terminal_summary(terminalreporter, config):
    if machine_at_fault(config):
        terminalreporter.section("the machine stood still, or was slow, in all that failed: worth another look")
