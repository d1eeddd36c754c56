"""During a call, none of our ports can be reached from another machine."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest

from world import Phones, Scenario

LISTEN = "0A"  # a TCP socket's state


@dataclass(frozen=True)
class Socket:
    kind: str
    address: str
    port: int

    @property
    def private(self) -> bool:
        return ip_address(self.address).is_loopback


def sockets(pids: list[int]) -> set[Socket]:
    """All that these processes receive on: TCP sockets that listen, and UDP sockets."""
    inodes = set()
    for pid in pids:
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            target = str(handle.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = set()
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]:
            words = line.split()
            address, port = words[1].split(":")
            if words[9] in inodes and (kind.startswith("udp") or words[3] == LISTEN):
                found.add(Socket(kind, _address(address), int(port, 16)))
    return found


def _address(text: str) -> str:
    """The kernel writes an address as 32 bit words, each in the machine's byte order."""
    packed = b"".join(bytes.fromhex(text[i : i + 8])[::-1] for i in range(0, len(text), 8))
    return str(ip_address(packed))


def answers(port: int) -> bool:
    """Does whoever holds this UDP port answer to SIP?"""
    ask = [f"OPTIONS sip:x@127.0.0.1:{port} SIP/2.0", "Via: SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bKx"]
    ask += ["From: <sip:x@x>;tag=x", "To: <sip:x@x>", "Call-ID: x", "CSeq: 1 OPTIONS", "Max-Forwards: 5"]
    ask += ["Content-Length: 0", "", ""]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.5)
        probe.connect(("127.0.0.1", port))
        probe.send("\r\n".join(ask).encode())
        try:
            return bool(probe.recv(2_000))
        except OSError:
            return False


def test_everything_is_on_the_loopback(world):
    running = world.stack.running
    if running.kind == "container":
        pytest.skip("a container's processes cannot be looked into from here")
    script, _ = world.script({"alone": Scenario(hangup_at_ms=4_000)})
    with Phones(script) as phones:
        deadline = time.monotonic() + 20
        while not any(channel[4] == "Up" for channel in world.channels()):
            assert time.monotonic() < deadline, "no call came about"
            time.sleep(0.1)
        time.sleep(0.5)
        found = sockets([running.asterisk_pid, *world.server_pids()])
        phones.wait(30)

    ports = {s.port for s in found if s.private}
    for wanted in (running.agi, running.media, running.status):
        assert int(wanted.rpartition(":")[2]) in ports
    assert running.sip_port in ports
    assert answers(running.sip_port)
    assert {s for s in found if s.kind == "udp" and s.private and s.port != running.sip_port}, "no RTP socket was found"
    # What is left is pjproject's DNS client, for IPv4 and for IPv6: it asks and is not asked.
    left = {s for s in found if not s.private}
    assert len(left) <= 2 and {s.kind for s in left} <= {"udp", "udp6"}, left
    assert not [s for s in left if answers(s.port)]
