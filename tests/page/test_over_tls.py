"""The page over TLS, with a certificate that Hearline has made: a browser has all that it has on loopback."""

from __future__ import annotations

from bench.page.floor import Floor

from conftest import windows
from hearline.wire.certificates import make
from hearline.wire.tls import Tls


def test_over_tls_the_page_lives_in_a_secure_context_with_a_cookie_for_tls_alone(browser, tmp_path):
    pair = tmp_path / "certificate.pem", tmp_path / "key.pem"
    make(*pair, ["127.0.0.1"])
    floor = Floor(tmp_path, ("8016",), tls=Tls("the page's certificate", *pair))
    with floor, windows(browser, floor) as open_window:
        page = open_window(ignore_https_errors=True)  # signs in, and waits for the stream of news
        assert page.url.startswith("https://") and page.evaluate("isSecureContext && !!navigator.mediaDevices")
        [cookie] = [one for one in page.context.cookies() if one["name"] == "hearline"]
        assert cookie["secure"] and cookie["httpOnly"]
        page.goto(floor.url.replace("https", "http"))
        assert page.url.startswith("https://"), "who asks in plain HTTP is sent on"
