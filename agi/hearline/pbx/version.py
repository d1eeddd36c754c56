"""Asterisk's version, and the behaviour that depends on it."""

from __future__ import annotations

import re

OLDEST = (22, 10)
"""The oldest version that Hearline is tried on."""
GIVES_BACK = (22, 4)
"""From this version on, an AudioSocket connection that Hearline ends gives the call back to the dialplan; before, it
hung the call up."""


def version_of(text: str) -> tuple[int, int]:
    """``"Asterisk 22.10.1~dfsg…"`` as ``(22, 10)``; (0, 0) if there is no number."""
    found = re.search(r"Asterisk \D*(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def whispers_into_silence(version: tuple[int, int]) -> bool:
    """True if a channel hears ChanSpy's whisper even while nobody else sends sound to it: from 22.11 on, and from its
    sister release 23.5 on (https://github.com/asterisk/asterisk/issues/1966)."""
    return version >= (22, 11) and not (23, 0) <= version < (23, 5)
