"""Recorded prompts that an agent has played to the caller in the middle of the talk.

Asterisk connects to our media worker once more, with ChanSpy on the caller's channel, and mixes what we send into what
the caller hears: the two stay in their bridge, and the worker counts the prompt in frames.
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
"""By key: the prompts of the phrase set, one after the other in the same talk, the last again and again (service
standard §1.3). Not every set has each of them."""

LEAD_MS = 200  # ChanSpy needs a moment between connecting and mixing
TAIL_MS = 200  # the last frames are still in Asterisk's hands when they have left ours
LONGEST_SAMPLES = 16 * 8_000  # of music, handed to the worker at once
SILENT_S = 0.6  # the worker tells ten times a second how far it is


@dataclass(frozen=True)
class Prompt:
    """``where``: set and id, as the talk's record names it. ``samples``: int16, 8 kHz, whole frames."""

    where: str
    samples: np.ndarray


class Prompts:
    """What agents' keys play."""

    def __init__(self, recordings: Recordings) -> None:
        self._recordings = recordings

    def choose(self, key: Key, phrases: str, times: int) -> Prompt:
        """What this key plays in a call of this phrase set (``zh/lanzhi``), when it has played ``times`` before.

        A set without any wording for it borrows from the first that has one. Raises LookupError, ValueError.
        """
        sets = self._recordings.sets
        for lender in [phrases if phrases in sets else DEFAULT, *sets]:
            if known := [wording for wording in WORDINGS[key] if wording in sets.get(lender, ())]:
                where = f"{lender}/{known[min(times, len(known) - 1)]}"
                samples = self._recordings.samples(where)
                return Prompt(where, np.pad(samples, (0, -samples.size % FRAME_SAMPLES)))
        raise LookupError(f"no phrase set has a prompt for the key {key}")


class Prompter:
    """Plays to callers; tell it what the worker tells (``hear``)."""

    def __init__(self, ami: Ami, line: WorkerClient) -> None:
        self._ami, self._line = ami, line
        self._playing: dict[str, asyncio.Queue[int]] = {}  # by the leg's UUID: ms since it came

    def hear(self, message: LegReport) -> None:
        """What the worker tells of any leg."""
        if message.uuid in self._playing:
            self._playing[message.uuid].put_nowait(message.at_ms)

    async def play(self, talk: ConnectedParties, samples: np.ndarray, begins: Callable[[bytes], None]) -> bool:
        """Play this to the talk's caller; cancel it to stop. ``begins`` is told in the frame in which it starts, of the
        silence before it. Returns False where the caller did not hear it to its end.

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
        """Play this to the talk's caller, again and again, until cancelled. Raises as ``play``, and TimeoutError where
        the caller is gone."""
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
        """A leg that mixes into what the caller hears: its UUID, the ms that the worker tells of it, and the first."""
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
