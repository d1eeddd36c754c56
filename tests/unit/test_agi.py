"""The AGI session against scripted peers: framing, quoting, odd replies, hang-ups, time limits."""

from __future__ import annotations

import re
import socket
import threading
import time

import pytest
from asterisk.agi import AGIAppError, AGIHangup, AGIInvalidCommand, AGIUnknownError, AGIUsageError
from hypothesis import given
from hypothesis import strategies as st

from hearline.core.peers import is_allowed, parse_networks
from hearline.pbx import fastagi
from hearline.pbx.agi import AgiSession, AGITimeout
from hearline.pbx.fastagi import FastAgiServer

HEAD = b"agi_network: yes\nagi_extension: 95160\nagi_calleridname: x\n\n"


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


PATIENCE_S = 0.5
CALL = {
    "CHANNEL(name)": b"PJSIP/trunk-00000001",
    "UNIQUEID": b"1.1",
    "CALLERID(num)": b"13800000000",
    "EXTEN": b"95160",
}


def answer(peer: socket.socket, values: dict[str, bytes]) -> None:
    """One question for values, as Asterisk answers it."""
    asked = b""
    while not asked.endswith(b"\n"):
        try:
            data = peer.recv(4096)
        except OSError:  # nobody asks any more
            return
        if not data:
            return
        asked += data
    told = re.fullmatch(rb'GET FULL VARIABLE "(.*)"\n', asked)[1]
    told = re.sub(rb"\$\{(.*?)\}", lambda found: values.get(found[1].decode(), b""), told)
    peer.sendall(b"200 result=1 (" + told + b")\n")


def session(pair, head: bytes = HEAD, patience: float = PATIENCE_S, **call: bytes) -> AgiSession:
    pair[1].sendall(head)
    asterisk = threading.Thread(target=answer, args=(pair[1], CALL | call), daemon=True)
    asterisk.start()
    found = AgiSession(pair[0], patience)
    asterisk.join()
    return found


def ask(pair, reply: bytes, what=lambda agi: agi.get_variable("X")):
    agi = session(pair, patience=0.5)
    pair[1].sendall(reply)
    return what(agi)


def test_head(pair):
    assert session(pair).env["agi_extension"] == "95160"


def test_a_name_in_an_old_encoding_does_not_cost_the_call(pair):
    assert session(pair, b"agi_calleridname: J\xfcrgen\n\n", EXTEN=b"J\xfcrgen").env["agi_extension"] == "Jürgen"


@pytest.mark.parametrize(
    "value",
    [
        "care",
        "",
        "a (b) c",
        "two\nlines",
        "老人",
        "x=1 result=-1",
        ")\n200 result=1 (no)",
        "x)\nHANGUP",
        "\n\n",
    ],
)
def test_values(pair, value):
    agi = session(pair)
    asterisk = threading.Thread(target=answer, args=(pair[1], {"X": value.encode()}), daemon=True)
    asterisk.start()
    assert agi.get_variable("X") == value
    asterisk.join()
    pair[1].sendall(b"200 result=1\n")
    agi.verbose("and the next reply is the next reply")


# ---- a caller who dials line breaks ----------------------------------------------------------------------------------
DIALLED = [
    b"1\nagi_network_script: alive",
    b"1\nagi_uniqueid: 7.7\nagi_channel: PJSIP/other\nagi_callerid: 2\nagi_extension: 8001",
    b"1\n\n200 result=1 (PJSIP/other)\n200 result=1",
    b"1\n\nHANGUP",
    b"1\n\n511 Command Not Permitted on a dead channel",
    b"\n\n\n\n",
]


@pytest.mark.parametrize("dialled", DIALLED)
def test_line_breaks_in_what_was_dialled_change_nothing(pair, dialled):
    head = b"agi_network: yes\nagi_network_script: hotline\nagi_channel: PJSIP/trunk-00000001\nagi_uniqueid: 1.1\n"
    agi = session(pair, head + b"agi_extension: " + dialled + b"\nagi_accountcode: \n\n", EXTEN=dialled)
    assert agi.script == "hotline"
    assert agi.env == {
        "agi_channel": "PJSIP/trunk-00000001",
        "agi_uniqueid": "1.1",
        "agi_callerid": "13800000000",
        "agi_extension": dialled.decode(),
    }
    pair[1].sendall(b"200 result=1\n")
    agi.set_variable("HEARLINE_RESULT", "queue")


@given(st.text(alphabet="\n\r: ()2015=resultagi_HANGUP1", max_size=120))
def test_whatever_is_dialled_changes_nothing(dialled):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        head = b"agi_network: yes\nagi_network_script: hotline\nagi_extension: " + dialled.encode() + b"\n\n"
        agi = session((ours, theirs), head, EXTEN=dialled.replace("\r", "").encode())
        assert (agi.script, agi.env["agi_uniqueid"]) == ("hotline", "1.1")
        assert agi.env["agi_extension"] == dialled.replace("\r", "")


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"200 result=-1\n", AGIAppError),
        (b"200 result=1 (hangup)\n", AGIHangup),
        (b"510 Invalid or unknown command\n", AGIInvalidCommand),
        (b"511 Command Not Permitted on a dead channel or intercept routine\n", AGIHangup),
        (b"520-Invalid command syntax.  Proper usage follows:\nUsage: X\n520 End of proper usage.\n", AGIUsageError),
        (b"520 Invalid command syntax.  Proper usage not available.\n", AGIUsageError),
        (b"HANGUP\n", AGIHangup),
        (b"\n", AGIUnknownError),
        (b"gibberish\n", AGIUnknownError),
        (b"999 what\n", AGIUnknownError),
        (b"200 nothing\n", AGIUnknownError),
        (b"200 result=1 (no end", AGITimeout),
        (b"520-no end\n", AGITimeout),
        (b"", AGITimeout),
    ],
)
def test_odd_replies(pair, reply, error):
    started = time.monotonic()
    with pytest.raises(error):
        ask(pair, reply)
    assert time.monotonic() - started < 1 + PATIENCE_S


def test_after_a_520_the_next_reply_is_the_next_reply(pair):
    agi = session(pair)
    pair[1].sendall(b"520-Usage\nline\n520 End of proper usage.\n200 result=7\n")
    with pytest.raises(AGIUsageError):
        agi.verbose("a")
    assert agi.get_result()["result"] == ("7", "")


@pytest.mark.parametrize("reply", [b"", b"520-half", b"200 result"])
def test_end_of_file_is_a_hang_up(pair, reply):
    agi = session(pair)
    pair[1].sendall(reply)
    pair[1].shutdown(socket.SHUT_WR)
    with pytest.raises(AGIHangup):
        agi.get_variable("X")
    with pytest.raises(AGIHangup):
        agi.get_variable("X")


def test_nothing_in_a_value_can_end_the_command(pair):
    agi = session(pair)
    pair[1].sendall(b"200 result=1\n")
    agi.set_variable("NAME", 'x"\nEXEC System "rm \\')
    sent = pair[1].recv(4096)
    assert sent.count(b"\n") == 1
    assert sent == b'SET VARIABLE "NAME" "x\\" EXEC System \\"rm \\\\"\n'


def test_a_command_that_asterisk_would_cut_is_refused(pair):
    with pytest.raises(AGIUsageError):
        session(pair).set_variable("X", "老" * 800)


def test_a_peer_that_sends_half_a_head_is_given_up(pair):
    with pytest.raises(AGITimeout):
        session(pair, b"agi_network: yes\n", patience=0.2)


def test_endless_heads_are_refused(pair):
    with pytest.raises(AGIUsageError):
        session(pair, b"a: b\n" * 500)


# ---- the server ------------------------------------------------------------------------------------------------------
@pytest.fixture
def server():
    def answer(agi):
        agi.set_variable("SEEN", agi.env["agi_extension"])

    def fail(agi):
        raise RuntimeError("boom")

    server = FastAgiServer(("127.0.0.1", 0), {"answer": answer, "fail": fail}, parse_networks("127.0.0.0/8"))
    server.serve_in_thread()
    yield server
    server.shutdown()
    server.server_close()


def call(server, script: bytes) -> bytes:
    with socket.create_connection(server.server_address, timeout=3) as peer:
        peer.sendall(b"agi_network: yes\nagi_network_script: " + script + b"\nagi_extension: 95160\n\n")
        answer(peer, CALL)
        data = peer.recv(4096)
        if data:
            peer.sendall(b"200 result=1\n")
            assert peer.recv(4096) == b""
        return data


def test_scripts_by_name(server):
    assert call(server, b"answer") == b'SET VARIABLE "SEEN" "95160"\n'
    assert call(server, b"answer?x=1") == b'SET VARIABLE "SEEN" "95160"\n'


@pytest.mark.parametrize("script", [b"fail", b"unknown", b"", b"../x"])
def test_whatever_fails_ends_the_session(server, script):
    assert call(server, script) == b""
    assert call(server, b"answer")


def test_many_bad_peers_at_once_leave_the_server_well(server):
    before = threading.active_count()
    for junk in [b"", b"\n", b"\0" * 5_000, b"agi_network: yes\n", bytes(range(256)) * 20] * 8:
        peer = socket.create_connection(server.server_address)
        peer.sendall(junk)
        peer.close()
    assert call(server, b"answer")
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert threading.active_count() <= before


def test_who_may_connect():
    networks = parse_networks("127.0.0.0/8, 10.1.2.3, ::1")
    assert [
        is_allowed(a, networks) for a in ("127.9.9.9", "10.1.2.3", "10.1.2.4", "::1", "::ffff:127.0.0.1", "fe80::1%lo")
    ] == [True, True, False, True, True, False]


def knock(server, sent: bytes = b"") -> socket.socket:
    peer = socket.create_connection(server.server_address, timeout=3)
    peer.sendall(sent)
    return peer


def is_thrown_out(peer: socket.socket) -> bool:
    try:
        return peer.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1", b"\x01\x00\x10", b"agi_network: yes\n" * 2_000])
def test_who_begins_as_no_asterisk_does_is_thrown_out_at_once(server, sent):
    started = time.monotonic()
    with knock(server, sent) as peer:
        assert is_thrown_out(peer)
    assert time.monotonic() - started < 1


def test_headers_in_any_pieces(server):
    with socket.create_connection(server.server_address, timeout=3) as peer:
        for byte in b"agi_network_script: answer\nagi_extension: 95160\n\n":
            peer.sendall(bytes([byte]))
            time.sleep(0.002)
        answer(peer, CALL)
        assert peer.recv(4096) == b'SET VARIABLE "SEEN" "95160"\n'


def test_connections_without_headers_get_no_thread_and_keep_nobody_out(server, monkeypatch):
    """They make room for who comes after them, and are given up in time."""
    monkeypatch.setattr(fastagi, "MAX_STARTING", 20)
    monkeypatch.setattr(fastagi, "HEADER_PATIENCE_S", 0.5)
    threads = threading.active_count()
    peers = [knock(server, b"agi_network: yes\n" if index % 2 else b"") for index in range(60)]
    assert call(server, b"answer")
    assert threading.active_count() <= threads + 1
    assert all(map(is_thrown_out, peers[:39]))
    started = time.monotonic()
    assert all(map(is_thrown_out, peers))
    assert time.monotonic() - started < 2
    for peer in peers:
        peer.close()


def test_who_stops_the_server_can_wait_for_its_sessions():
    going_on = threading.Event()
    server = FastAgiServer(("127.0.0.1", 0), {"wait": lambda agi: going_on.wait(5)}, parse_networks("127.0.0.0/8"))
    server.serve_in_thread()
    peer = knock(server, b"agi_network_script: wait\n\n")
    answer(peer, CALL)
    server.shutdown()
    server.server_close()
    assert not server.settle(0.05)
    going_on.set()
    assert server.settle(3)
    assert is_thrown_out(peer)
    peer.close()


def test_calls_leave_room_for_the_guards_question():
    waiting = threading.Event()
    scripts = {"hotline": lambda agi: waiting.wait(5), "alive": lambda agi: agi.set_variable("ALIVE", "yes")}
    server = FastAgiServer(("127.0.0.1", 0), scripts, parse_networks("127.0.0.0/8"), {"hotline": 3})
    server.serve_in_thread()
    try:
        calls = [knock(server, b"agi_network_script: hotline\n\n") for _ in range(5)]
        for peer in calls[:3]:
            answer(peer, CALL)
        assert all(map(is_thrown_out, calls[3:])), "two more than there may be"
        assert call(server, b"alive")
        waiting.set()
        assert all(map(is_thrown_out, calls[:3]))
        assert call(server, b"hotline") == b"", "there is room again"
    finally:
        server.shutdown()
        server.server_close()
        for peer in calls:
            peer.close()


def test_the_server_listens_on_ipv6_too():
    server = FastAgiServer(("::1", 0), {"answer": lambda agi: agi.set_variable("X", "1")}, parse_networks("::1"))
    server.serve_in_thread()
    assert call(server, b"answer")
    server.shutdown()
    server.server_close()
