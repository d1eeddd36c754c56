"""A leg of agent assist: listens to one side of a conversation, and can whisper into it. The tick treats it like a
call's session, but it makes no decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hearline.audio.hearing import SpeechEnded
from hearline.media.player import Player, cut

METER_MS = 100


@dataclass(frozen=True)
class SoundCame:
    """The first frame has come, so this leg hears its side from now on. Some phones send nothing at first."""


class MonitorSession:
    """See ``session.Session``.

    Args:
        came: True if a frame came in this tick.
        level: the current level of this line, dBov.
        restart: makes the ears forget what they heard, so that each turn is judged on its own.
        tell: called with (ms since the leg came, the ears' events since the last call, level in dBov, ms without a
            frame), on every event and ten times a second.
    """

    outcome: str | None = None
    heard = ""
    collected: Mapping[str, str] = {}
    nothing_until = 0  # ms: when the level is next reported, or the first frame looked for

    def __init__(
        self,
        came: Callable[[], bool],
        level: Callable[[], float],
        restart: Callable[[], None],
        tell: Callable[[int, Sequence[object], float, int], None],
    ) -> None:
        self.moved = False
        self._came, self._level, self._restart, self._tell = came, level, restart, tell
        self._silent = True
        self._came_at = 0  # when a frame was last seen, ms; looked for ten times a second
        self._player = Player()
        self.next_frame = self._player.next_frame

    def tick(self, now: int, ear_events: Sequence[object] = (), keys: str = "", gone: bool = False) -> None:
        if gone:
            self.outcome, self.moved = "gone", True
        if (self._silent or now % METER_MS == 0) and self._came():
            self._came_at = now
            if self._silent:
                self._silent = False
                ear_events = (SoundCame(), *ear_events)
        if ear_events or now % METER_MS == 0:
            self._tell(now, ear_events, self._level(), now - self._came_at)
            if any(isinstance(event, SpeechEnded) for event in ear_events):
                self._restart()
        self.nothing_until = now if self._silent else now - now % METER_MS + METER_MS

    def settle(self, late_ms: float) -> None:
        self.moved = False

    def say(self, pcm: bytes) -> None:
        """Whisper these 16-bit samples (8 kHz) from the next tick on, in place of any current whisper; b'' stops it."""
        self._player.play(cut(pcm))

    def record(self) -> dict[str, Any]:
        return {}
