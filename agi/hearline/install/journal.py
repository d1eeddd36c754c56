"""The journal: what an installation has changed, or is about to change. It is on disk before the first change, so a run
that was killed can be finished or undone, and nothing but Hearline's own goes when Hearline is taken away."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from hearline.core.files import read_text, write_whole
from hearline.install.tree import Access, Part


class JournalError(Exception):
    """The journal cannot be read; the message says what to do."""


class Before(BaseModel):
    """A file of theirs as it was before our line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    mode: int
    uid: int
    gid: int


class Entry(BaseModel):
    """A path that is ours, or that has a line of ours.

    Attributes:
        ours: SHA-256 of each content that is ours: of a file that is being replaced, the old and the new.
        made: the file, or the folder, did not exist.
        line: our line in a file of theirs.
        newline: the file's last line had no end, so we gave it one.
        after: SHA-256 of their file with our line.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    kind: Literal["folder", "file", "line"]
    part: Part
    mode: int
    uid: int
    gid: int
    seed: bool = False
    made: bool = True
    ours: tuple[str, ...] = ()
    line: str = ""
    newline: bool = False
    before: Before | None = None
    after: str = ""

    @property
    def was_there(self) -> bool:
        """True if somebody had written our line before Hearline came, so that it stays when Hearline goes."""
        return self.kind == "line" and not self.made and self.before is None

    @property
    def access(self) -> Access:
        return Access(self.mode, self.uid, self.gid)


class Journal(BaseModel):
    """``state`` is other than ``installed`` only while a run goes on, or after one that was killed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    state: Literal["installing", "installed", "uninstalling"]
    profile: str
    asterisk: str
    entries: tuple[Entry, ...]


def read_journal(file: Path) -> Journal | None:
    """None if nothing is installed. Raises JournalError, OSError."""
    try:
        return Journal.model_validate_json(read_text(file))
    except FileNotFoundError:
        return None
    except (ValidationError, UnicodeDecodeError) as error:
        raise JournalError(
            f"{file} is not a journal that this version of Hearline can read: use the version that wrote it"
        ) from error


def write_journal(file: Path, journal: Journal) -> None:
    """Raises OSError."""
    write_whole(file, journal.model_dump_json(indent=1) + "\n", temporary=unfinished(file))


def unfinished(path: Path) -> Path:
    """The name under which a file or a folder is made before it gets its own. It is always the same, so that the next
    run finds what a killed one has left."""
    return path.with_name(f".{path.name}.hearline-unfinished")


def drop_unfinished(path: Path) -> None:
    """Remove what a killed run has left. Raises OSError."""
    left = unfinished(path)
    if left.is_dir() and not left.is_symlink():
        left.rmdir()
    else:
        with suppress(FileNotFoundError):
            os.unlink(left)
