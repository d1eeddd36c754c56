"""The dialplan's guard asks whether calls are in good hands (``hearline-guard`` in hearline.conf)."""

from __future__ import annotations

from hearline.line.lines import Lines
from hearline.pbx.agi import AgiSession


def serve(agi: AgiSession, line: Lines) -> None:
    """Sets HEARLINE_ALIVE to ``yes`` while the media worker is heard."""
    agi.set_variable("HEARLINE_ALIVE", "yes" if line.well else "no")
