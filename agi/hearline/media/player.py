"""Plays prompts frame by frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import length_hint

from hearline.media.transport import FRAME_BYTES

Frames = Sequence[bytes]


def cut(pcm: bytes) -> list[bytes]:
    """16-bit samples as frames of 20 ms; the last one is padded with silence."""
    pcm += bytes(-len(pcm) % FRAME_BYTES)
    return [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm), FRAME_BYTES)]


class Player:
    """What is sent to one caller: a prompt's frames, or nothing."""

    __slots__ = ("_frames",)

    def __init__(self) -> None:
        self._frames: Iterator[bytes] = iter(())

    def play(self, frames: Frames) -> None:
        self._frames = iter(frames)

    def stop(self) -> None:
        self._frames = iter(())

    @property
    def left(self) -> int:
        """Frames still to be played."""
        return length_hint(self._frames)  # exact for a sequence's iterator

    @property
    def playing(self) -> bool:
        return self.left > 0

    def next_frame(self) -> bytes | None:
        """The frame for this tick; None if there is nothing to play."""
        return next(self._frames, None)
