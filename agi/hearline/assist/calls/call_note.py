"""An agent's note of a call. It has fields rather than one free text, and a tick for each fact that was read back.

A note belongs to a call: everybody who gets the call sees it, so a colleague to whom it is transferred has it too.
Pure: no clock, no files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

LONGEST = {"title": 20, "name": 60, "resident": 60, "origin": 60, "address": 200, "phone": 40, "matter": 2_000}
"""The fields, and the most characters that each may have."""
KEY_FACTS = ("phone", "name", "address", "matter")
"""The facts that an agent reads back to the caller before relying on them."""
ABOUT_THE_CALLER = tuple(name for name in LONGEST if name != "matter")
"""The fields that are kept after the call only if the caller agrees."""


@dataclass(frozen=True, repr=False)  # no repr: personal data must not reach a log
class CallNote:
    """``origin``: where the caller calls from. ``resident``: the elder whom the call is about. ``read_back``: the
    `KEY_FACTS` that were read back. ``agreed``: the caller agrees that we keep the fields `ABOUT_THE_CALLER`."""

    title: str = ""
    name: str = ""
    resident: str = ""
    origin: str = ""
    address: str = ""
    phone: str = ""
    matter: str = ""
    read_back: frozenset[str] = field(default_factory=frozenset)
    agreed: bool = False

    def changed(self, changes: Mapping[str, Any]) -> CallNote:
        """The note with an agent's changes: fields as text, ``agreed`` and ``read_back`` (``{"phone": true}``) as
        ticks. A fact that changes loses its tick, since the new text has not been read back.

        Raises:
            ValueError: a field is unknown, a text is too long, or a tick is not a boolean.
        """
        ticks = changes.get("read_back", {})
        if not isinstance(ticks, Mapping) or not isinstance(changes.get("agreed", False), bool):
            raise ValueError("ticks must be true or false")
        texts = {name: text for name, text in changes.items() if name not in ("read_back", "agreed")}
        for name, text in texts.items():
            if name not in LONGEST or not isinstance(text, str) or len(text) > LONGEST[name]:
                raise ValueError(f"{name!r} is not a field of a note, or its text is too long")
        if set(ticks) - set(KEY_FACTS) or not all(isinstance(tick, bool) for tick in ticks.values()):
            raise ValueError(f"ticks must be true or false, and belong to {', '.join(KEY_FACTS)}")
        texts = {name: text.encode("utf-8", "replace").decode() for name, text in texts.items()}  # no lone surrogates
        kept = {name for name in self.read_back if texts.get(name, getattr(self, name)) == getattr(self, name)}
        read_back = frozenset(kept - set(ticks) | {name for name, tick in ticks.items() if tick})
        return replace(self, **texts, read_back=read_back, agreed=changes.get("agreed", self.agreed))

    def to_keep(self) -> CallNote:
        """The part that may be kept after the call: unless the caller agreed, nothing about who they are."""
        if self.agreed:
            return self
        left = dict.fromkeys(ABOUT_THE_CALLER, "")
        return replace(self, **left, read_back=self.read_back - set(ABOUT_THE_CALLER))

    def as_dict(self) -> dict[str, Any]:
        """The note in JSON types, for the page."""
        return asdict(self) | {"read_back": sorted(self.read_back)}

    def as_text(self) -> str:
        """The note as text for the store; '' if it is empty."""
        noted = {name: value for name, value in self.as_dict().items() if value}
        return json.dumps(noted, ensure_ascii=False) if noted else ""


def read_note(text: str | None) -> CallNote:
    """Read a note from the store. A text from before notes had fields becomes the field ``matter``, as does a text that
    cannot be read."""
    known = {f.name for f in fields(CallNote)}
    try:
        kept = {name: value for name, value in json.loads(text or "{}").items() if name in known}
        return CallNote().changed(kept | {"read_back": dict.fromkeys(kept.get("read_back", ()), True)})
    except (ValueError, TypeError, AttributeError):
        return CallNote(matter=text or "")
