"""What an agent writes down of a call: fields, not one free text, and which facts were read back to the caller.

A note belongs to a call: whoever has the call sees it, so a colleague it is passed on to has it too. Pure: no clock, no
files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

LONGEST = {"title": 20, "name": 60, "resident": 60, "origin": 60, "address": 200, "phone": 40, "matter": 2_000}
"""The fields, and how many characters each takes."""
KEY_FACTS = ("phone", "name", "address", "matter")
"""What is read back to the caller before it is relied on."""
ABOUT_THE_CALLER = tuple(name for name in LONGEST if name != "matter")
"""What is kept after the call only if the caller agrees."""


@dataclass(frozen=True, repr=False)  # personal data: into no log
class CallNote:
    """``origin``: where the caller calls from. ``resident``: the elder whom the call is about. ``read_back``: of
    `KEY_FACTS`. ``agreed``: the caller agrees that we keep who they are."""

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
        """With what an agent has changed: fields as text, ``agreed`` and ``read_back`` (``{"phone": true}``) as ticks.
        A fact that changes loses its tick: what was read back is not what stands there now.

        Raises:
            ValueError: a field that there is not, text that is too long, or a tick that is none.
        """
        ticks = changes.get("read_back", {})
        if not isinstance(ticks, Mapping) or not isinstance(changes.get("agreed", False), bool):
            raise ValueError("ticks are true or false")
        texts = {name: text for name, text in changes.items() if name not in ("read_back", "agreed")}
        for name, text in texts.items():
            if name not in LONGEST or not isinstance(text, str) or len(text) > LONGEST[name]:
                raise ValueError(f"{name!r} is no field of a note, or too long")
        if set(ticks) - set(KEY_FACTS) or not all(isinstance(tick, bool) for tick in ticks.values()):
            raise ValueError(f"ticks are of {', '.join(KEY_FACTS)}")
        texts = {name: text.encode("utf-8", "replace").decode() for name, text in texts.items()}  # no half characters
        kept = {name for name in self.read_back if texts.get(name, getattr(self, name)) == getattr(self, name)}
        read_back = frozenset(kept - set(ticks) | {name for name, tick in ticks.items() if tick})
        return replace(self, **texts, read_back=read_back, agreed=changes.get("agreed", self.agreed))

    def to_keep(self) -> CallNote:
        """What may be kept after the call: without the caller's leave nothing of who they are."""
        if self.agreed:
            return self
        left = dict.fromkeys(ABOUT_THE_CALLER, "")
        return replace(self, **left, read_back=self.read_back - set(ABOUT_THE_CALLER))

    def as_dict(self) -> dict[str, Any]:
        """As the page has it."""
        return asdict(self) | {"read_back": sorted(self.read_back)}

    def as_text(self) -> str:
        """As it is kept; '' where nothing is noted."""
        noted = {name: value for name, value in self.as_dict().items() if value}
        return json.dumps(noted, ensure_ascii=False) if noted else ""


def read_note(text: str | None) -> CallNote:
    """A note as it was kept. One from before there were fields is its matter, as is one that cannot be read."""
    known = {f.name for f in fields(CallNote)}
    try:
        kept = {name: value for name, value in json.loads(text or "{}").items() if name in known}
        return CallNote().changed(kept | {"read_back": dict.fromkeys(kept.get("read_back", ()), True)})
    except (ValueError, TypeError, AttributeError):
        return CallNote(matter=text or "")
