"""The test rig: which failures get a second look, and which do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import stood_still
from second_look import RUNS, History
from stood_still import STILL_S, Watch

pytest_plugins = ["pytester"]
TOOL = Path(__file__).resolve().parents[2] / "tools" / "stand_still.py"

# `stall` is what the host does: a time noted by `tools/stand_still.py`. `first` is true at the first look.
HEAD = """
import time
from pathlib import Path
import pytest
import stood_still
from second_look import live_calls

def stall():
    with stood_still.STAND_IN.open("a") as noted:
        noted.write(f"still {time.monotonic() - 0.05} {time.monotonic()}\\n")

def first():
    seen = Path("seen")
    try:
        return not seen.exists()
    finally:
        seen.touch()
"""
A_STALL_IN_ITS_CALLS = """
def test_it():
    with live_calls():
        stall()
    assert not first()
"""
CALLS_OF_A_MODULE = """
@pytest.fixture(scope="module")
def calls():
    with live_calls():
        if stalls := first():
            stall()
    return stalls

def test_before():
    pass

@pytest.mark.realtime
def test_it(calls):
    assert not calls

def test_after():
    pass
"""


@pytest.fixture
def run(pytester, monkeypatch, tmp_path):
    """Run a live test's text: ``run(text)`` → outcomes by word. Each run remembers the ones before."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(stood_still, "STAND_IN", pytester.path / "stand-in")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(text: str, folder: str = "live", *options: str):
        (pytester.path / "seen").unlink(missing_ok=True)
        file = pytester.path / folder / "test_it.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(HEAD + text, "utf-8")
        return pytester.runpytest_inprocess("-p", "second_look", "-p", "no:cacheprovider", *options, file)

    return run


def realtime(text: str) -> str:
    return text.replace("def test_it", "@pytest.mark.realtime\ndef test_it")


def test_a_realtime_test_that_failed_as_the_machine_stood_still_is_looked_at_again_and_written_down(run):
    result = run(realtime(A_STALL_IN_ITS_CALLS))
    assert result.parseoutcomes() == {"again": 1, "passed": 1} and result.ret == 0
    result.stdout.fnmatch_lines([f"*flaky in the last {RUNS} runs*", "live/test_it.py::test_it: in this run"])


def test_the_second_time_in_ten_runs_it_is_a_failure(run):
    assert run(realtime(A_STALL_IN_ITS_CALLS)).ret == 0
    quiet = run("@pytest.mark.realtime\ndef test_it(): pass")
    assert quiet.ret == 0
    quiet.stdout.fnmatch_lines(["live/test_it.py::test_it: 1 run ago"])
    result = run(realtime(A_STALL_IN_ITS_CALLS))
    assert result.parseoutcomes() == {"failed": 1}
    result.stdout.fnmatch_lines(["*flaky already*"])


def test_the_whole_module_runs_again(run):
    result = run(CALLS_OF_A_MODULE)
    assert result.parseoutcomes() == {"again": 1, "passed": 2 + 3} and result.ret == 0


def test_a_flaky_test_that_is_not_realtime_fails(run):
    assert run(A_STALL_IN_ITS_CALLS).parseoutcomes() == {"failed": 1}


def test_a_unit_test_cannot_be_marked(run):
    result = run(realtime(A_STALL_IN_ITS_CALLS), "unit")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*unit/test_it.py::test_it: marked realtime, but only live tests can be"])


@pytest.mark.parametrize(
    "elsewhere",
    ["stall()\n    time.sleep(0.1)\n    with live_calls():\n        pass", "with live_calls():\n        pass"],
    ids=["before", "never"],
)
def test_a_stall_that_was_not_in_its_own_calls_excuses_nothing(run, elsewhere):
    text = f"@pytest.mark.realtime\ndef test_it():\n    {elsewhere}\n    assert not first()"
    assert run(text).parseoutcomes() == {"failed": 1}


def test_a_stall_in_the_calls_of_another_test_excuses_nothing(run):
    other = "\ndef test_other():\n    with live_calls():\n        stall()\n    time.sleep(0.06)\n"
    assert run(other + "@pytest.mark.realtime\ndef test_it():\n    assert not first()").ret == 1


def test_beside_a_real_failure_nothing_is_excused(run):
    result = run(realtime(A_STALL_IN_ITS_CALLS) + "\ndef test_fault(): assert False")
    assert result.parseoutcomes() == {"again": 1, "failed": 2}


def test_what_fails_again_has_failed(run):
    result = run(realtime(A_STALL_IN_ITS_CALLS).replace("not first()", "False"))
    assert result.parseoutcomes() == {"again": 1, "failed": 1} and "flaky" not in result.stdout.str()


def test_what_a_test_leaves_behind_is_never_excused(run):
    leak = "@pytest.fixture\ndef leak():\n    yield\n    assert False\n"
    text = leak + "@pytest.mark.realtime\ndef test_it(leak):\n    with live_calls():\n        stall()"
    assert run(text).parseoutcomes() == {"passed": 1, "errors": 1}


def test_after_some_runs_it_is_forgotten_and_nonsense_is_nothing(tmp_path):
    file = tmp_path / "hearline" / "flaky.json"
    history = History(file)
    history.add("a")
    history.keep()
    for _ in range(RUNS - 1):
        history = History(file)
        assert history.flaky == {"a": [1]}
        history.keep()
    assert History(file).flaky == {}
    for text in ("", "[]", "{}", '{"runs": "x"}', '{"runs": 1, "flaky": [1]}', '{"runs": 1, "flaky": {"a": 3}}'):
        file.write_text(text)
        assert History(file).flaky == {}
    assert json.loads(text)


def test_two_sessions_side_by_side_keep_what_both_saw(tmp_path):
    one, other = (History(tmp_path / "flaky.json") for _ in range(2))
    for name, history in (("a", one), ("b", other)):
        history.add(name)
        history.keep()
    assert History(tmp_path / "flaky.json").flaky == {"a": [1], "b": [2]}


# ---- how long it took ------------------------------------------------------------------------------------------------
def test_each_part_says_how_long_it_took(run, pytester):
    (pytester.mkdir("unit") / "test_quick.py").write_text("def test_it(): pass")
    text = "def test_it(): time.sleep(0.6)\n"
    result = run(text, "live", "-p", "how_long", "unit")
    result.stdout.fnmatch_lines(["*how long each part took*", "     1 s  live/test_it.py", "     0 s  unit"])


# ---- the watch -------------------------------------------------------------------------------------------------------
@pytest.mark.skipif(os.geteuid() != 0, reason="a load that goes first needs root")
@pytest.mark.parametrize(("options", "is_seen"), [((), True), (("--unnoted",), False)], ids=["host", "our own load"])
def test_what_the_host_takes_is_seen_and_what_we_take_ourselves_is_not(tmp_path, monkeypatch, options, is_seen):
    """50 to 150 ms of each CPU, now and then, by a load that goes before everybody."""
    monkeypatch.setattr(stood_still, "STAND_IN", tmp_path / "stand-in")
    code = (
        "import pathlib, sys, stood_still\n"
        f"stood_still.STAND_IN = pathlib.Path({str(stood_still.STAND_IN)!r})\n"
        f"sys.argv[1:] = ['--every', '0.2', '--most', '150', *{options!r}]\n"
        "import stand_still\n"
        "stand_still.main()"
    )
    paths = os.pathsep.join(map(str, (TOOL.parent, TOOL.parents[1] / "tests")))
    with Watch(tmp_path / "watch") as watch:
        time.sleep(0.2)  # until it watches
        began = time.monotonic()
        tool = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths})
        time.sleep(0.8)
        found = watch.stood_still(began, time.monotonic())
        tool.terminate()
        tool.wait()
    assert bool(found) == is_seen, found
    assert all(until - since >= STILL_S for since, until in found)
