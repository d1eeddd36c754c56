"""The page's server and clients that are not browsers: incomplete requests, too many connections, no descriptor left,
bodies that never come. Nobody else notices, and the log stays short."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict

import aiohttp
import pytest
from bench.page.floor import PIN, Floor

from hearline.assist.interface import interface
from hearline.core.log_limit import LogLimit
from hearline.web import entrance
from hearline.wire import answers
from hearline.wire import http_server as module

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def floor(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "HEADER_S", 0.5)
    monkeypatch.setattr(answers, "BODY_S", 0.5)
    for limited in (entrance.log, interface.log, module.http_log):
        limited.filters[0].forget()
    with Floor(tmp_path, ("8016",)) as floor:
        yield floor


def connect(floor: Floor, said: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", floor.port), 5)
    connection.sendall(said)
    return connection


def is_open(connection: socket.socket, within: float = 0.0) -> bool:
    """Has the server let it be so long? What it sends is not looked at."""
    connection.settimeout(within or 0.001)
    try:
        while connection.recv(4_096):
            pass
    except TimeoutError:
        return True
    except OSError:
        pass
    return False


def answers_within(floor: Floor, seconds: float) -> None:
    began = time.monotonic()
    with connect(floor, b"GET /api/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as mine:
        mine.settimeout(seconds)
        assert b"401" in mine.recv(100)
    assert time.monotonic() - began < seconds


@asynccontextmanager
async def signed_in(floor: Floor) -> AsyncIterator[aiohttp.ClientSession]:
    """A browser of agent 8016."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        await http.post(floor.url + "api/sign-in", data=json.dumps({"agent": "8016", "pin": PIN}), headers=JSON)
        yield http


# ---- half requests ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "said", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n", b"POST /api/sign-in HTTP/1.1\r\nHost: x\r\nX: "]
)
def test_a_half_request_is_not_waited_for(floor, said):
    with connect(floor, said) as half:
        assert is_open(half, 0.2)
        assert not is_open(half, 3)


def test_one_that_comes_letter_by_letter_is_not_either(floor):
    began = time.monotonic()
    with connect(floor, b"GET / HTTP/1.1\r\nX: ") as slow, suppress(OSError):
        while time.monotonic() - began < 5 and is_open(slow):
            slow.sendall(b"a")
            time.sleep(0.05)
    assert time.monotonic() - began < 3


def test_a_body_that_never_comes_is_refused(floor):
    head = b"POST /api/sign-in HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    with connect(floor, head) as half:
        half.settimeout(3)
        assert b" 408 " in half.recv(200)


# ---- more than there may be ------------------------------------------------------------------------------------------
def test_where_all_places_are_taken_the_idle_make_room_for_who_asks(floor, monkeypatch):
    monkeypatch.setattr(module, "HEADER_S", 60.0)
    monkeypatch.setattr(module, "MOST_CONNECTIONS", 20)
    floor.close()
    floor.open()
    idle = [connect(floor) for _ in range(60)]
    answers_within(floor, 1.0)
    assert sum(map(is_open, idle)) <= 20
    for one in idle:
        one.close()


def test_half_bodies_keep_nobody_out(floor, monkeypatch):
    monkeypatch.setattr(answers, "BODY_S", 60.0)
    monkeypatch.setattr(module, "HEADER_S", 60.0)
    monkeypatch.setattr(module, "MOST_CONNECTIONS", 20)
    floor.close()
    floor.open()
    head = b"POST /api/sign-in HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    half = []
    for _ in range(40):
        half.append(connect(floor, head))
        time.sleep(0.01)  # for the server to begin with it
    with connect(floor) as newcomer:
        assert is_open(newcomer, 0.05)
        newcomer.sendall(b"GET /api/me HTTP/1.1\r\nHost: x\r\n\r\n")
        newcomer.settimeout(3)
        assert b"401" in newcomer.recv(100)
    for one in half:
        one.close()


def test_the_last_place_is_for_who_comes_next(floor, monkeypatch):
    monkeypatch.setattr(module, "HEADER_S", 60.0)
    monkeypatch.setattr(module, "MOST_CONNECTIONS", 3)
    floor.close()
    floor.open()

    async def story() -> None:
        news = floor.url + "api/events"
        async with signed_in(floor) as http, http.get(news), http.get(news):
            for _ in range(5):
                with await asyncio.to_thread(connect, floor) as newcomer:
                    assert await asyncio.to_thread(is_open, newcomer, 0.05)
                    newcomer.sendall(b"GET /api/me HTTP/1.1\r\nHost: x\r\n\r\n")
                    newcomer.settimeout(3)
                    assert b"401" in await asyncio.to_thread(newcomer.recv, 100)

    asyncio.run(story())


def test_a_stream_is_not_given_up_for_who_is_idle(floor, monkeypatch):
    monkeypatch.setattr(module, "HEADER_S", 60.0)
    monkeypatch.setattr(module, "MOST_CONNECTIONS", 3)
    floor.close()
    floor.open()

    async def story() -> None:
        async with signed_in(floor) as http, http.get(floor.url + "api/events") as stream:
            idle = await asyncio.to_thread(lambda: [connect(floor) for _ in range(10)])
            async with asyncio.timeout(3):
                for _ in range(4):
                    await stream.content.readuntil(b"\n\n")
            for one in idle:
                one.close()

    asyncio.run(story())


def test_no_more_connections_than_half_the_descriptors(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, 4_096))
    assert module.most_connections() == 512
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_000_000, 1_000_000))
    assert module.most_connections() == module.MOST_CONNECTIONS


def test_without_a_descriptor_the_log_stays_short_and_it_goes_on_afterwards(floor, monkeypatch, caplog):
    monkeypatch.setattr(module, "ACCEPT_AGAIN_S", 0.05)
    monkeypatch.setattr(module, "HEADER_S", 60.0)
    floor.close()
    floor.open()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with connect(floor) as waiting:
        descriptors = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors + 8, limits[1]))
        taken = []
        try:
            with suppress(OSError):
                while True:
                    taken.append(os.open("/dev/null", os.O_RDONLY))
            os.close(taken.pop())  # for the client's end; the server has none
            with socket.socket() as client:
                client.connect(("127.0.0.1", floor.port))
                time.sleep(1.0)
                for one in taken:
                    os.close(one)
                taken.clear()
                client.sendall(b"GET /api/me HTTP/1.1\r\nHost: x\r\n\r\n")
                client.settimeout(3)
                assert b"401" in client.recv(100)
        finally:
            for one in taken:
                os.close(one)
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        waiting.close()
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert all("takes no connection" in record.getMessage() for record in told)
    assert len({record.args[0] for record in told}) == len(told), "one line for each server: the page, the interface"


def test_a_browser_that_goes_while_its_stream_opens_is_no_error(floor, monkeypatch, caplog):
    @asynccontextmanager
    async def slow(_agent: str, _by: str):
        await asyncio.sleep(0.2)
        yield None
        left.set()

    left = threading.Event()
    monkeypatch.setattr(floor.page.feed, "_source", slow)

    async def cookie() -> str:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
            await http.post(floor.url + "api/sign-in", data=json.dumps({"agent": "8016", "pin": PIN}), headers=JSON)
            return next(iter(http.cookie_jar)).value

    head = f"GET /api/events HTTP/1.1\r\nHost: x\r\nCookie: hearline={asyncio.run(cookie())}\r\n\r\n"
    with connect(floor, head.encode()) as page:
        page.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        time.sleep(0.1)
    assert left.wait(3), "the stream's source is left as after any stream"
    answers_within(floor, 3.0)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_no_address_and_no_words_of_a_browser_in_the_log(floor, caplog):
    with connect(floor, b"GET / HTTP/1.1\r\nHost: x\r\nCookie 13800005678\r\n\r\n") as one:
        one.settimeout(3)
        assert b" 400 " in one.recv(500)
    try:
        raise LookupError("inside")
    except LookupError as error:
        module.http_log.error("Error handling request from %s", "192.0.2.57", exc_info=error)
    try:
        raise LookupError("inside as well")
    except LookupError as error:
        module.http_log.error("Unhandled exception", exc_info=error)
    for gone in (ConnectionResetError("gone"), RuntimeError("Transport is closing")):
        module.http_log.error("Unhandled exception about somebody gone", exc_info=gone)
    assert "a request that is not HTTP" in caplog.text and "inside" in caplog.text
    assert not any(word in caplog.text for word in ("127.0.0.1", "192.0.2.57", "13800005678", "gone"))
    caplog.clear()
    head = b"GET /api/me HTTP/1.1\r\nHost: x\r\nContent-Encoding: deflate\r\nContent-Length: 7\r\n\r\nrubbish"
    with connect(floor, head) as one:
        assert not is_open(one, 3)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


# ---- nonsense --------------------------------------------------------------------------------------------------------
def test_a_thousand_requests_that_are_none_are_a_line_in_the_log(floor, caplog):
    for said in (
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /%00 \r\n\r\n",
        b"GET / HTTP/1.1\r\nbad\r\n\r\n",
    ):
        for _ in range(25):
            with connect(floor, said) as one:
                one.settimeout(2)
                with suppress(OSError):
                    one.recv(500)
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) <= 2
    answers_within(floor, 1.0)


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "application/json; charset=klingon"}, b"{}", 415),
        ({"Content-Type": "application/json; charset=utf-16"}, "{}".encode("utf-16"), 415),
        ({"Content-Type": 'application/json; charset="UTF-8"'}, b'{"agent": "x"}', 401),
        ({"Content-Type": "application/json"}, b"\xff\xfe", 400),
        ({"Content-Type": "application/json"}, b"1" * 5_000, 400),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, b"\x1f\x8b\x08rubbish", 400),
        ({"Content-Type": "application/json", "Content-Encoding": "deflate"}, b"rubbish", 400),
        ({"Content-Type": "application/json", "Origin": "http://[::1"}, b"{}", 403),
        ({"Content-Type": "application/json", "Origin": "http://x:y"}, b"{}", 403),
        ({"Content-Type": "application/json", "Origin": "\udcff"}, b"{}", 403),
        ({"Content-Type": "application/json"}, b'{"agent": "\\ud800", "pin": "\\udfff"}', 401),
        ({"Content-Type": "application/json"}, b'{"agent": {"a": [1]}, "pin": null}', 401),
        ({"Content-Type": "application/json", "X-Forwarded-For": "x, [::1"}, b'{"agent": "x"}', 401),
        ({"Content-Type": "application/json", "Cookie": "hearline=\udcff"}, b'{"agent": "x"}', 401),
    ],
)  # fmt: skip
def test_what_nobody_can_read_is_refused_and_breaks_nothing(floor, headers, body, status, caplog):
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join(["POST /api/sign-in HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *lines, "", ""])
    with connect(floor, head.encode("utf-8", "surrogateescape") + body) as one:
        one.settimeout(5)
        assert one.recv(200).split()[1] == str(status).encode()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("name", ["a" * 300, "a/" * 2_500, "%00"])
def test_a_name_that_no_file_can_have_is_not_found(floor, name, caplog):
    with connect(floor, f"GET /static/{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode()) as one:
        one.settimeout(5)
        assert one.recv(200).split()[1] == b"404"
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_half_a_character_reaches_nothing_that_must_be_written_down(floor, monkeypatch):
    """The hint's record and the note are files."""
    told = []
    monkeypatch.setattr(floor.talks, "tell_agent", lambda _, event: told.append(event))
    floor.join("8016")
    call = floor.states.of("8016").caller.id

    async def story() -> None:
        async with signed_in(floor) as http:
            for path, what in (
                ("call-up", {"rule": "\ud800"}),
                ("card", {"card": "\ud800", "did": "used"}),
                ("note", {"note": "\ud83d"}),
            ):
                body = json.dumps({"call": call, **what})
                async with http.post(f"{floor.url}api/{path}", data=body, headers=JSON) as answer:
                    assert answer.status < 500, path
            async with http.get(floor.url + "api/phrases?q=%ED%A0%80%FF") as answer:
                assert answer.status == 200

    asyncio.run(story())
    json.dumps([asdict(event) for event in told], ensure_ascii=False).encode()
    assert len(told) == 2
    floor.hang_up("8016")
    assert floor.record()["events"]


def test_what_breaks_in_a_handler_is_told_without_what_was_asked_for(floor, monkeypatch, caplog):
    def broken(*_):
        raise LookupError("inside")

    monkeypatch.setattr(floor.interface.snapshots, "_cards", broken)

    async def story() -> None:
        search = floor.url + "api/phrases?q=13800005678%0Aforged"
        async with signed_in(floor) as http, http.get(search) as answer:
            assert answer.status == 500 and await answer.json() == {"error": "broken"}
            assert answer.headers["X-Content-Type-Options"] == "nosniff"

    asyncio.run(story())
    assert "could not answer /agents/{agent}/phrases" in caplog.text and "13800005678" not in caplog.text


def test_a_limited_log_says_how_many_it_kept_back():
    now = 0.0
    limit = LogLimit(lambda: now)
    record = logging.LogRecord("x", logging.ERROR, "file.py", 7, "broken: %s", ("pipe",), None)
    assert [limit.filter(record) for _ in range(5)] == [True, False, False, False, False]
    assert limit.filter(logging.LogRecord("x", logging.ERROR, "file.py", 8, "another", (), None))
    now = 61.0
    assert limit.filter(record) and record.getMessage() == "broken: pipe (and 4 more since the last one)"
