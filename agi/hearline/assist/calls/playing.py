"""A prompt that an agent's key has started, and the meaning of the next key while it plays."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hearline.assist.hints.events import Key

IMPATIENCE_S = 1.0  # an agent who presses again this soon has not heard yet that it plays


@dataclass(frozen=True)
class Playing:
    """A prompt that is being played to the caller. ``since``: when the key was pressed, monotonic s."""

    key: Key
    since: float
    task: asyncio.Task

    def again(self, key: Key, now: float) -> str:
        """The meaning of the next key while the prompt plays: ``stop`` it, play the ``other`` one, or ``nothing``."""
        if key is not self.key:
            return "other"
        return "nothing" if now - self.since < IMPATIENCE_S else "stop"
