"""Does a whisper reach the caller? Tried out on Asterisk itself, with a tone: a call whose both ends are ours.

    caller's end ═══ bridge ═══ agent's end ◀── whisper leg, the same as in a talk

All three are AudioSocket channels that end in our own media worker. First the agent's end sounds, and the caller's end
must hear it: else its silence in the second half would tell nothing. Then the tone is whispered.
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

TONE_HZ, TONE_DBOV = 1_000, -12.0  # 100 ms, of which a level is told, hold whole periods
HEARD_DBOV = TONE_DBOV - 6
LEAST_DB = 60.0  # the caller's end is to be so far below the agent's
SECOND = 10  # levels
SOUNDS_S = 4.0  # at the longest
COMES_S = 2.0  # else it never will: an Asterisk that is just starting lets us in before it can place calls
WITHIN_S = 10.0  # all of it


class NotTried(RuntimeError):
    """The loop call did not come about; nothing is known of whispers."""


@dataclass(frozen=True)
class Found:
    """Levels of the whispered tone, dBov: at the agent's end, and the highest at the caller's."""

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
        """Why nobody must be whispered to; '' where all is well."""
        if self.agent_dbov < HEARD_DBOV:
            return f"an agent would not hear a whisper ({self.agent_dbov:.0f} dBov of {TONE_DBOV:.0f})"
        if self.leaks:
            return (
                f"the caller would hear a whisper, {self.below_db:.0f} dB below the agent; {LEAST_DB:.0f} are required"
            )
        return ""


def whisper_to(channel: str) -> str:
    """ChanSpy's argument as in a talk."""
    return spy_data(channel, whisper=True)


class WhisperSelfTest:
    """Try with ``run``, as often as you like, one at a time.

    Args:
        spy: makes ChanSpy's argument.
    """

    def __init__(self, ami: Ami, line: WorkerClient, spy: Callable[[str], str] = whisper_to) -> None:
        self._ami, self._line, self._spy = ami, line, spy
        self._levels: dict[str, list[float]] = {}  # by UUID, as far as they have come
        self._news = asyncio.Event()

    def hear(self, message: LegReport) -> None:
        """What the worker tells, of whatever leg."""
        if message.uuid in self._levels:
            self._levels[message.uuid].append(message.level_dbov)
            self._news.set()

    async def run(self) -> Found:
        """A few seconds; afterwards nothing of it is left. Raises NotTried."""
        ends: list[PendingCall] = []
        try:
            ends += (self._line.announce(None, channel="loop call", tone_hz=TONE_HZ) for _ in range(3))
            self._levels = {end.uuid: [] for end in ends}
            async with asyncio.timeout(WITHIN_S):
                return await self._try(*ends)
        except TimeoutError:
            raise NotTried(f"the loop call was not over within {WITHIN_S:.0f} s") from None
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
    """Of the levels (dBov, ten a second) that came while the tone was whispered. Raises NotTried where an end did not
    tell for a whole second."""
    if min(len(agent), len(caller)) < SECOND:
        raise NotTried("the loop call broke")
    return Found(median(sorted(agent)[-SECOND:]), max(caller))
