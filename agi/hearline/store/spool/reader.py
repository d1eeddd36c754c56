"""The reading end of a spool."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from hearline.store.spool.segments import (
    DAMAGED,
    MOST_LINE,
    NEW,
    Record,
    Segment,
    record_in,
    seed_of,
    segment_at,
    segments_in,
)

log = logging.getLogger(__name__)

_CHUNK = 256 * 1024


@dataclass
class _Place:
    """How far a stream has been read. ``read``: closed segments that were read to their end, with the number of the
    last record before that end. ``damaged``: those of them that have lost records."""

    number: int
    ordinal: int = 0
    offset: int = 0
    read: dict[Path, int] = field(default_factory=dict)
    damaged: set[Path] = field(default_factory=set)


class SpoolReader:
    """Reads the spool in ``folder``, which one kind of process writes. All methods wait for the disk.

    Segments that have lost records stay in the folder as ``….damaged``, for people. The numbers tell which are missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: dict[str, _Place] = {}

    def streams(self) -> list[str]:
        """The streams of which something is there, the earliest first. Raises OSError."""
        return list(dict.fromkeys(one.stream for one in segments_in(self.folder)))

    def read(self, stream: str, after: int, most: int) -> list[Record]:
        """The records of a stream that follow the number ``after``, in order, at most ``most`` of them. A record that
        is there twice is returned once; damaged ones are left out. Raises OSError."""
        place = self._places.get(stream)
        if place is None or place.number != after:
            place = _Place(after)
        self._places.pop(stream, None)  # after an error, begin anew
        found: list[Record] = []
        for segment in segments_in(self.folder):
            if segment.stream != stream or segment.ordinal < place.ordinal:
                continue
            if segment.ordinal > place.ordinal:
                place.ordinal, place.offset = segment.ordinal, 0
            try:
                closed = segment.is_closed()  # before it is read: then nothing comes after what we read
                opened = open(segment.path, "rb")  # noqa: SIM115
            except FileNotFoundError:  # it has failed, and its writer goes on in the next one
                continue
            for record in self._records(opened, segment, place, closed):
                if record.number <= place.number:
                    continue
                if record.number > place.number + 1:
                    self._miss(segment, place, record.number - place.number - 1)
                place.number = record.number
                found.append(record)
                if len(found) == most:
                    break
            if len(found) == most or not closed:
                break
            place.read[segment.path] = place.number
        self._places[stream] = place
        return found

    def forget(self, stream: str, through: int) -> None:
        """The records up to ``through`` are kept elsewhere: delete the segments that hold no others. Raises OSError."""
        place = self._places.get(stream)
        for path, last in list(place.read.items()) if place else ():
            if place and last <= through:
                if path in place.damaged:
                    with suppress(FileNotFoundError):
                        os.replace(path, path.with_name(path.name + DAMAGED))
                else:
                    path.unlink(missing_ok=True)
                del place.read[path]

    def clean(self) -> None:
        """Delete what a killed process has left: segments without a name. Raises OSError."""
        for name in os.listdir(self.folder):
            if name.endswith(NEW) and (unnamed := segment_at(self.folder / name[1 : -len(NEW)])):
                left = Segment(self.folder / name, unnamed.stream, unnamed.age, unnamed.ordinal)
                with suppress(FileNotFoundError):
                    if left.is_closed():
                        left.path.unlink()

    def size(self) -> int:
        """The bytes of all segments. Raises OSError."""
        return sum(one.path.stat().st_size for one in segments_in(self.folder))

    # ---- one segment ------------------------------------------------------------------------------------------------
    def _records(self, opened: BinaryIO, segment: Segment, place: _Place, closed: bool) -> Iterator[Record]:
        """The records from the place on, which moves along. A damaged line ends it as long as the segment is written
        to. What follows the last line's end was being written when the process was killed: it is left out."""
        seed = seed_of(segment.stream)
        with opened:
            opened.seek(place.offset)
            unread = b""
            while chunk := opened.read(_CHUNK):
                *lines, unread = (unread + chunk).split(b"\n")
                for line in lines:
                    record = record_in(seed, line)
                    if record is None and not closed:
                        return
                    place.offset += len(line) + 1
                    if record is None:
                        self._damaged(segment, place)
                    else:
                        yield record
                if len(unread) > MOST_LINE + 100:  # no line is that long
                    if not closed:
                        return
                    self._damaged(segment, place)
                    place.offset += len(unread)
                    unread = b""

    def _damaged(self, segment: Segment, place: _Place) -> None:
        if segment.path not in place.damaged:
            log.error("spool: a damaged line in %s, which is kept as *%s", segment.path, DAMAGED)
            place.damaged.add(segment.path)

    def _miss(self, segment: Segment, place: _Place, many: int) -> None:
        place.damaged.add(segment.path)
        log.error("spool: %d records are missing in or before %s, which is kept as *%s", many, segment.path, DAMAGED)
