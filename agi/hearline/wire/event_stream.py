"""Writing and reading server-sent events (WHATWG HTML, section 9.2), and dropping readers that are too slow."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import StreamReader, web

BEAT_S = 0.5  # a stream is never silent for longer
SLOW_S = 3.0  # a reader that takes nothing for this long is dropped
LOOK_S = 0.07
MOST_BYTES = 2**21  # of one event
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx must pass events on at once
}


def event(kind: str, data: dict[str, Any], at: float, number: str = "") -> bytes:
    """One event as bytes. Its data also has ``now``, the time at which it is sent, and ``at``, the time at which it
    happened, both in ms since 1970.

    Args:
        at: s since 1970.
        number: the ``Last-Event-ID`` with which a reader resumes after this event; '' if events are not numbered.
    """
    stamped = data | {"now": round(time.time() * 1_000, 1), "at": round(at * 1_000, 1)}
    id_line = f"id: {number}\n" if number else ""
    return f"{id_line}event: {kind}\ndata: {json.dumps(stamped, ensure_ascii=False)}\n\n".encode()


def beat() -> bytes:
    """An event that shows that the sender is alive."""
    return event("beat", {}, time.time())


async def send(request: web.Request, response: web.StreamResponse, news: Callable[[], bytes], slow_s: float) -> bool:
    """Call ``news`` once everything sent before is on its way, and send what it returns. Returns False if the reader
    has gone, or was too slow and has been dropped."""
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
    """The events of a stream: their kind, and their bytes as received. Ends with the stream.

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
    """The number of an event; '' if it has none."""
    return _field(block, b"id", b"").decode()


def _field(block: bytes, name: bytes, missing: bytes | None = None) -> bytes:
    for line in block.split(b"\n"):
        if line.startswith(name + b": "):
            return line[len(name) + 2 :]
    if missing is None:
        raise ValueError(f"an event without {name.decode()!r}")
    return missing
