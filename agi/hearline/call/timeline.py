"""The record of one call: what happened and when, planned against actual.

Keys are personal data, and this is the one place that leaves them out: it records a key as "a key", and collected keys
as their number. A flow may declare that a field holds no personal data (``personal: no``); then its digits are kept.
"""

from __future__ import annotations

from typing import Any

MOST_EVENTS = 2_000  # a call of 14 minutes has a few hundred; beyond this, events are only counted
ENDS = ("route", "hangup")  # always kept


def keys_of(event: dict[str, Any]) -> str:
    """The text for a ``collected`` or ``nomatch`` event whose keys are not kept: ``4 keys``, ``4 keys, no match``."""
    what = "1 key" if event["count"] == 1 else f"{event['count']} keys"
    return what if event["event"] == "collected" else f"{what}, no match"


class Timeline:
    """Events in the order they happened; times in ms since the call's first frame.

    An event is added with the planned time of its frame. Once that frame has been sent, ``settle`` adds its delay, so
    that the times are the real ones.
    """

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.outcome: str | None = None
        self.duration_ms = 0
        self.gain_db = 0  # how far the caller's line is raised for the agent
        self._settled = 0
        self._left_out = 0

    def add(self, at_ms: float, event: str, **fields: Any) -> None:
        """Add an event. Its field ``planned_ms`` says when it should have happened. Fields that are None are
        dropped."""
        if len(self.events) >= MOST_EVENTS and event not in ENDS:
            self._left_out += 1
            return
        kept = {name: value for name, value in fields.items() if value is not None}
        self.events.append({"at_ms": round(at_ms), "event": event, **kept})

    def keyed(self, at_ms: float, name: str, keys: str, matched: bool, personal: bool) -> None:
        """Keys were collected under ``name``. Keys that do not match may be anything, so they are left out, too."""
        kept = keys if matched and not personal else None
        self.add(at_ms, "collected" if matched else "nomatch", name=name, count=len(keys), digits=kept)

    def raise_line(self, at_ms: float, gain_db: int, **fields: Any) -> None:
        """Record that the line is to be raised by ``gain_db`` from now on."""
        self.gain_db = gain_db
        self.add(at_ms, "gain", gain_db=gain_db, **fields)

    def end(self, at_ms: float, outcome: str) -> None:
        self.outcome = outcome
        self.duration_ms = round(at_ms)

    def settle(self, late_ms: float) -> None:
        """Add the delay ``late_ms`` to the events added since the last call of this method."""
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
            **({"left_out": self._left_out} if self._left_out else {}),
        }
