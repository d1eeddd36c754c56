"""The shipped recordings, read once for all tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from hearline.assist.playback.recordings import Recordings


@cache
def recordings() -> Recordings:
    return Recordings(Path(__file__).resolve().parents[2] / "sounds")
