"""The test rig: a process that leaks is detected, and the leak is named."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from leaks import MEMORY_MB, Held, held, more, settled

# Does each line that it reads, and says when it has.
LEAKY = """
import socket, sys, threading
kept = []
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


@pytest.fixture
def leaky():
    """A process that does what it is told: ``leaky(code)``; ``leaky.held()``."""
    with subprocess.Popen([sys.executable, "-c", LEAKY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:

        def do(code: str) -> None:
            process.stdin.write(code.encode() + b"\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"done\n"

        do("pass")
        do.held = lambda: {"it": held(process.pid)}
        yield do
        process.kill()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("kept.append(open('/dev/zero'))", "it: 4 descriptors, 3 before; new: {'/dev/zero': 1}"),
        ("kept.append(socket.socket())", "it: 4 descriptors, 3 before; new: {'socket:["),
        ("threading.Thread(target=threading.Event().wait, daemon=True).start()", "it: 2 threads, 1 before; new: {"),
        (f"kept.append(b'x' * {2 * MEMORY_MB << 20})", "MiB more than before"),
    ],
)
def test_what_leaks_is_named(leaky, code, told):
    before = leaky.held()
    leaky(code)
    [line] = more(before, leaky.held())
    assert told in line


def test_what_is_let_go_again_is_no_leak(leaky):
    before = leaky.held()
    leaky(f"kept = [open('/dev/zero'), socket.socket(), b'x' * {2 * MEMORY_MB << 20}]")
    leaky("kept.clear()")
    assert more(before, leaky.held()) == []


def test_tasks_are_told_by_what_they_run():
    before, now = ({"it": Held(1, {"tasks": Counter(tasks)})} for tasks in ({"keep": 1}, {"keep": 1, "attach": 2}))
    assert more(before, now) == ["it: 3 tasks, 1 before; new: {'attach': 2}"]


def test_a_pool_may_fill_and_a_process_may_be_replaced_or_end():
    def threads(count: int, pid: int = 1) -> dict[str, Held]:
        return {"it": Held(pid, {"threads": Counter({"python": count})})}

    assert more(threads(3), threads(8), {"it": 8}) == []
    assert more(threads(3), threads(9), {"it": 8}) != []
    assert more(threads(3), threads(9, pid=2)) == more(threads(3), {}) == []


def test_what_lingers_is_waited_for_and_no_longer():
    looks = iter([["still there"], [], ["not looked at"]])
    assert settled(lambda: next(looks), seconds=5) == []
    assert settled(lambda: ["for ever"], seconds=0.1) == ["for ever"]
