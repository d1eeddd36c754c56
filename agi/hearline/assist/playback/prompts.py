"""Plays recorded prompts to the caller in the middle of a talk, at an agent's request.

Asterisk opens a further connection to our media worker, with ChanSpy on the caller's channel, and mixes the sound we
send into what the caller hears. The two stay in their bridge, and the worker counts the prompt in frames.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np

from hearline.assist.calls.channel_graph import ConnectedParties
from hearline.assist.hints.events import Key
from hearline.assist.playback.recordings import Recordings
from hearline.media.transport import FRAME_MS, FRAME_SAMPLES
from hearline.media.worker_client import WorkerClient
from hearline.media.worker_protocol import LegReport
from hearline.pbx.ami import Ami
from hearline.pbx.chanspy import CONNECT_S, attach, prompt_data
from hearline.pbx.confirm import confirm

DEFAULT = "zh/lanzhi"
WORDINGS = {Key.LOW_VOLUME: ("low-1", "low-2", "low-move"), Key.RECEIVER: ("speakerphone",)}
"""By key: the prompts of the phrase set for the first, second … press in the same talk; the last one is repeated
(service standard §1.3). A set may lack some of them."""

LEAD_MS = 200  # of silence first, since ChanSpy begins to mix a moment after it connects
TAIL_MS = 200  # the last frames are still in Asterisk when we have sent them
LONGEST_SAMPLES = 16 * 8_000  # of music, passed to the worker at a time
SILENT_S = 0.6  # a leg without a report for this long is lost; the worker reports ten times a second


@dataclass(frozen=True)
class Prompt:
    """A prompt. ``where``: phrase set and id, for the talk's record. ``samples``: int16, 8 kHz, whole frames."""

    where: str
    samples: np.ndarray


class Prompts:
    """Chooses the prompts that agents' keys play."""

    def __init__(self, recordings: Recordings) -> None:
        self._recordings = recordings

    def choose(self, key: Key, phrases: str, times: int) -> Prompt:
        """The prompt for this key in a call with this phrase set (``zh/lanzhi``), after ``times`` earlier prompts.

        If the set has no wording for the key, the first set that has one lends it. Raises LookupError, ValueError.
        """
        sets = self._recordings.sets
        for lender in [phrases if phrases in sets else DEFAULT, *sets]:
            if known := [wording for wording in WORDINGS[key] if wording in sets.get(lender, ())]:
                where = f"{lender}/{known[min(times, len(known) - 1)]}"
                samples = self._recordings.samples(where)
                return Prompt(where, np.pad(samples, (0, -samples.size % FRAME_SAMPLES)))
        raise LookupError(f"no phrase set has a prompt for the key {key}")


class Prompter:
    """Plays sound to callers. ``hear`` must get the worker's reports."""

    def __init__(self, ami: Ami, line: WorkerClient) -> None:
        self._ami, self._line = ami, line
        self._playing: dict[str, asyncio.Queue[int]] = {}  # by the leg's UUID: its reports' times, ms since it began

    def hear(self, message: LegReport) -> None:
        """Take in a report of any leg; reports of other legs are ignored."""
        if message.uuid in self._playing:
            self._playing[message.uuid].put_nowait(message.at_ms)

    async def play(self, talk: ConnectedParties, samples: np.ndarray, begins: Callable[[bytes], None]) -> bool:
        """Play ``samples`` to the caller; cancel the task to stop. ``begins`` is called in the frame in which they
        start, with the silence that precedes them. Returns False if the caller did not hear them to the end.

        Raises:
            AmiDown, AmiRefused, WorkerDown, TimeoutError, ValueError: nothing was played.
        """
        async with self._leg(talk) as (uuid, came, began_ms):
            lead = bytes(2 * FRAME_SAMPLES * (LEAD_MS // FRAME_MS))
            self._line.say(uuid, lead + samples.astype("<i2").tobytes())
            begins(lead)
            ends_ms = began_ms + LEAD_MS + samples.size // FRAME_SAMPLES * FRAME_MS + TAIL_MS
            try:
                while True:
                    async with asyncio.timeout(SILENT_S):
                        if await came.get() >= ends_ms:
                            return True
            except TimeoutError:
                return False

    async def play_on(self, talk: ConnectedParties, samples: np.ndarray) -> None:
        """Play ``samples`` to the caller in a loop, until cancelled. Raises as ``play``, and TimeoutError if the caller
        is gone."""
        parts = np.array_split(samples, -(-samples.size // LONGEST_SAMPLES))
        async with self._leg(talk) as (uuid, came, now_ms):
            for part in itertools.cycle(parts):
                self._line.say(uuid, part.astype("<i2").tobytes())
                ends_ms = now_ms + part.size // FRAME_SAMPLES * FRAME_MS
                while now_ms < ends_ms:
                    async with asyncio.timeout(SILENT_S):
                        now_ms = await came.get()

    @asynccontextmanager
    async def _leg(self, talk: ConnectedParties) -> AsyncIterator[tuple[str, asyncio.Queue[int], int]]:
        """A leg that mixes sound into what the caller hears: its UUID, the times of its reports in ms, and the first
        of them."""
        pending = self._line.announce(None, channel=talk.caller)
        came = self._playing[pending.uuid] = asyncio.Queue()
        try:
            await confirm(self._ami, talk.caller, *talk.agents)
            await attach(self._ami, pending, prompt_data(talk.caller))
            async with asyncio.timeout(CONNECT_S):
                began_ms = await came.get()
            yield pending.uuid, came, began_ms
        finally:
            del self._playing[pending.uuid]
            self._line.withdraw(pending)
