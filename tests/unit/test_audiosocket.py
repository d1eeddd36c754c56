"""AudioSocket on the wire: framing across any pieces, and which connections are accepted."""

from __future__ import annotations

import os
import socket
import time
import uuid
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearline.media import audiosocket, connections, frames
from hearline.media.audiosocket import HANGUP, AudioSocketLeg, AudioSocketListener
from hearline.media.connections import AudioSocketConnections
from hearline.media.frames import AUDIO_HEADER, BACKLOG
from hearline.media.transport import FRAME_BYTES, FRAME_SAMPLES, SILENCE

FRAME = bytes(range(160)) * 2
WAYS = [pytest.param(frames, id="plain"), pytest.param(connections.compiled, id="compiled")]


def audio(payload: bytes) -> bytes:
    return b"\x10" + len(payload).to_bytes(2, "big") + payload


class Trunk:
    """Two places, and an unused one before, between and behind them: some calls are over, some are yet to come."""

    SLOTS = (1, 3)

    def __init__(self, of):
        self.connections = AudioSocketConnections(5, of)
        self._rows, self._came = np.zeros((5, FRAME_SAMPLES), np.int16), np.zeros(5, bool)
        self._open = []

    def connect(self, slot: int, early: bytes = b"") -> tuple[AudioSocketLeg, socket.socket]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        leg = AudioSocketLeg(ours, early)
        self.connections.join(slot, leg)
        self._open += [leg, theirs]
        return leg, theirs

    def receive(self, slot: int = 1) -> bytes | None:
        self.stirred = self.connections.receive(self._rows, self._came)
        return self._rows[slot].tobytes() if self._came[slot] else None

    def came(self) -> list[int]:
        return self._came.nonzero()[0].tolist()

    def held(self, slot: int = 1) -> int:
        return int(self.connections._held[slot])

    def close(self) -> None:
        for end in self._open:
            end.close()


@pytest.fixture(params=WAYS)
def line(request):
    if request.param is None:
        pytest.fail("the compiled part is missing: install Hearline again on a machine with a C compiler")
    line = Trunk(request.param)
    yield line
    line.close()


@pytest.fixture
def wire(line):
    return line, *line.connect(1)


def test_a_frame_in_and_out(wire):
    line, _, peer = wire
    assert line.receive() is None
    peer.sendall(audio(FRAME))
    assert line.receive() == FRAME
    line.connections.send({})
    assert peer.recv(4096) == AUDIO_HEADER + SILENCE
    line.connections.send({1: FRAME})
    line.connections.send({})
    assert peer.recv(4096) == audio(FRAME) + audio(SILENCE)


def test_each_line_has_its_own(line):
    peers = {slot: line.connect(slot)[1] for slot in line.SLOTS}
    said = {slot: bytes([slot]) * FRAME_BYTES for slot in line.SLOTS}
    peers[3].sendall(audio(said[3]))
    assert line.receive(3) == said[3] and line.came() == [3]
    for slot, peer in peers.items():
        peer.sendall(audio(said[slot]))
    assert line.receive(1) == said[1] and line.came() == [1, 3]
    line.connections.send(said)
    assert [peers[slot].recv(4096) for slot in line.SLOTS] == [audio(said[slot]) for slot in line.SLOTS]


def test_a_place_that_is_taken_again_knows_nothing_of_before(line):
    leg, peer = line.connect(1)
    peer.sendall(audio(FRAME) * 5 + audio(FRAME)[:100])
    line.connections.send({1: FRAME})
    assert line.receive() == FRAME
    line.connections.leave(1)
    line.connections.leave(1)
    assert line.receive() is None and line.came() == [] and len(line.connections) == 0
    _, peer = line.connect(1)
    line.connections.send({})
    assert peer.recv(4096) == audio(SILENCE)
    assert line.receive() is None
    peer.sendall(audio(SILENCE))
    assert line.receive() == SILENCE


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.one_of(
        st.lists(st.sampled_from([2, 80, 160, 320, 480, 640]), min_size=1, max_size=12),
        st.lists(st.just(1_600), min_size=1, max_size=4),  # 100 ms
    ),
    cuts=st.lists(st.integers(1, 700), max_size=30),
)
@pytest.mark.parametrize("of", WAYS)
def test_any_packet_time_in_any_pieces(of, sizes, cuts):
    line = Trunk(of)
    leg, peer = line.connect(1)
    stream = os.urandom(sum(sizes))
    raw, at = b"", 0
    for size in sizes:
        raw += audio(stream[at : at + size])
        at += size
    got = b""
    for cut in [*cuts, len(raw)]:
        peer.sendall(raw[:cut])
        raw = raw[cut:]
        got += line.receive() or b""
    for _ in range(40):
        got += line.receive() or b""
    assert got == stream[: len(stream) // FRAME_BYTES * FRAME_BYTES]
    assert not leg.gone
    line.close()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.lists(
            st.one_of(
                st.sampled_from([audio(FRAME), audio(SILENCE), audio(FRAME) * 4, b"\x03\x00\x011", HANGUP]),
                st.binary(max_size=400).map(audio),
                st.binary(max_size=30),
                st.integers(1, 400).map(lambda count: -count),  # so many bytes of it come in the next tick
            ),
            max_size=4,
        ),
        max_size=70,
    )
)
def test_both_ways_hear_the_same(ticks):
    lines = [Trunk(of.values[0]) for of in WAYS]
    ends = [line.connect(1) for line in lines]
    kept = b""
    for tick in ticks:
        data, back = kept, 0
        for part in tick:
            if isinstance(part, bytes):
                data += part
            else:
                back = -part
        kept = data[max(0, len(data) - back) :]
        told = []
        for line, (leg, peer) in zip(lines, ends):
            peer.sendall(data[: max(0, len(data) - back)])
            told.append((line.receive(), line.stirred, line.held(), leg.gone, leg.keys()))
        assert told[0] == told[1]
    for line in lines:
        line.close()


def test_keys(wire):
    line, leg, peer = wire
    peer.sendall(b"\x03\x00\x01#" + audio(FRAME) + b"\x03\x00\x015")
    assert line.receive() == FRAME and line.stirred == {1}
    assert leg.keys() == "#5"
    assert leg.keys() == ""


@pytest.mark.parametrize(
    "junk", [b"\xff\x00\x00", b"\x10\xff\xff", b"\x01\x00\x10" + bytes(16), b"\x00\x00\x00", b"GET / HTTP"]
)
def test_anything_else_ends_the_leg(wire, junk):
    line, leg, peer = wire
    peer.sendall(junk)
    line.receive()
    assert leg.gone and line.stirred == {1}


def test_a_peer_that_leaves(wire):
    line, leg, peer = wire
    peer.sendall(audio(FRAME) * 2)
    peer.close()
    assert [line.receive(), line.receive()] == [FRAME, FRAME], "what it said last is heard"
    assert leg.gone
    line.connections.send({})  # must not raise


def test_a_peer_that_leaves_is_noticed_by_who_speaks_too(wire):
    line, leg, peer = wire
    peer.close()
    line.connections.send({})
    assert leg.gone
    assert line.receive() is None and line.stirred == {1}
    assert line.receive() is None and not line.stirred, "once"


def test_a_peer_that_does_not_read_costs_frames_not_time(wire):
    line, leg, peer = wire
    started = time.monotonic()
    for _ in range(5_000):
        line.connections.send({1: FRAME})
    assert time.monotonic() - started < 2
    assert leg.lost_out > 0
    data = b""
    peer.settimeout(0.2)
    try:
        while True:
            data += peer.recv(65536)
            line.connections.send({1: FRAME})
            if len(data) > 3_000_000:
                break
    except TimeoutError:
        pass
    whole = audio(FRAME)
    assert data[: len(data) // len(whole) * len(whole)] == whole * (len(data) // len(whole)), "framing is kept"


@pytest.mark.parametrize("taken", [1, 100, 322])
def test_the_rest_of_a_message_follows_before_anything_else(line, monkeypatch, taken):
    leg, peer = line.connect(1)
    _, other = line.connect(3)
    real = line.connections._of.send

    def in_part(fds, messages, odd):  # as a full buffer would have it
        if fds[1] < 0:
            return real(fds, messages, odd)
        assert os.write(fds[1], messages[1, :taken]) == taken
        odd[0] = 1, taken
        return 1

    line.connections.send({3: FRAME})
    monkeypatch.setattr(line.connections, "_of", SimpleNamespace(send=in_part, read=line.connections._of.read))
    line.connections.send({1: FRAME})
    monkeypatch.undo()
    assert peer.recv(4096) == audio(SILENCE) + audio(FRAME)[:taken]
    line.connections.send({})
    assert peer.recv(4096) == audio(FRAME)[taken:] + audio(SILENCE)
    assert leg.lost_out == 0 and other.recv(4096) == audio(FRAME) + audio(SILENCE)


def test_a_backlog_that_stays_is_let_go_a_burst_is_not(wire):
    line, _, peer = wire
    peer.sendall(audio(FRAME) * 6)
    taken = [line.receive() for _ in range(8)]
    assert taken[:6] == [FRAME] * 6 and taken[6:] == [None, None], "a burst is played out"
    peer.sendall(audio(FRAME) * 6)
    lengths = []
    for _ in range(400):
        peer.sendall(audio(FRAME))
        assert line.receive() == FRAME
        lengths.append(line.held())
    assert lengths[0] >= 5 and lengths[-1] == 1


def test_half_a_second_is_kept_at_most_the_newest(wire):
    line, _, peer = wire
    spoken = [bytes([number]) * FRAME_BYTES for number in range(32)]
    peer.sendall(b"".join(map(audio, spoken[:8])))
    first = line.receive()
    for part in (8, 16, 24):
        peer.sendall(b"".join(map(audio, spoken[part : part + 8])))
        line.receive()
    assert first == spoken[0]
    left = [line.receive() for _ in range(BACKLOG)]
    assert left == [*spoken[-BACKLOG + 1 :], None], "the oldest made room"


def test_the_end_is_a_hang_up_message_even_while_the_caller_speaks(wire):
    line, leg, peer = wire
    peer.sendall(audio(FRAME) * 50)
    line.connections.send({1: FRAME})
    line.connections.leave(1)
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
    door = AudioSocketListener(("127.0.0.1", 0), lambda host: host == "127.0.0.1", expected.claim)
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


def test_an_announced_call_is_let_in_once(door, line):
    door, expected, knock = door
    name = str(uuid.uuid4())
    expected[name] = "the call"
    knock(hello(name) + audio(FRAME))
    [(call, leg)] = arrivals(door)
    assert call == "the call"
    line.connections.join(1, leg)
    assert line.receive() == FRAME, "what came with the greeting is not lost"
    leg.close()
    second = knock(hello(name))
    while not door.refused:
        assert door.arrivals() == []
    assert second.recv(1) == b""


@pytest.mark.parametrize(
    "greeting",
    [hello(str(uuid.UUID(int=7))), b"GET / HTTP/1.0\r\n\r\n", audio(FRAME), b"\x01\x00\x11" + bytes(17), b"\x01", b""],
)
def test_strangers_are_not(door, greeting):
    door, _, knock = door
    peer = knock(greeting)
    deadline = time.monotonic() + 2
    while not door.refused:
        assert door.arrivals() == [] and time.monotonic() < deadline
    try:
        assert peer.recv(1) == b""
    except ConnectionResetError:
        pass
    assert door.refused == 1


def test_who_says_nothing_keeps_nobody_out(door, monkeypatch):
    monkeypatch.setattr(audiosocket, "MAX_WAITING", 20)
    door, expected, knock = door
    for index in range(60):
        knock(b"\x01\x00\x10abc" if index % 2 else b"")
    name = str(uuid.uuid4())
    expected[name] = "the call"
    knock(hello(name))
    [(call, leg)] = arrivals(door)
    assert call == "the call"
    leg.close()
    assert door.refused >= 40, "the oldest made room"


@settings(max_examples=50, deadline=None)
@given(junk=st.binary(max_size=600))
@pytest.mark.parametrize("of", WAYS)
def test_random_bytes_never_raise(of, junk):
    line = Trunk(of)
    leg, peer = line.connect(1)
    peer.sendall(junk)
    for _ in range(5):
        line.receive()
        leg.keys()
    line.close()


def test_what_is_compiled_looks_at_every_length():
    of, lines = connections.compiled, 4
    fds, odd = np.full(lines, -1, np.int32), np.zeros((lines, 2), np.int32)
    held, least, ticks = np.zeros((3, lines), np.int32)
    flags, unread = np.zeros(lines, bool), np.zeros(lines * frames.READ_BYTES, np.uint8)
    messages = np.zeros((lines, frames.MESSAGE_BYTES), np.uint8)
    backlog = np.zeros((lines, BACKLOG, FRAME_BYTES), np.uint8)
    rows = np.zeros((lines, FRAME_SAMPLES), np.int16)
    for function, arguments in (
        (of.send, (fds, messages, odd)),
        (of.read, (fds, flags, backlog, held, odd, unread)),
        (of.take, (backlog, held, least, ticks, rows, flags)),
    ):
        function(*arguments)
        tells_lines = 1 if function is of.take else 0
        for short in set(range(len(arguments))) - {tells_lines}:
            with pytest.raises(ValueError, match="too short"):
                function(*(argument[:-1].copy() if i == short else argument for i, argument in enumerate(arguments)))
        with pytest.raises(TypeError):
            function(*arguments[1:])
    held[2] = BACKLOG + 1
    with pytest.raises(ValueError, match="no backlog"):
        of.read(fds, flags, backlog, held, odd, unread)
    messages.flags.writeable = odd.flags.writeable = False
    of.send(fds, messages, odd.copy())
    with pytest.raises(TypeError, match="read-write"):
        of.send(fds, messages, odd)
