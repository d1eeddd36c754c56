"""The register of sound files: the machine-written end of the manifest, by which changes are noticed.

It has one line per file: the hash of its bytes, whether it was synthesised or recorded, and the hash of what it was
made from. The text above the marker belongs to people and is kept byte for byte."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from hearline.core.files import write_whole
from hearline.sounds.manifest import MANIFEST_NAME, MARKER, ManifestError


@dataclass(frozen=True)
class Entry:
    """The register's line for one file."""

    sha256: str
    source: Literal["synthetic", "recording"]
    made_from: str
    """`Sound.recipe_hash` of a synthetic file, `Sound.text_hash` of a recording."""


def read_register(root: Path) -> dict[str, Entry]:
    """The entries by path under `root`. Raises ManifestError if the register is damaged."""
    path = root / MANIFEST_NAME
    _, _, machine_part = path.read_text("utf-8").partition(MARKER)
    try:
        # The C loader if it is installed: the register has hundreds of lines, and is read at each registration.
        files = (yaml.load(machine_part, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}).get("files") or {}
        return {name: Entry(e["sha256"], e["source"], e["made_from"]) for name, e in files.items()}
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise ManifestError(
            f"{path}: the machine-written part is damaged ({error}); restore it from the repository"
        ) from error


def register(root: Path, fresh: dict[str, Entry]) -> None:
    """Add or replace some entries. Reads the others again first, since people may have edited the manifest."""
    write_register(root, {**read_register(root), **fresh})


def write_register(root: Path, entries: dict[str, Entry]) -> None:
    """Replace the machine-written part, atomically."""
    path = root / MANIFEST_NAME
    people, _, _ = path.read_text("utf-8").partition(MARKER)
    rows = [
        f"  {name}: {{sha256: {e.sha256}, source: {e.source}, made_from: '{e.made_from}'}}\n"
        for name, e in sorted(entries.items())
    ]
    write_whole(path, f"{people.rstrip()}\n\n{MARKER}\nfiles:\n{''.join(rows)}", mode=0o644)


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    return bytes_hash(path.read_bytes())


def bytes_hash(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()
