"""The record of one call: what happened when, planned against actual. No personal data: a key is "a key"."""

from __future__ import annotations

from typing import Any


class Timeline:
    """Events in the order they happened; times in ms since the call's first frame."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.outcome: str | None = None
        self.duration_ms = 0

    def add(self, at_ms: float, event: str, **fields: Any) -> None:
        """``planned_ms`` among the fields says when it should have happened."""
        kept = {name: value for name, value in fields.items() if value is not None}
        self.events.append({"at_ms": round(at_ms), "event": event, **kept})

    def end(self, at_ms: float, outcome: str) -> None:
        self.outcome = outcome
        self.duration_ms = round(at_ms)

    def as_dict(self) -> dict[str, Any]:
        return {"outcome": self.outcome, "duration_ms": self.duration_ms, "events": self.events}
