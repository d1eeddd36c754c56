"""The origin of a request: its address and scheme, as seen before our own proxies, and whether our own page sent it."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from urllib.parse import urlsplit

from aiohttp import web

from hearline.core.peers import is_allowed, parse_networks
from hearline.wire.answers import Refused

DEFAULT_PORTS = {"http": 80, "https": 443}
Origin = tuple[str, str, int]


class Proxies:
    """The trusted proxies. ``X-Forwarded-For`` and ``X-Forwarded-Proto`` from anybody else are ignored.

    Args:
        networks: addresses and networks, separated by commas. Raises ValueError.
    """

    def __init__(self, networks: str) -> None:
        self._networks = parse_networks(networks)

    def _ours(self, address: str) -> bool:
        with suppress(ValueError):
            return is_allowed(address, self._networks)
        return False

    def scheme(self, request: web.Request) -> str:
        """The scheme that the browser used, http or https."""
        forwarded = request.headers.get("X-Forwarded-Proto", "").strip().lower()
        if forwarded in DEFAULT_PORTS and self._ours(request.remote or ""):
            return forwarded
        return "https" if request.secure else "http"

    def address(self, request: web.Request) -> str:
        """The browser's address: the last one that is not a trusted proxy's."""
        address = request.remote or ""
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
        while self._ours(address) and forwarded:
            last = forwarded.pop().strip()
            try:
                address = str(ipaddress.ip_address(last))
            except ValueError:
                break
        return address


def address_key(address: str) -> str:
    """The key for limits by address: an IPv4 address, or the /64 network of an IPv6 address, since whoever has one
    address of it has them all."""
    try:
        known = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return address
    known = getattr(known, "ipv4_mapped", None) or known
    return str(known if known.version == 4 else ipaddress.ip_network((known, 64), strict=False))


def origin(text: str) -> Origin:
    """``"https://Desk.example.com"`` as ``("https", "desk.example.com", 443)``. Raises ValueError."""
    parts = urlsplit(text.strip())
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.path or parts.query or parts.username:
        raise ValueError(f"{text!r} is not an origin")
    return parts.scheme, parts.hostname, DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port


def must_be_ours(request: web.Request, proxies: Proxies) -> None:
    """Raises Refused unless a post comes from our own page, as reported by the browser, and has a content type that
    another site's page cannot send without a preflight."""
    must_come_from_our_page(request, proxies)
    if request.content_type != "application/json":
        raise Refused(415, "not_json")


def must_come_from_our_page(request: web.Request, proxies: Proxies, said: bool = False) -> None:
    """Raises Refused if the browser reports that a request comes from elsewhere than our own page.

    Over TLS, browsers send Sec-Fetch-Site, which holds even if a proxy changes our name. Without it, the page's origin
    is compared with ours.

    Args:
        said: also refuse a request that names no origin at all. Browsers name it with every websocket.
    """
    site, theirs = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    host = request.headers.get("Host", "")  # `request.host` would ask the DNS where there is none
    ours = f"{proxies.scheme(request)}://{host}"
    if site is not None and site != "same-origin":
        raise Refused(403, "elsewhere", origin=theirs or site, ours=ours)
    if site is None and theirs is None and said:
        raise Refused(403, "elsewhere", origin="", ours=ours)
    if site is None and theirs is not None:
        try:
            same = origin(theirs) == origin(ours)
        except ValueError:
            same = False
        if not same:
            raise Refused(403, "elsewhere", origin=theirs, ours=ours)
