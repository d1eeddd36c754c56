"""Where a request comes from: the address and the scheme, past our own proxies, and whether one of our own pages sent
it."""

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
    """Those whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are believed; everybody else's are not looked at.

    Args:
        networks: addresses and networks, comma separated. Raises ValueError.
    """

    def __init__(self, networks: str) -> None:
        self._networks = parse_networks(networks)

    def _ours(self, address: str) -> bool:
        with suppress(ValueError):
            return is_allowed(address, self._networks)
        return False

    def scheme(self, request: web.Request) -> str:
        """http or https, as the browser sees it."""
        forwarded = request.headers.get("X-Forwarded-Proto", "").strip().lower()
        if forwarded in DEFAULT_PORTS and self._ours(request.remote or ""):
            return forwarded
        return "https" if request.secure else "http"

    def address(self, request: web.Request) -> str:
        """The browser's: the last one that is not of a proxy of ours."""
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
    """What limits go by: an IPv4 address, or the /64 that an IPv6 one is out of, for whoever has one has them all."""
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
        raise ValueError(f"{text!r} is no origin")
    return parts.scheme, parts.hostname, DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port


def must_be_ours(request: web.Request, proxies: Proxies) -> None:
    """A post must come from our own page: by what the browser says of it, and in a form that no other page can send
    without asking us first. Raises Refused.

    Over TLS browsers say so themselves (Sec-Fetch-Site), whatever a proxy has made of our name. Where they do not, the
    page's origin is compared with ours.
    """
    site, theirs = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    ours = f"{proxies.scheme(request)}://{request.host}"
    if site is not None and site != "same-origin":
        raise Refused(403, "elsewhere", origin=theirs or site, ours=ours)
    if site is None and theirs is not None:
        try:
            same = origin(theirs) == origin(ours)
        except ValueError:
            same = False
        if not same:
            raise Refused(403, "elsewhere", origin=theirs, ours=ours)
    if request.content_type != "application/json":
        raise Refused(415, "not_json")
