"""Where a request comes from: its origin, and the client's address behind our own proxies, but nobody else's."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from hearline.web.origin import Proxies, address_key, must_be_ours, origin
from hearline.wire.answers import Refused

LOOPBACK = Proxies("127.0.0.0/8, ::1")


def request(peer: str = "127.0.0.1", **headers: str):
    """``X_Forwarded_For="…"`` is the header X-Forwarded-For."""
    told = {"Host": "desk.example.com", "Content-Type": "application/json"}
    told |= {name.replace("_", "-"): value for name, value in headers.items()}
    return make_mocked_request("POST", "/api/sign-in", told).clone(remote=peer)


@pytest.mark.parametrize(
    ("theirs", "host", "scheme"),
    [
        ("https://desk.example.com", "desk.example.com", "https"),
        ("https://Desk.Example.COM", "desk.example.com", "https"),
        ("https://desk.example.com", "DESK.example.com", "https"),
        ("https://desk.example.com:443", "desk.example.com", "https"),
        ("https://desk.example.com", "desk.example.com:443", "https"),
        ("https://desk.example.com:8443", "desk.example.com:8443", "https"),
        ("http://desk.example.com:80", "desk.example.com", "http"),
        ("https://[::1]:8443", "[::1]:8443", "https"),
    ],
)
def test_the_same_origin_however_it_is_written(theirs, host, scheme):
    must_be_ours(request(Origin=theirs, Host=host, X_Forwarded_Proto=scheme), LOOPBACK)


@pytest.mark.parametrize(
    "theirs",
    [
        "http://desk.example.com", "https://desk.example.com:8443", "https://example.com", "https://desk.example.com.evil",
        "https://evil/desk.example.com", "https://desk.example.com@evil", "null", "", "http://[::1", "https://desk:99999",
        "https://", "file://desk.example.com", "https://desk.example.com:x",
    ],
)  # fmt: skip
def test_another_origin_is_refused_with_both_named(theirs):
    with pytest.raises(Refused) as refused:
        must_be_ours(request(Origin=theirs, X_Forwarded_Proto="https"), LOOPBACK)
    assert refused.value.status == 403
    assert refused.value.body == {"error": "elsewhere", "origin": theirs, "ours": "https://desk.example.com"}


def test_what_the_browser_itself_says_counts_whatever_a_proxy_has_made_of_our_name():
    """nginx's ``$host`` drops the port, and Apache puts its own name."""
    theirs = "https://desk.example.com:8443"
    must_be_ours(request(Origin=theirs, Sec_Fetch_Site="same-origin"), LOOPBACK)
    for site in ("cross-site", "same-site", "none"):
        with pytest.raises(Refused):
            must_be_ours(request(Origin="https://desk.example.com", Sec_Fetch_Site=site), LOOPBACK)


def test_what_is_no_origin():
    with pytest.raises(ValueError):
        origin("https://desk.example.com/path")


@pytest.mark.parametrize(
    ("peer", "told", "address"),
    [
        ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("::1", "203.0.113.9", "203.0.113.9"),
        ("::ffff:127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "198.51.100.1, 203.0.113.9", "203.0.113.9"),  # the first is what the browser says
        ("127.0.0.1", "203.0.113.9, 127.0.0.5", "203.0.113.9"),  # two proxies of ours
        ("127.0.0.1", "2001:db8::7", "2001:db8::7"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.9, unknown", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),  # no proxy of ours
    ],
)  # fmt: skip
def test_the_address_that_our_own_proxies_tell(peer, told, address):
    assert LOOPBACK.address(request(peer, X_Forwarded_For=told)) == address


def test_only_our_own_proxies_say_that_there_is_tls():
    assert LOOPBACK.scheme(request(X_Forwarded_Proto="https")) == "https"
    assert LOOPBACK.scheme(request(X_Forwarded_Proto="gopher")) == "http"
    assert LOOPBACK.scheme(request("192.0.2.1", X_Forwarded_Proto="https")) == "http"
    assert Proxies("").scheme(request(X_Forwarded_Proto="https")) == "http"


def test_whoever_has_one_ipv6_address_has_them_all():
    assert address_key("2001:db8::1") == address_key("2001:db8::ffff:1") != address_key("2001:db8:0:1::1")
    assert address_key("::ffff:192.0.2.1") == address_key("192.0.2.1") != address_key("192.0.2.2")
