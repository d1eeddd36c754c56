"""The page over TLS: certificates that are good and that are not, files that are renewed, and peers that speak no TLS,
or half of it. Real sockets."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from bench.page.floor import PIN, Floor
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hearline.core.settings import Settings, made_pair, page_pair
from hearline.server import page as page_process
from hearline.wire import http_server as module
from hearline.wire.certificates import DAYS, BadCertificate, made_for, make, read_pair
from hearline.wire.tls import Tls

ASK = b"GET /api/me HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


@pytest.fixture
def files(tmp_path) -> tuple[Path, Path]:
    pair = tmp_path / "tls" / "certificate.pem", tmp_path / "tls" / "key.pem"
    make(*pair, ["127.0.0.1", "desk.example.com"])
    return pair


def sign(files: tuple[Path, Path], begins: timedelta, ends: timedelta, names: bool = True) -> None:
    """A pair of somebody else's."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "desk.example.com")])
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(now + begins).not_valid_after(now + ends)
    if names:
        built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName("desk.example.com")]), critical=False)
    files[0].write_bytes(built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    files[1].write_bytes(secret)
    files[1].chmod(0o600)


# ---- a pair of our own -----------------------------------------------------------------------------------------------
def test_a_pair_of_our_own_is_what_browsers_ask_for(files):
    found = x509.load_pem_x509_certificate(files[0].read_bytes())
    assert isinstance(found.public_key(), ec.EllipticCurvePublicKey) and found.public_key().curve.name == "secp256r1"
    assert found.not_valid_after_utc - found.not_valid_before_utc <= timedelta(days=398)
    told = {one.value.__class__: one for one in found.extensions}
    assert x509.ExtendedKeyUsageOID.SERVER_AUTH in told[x509.ExtendedKeyUsage].value
    assert not told[x509.BasicConstraints].value.ca, "whoever trusts it trusts this page alone"
    assert files[1].stat().st_mode & 0o777 == 0o600 and files[0].parent.stat().st_mode & 0o777 == 0o700
    read = read_pair(*files)
    assert read.names == ("127.0.0.1", "desk.example.com") and read.ours and DAYS - 2 <= read.days_left() <= DAYS
    context = ssl.create_default_context(cafile=str(files[0]))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*files)
    assert shake_hands(context, server, "desk.example.com") and shake_hands(context, server, "127.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(context, server, "other.example.com")


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> bool:
    """A handshake in memory."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(back, there, server_hostname=name), server.wrap_bio(there, back, server_side=True)]
    while ends:
        for end in list(ends):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
                ends.remove(end)
    return True


@pytest.mark.parametrize(
    ("name", "as_written"),
    [("desk.example.com", "desk.example.com"), ("DESK", "desk"), ("*.example.com", "*.example.com"),
     ("热线.example.com", "xn--lrxu80a.example.com"), ("2001:db8::1", "2001:db8::1"), ("192.0.2.10", "192.0.2.10")],
)  # fmt: skip
def test_names_and_addresses(tmp_path, name, as_written):
    assert make(tmp_path / "c", tmp_path / "k", [name, name]).names == (as_written,)
    assert made_for(tmp_path / "c", tmp_path / "k", [name]) and not made_for(tmp_path / "c", tmp_path / "k", ["other"])


@pytest.mark.parametrize(
    "name", ["", "0.0.0.0", "::", "a b", "https://desk", "desk:9673", "-a", "a..b", "x" * 64, "a" * 300]
)
def test_what_is_no_name_is_refused_and_nothing_is_written(tmp_path, name):
    with pytest.raises(BadCertificate):
        make(tmp_path / "c", tmp_path / "k", [name] if name else [])
    assert not list(tmp_path.iterdir())


# ---- pairs that cannot be used ---------------------------------------------------------------------------------------
def _of_another(files: tuple[Path, Path]) -> None:
    before = files[0].read_bytes()
    make(*files, ["127.0.0.1"])
    files[0].write_bytes(before)


def _with_a_passphrase(files: tuple[Path, Path]) -> None:
    key = serialization.load_pem_private_key(files[1].read_bytes(), None)
    how = serialization.BestAvailableEncryption(b"secret")
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how))


BROKEN = {
    "no certificate in PEM": lambda f: f[0].write_bytes(b"\xff\xfe rubbish"),
    "larger than": lambda f: f[0].write_bytes(b"x" * 1_000_000),
    "certificate.pem cannot be read: No such file": lambda f: f[0].unlink(),
    "certificate.pem cannot be read: not a regular file": lambda f: (f[0].unlink(), f[0].symlink_to("/dev/zero")),
    "key.pem cannot be read: No such file": lambda f: f[1].unlink(),
    "no private key in PEM": lambda f: f[1].write_bytes(f[0].read_bytes()),
    "protected by a passphrase": _with_a_passphrase,
    "every account of this machine: chmod o=": lambda f: f[1].chmod(0o644),
    "is not the key of the first certificate": _of_another,
    "ended on": lambda f: sign(f, timedelta(days=-9), timedelta(days=-1)),
    "is the clock right": lambda f: sign(f, timedelta(days=1), timedelta(days=9)),
    "no subject alternative names": lambda f: sign(f, timedelta(days=-1), timedelta(days=9), names=False),
}


@pytest.mark.parametrize("why", BROKEN)
def test_a_broken_pair_is_refused_with_a_sentence_and_the_earlier_one_stays(files, why, caplog):
    tls = Tls("the page's certificate", *files)
    before = tls.context
    assert before and not tls.fault
    BROKEN[why](files)
    tls.look()
    tls.look()
    assert tls.context is before
    assert why in tls.fault and str(files[0].parent) in tls.fault and tls.fault in caplog.text
    files[0].unlink(missing_ok=True)
    make(*files, ["127.0.0.1"])
    tls.look()
    tls.look()
    assert tls.context not in (None, before) and not tls.fault


def test_an_end_that_is_near_is_in_the_log_once_a_day(files, caplog):
    sign(files, timedelta(days=-1), timedelta(days=9, hours=1))
    tls = Tls("the page's certificate", *files)
    for _ in range(3):
        tls.look()
    assert caplog.text.count("ends in 9 days") == 1


# ---- the settings ----------------------------------------------------------------------------------------------------
def test_which_pair_the_page_has(tmp_path):
    theirs = {"page_certificate": tmp_path / "c", "page_key": tmp_path / "k"}
    assert page_pair(Settings(state=tmp_path, page="127.0.0.1:9673", **theirs)) == (tmp_path / "c", tmp_path / "k")
    opened = Settings(state=tmp_path, page="192.0.2.10:9673")
    assert page_pair(opened) is None
    make(*made_pair(tmp_path), ["192.0.2.10"])
    assert page_pair(opened) == made_pair(tmp_path)
    assert page_pair(opened.model_copy(update=theirs)) == (tmp_path / "c", tmp_path / "k")
    for loopback in ("127.0.0.1:9673", "localhost:9673", "[::1]:9673"):
        assert page_pair(opened.model_copy(update={"page": loopback})) is None, "plain HTTP is safe there"
    with pytest.raises(ValueError, match="HEARLINE_PAGE_KEY: set HEARLINE_PAGE_CERTIFICATE as well"):
        Settings(page_key=tmp_path / "k")


# ---- the page --------------------------------------------------------------------------------------------------------
@pytest.fixture
def tls(files) -> Tls:
    return Tls("the page's certificate", *files)


@pytest.fixture
def floor(tmp_path, tls, monkeypatch):
    monkeypatch.setattr(module, "HEADER_S", 1.0)
    module.http_log.filters[0].forget()
    with Floor(tmp_path, ("8016",), tls=tls) as floor:
        yield floor


def connect(floor: Floor, said: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", floor.port), 5)
    connection.sendall(said)
    return connection


def browse(
    floor: Floor, files: tuple[Path, Path], said: bytes = ASK, highest: ssl.TLSVersion | None = None
) -> tuple[bytes, bytes]:
    """What the page answers over TLS, and its certificate."""
    context = ssl.create_default_context(cafile=str(files[0]))
    if highest:
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = highest
    with context.wrap_socket(connect(floor), server_hostname="127.0.0.1") as line:
        line.sendall(said)
        answer = b""
        while more := line.recv(4_096):
            answer += more
        return answer, line.getpeercert(True)


def answers_within(floor: Floor, files: tuple[Path, Path], seconds: float) -> None:
    began = time.monotonic()
    assert b" 401 " in browse(floor, files)[0]
    assert time.monotonic() - began < seconds


def test_signing_in_over_tls_gives_a_cookie_for_tls_alone(floor, files):
    async def story() -> None:
        context = ssl.create_default_context(cafile=str(files[0]))
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar, connector=aiohttp.TCPConnector(ssl=context)) as http:

            async def sign_in(origin: str, **headers: str) -> tuple[int, dict]:
                body, told = json.dumps({"agent": "8016", "pin": PIN}), {"Content-Type": "application/json"}
                how = told | {"Origin": origin} | headers
                async with http.post(floor.url + "api/sign-in", data=body, headers=how) as answer:
                    return answer.status, await answer.json()

            ours = floor.url.rstrip("/")
            status, why = await sign_in(ours.replace("https", "http"))
            assert (status, why["ours"]) == (403, ours), "a page in plain HTTP is another site"
            assert (await sign_in(ours))[0] == 200
            [cookie] = jar
            assert cookie["secure"] and cookie["httponly"] and cookie["samesite"] == "Strict"
            async with http.get(floor.url + "api/events") as stream, asyncio.timeout(3):
                assert await stream.content.readuntil(b"\n\n")
            # a proxy of ours on loopback that itself has the browser on plain HTTP
            plain = ours.replace("https", "http")
            assert (await sign_in(plain, **{"X-Forwarded-Proto": "http"}))[0] == 200
            [cookie] = jar
            assert not cookie["secure"]

    asyncio.run(story())


def test_tls_1_2_and_newer(floor, files):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        assert b" 401 " in browse(floor, files, highest=version)[0]
    with pytest.warns(DeprecationWarning), pytest.raises((ssl.SSLError, ConnectionError)):
        browse(floor, files, highest=ssl.TLSVersion.TLSv1_1)


def test_a_renewed_pair_counts_without_a_restart_and_open_connections_go_on(floor, files, tls):
    context = ssl.create_default_context(cafile=str(files[0]))
    with context.wrap_socket(connect(floor), server_hostname="127.0.0.1") as line:
        before = line.getpeercert(True)
        make(*files, ["127.0.0.1"])
        tls.look()
        tls.look()
        answer, now = browse(floor, files)
        assert b" 401 " in answer and now != before
        line.sendall(ASK)
        assert b" 401 " in line.recv(4_096)


def test_without_a_pair_that_can_be_used_nothing_is_served_in_the_clear(files, caplog, monkeypatch):
    monkeypatch.setattr(module, "AGAIN_S", 0.05)
    files[1].chmod(0o644)
    tls = Tls("the page's certificate", *files)

    async def story() -> None:
        server = module.HttpServer("the page", "HEARLINE_PAGE", ("127.0.0.1", 0), _never_made, tls)
        with suppress(TimeoutError):
            await asyncio.wait_for(server.run(), 0.3)

    asyncio.run(story())
    refused = [record.getMessage() for record in caplog.records if "cannot be served" in record.getMessage()]
    assert len(refused) == 1 and "is tried again" in refused[0] and "chmod o=" in refused[0]


def _never_made() -> module.Served:
    raise AssertionError("nothing may be served")


def test_the_door_is_told_when_the_certificate_ends(files, monkeypatch):
    monkeypatch.setattr(page_process, "LOOK_S", 0.01)
    told: list[dict] = []
    tls = Tls("the page's certificate", *files)

    async def story() -> None:
        telling = asyncio.create_task(page_process._tell_of(Counter(), tls, lambda line: told.append(json.loads(line))))
        await asyncio.sleep(0.05)
        sign(files, timedelta(days=-1), timedelta(days=9))
        tls.look()
        tls.look()
        await asyncio.sleep(0.05)
        telling.cancel()

    asyncio.run(story())
    assert len(told) == 2, "each change once"
    days = [(each["certificate_ends"] - time.time()) / 86_400 for each in told]
    assert DAYS - 1 < days[0] < DAYS and 8.9 < days[1] < 9.1


# ---- plain HTTP on the port of TLS -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("said", "answered"),
    [
        (b"GET /a?b=c HTTP/1.1\r\nHost: desk:9673\r\n\r\n", b"307 .*\r\nLocation: https://desk:9673/a\\?b=c\r\n"),
        (
            b"GET //evil.example/ HTTP/1.1\r\nHost: desk\r\n\r\n",
            b"307 .*\r\nLocation: https://desk//+evil.example/\r\n",
        ),
        (b"GET / HTTP/1.0\r\n\r\n", b"400 .*use https"),
        (b"POST /api/sign-in HTTP/1.1\r\nHost: desk\r\nContent-Length: 2\r\n\r\n{}", b"400 .*use https"),
        (b"rubbish\r\n\r\n", b"400 "),
    ],
)
def test_plain_http_is_sent_to_https_and_nothing_else_is_said(floor, said, answered):
    with connect(floor, said) as line:
        line.settimeout(3)
        answer = b""
        while more := line.recv(4_096):
            answer += more
    assert re.search(answered, answer, re.S), answer
    assert b"Set-Cookie" not in answer and b"<html" not in answer


@pytest.mark.parametrize(
    "said", [b"", b"GET / HT", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x16" * 600]
)
def test_half_a_handshake_is_given_up_and_holds_up_nobody(floor, files, said):
    with connect(floor, said) as half:
        answers_within(floor, files, 0.8)
        half.settimeout(3)
        began = time.monotonic()
        with suppress(ConnectionError):
            while half.recv(100):
                pass
        assert time.monotonic() - began < 3


def test_half_handshakes_keep_nobody_out(floor, files, monkeypatch):
    monkeypatch.setattr(module, "HEADER_S", 60.0)
    monkeypatch.setattr(module, "MOST_CONNECTIONS", 20)
    floor.close()
    floor.open()
    half = [connect(floor, b"\x16\x03\x01") for _ in range(60)]
    answers_within(floor, files, 2.0)
    for one in half:
        one.settimeout(0.01)
    taken = 0
    for one in half:
        try:
            one.recv(1)
        except TimeoutError:
            taken += 1
        except OSError:
            pass
        one.close()
    assert 10 <= taken <= 20


def test_a_connection_that_fails_in_an_unforeseen_way_ends_nobody_elses(floor, files, monkeypatch, caplog):
    context = ssl.create_default_context(cafile=str(files[0]))
    with context.wrap_socket(connect(floor), server_hostname="127.0.0.1") as line:

        async def broken(_door, _connection):
            raise LookupError("inside")

        with monkeypatch.context() as patched:
            patched.setattr(module.Door, "_protocol", broken)
            for _ in range(3):
                with connect(floor) as other:
                    assert other.recv(1) == b""
        line.sendall(ASK)
        assert b" 401 " in line.recv(4_096)
    assert caplog.text.count("could not take a connection") == 1


def test_handshakes_that_fail_are_no_line_in_the_log(floor, files, caplog):
    for said in (b"\x16\x03\x01\x00\x05rubbish", b"\x16\x02\x00\xff\xff", b"\x80\x2e\x01\x00\x02"):
        for _ in range(25):
            with connect(floor, said) as line, suppress(OSError):
                line.shutdown(socket.SHUT_WR)
                line.settimeout(2)
                line.recv(500)
    answers_within(floor, files, 1.0)
    assert len([record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]) <= 1
