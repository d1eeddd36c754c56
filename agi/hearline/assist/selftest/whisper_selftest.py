"""Tests whether whispers reach the caller: on Asterisk itself, with a tone, in a loop call with both ends our own.

    caller's end ═══ bridge ═══ agent's end ◀── whisper leg, the same as in a talk

All three are AudioSocket channels that end in our own media worker. First the agent's end sends the tone, and the
caller's end must hear it; otherwise its silence in the second half would prove nothing. Then the tone is whispered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

from hearline.audio.vad.tones import tone
from hearline.media.worker_client import PendingCall, WorkerClient, WorkerDown
from hearline.media.worker_protocol import LegReport
from hearline.pbx.ami import Ami, AmiDown, AmiRefused
from hearline.pbx.chanspy import attach, audiosocket, audiosocket_name, spy_data

TONE_HZ, TONE_DBOV = 1_000, -12.0  # the 100 ms of each level hold whole periods
HEARD_DBOV = TONE_DBOV - 6
LEAST_DB = 60.0  # the caller's end must be this far below the agent's
SECOND = 10  # levels per second
SOUNDS_S = 4.0  # the longest that the tone lasts
COMES_S = 2.0  # a leg that takes longer never comes: a starting Asterisk lets us in before it can place calls
WITHIN_S = 10.0  # the longest that the whole test lasts


class NotTried(RuntimeError):
    """The loop call failed, so nothing is known about whispers."""


@dataclass(frozen=True)
class Found:
    """The levels of the whispered tone, in dBov: the median at the agent's end, and the highest at the caller's."""

    agent_dbov: float
    caller_dbov: float

    @property
    def below_db(self) -> float:
        return self.agent_dbov - self.caller_dbov

    @property
    def leaks(self) -> bool:
        return self.agent_dbov >= HEARD_DBOV and self.below_db < LEAST_DB

    @property
    def praise(self) -> str:
        return f"a whispered tone is {self.below_db:.0f} dB softer at the caller's end, or not there at all"

    @property
    def fault(self) -> str:
        """Why whispers must not be allowed; '' if they may be."""
        if self.agent_dbov < HEARD_DBOV:
            return f"an agent would not hear a whisper ({self.agent_dbov:.0f} dBov of {TONE_DBOV:.0f})"
        if self.leaks:
            return (
                f"the caller would hear a whisper, {self.below_db:.0f} dB below the agent; {LEAST_DB:.0f} are required"
            )
        return ""


def whisper_to(channel: str) -> str:
    """ChanSpy's argument, the same as in a talk."""
    return spy_data(channel, whisper=True)


class WhisperSelfTest:
    """``run`` tests once; it can be called again, but not at the same time.

    Args:
        spy: makes ChanSpy's argument for a channel.
    """

    def __init__(self, ami: Ami, line: WorkerClient, spy: Callable[[str], str] = whisper_to) -> None:
        self._ami, self._line, self._spy = ami, line, spy
        self._levels: dict[str, list[float]] = {}  # dBov, by UUID, oldest first
        self._news = asyncio.Event()

    def hear(self, message: LegReport) -> None:
        """Take in a report of any leg; reports of other legs are ignored."""
        if message.uuid in self._levels:
            self._levels[message.uuid].append(message.level_dbov)
            self._news.set()

    async def run(self) -> Found:
        """Test, which takes a few seconds and leaves nothing behind. Raises NotTried."""
        ends: list[PendingCall] = []
        try:
            ends += (self._line.announce(None, channel="loop call", tone_hz=TONE_HZ) for _ in range(3))
            self._levels = {end.uuid: [] for end in ends}
            async with asyncio.timeout(WITHIN_S):
                return await self._try(*ends)
        except TimeoutError:
            raise NotTried(f"the loop call took longer than {WITHIN_S:.0f} s") from None
        except (WorkerDown, AmiDown, AmiRefused) as error:
            raise NotTried(str(error)) from None
        finally:
            self._levels = {}
            for end in ends:
                self._line.withdraw(end)

    async def _try(self, caller: PendingCall, agent: PendingCall, whisper: PendingCall) -> Found:
        at_caller, at_agent = self._levels[caller.uuid], self._levels[agent.uuid]
        sound = tone(TONE_HZ, TONE_DBOV, round(SOUNDS_S * 1_000)).tobytes()
        await attach(self._ami, caller, audiosocket(agent), "Dial")
        await self._comes(agent)
        await attach(self._ami, whisper, self._spy(audiosocket_name(agent)))
        await self._comes(whisper)

        self._line.say(agent.uuid, sound)
        await self._until(lambda: at_caller and at_caller[-1] > HEARD_DBOV)
        self._line.say(agent.uuid, b"")
        await self._until(lambda: at_caller[-1] < HEARD_DBOV - LEAST_DB)

        at_caller.clear()
        at_agent.clear()
        self._line.say(whisper.uuid, sound)
        with suppress(TimeoutError):
            async with asyncio.timeout(SOUNDS_S):
                await self._until(lambda: sum(level > HEARD_DBOV for level in at_agent) >= SECOND <= len(at_caller))
        return found(at_agent, at_caller)

    async def _comes(self, end: PendingCall) -> None:
        try:
            async with asyncio.timeout(COMES_S):
                await self._until(lambda: self._levels[end.uuid])
        except TimeoutError:
            raise NotTried("Asterisk did not place the loop call") from None

    async def _until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self._news.clear()
            await self._news.wait()


def found(agent: Sequence[float], caller: Sequence[float]) -> Found:
    """The result, given the levels (dBov, ten a second) at both ends while the tone was whispered. Raises NotTried if
    an end has less than a second of them."""
    if min(len(agent), len(caller)) < SECOND:
        raise NotTried("the loop call broke")
    return Found(median(sorted(agent)[-SECOND:]), max(caller))
