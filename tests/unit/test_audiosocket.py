"""AudioSocket on the wire: framing in any pieces, and who is let in."""

from __future__ import annotations

import os
import socket
import time
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearline.line import audiosocket
from hearline.line.audiosocket import AUDIO_HEADER, HANGUP, AudioSocketLeg, Door
from hearline.line.transport import FRAME_BYTES, SILENCE

FRAME = bytes(range(160)) * 2


def audio(payload: bytes) -> bytes:
    return b"\x10" + len(payload).to_bytes(2, "big") + payload


def receive(leg: AudioSocketLeg) -> bytes | None:
    row = bytearray(FRAME_BYTES)
    return bytes(row) if leg.receive(memoryview(row)) else None


@pytest.fixture
def wire():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    leg = AudioSocketLeg(ours)
    yield leg, theirs
    leg.close()
    theirs.close()


def test_a_frame_in_and_out(wire):
    leg, peer = wire
    assert receive(leg) is None
    peer.sendall(audio(FRAME))
    assert receive(leg) == FRAME
    leg.send(SILENCE)
    assert peer.recv(4096) == AUDIO_HEADER + SILENCE


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.one_of(
        st.lists(st.sampled_from([2, 80, 160, 320, 480, 640]), min_size=1, max_size=12),
        st.lists(st.just(1_600), min_size=1, max_size=4),  # 100 ms
    ),
    cuts=st.lists(st.integers(1, 700), max_size=30),
)
def test_any_packet_time_in_any_pieces(sizes, cuts):
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    leg = AudioSocketLeg(ours)
    stream = os.urandom(sum(sizes))
    raw, at = b"", 0
    for size in sizes:
        raw += audio(stream[at : at + size])
        at += size
    got = b""
    for cut in [*cuts, len(raw)]:
        peer.sendall(raw[:cut])
        raw = raw[cut:]
        got += receive(leg) or b""
    for _ in range(40):
        got += receive(leg) or b""
    assert got == stream[: len(stream) // FRAME_BYTES * FRAME_BYTES]
    leg.close()
    peer.close()


def test_keys(wire):
    leg, peer = wire
    peer.sendall(b"\x03\x00\x01#" + audio(FRAME) + b"\x03\x00\x015")
    receive(leg)
    assert leg.keys() == "#5"
    assert leg.keys() == ""


@pytest.mark.parametrize(
    "junk", [b"\xff\x00\x00", b"\x10\xff\xff", b"\x01\x00\x10" + bytes(16), b"\x00\x00\x00", b"GET / HTTP"]
)
def test_anything_else_ends_the_leg(wire, junk):
    leg, peer = wire
    peer.sendall(junk)
    receive(leg)
    assert leg.gone


def test_a_peer_that_leaves(wire):
    leg, peer = wire
    peer.close()
    receive(leg)
    assert leg.gone
    leg.send(SILENCE)  # must not raise


def test_a_peer_that_does_not_read_costs_frames_not_time(wire):
    leg, peer = wire
    started = time.monotonic()
    for _ in range(5_000):
        leg.send(FRAME)
    assert time.monotonic() - started < 2
    assert leg.lost_out > 0
    data = b""
    peer.settimeout(0.2)
    try:
        while True:
            data += peer.recv(65536)
            leg.send(FRAME)
            if len(data) > 3_000_000:
                break
    except TimeoutError:
        pass
    whole = audio(FRAME)
    assert data[: len(data) // len(whole) * len(whole)] == whole * (len(data) // len(whole)), "framing is kept"


def test_a_backlog_that_stays_is_let_go_a_burst_is_not(wire):
    leg, peer = wire
    peer.sendall(audio(FRAME) * 6)
    taken = [receive(leg) for _ in range(8)]
    assert taken[:6] == [FRAME] * 6 and taken[6:] == [None, None], "a burst is played out"
    peer.sendall(audio(FRAME) * 6)
    lengths = []
    for _ in range(400):
        peer.sendall(audio(FRAME))
        receive(leg)
        lengths.append(len(leg._frames))
    assert lengths[0] >= 5 and lengths[-1] <= 2


def test_the_end_is_a_hang_up_message_even_while_the_caller_speaks(wire):
    leg, peer = wire
    peer.sendall(audio(FRAME) * 50)
    leg.send(FRAME)
    leg.finish()
    got = b""
    peer.settimeout(1)
    while len(got) < len(audio(FRAME)) + 3:
        got += peer.recv(4096)
    assert got.endswith(HANGUP)
    assert not leg.drained()
    peer.close()
    deadline = time.monotonic() + 1
    while not leg.drained():
        assert time.monotonic() < deadline


# ---- who is let in ---------------------------------------------------------------------------------------------------
class Expecting(dict):
    def claim(self, name: str):
        return self.pop(name, None)


@pytest.fixture
def door(monkeypatch):
    monkeypatch.setattr(audiosocket, "HANDSHAKE_S", 0.3)
    expected = Expecting()
    door = Door(("127.0.0.1", 0), lambda host: host == "127.0.0.1", expected.claim)
    peers = []

    def knock(data: bytes) -> socket.socket:
        peer = socket.create_connection(door.address)
        peer.settimeout(2)
        peers.append(peer)
        peer.sendall(data)
        return peer

    yield door, expected, knock
    door.close()
    for peer in peers:
        peer.close()


def arrivals(door, seconds=0.5):
    until = time.monotonic() + seconds
    got = []
    while not got and time.monotonic() < until:
        got = door.arrivals()
    return got


def hello(name: str) -> bytes:
    return b"\x01\x00\x10" + uuid.UUID(name).bytes


def test_an_announced_call_is_let_in_once(door):
    door, expected, knock = door
    name = str(uuid.uuid4())
    expected[name] = "the call"
    knock(hello(name) + audio(FRAME))
    [(call, leg)] = arrivals(door)
    assert call == "the call"
    assert receive(leg) == FRAME, "what came with the greeting is not lost"
    leg.close()
    second = knock(hello(name))
    assert arrivals(door) == []
    assert second.recv(1) == b""


@pytest.mark.parametrize(
    "greeting",
    [hello(str(uuid.uuid4())), b"GET / HTTP/1.0\r\n\r\n", audio(FRAME), b"\x01\x00\x11" + bytes(17), b"\x01", b""],
)
def test_strangers_are_not(door, greeting):
    door, _, knock = door
    peer = knock(greeting)
    assert arrivals(door) == []
    try:
        assert peer.recv(1) == b""
    except ConnectionResetError:
        pass
    assert door.refused == 1


@settings(max_examples=50, deadline=None)
@given(junk=st.binary(max_size=600))
def test_random_bytes_never_raise(junk):
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    leg = AudioSocketLeg(ours)
    peer.sendall(junk)
    for _ in range(5):
        receive(leg)
        leg.keys()
    leg.close()
    peer.close()
