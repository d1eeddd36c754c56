"""How a request's JSON is read, and how a request is refused."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

BODY_S = 10.0  # a request's body has come by then


class Refused(Exception):
    """Answered with an HTTP status and an object: a word for the reason, and more."""

    def __init__(self, status: int, why: str, **more: object) -> None:
        super().__init__(why)
        self.status, self.body = status, {"error": why, **more}


async def read_json(request: web.Request) -> dict[str, Any]:
    """The JSON object in the request's body. Halves of characters become question marks: no file could hold them.
    Raises Refused."""
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise Refused(415, "not_json")
    try:
        async with asyncio.timeout(BODY_S):
            body = await request.read()
        sent = json.loads(body.decode("utf-8"))
        sent = json.loads(json.dumps(sent, ensure_ascii=False).encode("utf-8", "replace"))
    except TimeoutError:
        raise Refused(408, "slow") from None
    except (ValueError, RecursionError):
        raise Refused(400, "not_json") from None
    if not isinstance(sent, dict):
        raise Refused(400, "not_json")
    return sent
