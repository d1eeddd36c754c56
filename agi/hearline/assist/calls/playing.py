"""A prompt that an agent's key has begun to play to the caller, and what the next key means meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hearline.assist.hints.events import Key

IMPATIENCE_S = 1.0  # whoever presses again so soon has not heard yet that it plays


@dataclass(frozen=True)
class Playing:
    """A prompt on its way to the caller. ``since``: when the key was pressed, monotonic s."""

    key: Key
    since: float
    task: asyncio.Task

    def again(self, key: Key, now: float) -> str:
        """What the next key means while it plays: ``stop`` it, play the ``other`` one, or ``nothing``."""
        if key is not self.key:
            return "other"
        return "nothing" if now - self.since < IMPATIENCE_S else "stop"
