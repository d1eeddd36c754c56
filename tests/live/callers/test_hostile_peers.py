"""Peers that are not Asterisk, or misbehave: a call at the same time is not disturbed by any of them."""

from __future__ import annotations

import random
import re
import resource
import socket
import struct
import threading
import time
import uuid
from contextlib import suppress

import pytest

from hearline.phone.judge import WHOLE, prompts_of
from world import SILENCE, SOUNDS, Scenario, World

RANDOM_STRINGS = 10_000
ANNOUNCED = b"agi_network: yes\nagi_network_script: hotline\nagi_channel: Test/1\nagi_extension: 8001\n\n"


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def announced(agi: socket.socket) -> str:
    """The command that brings its sound, when all that was asked of the call before is answered with nothing."""
    agi.sendall(ANNOUNCED)
    while not (command := agi.recv(4096).decode()).startswith("EXEC"):
        told = re.sub(r"[$][{].*?[}]", "", command.split('"')[1]) if command.startswith("GET") else ""
        agi.sendall(f"200 result=1 ({told})\n".encode() if told else b"200 result=1\n")
    return command


class Peers:
    """Everything that knocks at the two doors."""

    def __init__(self, world: World) -> None:
        self.agi = address(world.stack.running.agi)
        self.media = address(world.stack.running.media)
        self.random = random.Random(1)

    def throw(self, where: tuple[str, int], data: bytes, *, reset: bool = False) -> None:
        with socket.create_connection(where, timeout=5) as peer:
            try:
                peer.sendall(data)
            except OSError:
                pass  # thrown out already: that is an answer too
            if reset:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def say_nothing(self, until: threading.Event) -> None:
        """More connections at both doors than either holds, with half a greeting, and new ones for those that are
        thrown out."""
        greetings = [(self.agi, b"agi_network: yes\n")] * 4_100 + [(self.media, b"\x01\x00\x10abc")] * 1_100
        peers: list[socket.socket | None] = [None] * len(greetings)
        while not until.wait(0.2):
            for index, (where, half) in enumerate(greetings):
                if peers[index] is None or is_thrown_out(peers[index]):
                    peers[index] = socket.create_connection(where, timeout=5)
                    peers[index].setblocking(False)
                    with suppress(OSError):  # thrown out already
                        peers[index].send(half)
        for peer in filter(None, peers):
            peer.close()

    def random_strings(self, count: int) -> None:
        for index in range(count):
            where = self.agi if index % 2 else self.media
            self.throw(where, self.random.randbytes(self.random.randrange(0, 400)), reset=index % 3 == 0)

    def connect_and_close(self) -> None:
        for where in (self.agi, self.media):
            for _ in range(50):
                self.throw(where, b"")

    def wrong_greetings(self) -> None:
        for greeting in (
            b"\x01\x00\x10" + uuid.uuid4().bytes,
            b"\x01\x00\x10" + b"half",
            b"\x01",
            b"\x10\x01\x40" + bytes(320),
            b"\x01\xff\xff",
            b"GET / HTTP/1.1\r\n\r\n",
        ):
            self.throw(self.media, greeting)

    def announced_but(self, after: bytes, *, twice: bool = False) -> bytes:
        """An AGI peer asks for a call, an AudioSocket peer brings the right UUID and then ``after``; returns what
        the script did next."""
        with socket.create_connection(self.agi, timeout=5) as agi:
            command = announced(agi)
            name = uuid.UUID(command.split('"')[1].split(",")[0])
            with socket.create_connection(self.media, timeout=5) as media:
                media.sendall(b"\x01\x00\x10" + name.bytes)
                assert media.recv(323), "the announced call is served"
                if twice:
                    with socket.create_connection(self.media, timeout=5) as second:
                        second.sendall(b"\x01\x00\x10" + name.bytes)
                        assert second.recv(1) == b"", "a UUID counts once"
                media.sendall(after)
            agi.sendall(b"200 result=-1\n")
            return agi.recv(4096)


def is_thrown_out(peer: socket.socket) -> bool:
    try:
        return peer.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@pytest.fixture
def peers(world):
    return Peers(world)


@pytest.mark.realtime
def test_a_call_goes_on_undisturbed_beside_them_all(world, peers):
    done, faults = threading.Event(), []

    def bother():
        time.sleep(1.5)
        try:
            peers.connect_and_close()
            peers.wrong_greetings()
            for junk in (b"\xff\x00\x00", b"\x10\xff\xff", b"\x10\x01\x40" + bytes(100), b"\x00\x00\x00", b""):
                peers.announced_but(junk)
            peers.announced_but(b"", twice=True)
            peers.random_strings(RANDOM_STRINGS)
        except Exception as error:
            faults.append(error)
        done.set()

    bothering = threading.Thread(target=bother)
    bothering.start()
    refused = world.metric("hearline_connections_refused_total")
    call = world.place({"undisturbed": Scenario()}, timeout=60)["undisturbed"]
    assert done.wait(60) and not faults, faults
    bothering.join()
    assert world.metric("hearline_connections_refused_total") - refused >= RANDOM_STRINGS // 2

    assert call.outcome == "hangup:noinput"
    assert call.prompts == SILENCE
    prompts = prompts_of(SOUNDS / "zh" / "lanzhi")
    assert not world.off_time(call)
    for prompt in call.heard:
        assert prompt.complete >= WHOLE
        assert not world.glitches(call, prompt, prompts[prompt.id])


def test_who_says_nothing_keeps_no_caller_out(world, peers):
    few, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 8_192), most))
    over = threading.Event()
    silent = threading.Thread(target=peers.say_nothing, args=(over,))
    silent.start()
    try:
        time.sleep(1)
        call = world.place({"heard": Scenario("8102", keys=((3_000, "1"),), hangup_at_ms=5_000)}, timeout=30)["heard"]
    finally:
        over.set()
        silent.join()
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, most))
    assert call.prompts == ["opening"]
    assert call.outcome == "queue:care"


def test_a_caller_whose_media_connection_breaks_is_not_hung_up_on(world, peers):
    """The AGI side lives on: so does the caller, who belongs in the queue."""
    after = peers.announced_but(b"")
    assert b"HEARLINE_HEARD" in after and b"HEARLINE_RESULT" not in after


def test_half_a_greeting_is_given_up_within_seconds(peers):
    with socket.create_connection(peers.media, timeout=6) as peer:
        peer.sendall(b"\x01\x00\x10abc")
        started = time.monotonic()
        assert peer.recv(1) == b""
        assert 1.0 < time.monotonic() - started < 4.0


def test_an_announced_call_that_nobody_brings_is_forgotten(world, peers):
    with socket.create_connection(peers.agi, timeout=5) as agi:
        name = uuid.UUID(announced(agi).split('"')[1].split(",")[0])
        agi.sendall(b"200 result=0\n")
        assert b"HEARLINE_RESULT" not in agi.recv(4096), "no result: the dialplan sends the caller to the queue"
    with socket.create_connection(peers.media, timeout=5) as late:
        late.sendall(b"\x01\x00\x10" + name.bytes)
        assert late.recv(1) == b"", "too late"
