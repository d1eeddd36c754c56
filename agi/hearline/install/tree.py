"""What installing knows of files: those that are there, those that are wanted, and the steps between. Data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Part = Literal["dialplan", "features", "queues", "music", "manager", "modules", "server"]
"""What a file belongs to: a part of Asterisk that is reloaded by itself, or Hearline's own server."""


@dataclass(frozen=True)
class Access:
    """Who may do what with a file."""

    mode: int
    uid: int
    gid: int


@dataclass(frozen=True)
class Found:
    """What lies at a path. ``leads_to``: where a symbolic link ends, all links resolved. ``names``: hard links."""

    kind: Literal["file", "folder", "link", "other"]
    access: Access
    content: bytes = b""
    leads_to: str = ""
    names: int = 1


Tree = Mapping[str, Found]
"""What lies where, by absolute path. A path that is missing here does not exist."""


@dataclass(frozen=True)
class Folder:
    path: str
    access: Access
    part: Part
    seed: bool = False  # created by the first installation only


@dataclass(frozen=True)
class File:
    """A file of ours. ``seed``: the first installation creates it, and from then on it belongs to the people here."""

    path: str
    access: Access
    part: Part
    content: bytes
    seed: bool = False


@dataclass(frozen=True)
class AddedLine:
    """One line of ours at the end of somebody else's file. ``access`` is for the case that the file is missing."""

    path: str
    access: Access
    part: Part
    line: str
    seed: bool = False


Wanted = Folder | File | AddedLine


@dataclass(frozen=True)
class Step:
    """One change. ``before`` and ``after`` are None where there is no file, and for folders. ``access`` is that of the
    file or folder when the step is done; of one that goes, what it had."""

    act: Literal["make folder", "write", "remove", "remove folder"]
    path: str
    part: Part
    access: Access
    before: bytes | None = None
    after: bytes | None = None


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
