"""Reading the JSON of a request, and refusing a request."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

BODY_S = 10.0  # for a request's body to arrive


class Refused(Exception):
    """A request is refused. The answer is an HTTP status and an object, ``body``: a word for the reason, and more."""

    def __init__(self, status: int, why: str, **more: object) -> None:
        super().__init__(why)
        self.status, self.body = status, {"error": why, **more}


async def read_json(request: web.Request) -> dict[str, Any]:
    """The JSON object in the request's body. Lone surrogates become question marks, since no file could hold them.
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
    except (ValueError, RecursionError, web.RequestPayloadError):  # the last: not encoded as its header says
        raise Refused(400, "not_json") from None
    if not isinstance(sent, dict):
        raise Refused(400, "not_json")
    return sent
