"""Server-sent events (WHATWG HTML, section 9.2): how they are written and read, and when a reader is too slow."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import StreamReader, web

BEAT_S = 0.5  # a stream is never silent for longer
SLOW_S = 3.0  # a reader who takes nothing for so long is dropped
LOOK_S = 0.07
MOST_BYTES = 2**21  # of one event
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx passes on at once what must be seen at once
}


def event(kind: str, data: dict[str, Any], at: float, number: str = "") -> bytes:
    """One event. Its data also holds ``now``, our clock as it is sent, and ``at``, when it happened, both in ms since
    1970.

    Args:
        at: s since 1970.
        number: what a reader names as ``Last-Event-ID`` to go on after this event; '' for one that is not numbered.
    """
    stamped = data | {"now": round(time.time() * 1_000, 1), "at": round(at * 1_000, 1)}
    id_line = f"id: {number}\n" if number else ""
    return f"{id_line}event: {kind}\ndata: {json.dumps(stamped, ensure_ascii=False)}\n\n".encode()


def beat() -> bytes:
    """Shows that the sender lives."""
    return event("beat", {}, time.time())


async def send(request: web.Request, response: web.StreamResponse, news: Callable[[], bytes], slow_s: float) -> bool:
    """Send ``news()``, made once everything sent before is on its way. False: the reader has gone, or takes too long
    and is dropped."""
    transport = request.transport
    try:
        async with asyncio.timeout(slow_s):
            while transport and transport.get_write_buffer_size():
                await asyncio.sleep(LOOK_S)
            if transport is None or transport.is_closing():
                return False
            if block := news():
                await response.write(block)
            return True
    except TimeoutError:
        if transport:
            transport.abort()
    except ConnectionError:
        pass
    return False


async def blocks(content: StreamReader) -> AsyncIterator[tuple[str, bytes]]:
    """The events of a stream: their kind, and their bytes as they came. Ends with the stream.

    Raises:
        aiohttp.ClientError: the connection broke.
        ValueError: an event has no kind, or is larger than `MOST_BYTES`.
    """
    while (block := await content.readuntil(b"\n\n", max_size=MOST_BYTES)).endswith(b"\n\n"):
        yield _field(block, b"event").decode(), block


def data_of(block: bytes) -> dict[str, Any]:
    """The data of an event. Raises ValueError."""
    return json.loads(_field(block, b"data"))


def number_of(block: bytes) -> str:
    """The number of an event; '' for one that is not numbered."""
    return _field(block, b"id", b"").decode()


def _field(block: bytes, name: bytes, missing: bytes | None = None) -> bytes:
    for line in block.split(b"\n"):
        if line.startswith(name + b": "):
            return line[len(name) + 2 :]
    if missing is None:
        raise ValueError(f"an event without {name.decode()!r}")
    return missing
