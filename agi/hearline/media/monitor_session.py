"""A leg of two people's talk: listened to, and at times whispered into. In the tick it stands where a call's session
stands; it decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hearline.audio.hearing import SpeechEnded
from hearline.media.player import Player, cut

METER_MS = 100


@dataclass(frozen=True)
class SoundCame:
    """The first frame, just now: whoever is on this leg is heard. Not before their phone sends something."""


class MonitorSession:
    """See ``session.Session``.

    Args:
        came: has a frame come in this tick?
        level: the present level of this line, dBov.
        restart: forget what was heard; each turn is judged by itself.
        tell: told (ms since the leg came, the ears' events since the last time, level), whenever there are events and
            ten times a second.
    """

    outcome: str | None = None
    heard = ""
    collected: Mapping[str, str] = {}
    nothing_until = 0  # ms: the next look at the meter, or for the first frame

    def __init__(
        self,
        came: Callable[[], bool],
        level: Callable[[], float],
        restart: Callable[[], None],
        tell: Callable[[int, Sequence[object], float], None],
    ) -> None:
        self.moved = False
        self._came, self._level, self._restart, self._tell = came, level, restart, tell
        self._silent = True
        self._player = Player()
        self.next_frame = self._player.next_frame

    def tick(self, now: int, ear_events: Sequence[object] = (), keys: str = "", gone: bool = False) -> None:
        if gone:
            self.outcome, self.moved = "gone", True
        if self._silent and self._came():
            self._silent = False
            ear_events = (SoundCame(), *ear_events)
        if ear_events or now % METER_MS == 0:
            self._tell(now, ear_events, self._level())
            if any(isinstance(event, SpeechEnded) for event in ear_events):
                self._restart()
        self.nothing_until = now if self._silent else now - now % METER_MS + METER_MS

    def settle(self, late_ms: float) -> None:
        self.moved = False

    def say(self, pcm: bytes) -> None:
        """Whisper these 16-bit samples (8 kHz) from the next tick on, instead of what is being whispered; b'' ends
        it."""
        self._player.play(cut(pcm))

    def record(self) -> dict[str, Any]:
        return {}
