"""The softphones' script: what it refuses, and which phones share a process."""

from __future__ import annotations

import pytest

from hearline.phone.script import ScriptError, parse, split


def callers(*packets_ms: int) -> dict:
    dial = "sip:8001@127.0.0.1:5060"
    return {
        "callers": [{"name": f"c{n}", "dial": dial, "packet_ms": packet_ms} for n, packet_ms in enumerate(packets_ms)]
    }


def test_phones_of_one_process_send_packets_of_one_length():
    parts = split(parse(callers(20, 100, 20, 20, 20, 20, 100)))
    assert [[phone.packet_ms for phone in part.phones] for part in parts] == [[20] * 3, [20] * 2, [100] * 2]
    assert len(split(parse(callers(20, 100)))) == 2
    assert len(split(parse(callers(100, 100)))) == 1


@pytest.mark.parametrize("packet_ms", [0, 10, 30, 200])
def test_a_packet_that_no_phone_can_send_is_refused(packet_ms):
    with pytest.raises(ScriptError, match="c0: packet_ms"):
        parse(callers(packet_ms))
