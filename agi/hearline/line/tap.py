"""A leg of two people's talk: listened to, and at times whispered into. In the tick it stands where a call's session
stands; it decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hearline.audio.hearing import SpeechEnded
from hearline.line.player import Player, cut

METER_MS = 100


class Tap:
    """See ``session.Session``.

    Args:
        level: the present level of this line, dBov.
        restart: forget what was heard; each turn is judged by itself.
        tell: told (ms since the leg came, the ears' events since the last time, level), whenever there are events and
            ten times a second.
    """

    outcome: str | None = None
    heard = ""
    nothing_until = 0  # ms: the next look at the meter

    def __init__(
        self,
        level: Callable[[], float],
        restart: Callable[[], None],
        tell: Callable[[int, Sequence[object], float], None],
    ) -> None:
        self.moved = False
        self._level, self._restart, self._tell = level, restart, tell
        self._player = Player()
        self.next_frame = self._player.next_frame

    def tick(self, now: int, ear_events: Sequence[object] = (), keys: str = "", gone: bool = False) -> None:
        if gone:
            self.outcome, self.moved = "gone", True
        if ear_events or now >= self.nothing_until:
            self._tell(now, ear_events, self._level())
            if any(isinstance(event, SpeechEnded) for event in ear_events):
                self._restart()
            self.nothing_until = now - now % METER_MS + METER_MS

    def settle(self, late_ms: float) -> None:
        self.moved = False

    def say(self, pcm: bytes) -> None:
        """Whisper these 16-bit samples (8 kHz) from the next tick on, instead of what is being whispered; b'' ends
        it."""
        self._player.play(cut(pcm))

    def record(self) -> dict[str, Any]:
        return {}
