"""The softphones' script: what it refuses, and which phones share a process."""

from __future__ import annotations

import json

import pytest

from hearline.phone.script import ScriptError, parse, split, to_json


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


def test_only_a_phone_that_always_sends_has_an_echo():
    phone = {"name": "c0", "dial": "sip:8001@127.0.0.1:5060", "echo_db": -30.0}
    assert parse({"callers": [phone]}).callers[0].echo_db == -30.0
    with pytest.raises(ScriptError, match="c0: an echo needs rtp 'always'"):
        parse({"callers": [{**phone, "rtp": "none"}]})


# ---- hold and transfer -----------------------------------------------------------------------------------------------
ELSEWHERE = "sip:8017@127.0.0.1:5060"


def doing(*acts: dict) -> dict:
    return {"callers": [{"name": "c0", "dial": ELSEWHERE, "acts": [{"at_ms": 1_000, **act} for act in acts]}]}


def test_what_a_phone_does_with_its_call():
    script = parse(doing({"do": "hold"}, {"do": "unhold"}, {"do": "transfer", "to": ELSEWHERE}))
    assert [act.do for act in script.callers[0].acts] == ["hold", "unhold", "transfer"]
    assert parse(json.loads(to_json(script))) == script


@pytest.mark.parametrize(
    ("act", "why"),
    [
        ({"do": "park"}, "c0: acts: 'park' is not one of hold, unhold, transfer"),
        ({"do": "transfer"}, "c0: acts: transfer needs a SIP URI"),
        ({"do": "consult", "to": "8017"}, "c0: acts: consult needs a SIP URI"),
        ({"do": "hold", "to": ELSEWHERE}, "c0: acts: hold takes no `to`"),
        ({"to": ELSEWHERE}, "c0: acts: .*'do'"),
    ],
)
def test_what_no_phone_can_do_is_refused(act, why):
    with pytest.raises(ScriptError, match=why):
        parse(doing(act))


def test_who_consults_has_two_calls_and_processes_have_room_for_them():
    script = callers(20, 20, 20, 20, 20, 20)
    for phone in script["callers"][3:5]:
        phone["acts"] = [{"at_ms": 0, "do": "consult", "to": ELSEWHERE}]
    parts = split(parse(script))
    assert sorted(phone.name for part in parts for phone in part.phones) == [f"c{n}" for n in range(6)]
    assert [sum(phone.lines for phone in part.phones) for part in parts] == [4, 4]
    two = {"callers": script["callers"][3:5]}
    assert len(split(parse(two))) == 1
    assert len(split(parse({"callers": script["callers"][2:5]}))) == 2
