"""Plays prompts frame by frame, and keeps their frames in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import length_hint
from pathlib import Path

from hearline.media.transport import FRAME_BYTES

Frames = Sequence[bytes]


def cut(pcm: bytes) -> list[bytes]:
    """16-bit samples as frames of 20 ms; the last one is filled up with silence."""
    pcm += bytes(-len(pcm) % FRAME_BYTES)
    return [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm), FRAME_BYTES)]


class PromptStore:
    """Prompts by (language, set, id), read once and read again when the file has changed.

    Args:
        path_of: where a prompt's 8 kHz WAV lies.
        read: a WAV file as 16-bit 8 kHz mono samples in bytes. Both are handed in so that this room stays free of
            file formats.
    """

    def __init__(self, path_of: Callable[[str, str, str], Path], read: Callable[[Path], bytes]) -> None:
        self._path_of = path_of
        self._read = read
        self._kept: dict[Path, tuple[tuple[int, int], list[bytes]]] = {}

    def frames(self, language: str, phrases: str, prompt: str) -> Frames:
        """Raises OSError or ValueError where the file is missing or unreadable and no earlier version is kept."""
        path = self._path_of(language, phrases, prompt)
        kept = self._kept.get(path)
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            if kept is None or kept[0] != stamp:
                kept = self._kept[path] = (stamp, cut(self._read(path)))
        except (OSError, ValueError):
            if kept is None:
                raise
        return kept[1]


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
        return length_hint(self._frames)  # exact: a sequence knows

    @property
    def playing(self) -> bool:
        return self.left > 0

    def next_frame(self) -> bytes | None:
        """The frame for this tick, None where there is nothing to say."""
        return next(self._frames, None)
