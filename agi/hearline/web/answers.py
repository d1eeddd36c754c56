"""What every page of ours has in common: how a request's JSON is read, how it is refused, and the headers that protect
each answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

BODY_S = 10.0  # so long a request's body may take to come
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class Refused(Exception):
    """Told to the page: HTTP status, a word that it has a sentence for, and more."""

    def __init__(self, status: int, why: str, **more: object) -> None:
        super().__init__(why)
        self.status, self.told = status, {"error": why, **more}


async def told_by(request: web.Request) -> dict[str, Any]:
    """The JSON object that was sent. Halves of characters in it are replaced by question marks: nothing could write
    them down. Raises Refused."""
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise Refused(415, "not_json")
    try:
        async with asyncio.timeout(BODY_S):
            body = await request.read()
        told = json.loads(body.decode("utf-8"))
        told = json.loads(json.dumps(told, ensure_ascii=False).encode("utf-8", "replace"))
    except TimeoutError:
        raise Refused(408, "slow") from None
    except (ValueError, RecursionError):
        raise Refused(400, "not_json") from None
    if not isinstance(told, dict):
        raise Refused(400, "not_json")
    return told
