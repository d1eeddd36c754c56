"""What happens in one call, as a stream: what the ears hear while it is in the IVR, its record, and then where it is
in agent assist. Whoever reads it learns nothing about any other call."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp

from hearline.store.records import Records
from hearline.wire.answers import Refused
from hearline.wire.assist_client import AssistClient
from hearline.wire.event_stream import data_of

ARRIVES_S = 20.0  # from the stream's beginning until the call is in the IVR
LOOK_S = 0.1
SILENT_S = 3.0  # the server sends ten lines a second as long as the call is in the IVR
RECORD_S = 3.0  # until the record is written
AGAIN_S = 1.0

Tell = Callable[[str, dict[str, Any]], None]

# Of a talk's events, what the page shows; the others are about hints and whispers, the agent's own.
TALK_EVENTS = ("joined", "agents", "hold", "unhold", "ended")
TALK_FIELDS = ("event", "at_ms", "queue", "heard", "holder", "by", "held_ms")
RECORD_FIELDS = ("outcome", "heard", "duration_ms", "gain_db", "level_dbov", "queue", "events")


class CallRelay:
    """For one event loop; ``close`` at the end.

    Args:
        status: host and port of the server's status interface.
        records: those of the IVR.
    """

    def __init__(self, status: tuple[str, int], assist: AssistClient, records: Records) -> None:
        self._status, self._assist, self._records = status, assist, records
        self._opened: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._opened:
            await self._opened.close()

    async def follow(self, call: str, tell: Tell) -> None:
        """Pass on what happens in this call, until it has left the IVR for good. If it went to a queue, until
        cancelled.

        ``tell`` is called with

            look     what the ears hear, ten times a second
            over     the call has left the IVR: ``outcome``, ``heard``
            record   what happened in the IVR, with planned and actual times
            missed   the call has not come to the IVR
            lost     the server has gone
            agent    an agent's phone rings for this call (``state``), is in it, or no longer (``gone``)
            talk     something happened in the talk
        """
        after = asyncio.create_task(self._follow_talk(call, tell))
        try:
            if await self._follow_ears(call, tell):
                await after
        finally:
            after.cancel()
            await asyncio.gather(after, return_exceptions=True)

    # ---- in the IVR -------------------------------------------------------------------------------------------------
    async def _follow_ears(self, call: str, tell: Tell) -> bool:
        """Returns True if the call may go on after the IVR."""
        deadline, came = time.monotonic() + ARRIVES_S, False
        while not came and time.monotonic() < deadline:
            async for look in self._looks(call):
                came = True
                if "over" in look:
                    tell("over", {"outcome": look["outcome"], "heard": look["heard"]})
                    await self._tell_record(call, tell)
                    return not str(look["outcome"]).startswith("hangup")
                tell("look", look)
            if not came:
                await asyncio.sleep(LOOK_S)
        tell("lost" if came else "missed", {})
        return True  # without the server, the call is in the queue

    async def _looks(self, call: str) -> AsyncIterator[dict[str, Any]]:
        """The server's looks at the call; none if it is not in the IVR, or the server does not answer."""
        host, port = self._status
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=1.0, sock_read=SILENT_S)
        try:
            async with self._session().get(f"http://{host}:{port}/calls/{call}/ears", timeout=timeout) as answer:
                if answer.status != 200:
                    return
                async for line in answer.content:
                    look = json.loads(line)
                    if look.pop("call", None) == call:
                        yield look
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
            return

    async def _tell_record(self, call: str, tell: Tell) -> None:
        deadline = time.monotonic() + RECORD_S
        while time.monotonic() < deadline:
            try:
                record = await asyncio.to_thread(self._records.read, call)
            except (OSError, ValueError):
                return
            if record:
                tell("record", {name: record.get(name) for name in RECORD_FIELDS})
                return
            await asyncio.sleep(LOOK_S)

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            self._opened = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))
        return self._opened

    # ---- with agents ------------------------------------------------------------------------------------------------
    async def _follow_talk(self, call: str, tell: Tell) -> None:
        ours: dict[str, str] = {}  # agents' states in this call
        while True:
            try:
                async with self._assist.events() as blocks:
                    async for kind, block in blocks:
                        # Most events are of other calls, or of nobody.
                        if call.encode() in block or any(f'"{agent}"'.encode() in block for agent in ours):
                            _tell_of(kind, data_of(block), call, ours, tell)
            except Refused:
                pass
            await asyncio.sleep(AGAIN_S)


def _tell_of(kind: str, data: dict[str, Any], call: str, ours: dict[str, str], tell: Tell) -> None:
    if kind in ("snapshot", "agent"):
        for agent in data["agents"] if kind == "snapshot" else [data]:
            number, state = agent["agent"], agent["state"] if agent["call"] == call else "gone"
            if ours.get(number, "gone") != state:
                ours[number] = state
                tell("agent", {"agent": number, "state": state, "queue": agent["queue"]})
    elif kind == "talk" and data["call"] == call and data["event"] in TALK_EVENTS:
        tell("talk", {name: data[name] for name in TALK_FIELDS if name in data})
