"""The messages between the door process and a worker: they have any size, and a bad one does not affect the others."""

from __future__ import annotations

import pickle
import time
import uuid

import pytest

from hearline.media.worker_protocol import _LAST, Announce, Channel, Finished, Recording, Say, Watch
from test_worker import announce, connected, line, ticks  # noqa: F401

LONG = bytes(range(256)) * 8 * 1024  # 2 MB, over a minute of sound


@pytest.fixture
def ends():
    ours, theirs = (Channel(end) for end in Channel.pair())
    yield ours, theirs
    ours.close()
    theirs.close()


def carried(ours: Channel, theirs: Channel) -> list:
    """All that was sent, received in the turns in which it fits."""
    found = []
    while True:
        found += theirs.received()
        if not ours.behind:
            return found + list(theirs.received())
        ours.flush()


@pytest.mark.parametrize("size", [0, 1, 61_000, 61_440, 500_000, 2_000_000])
def test_a_message_of_any_size_arrives_whole_and_in_order(ends, size):
    ours, theirs = ends
    messages = [
        Watch(),
        Say("u", LONG[:size]),
        Finished("u", "c", None, "unknown", {"events": ["key"] * 50_000}),
        Watch(),
    ]
    for message in messages:
        ours.send(message)
    assert carried(ours, theirs) == messages and not ours.closed and not theirs.closed


def test_what_is_offered_is_whole_or_not_at_all(ends):
    ours, theirs = ends
    for _ in range(200):
        ours.offer(Say("u", LONG[:150_000]))
    ours.send(Watch())
    *offered, last = carried(ours, theirs)
    assert last == Watch() and 0 < len(offered) < 200
    assert all(message == Say("u", LONG[:150_000]) for message in offered)


def test_of_too_many_the_oldest_are_dropped_and_the_begun_one_is_not(ends):
    ours, theirs = ends
    ours.send(Say("first", LONG))
    for number in range(10_100):
        ours.send(Say(str(number), b""))
    first, *others = carried(ours, theirs)
    assert first == Say("first", LONG) and others[-1].uuid == "10099" and len(others) == 9_999


def test_a_message_that_cannot_be_read_is_left_out(ends, caplog):
    ours, theirs = ends
    ours.send(Watch())
    ours._socket.send(_LAST + b"rubbish")
    ours._socket.send(_LAST + pickle.dumps(Watch())[:-3])
    ours.send(Say("u", b""))
    assert carried(ours, theirs) == [Watch(), Say("u", b"")]
    assert not theirs.closed and caplog.text.count("cannot be read") == 2


# ---- in the worker ---------------------------------------------------------------------------------------------------
def test_a_prompt_of_a_minute_is_whispered_into_a_leg_and_ends_no_other(line):  # noqa: F811
    """A prompt of 27 s once ended the worker, and with it all legs."""
    worker, door, _ = line
    leg = Announce(str(uuid.uuid4()), None, None, "Test/leg")
    connected(line, leg)
    ticks(worker, 3)
    door.send(Say(leg.uuid, LONG[: 60 * 16_000]))
    while door.behind:
        ticks(worker, 1)
        door.flush()
    ticks(worker, 2)
    [call] = worker._calls.values()
    assert call.session._player.left == pytest.approx(60 * 50, abs=5)


def test_a_message_that_cannot_be_acted_on_costs_nobody_a_call(line, flows, caplog):  # noqa: F811
    worker, door, _ = line
    connected(line, announce(flows))
    ticks(worker, 3)
    door.send(Recording("zh/lanzhi/opening", None))
    door.send(Watch())
    ticks(worker, 3)
    assert len(worker._calls) == 1 and worker._watched_until and "Recording" in caplog.text


def test_a_call_goes_on_with_the_prompt_it_began_with(line, flows):  # noqa: F811
    worker, door, _ = line
    connected(line, announce(flows))
    ticks(worker, 5)
    [call] = worker._calls.values()
    left = call.session._player.left
    door.send(Recording("zh/lanzhi/opening", bytes(320)))
    ticks(worker, 1)
    assert call.session._player.left == left - 1
    connected(line, announce(flows))
    ticks(worker, 2)
    [_, fresh] = worker._calls.values()
    assert fresh.session._player.left < 2


def test_a_flow_whose_prompt_nobody_could_read_sends_its_callers_to_the_queue(line, flows, caplog):  # noqa: F811
    worker, door, _ = line
    del worker._prompts["zh/lanzhi/noinput-2"]
    call = announce(flows)
    peer = connected(line, call)
    ticks(worker, 2)
    assert peer.recv(10) == b"\x00\x00\x00" and worker._calls == {}
    assert "zh/lanzhi/noinput-2" in caplog.text


def test_no_disk_is_read_in_a_tick(line, flows, monkeypatch):  # noqa: F811
    worker, _, _ = line
    call = announce(flows)
    for module, name in (("os", "stat"), ("os", "open"), ("builtins", "open"), ("pathlib", "Path.stat")):
        monkeypatch.setattr(f"{module}.{name}", lambda *_a, **_k: pytest.fail("the tick reads the disk"))
    connected(line, call)
    ticks(worker, 20)
    monkeypatch.undo()
    assert len(worker._calls) == 1
    time.sleep(0)
