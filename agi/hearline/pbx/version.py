"""Asterisk's version, and what follows from it."""

from __future__ import annotations

import re


def version_of(text: str) -> tuple[int, int]:
    """``"Asterisk 22.10.1~dfsg…"`` as ``(22, 10)``; (0, 0) where there is no number."""
    found = re.search(r"Asterisk \D*(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def whispers_into_silence(version: tuple[int, int]) -> bool:
    """Does ChanSpy's whisper need nobody else to send something to that channel? From 22.11 on, and from 23.5 on, which
    came with it (https://github.com/asterisk/asterisk/issues/1966)."""
    return version >= (22, 11) and not (23, 0) <= version < (23, 5)
