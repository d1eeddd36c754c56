"""The record of one call: what happened when, planned against actual. No personal data: a key is "a key"."""

from __future__ import annotations

from typing import Any


class Timeline:
    """Events in the order they happened; times in ms since the call's first frame.

    An event is added with the time of the frame it goes with. When that frame has gone out, ``settle`` adds how late
    it was: then the times are the real ones.
    """

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.outcome: str | None = None
        self.duration_ms = 0
        self.gain_db = 0  # by which the caller's line is raised for the agent
        self._settled = 0

    def add(self, at_ms: float, event: str, **fields: Any) -> None:
        """``planned_ms`` among the fields says when it should have happened."""
        kept = {name: value for name, value in fields.items() if value is not None}
        self.events.append({"at_ms": round(at_ms), "event": event, **kept})

    def raise_line(self, at_ms: float, gain_db: int, **fields: Any) -> None:
        """From now on the line is to be raised by ``gain_db``."""
        self.gain_db = gain_db
        self.add(at_ms, "gain", gain_db=gain_db, **fields)

    def end(self, at_ms: float, outcome: str) -> None:
        self.outcome = outcome
        self.duration_ms = round(at_ms)

    def settle(self, late_ms: float) -> None:
        """What was added since the last time has now happened, ``late_ms`` after its time."""
        late = round(late_ms)
        if late:
            for event in self.events[self._settled :]:
                event["at_ms"] += late
            if self.outcome is not None and self._settled < len(self.events):
                self.duration_ms += late
        self._settled = len(self.events)

    def as_dict(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome,
            "duration_ms": self.duration_ms,
            "gain_db": self.gain_db,
            "events": self.events,
        }
