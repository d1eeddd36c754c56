"""The media worker without Asterisk: which connections it accepts, and what happens when there is no room."""

from __future__ import annotations

import socket
import struct
import threading
import time
import uuid
from dataclasses import replace
from functools import cache

import pytest

from hearline.core.settings import Settings
from hearline.media.relay import unpacked
from hearline.media.worker import Worker
from hearline.media.worker_protocol import Announce, Beat, Channel, Finished, PassOn, Recording, Watch, Withdraw
from hearline.server.flow_store import read_flows
from hearline.sounds.prompt_store import PromptStore, prompt_keys


@cache
def recordings() -> dict[str, bytes]:
    """Those of the shipped flows by key."""
    settings, kept = Settings(), {}
    store = PromptStore(settings.sounds, kept.update)
    store.want(key for flow in read_flows(settings).flows.values() for key in prompt_keys(flow.plan).values())
    return kept


@pytest.fixture
def line(flows, request):
    """(worker, the door's end of its channel, a function that rings it up)."""
    ours, theirs = Channel.pair()
    door = Channel(ours)
    worker = Worker(("127.0.0.1", 0), lambda host: True, Channel(theirs), capacity=getattr(request, "param", 4))
    for key, pcm in recordings().items():
        door.send(Recording(key, pcm))
        worker._hear_door()
        door.flush()
    worker._hear_door()
    peers = []

    def ring(name: str) -> socket.socket:
        peer = socket.create_connection(worker.address)
        peer.settimeout(2)
        peer.sendall(b"\x01\x00\x10" + uuid.UUID(name).bytes)
        peers.append(peer)
        return peer

    yield worker, door, ring
    worker.close()
    door.close()
    worker._channel.close()
    for peer in peers:
        peer.close()


def announce(flows) -> Announce:
    return Announce(str(uuid.uuid4()), flows.flows["hotline"].plan, None, "Test/1")


def connected(line, call: Announce) -> socket.socket:
    """The far side of a call that has been announced and has come."""
    worker, door, ring = line
    door.send(call)
    ticks(worker, 1)
    peer = ring(call.uuid)
    time.sleep(0.05)
    return peer


def ticks(worker, count: int) -> None:
    for _ in range(count):
        worker.tick(time.monotonic())


def test_a_call_announced_after_the_tick_has_begun_is_let_in(line, flows):
    """Asterisk may connect within a ms of the announcement, in the middle of a tick."""
    worker, door, ring = line
    call = announce(flows)
    hear_door, worker._hear_door = worker._hear_door, lambda: None
    peer = ring(call.uuid)
    time.sleep(0.05)
    door.send(call)
    worker._hear_door = hear_door
    [(claimed, leg)] = worker._listener.arrivals()
    assert claimed == call
    leg.close()
    assert peer.fileno() > 0


def test_a_frame_goes_out_in_every_tick_and_rows_only_while_somebody_looks(line, flows):
    worker, door, _ = line
    peer = connected(line, announce(flows))
    ticks(worker, 31)  # what is decided in one tick is sent at the beginning of the next
    received = b""
    while len(received) < 30 * 323:
        received += peer.recv(65536)
    assert len(received) == 30 * 323
    beats = [m for m in door.received() if isinstance(m, Beat)]
    assert beats[-1].calls == 1 and beats[-1].rows is None
    door.send(Watch())
    ticks(worker, 10)
    [beat] = [m for m in door.received() if isinstance(m, Beat)]
    assert [(row.channel, row.step) for row in beat.rows] == [("Test/1", "opening")]


def test_a_call_is_heard_by_the_settings_of_its_plan(line, flows):
    worker, door, _ = line
    connected(line, replace(announce(flows), plan=flows.flows["elder"].plan))
    connected(line, announce(flows))
    door.send(Watch())
    ticks(worker, 20)
    rows = [m for m in door.received() if isinstance(m, Beat)][-1].rows
    assert [(row.flow, row.ears.stop_ms) for row in rows] == [("elder", 1_000), ("hotline", 700)]
    assert [worker._detector._slots.stop_frames[slot] for slot in worker._calls] == [50, 35]


@pytest.mark.parametrize("line", [1], indirect=True)
def test_without_room_a_call_goes_back_at_once(line, flows):
    worker, door, ring = line
    calls = [announce(flows), announce(flows)]
    for call in calls:
        door.send(call)
    ticks(worker, 1)
    peers = [ring(call.uuid) for call in calls]
    time.sleep(0.05)
    ticks(worker, 2)
    [finished] = [m for m in door.received() if isinstance(m, Finished)]
    assert finished.outcome is None
    refused = peers[[call.uuid for call in calls].index(finished.uuid)]
    assert refused.recv(10) == b"\x00\x00\x00", "given back to the dialplan, which sends the caller to the queue"


def test_a_caller_who_leaves_is_forgotten(line, flows):
    worker, door, _ = line
    peer = connected(line, announce(flows))
    ticks(worker, 3)
    peer.close()
    ticks(worker, 3)
    [finished] = [m for m in door.received() if isinstance(m, Finished)]
    assert finished.outcome == "hangup:caller"
    assert worker._calls == {}


def test_a_call_that_breaks_and_is_taken_back_in_the_same_tick_harms_no_other(line, flows):
    worker, door, _ = line
    call, other = announce(flows), announce(flows)
    peer, still_there = connected(line, call), connected(line, other)
    ticks(worker, 3)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()  # reset: the next frame to it fails
    door.send(Withdraw(call.uuid))
    ticks(worker, 3)
    assert [c.uuid for c in worker._calls.values()] == [other.uuid]
    assert still_there.recv(4096)


def test_the_worker_ends_when_the_door_is_gone(line):
    worker, door, _ = line
    door.close()
    worker.run()


def test_a_worker_without_calls_rests_from_beat_to_beat_and_hears_who_knocks(line, flows):
    worker, door, ring = line
    ticked = []
    tick, worker.tick = worker.tick, lambda deadline: (ticked.append(time.monotonic() - deadline), tick(deadline))
    running = threading.Thread(target=worker.run)
    running.start()
    try:
        time.sleep(1.0)
        beats, rested = [m for m in door.received() if isinstance(m, Beat)], len(ticked)
        assert 3 <= len(beats) <= 6 and rested <= 2 * len(beats) + 2
        call, asked = announce(flows), time.monotonic()
        door.send(call)
        peer = ring(call.uuid)
        assert peer.recv(4096)[:3] == b"\x10\x01\x40"
        assert time.monotonic() - asked < 0.15, "the first frame comes at once, not with the next beat"
        came = len(ticked)
        time.sleep(0.5)
        assert len(ticked) - came >= 20, "then there is a tick every 20 ms"
        assert worker._skipped_ms == 0
        peer.close()
        time.sleep(0.2)
        gone = len(ticked)
        time.sleep(0.5)
        assert len(ticked) - gone <= 5
    finally:
        worker.stopping = True
        running.join(2)
    assert not running.is_alive()


def test_a_worker_that_ends_reports_its_calls(line, flows):
    """So the record of a caller who goes on to the queue says what they have heard."""
    worker, door, _ = line
    call = announce(flows)
    peer = connected(line, call)
    ticks(worker, 30)
    worker.close()
    assert peer.recv(65_536), "some sound"
    [finished] = [m for m in door.received() if isinstance(m, Finished)]
    assert (finished.uuid, finished.outcome) == (call.uuid, "hangup:caller")
    assert finished.timeline["duration_ms"] >= 580
    assert "prompt_start" in {event["event"] for event in finished.timeline["events"]}


def test_a_late_tick_sends_sound_and_does_without_the_networks(line, flows):
    worker, door, _ = line
    peer = connected(line, announce(flows))
    ticks(worker, 20)
    asked = []
    network, worker._detector._run_network = worker._detector._run_network, lambda *_: asked.append(1)
    late = time.monotonic() - 0.015
    for _ in range(20):
        worker.tick(late)
    worker._detector._run_network = network
    [beat] = [m for m in door.received() if isinstance(m, Beat)][-1:]
    assert not asked
    assert beat.shed == 19, "told in the beat, of which the last was one tick ago"
    received = b""
    while len(received) < 39 * 323:
        received += peer.recv(65536)
    assert len(received) == 39 * 323, "no frame was left out"


def test_a_stop_in_the_middle_of_a_tick_does_not_make_the_worker_full(line, monkeypatch):
    worker, door, _ = line
    monkeypatch.setattr(worker, "_see_off", lambda: time.sleep(0.6) if worker._ticks == 3 else None)
    ticks(worker, 10)
    [beat] = [m for m in door.received() if isinstance(m, Beat)]
    assert beat.busy < 0.5


@pytest.mark.parametrize("end", [lambda uuid: PassOn(uuid, ""), Withdraw])
def test_what_comes_on_a_leg_is_passed_on_until_it_ends(line, tmp_path, end):
    worker, door, _ = line
    leg, to = str(uuid.uuid4()), str(tmp_path / "sound")
    peer = connected(line, Announce(leg, None, None))
    ticks(worker, 1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as taker:
        taker.bind(to)
        taker.settimeout(2)
        door.send(PassOn(leg, to))
        for number in range(5):
            peer.sendall(b"\x10\x01\x40" + bytes([number]) * 320)
        time.sleep(0.05)
        ticks(worker, 6)
        assert unpacked(taker.recv(65_536)) == (leg, 0, b"".join(bytes([number]) * 320 for number in range(5)))
        door.send(end(leg))
        ticks(worker, 1)
        assert not worker._relays
