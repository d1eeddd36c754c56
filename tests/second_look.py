"""Gives tests that failed while the machine stood still a second look, and remembers them.

Only tests marked ``realtime`` get one: they judge milliseconds on live audio. Such a test is excused if the host took a
CPU away during the test's own calls (`live_calls` marks those). If nothing else in its module failed, the whole module
runs once more in the same session, and then nothing is excused.

A test that failed first and then passed is flaky. That is recorded, and printed at the end of every run that places
calls. The second time within `RUNS` such runs, the test is no longer excused.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from weakref import WeakKeyDictionary

import pytest

from stood_still import Watch

RUNS = 30  # `make test` has three that place calls
MARKER = "realtime(): judges milliseconds on live audio; looked at once more if the host took CPUs away in its calls"
AGAIN = "again"  # a report's outcome: failed, and excused so far

Span = tuple[float, float]  # monotonic s
_calls: list[Span] = []


@contextmanager
def live_calls() -> Iterator[None]:
    """Mark the time of this block as the test's own calls: the calls that it judges, or a program that places some."""
    began = time.monotonic()
    try:
        yield
    finally:
        _calls.append((began, time.monotonic()))


class History:
    """The flaky tests of the last runs. If the file is missing or damaged, the history starts over."""

    def __init__(self, file: Path) -> None:
        self._file, self._new = file, list[str]()
        self._read()

    def _read(self) -> None:
        self.run, self.flaky = 1, defaultdict[str, list[int]](list)
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            data = json.loads(self._file.read_text("utf-8"))
            self.run = int(data["runs"]) + 1
            for name, runs in data["flaky"].items():
                if recent := [int(run) for run in runs if self.run - int(run) < RUNS]:
                    self.flaky[name] = recent

    def add(self, name: str) -> None:
        """This test was flaky in this run."""
        self._new.append(name)
        self.flaky[name].append(self.run)

    def keep(self) -> None:
        """Write the file. Sessions side by side share it, so it is read again."""
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with open(self._file.with_suffix(".lock"), "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._read()
                for name in self._new:
                    self.flaky[name].append(self.run)
                own = self._file.with_suffix(f".{os.getpid()}")
                own.write_text(json.dumps({"runs": self.run, "flaky": self.flaky}, indent=1), "utf-8")
                own.replace(self._file)

    def told(self) -> list[str]:
        """One line per test, for people."""
        return [f"{name}: {', '.join(map(self._when, runs))}" for name, runs in self.flaky.items()]

    def _when(self, run: int) -> str:
        ago = self.run - run
        return f"{ago} run{'s' * (ago > 1)} ago" if ago else "in this run"


class Looks:
    """Decides, for one session, which failures are excused and which modules run again."""

    def __init__(self, watch: Watch, history: History) -> None:
        self.watch, self._history = watch, history
        self._set_up: WeakKeyDictionary[object, Span] = WeakKeyDictionary()  # by fixture
        self._position = -1  # the running test's index in the session's items
        self._item_began = 0.0
        self.placed_calls = False
        self._begin_module()

    def _begin_module(self) -> None:
        self._first = self._position + 1
        self._excused: list[tuple[pytest.Item, pytest.TestReport]] = []
        self._failed: set[str] = set()
        self._doubted: set[str] = set()  # tests that failed at the first look; empty during that

    def begin(self) -> None:
        self._position += 1
        self._item_began = time.monotonic()

    def fixture(self, fixturedef: object, began: float) -> None:
        self._set_up[fixturedef] = began, time.monotonic()

    def in_its_calls(self, item: pytest.Item) -> str:
        """When the machine stood still during the calls that this test judges, for people; "" if it did not."""
        used = [one for several in item._fixtureinfo.name2fixturedefs.values() for one in several]
        own = [self._set_up[one] for one in used if one in self._set_up] + [(self._item_began, time.monotonic())]
        calls = [call for call in _calls if any(since <= call[0] <= until for since, until in own)]
        return "\n".join(filter(None, (self.watch.told(*call) for call in calls)))

    def judge(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Decide whether this failed test is excused."""
        stalls = self.in_its_calls(item)
        report.sections.append(("when the host took CPUs away, in s since this test's calls began", stalls or "never"))
        excused = stalls and report.when != "teardown" and item.get_closest_marker("realtime")
        if excused and not self._doubted and item.nodeid in self._history.flaky:
            report.sections.append(("flaky already", f"{self._history.told()}: the second time it is a fault"))
            excused = False
        if excused and not self._doubted:
            report.outcome = AGAIN
            self._excused.append((item, report))
        else:
            self._failed.add(item.nodeid)

    def over(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """A test is over. After the last one of a module, decide whether the module runs again."""
        self.placed_calls |= item.get_closest_marker("realtime") is not None
        if nextitem is not None and nextitem.path == item.path:
            return
        session, excused, failed, doubted = item.session, self._excused, self._failed, self._doubted
        items = session.items[self._first : self._position + 1]
        self._begin_module()
        if excused and not failed:
            self._doubted = {one.nodeid for one, _ in excused}
            session.items[self._position + 1 : self._position + 1] = items
            session.testscollected += len(items)
            return
        for one, report in excused:  # not excused after all
            report.outcome = "failed"
            one.ihook.pytest_runtest_logreport(report=report)
        for name in sorted(doubted - failed):
            self._history.add(name)

    def end(self) -> None:
        if self.placed_calls:
            self._history.keep()

    def told(self) -> list[str]:
        return self._history.told() if self.placed_calls else []


LOOKS = pytest.StashKey[Looks]()


def pytest_configure(config):
    config.addinivalue_line("markers", MARKER)


def pytest_collection_modifyitems(items):
    for item in items:
        if "live" not in item.path.parts and item.get_closest_marker("realtime"):
            raise pytest.UsageError(f"{item.nodeid}: marked realtime, but only live tests can be")


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session):
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    with tempfile.TemporaryDirectory() as folder, Watch(Path(folder) / "stood-still") as watch:
        looks = session.config.stash[LOOKS] = Looks(watch, History(cache / "hearline" / "flaky-tests.json"))
        try:
            return (yield)
        finally:
            looks.end()


@pytest.fixture(scope="session")
def watch(pytestconfig) -> Watch:
    return pytestconfig.stash[LOOKS].watch


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef, request):
    began = time.monotonic()
    try:
        return (yield)
    finally:
        if fixturedef.scope != "session":
            request.config.stash[LOOKS].fixture(fixturedef, began)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    looks = item.config.stash[LOOKS]
    looks.begin()
    done = yield
    looks.over(item, nextitem)
    return done


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.failed:
        item.config.stash[LOOKS].judge(item, report)
    return report


def pytest_report_teststatus(report):
    return (AGAIN, "A", "AGAIN") if report.outcome == AGAIN else None


def pytest_terminal_summary(terminalreporter, config):
    looks = config.stash.get(LOOKS, None)
    if looks and (told := looks.told()):
        terminalreporter.section(f"flaky in the last {RUNS} runs: failed as the machine stood still, then passed")
        for line in told:
            terminalreporter.write_line(line)
