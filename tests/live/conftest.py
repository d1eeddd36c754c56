"""Fixtures of the live tests: one private Asterisk with the server.

After every test, no channel may be left on Asterisk, and no process, Asterisk and the tests' own included, may hold a
thread, descriptor or task more than before, or noticeably more memory.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bench.ears import whole_calls

from hearline.audio.wav import read_wav
from hearline.core.settings import Settings
from hearline.ops.stack import Stack
from leaks import settled
from world import ACCOUNTS, EXTRA_FLOWS, RATE, REPO, SOUNDS, World

LOG = pytest.StashKey[Path]()


@pytest.fixture(scope="session")
def ports() -> Iterator[Iterator[int]]:
    """Ports for this session alone. Those of a server that restarts are free for a moment, in which the server of a
    session beside it must not take them."""
    for first in range(14_000, 19_000, 100):
        with open(Path(tempfile.gettempdir()) / f"hearline-tests-{first}.lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield iter(range(first, first + 100))
            return
    raise RuntimeError("too many sessions side by side")


@pytest.fixture(scope="session")
def world(tmp_path_factory, pytestconfig, watch, ports) -> World:
    folder = tmp_path_factory.mktemp("live")
    flows = folder / "flows"
    shutil.copytree(REPO / "ivr_flows", flows)
    for name, text in EXTRA_FLOWS.items():
        (flows / name).write_text(text, "utf-8")
    templates = shutil.copytree(REPO / "docker" / "asterisk", folder / "asterisk")
    for name, ours in (("extensions", "test.conf"), ("queues", "test-queues.conf"), ("modules", "test-modules.conf")):
        with open(templates / "etc" / f"{name}.conf.j2", "a") as theirs:
            theirs.write((REPO / "tests" / "live" / ours).read_text("utf-8"))
    settings = Settings(
        state=folder / "state",
        flows=flows,
        asterisk_templates=templates,
        **{name: f"127.0.0.1:{next(ports)}" for name in ("agi", "status", "legs", "page", "media")},
    )
    stack = Stack(settings, callers=tuple(ACCOUNTS))
    pytestconfig.stash[LOG] = stack.home / "log" / "hearline.log"
    with stack:
        stack.up(say=print)
        # A call's id holds its time in UTC. From the first id on, Asterisk keeps the zone's file open: not a leak.
        stack.console("dialplan eval function STRFTIME(,UTC,%s)")
        yield World(stack, folder, watch)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.failed and (log := item.config.stash.get(LOG, None)) and log.exists():
        lines = log.read_text("utf-8", "replace").splitlines()
        report.sections.append(("the end of Hearline's log", "\n".join(lines[-20:])))
    return report


def nothing_leaks(world):
    """Check that Asterisk, the server with all its processes, and the tests' own process hold no more than before."""
    world.wait_ready()
    world.wait_idle()
    before = world.holdings()
    yield
    world.wait_idle()
    left = settled(lambda: world.left(before))
    assert not left, "\n".join(left)


# Around every test, and around every module, since its calls may be placed before its first test begins.
nothing_leaks_from_a_module = pytest.fixture(nothing_leaks, scope="module", autouse=True)
nothing_leaks_from_a_test = pytest.fixture(nothing_leaks, autouse=True)


# ---- sounds on callers' lines ----------------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def line_noise(tmp_path_factory):
    """WAV files of 10 s, by name: comfort noise, hum, street, a television in the room, one knock."""
    folder = tmp_path_factory.mktemp("noise")
    random = np.random.default_rng(7)
    n = 10 * RATE
    t = np.arange(n) / RATE
    hum = sum(np.sin(2 * np.pi * 50 * k * t) / k for k in range(1, 6))
    pink = np.cumsum(random.normal(size=n))
    pink -= np.convolve(pink, np.ones(400) / 400, "same")
    passing = 1 + 0.8 * np.sin(2 * np.pi * 0.35 * t)  # cars go by

    voices = {path.stem: [read_wav(path) / 32768] for path in (SOUNDS / "zh" / "callers").glob("agent-*.wav")}
    television = whole_calls.television(random, voices, 10)
    knock = random.normal(size=n) * np.exp(-np.maximum(t - 0.01, 0) / 0.05) * (t < 0.4)

    def write(name: str, signal: np.ndarray, dbov: float) -> str:
        signal = signal / np.sqrt(np.mean(signal**2)) * 10 ** (dbov / 20) * 32768
        with wave.open(str(folder / f"{name}.wav"), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(RATE)
            out.writeframes(np.clip(signal, -32768, 32767).astype("<i2").tobytes())
        return str(folder / f"{name}.wav")

    return {
        "comfort": write("comfort", random.normal(size=n), -58),
        "hum": write("hum", hum, -46),
        "street": write("street", pink * passing, -30),
        "television": write("television", television, -46),
        "knock": write("knock", knock, -48),
    }
