"""The files of a spool.

A process that writes has a folder of its own, and begins a new *stream* each time it starts. A stream is a sequence of
records, numbered 1, 2, 3 … It is kept in *segments*, files that are written one after the other:

    door/00000017-9f3a2c1b.000001.spool
         stream            segment

A segment holds one record a line: the CRC-32 of the stream's name and the rest of the line, in hex, and the record as a
JSON array, ``[number, at_ms, call, kind, spare, body]``. Its writer holds a lock (``flock``) on the segment for as long
as it may write to it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from hearline.core.calendar import LATEST_MS

SUFFIX = ".spool"
DAMAGED = ".damaged"
NEW = ".new"  # of a segment whose writer does not hold its lock yet
LOST = "lost"  # kind of a record that stands for a spare one, which was lost when it had its number already
MOST_LINE = 1024 * 1024  # bytes; the largest timeline has some 200 kB
_NAME = re.compile(r"(([0-9]{8,})-[0-9a-f]{8})\.([0-9]{6,})\.spool")
_CRC = 9  # characters, with the blank


@dataclass(frozen=True)
class Record:
    """One thing that has happened in a call.

    ``number``: within its stream. ``at_ms``: when it happened, ms since 1970. ``call``: the call's id, '' if it is
    about none. ``kind``: a word for what has happened. ``body``: its particulars. ``spare``: the record may be lost
    when room runs out.
    """

    number: int
    at_ms: int
    call: str
    kind: str
    body: Mapping[str, Any]
    spare: bool = False


@dataclass(frozen=True)
class Segment:
    """A segment's file. ``stream``: the stream's name. ``age``: the stream's number; a later stream of the same folder
    has a higher one. ``ordinal``: the segment's number within its stream."""

    path: Path
    stream: str
    age: int
    ordinal: int

    def is_closed(self) -> bool:
        """True if nobody writes to it any more. Raises OSError."""
        opened = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(opened)
        return True


def segments_in(folder: Path) -> list[Segment]:
    """The segments in a folder, in the order in which they were written. Raises OSError."""
    found = [segment_at(folder / name) for name in os.listdir(folder)]
    return sorted((one for one in found if one), key=lambda one: (one.age, one.stream, one.ordinal))


def segment_at(path: Path) -> Segment | None:
    """The segment with this name; None if it is another kind of file."""
    name = _NAME.fullmatch(path.name)
    return Segment(path, name[1], int(name[2]), int(name[3])) if name else None


def segment_path(folder: Path, stream: str, ordinal: int) -> Path:
    return folder / f"{stream}.{ordinal:06d}{SUFFIX}"


def next_age(folder: Path) -> int:
    """The number of a new stream: higher than those of all streams that have left anything in the folder. Raises
    OSError."""
    streams = (re.match(r"([0-9]{8,})-", name.lstrip(".")) for name in os.listdir(folder))
    return 1 + max((int(stream[1]) for stream in streams if stream), default=0)


def seed_of(stream: str) -> int:
    """What the checksums of a stream's lines begin with, so that no other stream's line is taken for one of them."""
    return crc32(stream.encode())


def encoded(at_ms: int, call: str, kind: str, body: Mapping[str, Any], spare: bool) -> bytes:
    """A record without its number. Raises TypeError, ValueError for what is no moment, no text, or cannot be written as
    JSON: here, where it is wrong, and not where it would stop the ledger."""
    if not (isinstance(at_ms, int) and 0 <= at_ms <= LATEST_MS):
        raise ValueError("at_ms is a whole number of ms since 1970")
    if not (isinstance(call, str) and isinstance(kind, str) and isinstance(body, Mapping)):
        raise TypeError("call and kind are texts, body is a mapping")
    text = json.dumps([at_ms, call, kind, spare, body], ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text[1:].encode("utf-8", "backslashreplace")


def line_of(seed: int, number: int, record: bytes) -> bytes:
    """The line of a record that `encoded` has returned."""
    payload = b"[%d,%b" % (number, record)
    return b"%08x %b\n" % (crc32(payload, seed), payload)


def record_in(seed: int, line: bytes) -> Record | None:
    """The record in a line (without its end); None if the line is damaged."""
    payload = line[_CRC:]
    if line[:_CRC] != b"%08x " % crc32(payload, seed):
        return None
    try:
        number, at_ms, call, kind, spare, body = json.loads(payload)
    except ValueError:
        return None
    return Record(number, at_ms, call, kind, body, spare)
