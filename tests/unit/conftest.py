"""Fixtures of the unit tests: the shipped flows, and virtual calls through them."""

from __future__ import annotations

import time
from pathlib import Path

import hypothesis
import pytest

from hearline.core.settings import Settings
from hearline.server.flow_store import FlowStore, read_flows
from virtual_call import VirtualCall

REPO = Path(__file__).resolve().parents[2]
hypothesis.settings.register_profile("hearline", deadline=None)  # how long an example takes is for benchmarks
hypothesis.settings.load_profile("hearline")


@pytest.fixture(scope="session")
def flows() -> FlowStore:
    store = read_flows(Settings(flows=REPO / "ivr_flows", sounds=REPO / "sounds"))
    assert store.rejected == {}
    return store


@pytest.fixture
def call(flows):
    """Make a virtual call to a shipped flow by name."""
    return lambda name="hotline", begin=None: VirtualCall(flows.flows[name].plan, begin)


@pytest.fixture
def machine_zone(monkeypatch):
    """Sets the machine's own time zone, e.g. "UTC", as in a container."""

    def set_zone(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield set_zone
    monkeypatch.undo()
    time.tzset()
