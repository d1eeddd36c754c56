"""The dialplan by itself: names of every kind, and the guard among thousands of channels.

There are no phones, only Asterisk's own channels (Local), and in the guard's tests a peer of ours in place of the
server.
"""

from __future__ import annotations

import re
import select
import socket
import threading
import time

import pytest

from hearline.pbx.config import Parts
from world import SOUNDS, World, until

TALKS, CALLS = 300, 400
CHANNELS_A_TALK = 7
CROWD_S = 4.5


def originate(world: World, what: str, **variables: str) -> None:
    for name, value in variables.items():
        world.stack.console(f'dialplan set global {name} "{value}"')
    world.stack.console(f"channel originate Local/{what} application Wait 60")


def told(world: World, name: str, seconds: float = 5.0) -> str:
    """What the dialplan has written into a global, without the brackets that say that it has."""
    found = until(
        lambda: re.search(rf"^ +{name}=\[(.*)\]$", world.stack.console("dialplan show globals"), re.M), seconds
    )
    world.stack.console(f"dialplan set global {name} -")
    return found[1]


@pytest.fixture(autouse=True)
def hung_up(world):
    yield
    world.stack.console("channel request hangup all")
    world.wait_idle()


# ---- names are data --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("phone", "other"),
    [("agent-1", "agent-1-b"), ("agent-1", "agent-11"), ("agent.1", "agent-1"), ("agent+1", "agentt1")],
)
def test_an_agent_asks_about_the_caller_at_the_same_phone_and_no_other(world, phone, other):
    originate(world, f"{other}@test-phones/n", TEST_WITH="PJSIP/somebody-00000001")
    originate(world, f"{phone}@test-phones/n", TEST_WITH="")
    assert told(world, "TEST_ABOUT") == ""
    originate(world, f"{phone}@test-phones/n", TEST_WITH="PJSIP/caller-00000002")
    originate(world, f"{phone}@test-phones/n", TEST_WITH="")
    assert told(world, "TEST_ABOUT") == "PJSIP/caller-00000002"


def test_an_extension_that_names_two_phones_rings_none(world):
    originate(world, "two-phones@test/n")
    until(lambda: not world.channels(), 5)
    assert "TEST_SECOND" not in world.stack.console("dialplan show globals")


@pytest.mark.parametrize("queue", ["Sales", "8a", "sales_2-b"])
def test_any_queue_that_a_flow_may_name_can_be_dialled(world, queue):
    """There is none of that name here: who dials it waits in the fallback queue."""
    originate(world, "queue@test/n", TEST_QUEUE=queue)
    until(lambda: any(line[5] == "Queue" for line in world.channels()), 5)


@pytest.mark.parametrize(
    ("queue", "by"), [("400", "ext-queues"), ("care", "hearline-queue"), ("Sales", "hearline-queue")]
)
def test_a_queue_with_an_extension_of_its_own_is_entered_by_that_one(world, queue, by):
    """As on FreePBX. The other two have none, and the last one is no queue."""
    originate(world, "their-queue@test/n", TEST_QUEUE=queue)
    until(lambda: [line[1] for line in world.channels() if line[5] == "Queue"] == [by], 5)


def test_the_keys_that_agents_have_already_stay(world):
    originate(world, "keys@test/n")
    assert told(world, "TEST_KEYS").startswith("theirs#hearline-")


def test_nobody_is_thanked_for_a_message_that_is_lost(world):
    kept = world.stack.home / "spool" / "messages"
    originate(world, "message@test/n", HEARLINE_MESSAGES="/proc/nowhere")
    try:
        until(lambda: any(line[5] == "Congestion" for line in world.channels()), 5)
    finally:
        world.stack.console(f"dialplan set global HEARLINE_MESSAGES {kept}")


# ---- in the server's place -------------------------------------------------------------------------------------------
class SilentServer:
    """Takes AGI sessions. Answers the guard as long as it is `well`, callers never."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.well = True
        self.answered_last = 0.0
        self.extensions: list[str] = []
        self.left: list[float] = []  # when a call's session ended, monotonic s
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._listener = socket.create_server(address, family=family, backlog=4_096)
        self._open: list[socket.socket] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self) -> SilentServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for peer in (self._listener, *self._open):
            peer.close()

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        calls = {}
        while not self._stop.is_set():
            for fd, _ in poll.poll(100):
                if fd == self._listener.fileno():
                    peer, _ = self._listener.accept()
                    self._open.append(peer)
                    if call := self._greet(peer):
                        self.extensions.append(call)
                        calls[peer.fileno()] = peer
                        poll.register(peer, select.POLLIN)
                elif not calls[fd].recv(4096):
                    self.left.append(time.monotonic())
                    poll.unregister(fd)

    def _greet(self, peer: socket.socket) -> str | None:
        """The extension of a call; None where it was the guard."""
        headers = b""
        while b"\n\n" not in headers:
            headers += peer.recv(4096)
        if b"agi_network_script: alive\n" not in headers:
            return re.search(rb"^agi_extension: (.*)$", headers, re.M)[1].decode()
        if self.well:
            peer.sendall(b'SET VARIABLE "HEARLINE_ALIVE" "yes"\n')
            peer.recv(4096)
            peer.close()
            self.answered_last = time.monotonic()
        return None


def test_the_server_may_have_an_address_of_ipv6(world):
    url = Parts(sounds_dir=SOUNDS, messages_dir=SOUNDS, agi_host="::1", agi_port=14_574).agi_url
    with SilentServer(("::1", 14_574)) as server:
        originate(world, "dialled@test/n", TEST_DIALLED="8001", HEARLINE_AGI=url)
        try:
            until(lambda: server.extensions, 5)
        finally:
            world.stack.console(f"dialplan set global HEARLINE_AGI agi://{world.stack.running.agi}")
            world.stack.console("channel request hangup all")
            world.wait_idle()


@pytest.fixture
def silent(world):
    host, _, port = world.stack.running.agi.rpartition(":")
    world.stack.stop_server()
    with SilentServer((host, int(port))) as server:
        yield server
        world.stack.console("channel request hangup all")
        world.wait_idle()
    assert not re.findall(r"HEARLINE_IVR_\d\d=.+", world.stack.console("dialplan show globals")), "nobody is there now"
    world.stack.start_server()


ASKED = {"+8001": "8001", "*8001": "0", "hotline": "0", "8001 (2)": "80012", "8001%0Aagi_x: 2": "80012"}


def test_hearline_is_asked_about_digits_only_and_nobody_is_turned_away(world, silent):
    def asked_about(dialled: str) -> list[str]:
        before = len(silent.extensions)
        originate(world, "dialled@test/n", TEST_DIALLED=dialled)
        until(lambda: len(silent.extensions) > before, 5)
        return silent.extensions[before:]

    for dialled, asked in ASKED.items():
        assert asked_about(dialled) == [asked], dialled
    assert len(silent.extensions) == len(ASKED)


@pytest.mark.realtime
def test_every_call_in_the_ivr_reaches_the_queue_in_time_among_thousands_of_channels(world, silent):
    """The calls come from two trunks, one of them with blanks and a pattern's signs in its name; the server hangs just
    after it has told the guard that it is well. It takes 1.5 s at most to be noticed, and hundreds of redirects at once
    then take as long as the machine needs: within 4.5 s in all on a slow one. A guard that knew only the first of the
    channels' names would leave the others where they are."""
    originate(world, "crowd@test/n", TEST_TALKS=str(TALKS * CHANNELS_A_TALK // 2), TEST_CALLS=str(CALLS // 2))
    until(lambda: len(silent.extensions) == CALLS, 60)
    until(lambda: len(world.channels()) > TALKS * CHANNELS_A_TALK + 2 * CALLS, 30)
    last = silent.answered_last
    until(lambda: silent.answered_last > last, 3)
    silent.well = False
    hung = time.monotonic()
    until(lambda: len(silent.left) == CALLS, 10)
    until(lambda: sum(line[5] == "Queue" for line in world.channels()) == CALLS, 10)
    queued = time.monotonic()
    print(f"out of the IVR {silent.left[-1] - hung:.2f} s after it hung, in the queue {queued - hung:.2f} s after")
    assert queued - hung <= CROWD_S
