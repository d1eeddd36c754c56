"""Music for callers to whom Asterisk plays none: those on hold, because their softmix bridge does not pass the hold on,
and those whose agent's page is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from hearline.assist.calls.channel_graph import ConnectedParties
from hearline.assist.playback.prompts import Prompter
from hearline.assist.playback.recordings import MUSIC, Recordings
from hearline.core.logs import name_call
from hearline.media.worker_client import WorkerDown
from hearline.pbx.ami import AmiDown, AmiRefused

log = logging.getLogger(__name__)

AGAIN_S = 1.0


class HoldMusic:
    """Plays the queue's music to callers; ``follow`` determines to whom.

    Args:
        alone: returns True if the caller of a talk hears nobody.
    """

    def __init__(
        self,
        prompter: Prompter,
        recordings: Recordings,
        alone: Callable[[ConnectedParties], bool] = lambda _talk: False,
    ) -> None:
        self._prompter, self._recordings, self._alone = prompter, recordings, alone
        self._playing: dict[str, asyncio.Task] = {}  # by the caller's channel

    def follow(self, connected: Iterable[ConnectedParties]) -> None:
        """Take over all parties that are connected now: start and stop the music accordingly."""
        silent = {talk.caller: talk for talk in connected if talk.held_in_silence or self._alone(talk)}
        for caller in self._playing.keys() - silent.keys():
            self._playing.pop(caller).cancel()
        for caller in silent.keys() - self._playing.keys():
            self._playing[caller] = asyncio.create_task(self._play(silent[caller]))

    async def _play(self, talk: ConnectedParties) -> None:
        name_call(talk.call)
        while True:
            try:
                await self._prompter.play_on(talk, self._recordings.samples(MUSIC))
            except (AmiDown, AmiRefused, WorkerDown, OSError, TimeoutError, ValueError) as error:
                log.warning("a caller hears no music for the moment: %s", error or type(error).__name__)
            await asyncio.sleep(AGAIN_S)
