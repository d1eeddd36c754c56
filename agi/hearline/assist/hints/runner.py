"""Runs the hint engine for one agent in one talk, in real time: events go in, whispers and cards come out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from hearline.assist.hints import events as e
from hearline.assist.hints.engine import HOLD_EVERY_MS, Figures, HintEngine
from hearline.assist.hints.rules import Rules
from hearline.media.transport import FRAME_MS

log = logging.getLogger(__name__)


class HintRunner:
    """Begins with the join, ends with ``close``. An error in it ends the hints of this talk, and nothing else.

    ``hold_whisper``: the last whisper of this hold, which a phone does not play while it holds, and when it came, ms
    since the join. None: there was no whisper, it was stopped, or no agent holds.

    Args:
        rules: the rules at the join; an edit counts from the next talk on.
        whisper: plays the whisper (id, level in dB); None stops it. Returns True if it is played.
        tell: called with every card that is shown or hidden, every whisper that is played or that a phone on hold would
            not play, every hold that the agent does not seem to have asked for, and every mark at the clock.
    """

    def __init__(
        self,
        rules: Rules,
        joined: e.Joined,
        whisper: Callable[[tuple[str, int] | None], bool],
        tell: Callable[[e.Action], None],
    ) -> None:
        self.figures = Figures()
        self._whisper, self._tell = whisper, tell
        self._loop = asyncio.get_running_loop()
        self._began = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._engine: HintEngine | None = HintEngine(rules)
        self.hold_whisper: tuple[e.Whisper, int] | None = None
        self.hear(joined)

    def hear(self, event: e.Event) -> None:
        """Take in an event that has happened just now."""
        self._do(lambda engine: engine.handle(event, self._now_ms()))

    @property
    def card(self) -> e.ShowCard | None:
        """The card on the agent's screen; None if there is none."""
        return self._engine.card if self._engine else None

    @property
    def muted(self) -> bool:
        """True if the agent has muted whispers."""
        return bool(self._engine and self._engine.muted)

    @property
    def clock_marked(self) -> bool:
        """True if a rule has marked the talk's clock."""
        return bool(self._engine and self._engine.clock_marked)

    @property
    def hold_every_ms(self) -> int:
        """How long a caller may be left alone on hold, ms."""
        return self._engine.holds.every_ms if self._engine else HOLD_EVERY_MS

    def ago_s(self, ms: int) -> float:
        """The time since this moment of the talk, s; negative if it is still to come."""
        return time.monotonic() - self._began - ms / 1_000

    def move(self, whisper: Callable[[tuple[str, int] | None], bool]) -> None:
        """The agent is on another channel now, where ``whisper`` plays; the hints go on as they are."""
        self._whisper = whisper

    def close(self) -> None:
        """The talk is over."""
        if self._timer:
            self._timer.cancel()
        self._engine = self.hold_whisper = None

    def _now_ms(self) -> int:
        """Ms since the join, rounded down to whole frames."""
        return int((time.monotonic() - self._began) * 1_000) // FRAME_MS * FRAME_MS

    def _do(self, step: Callable[[HintEngine], list[e.Action]]) -> None:
        if self._engine is None:
            return
        try:
            actions = step(self._engine)
            if not self._engine.held_by_agent:
                self.hold_whisper = None
            self.figures.add(actions)
            for action in actions:
                self._act(action)
            self._set_timer()
        except Exception:
            log.exception("the hints of a talk failed; it goes on without them")
            self.close()

    def _act(self, action: e.Action) -> None:
        match action:
            case e.Whisper(whisper, level_db):
                held = self._engine.held_by_agent
                self.hold_whisper = (action, self._now_ms()) if held else None
                if self._whisper((whisper, level_db)) or held:
                    self._tell(action)
            case e.StopWhisper():
                self.hold_whisper = None
                self._whisper(None)
                self._tell(action)
            case e.ShowCard() | e.HideCard() | e.NotAsked() | e.MarkClock():
                self._tell(action)

    def _set_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
        deadline = self._engine.deadline
        if deadline is None:
            self._timer = None
            return
        ahead_s = self._began + deadline / 1_000 - time.monotonic()
        self._timer = self._loop.call_later(max(0.0, ahead_s), self._due, deadline)

    def _due(self, deadline: int) -> None:
        self._do(lambda engine: engine.due(max(deadline, self._now_ms())))
