"""The sources of the test set: packages, and the recordings in them, as listed in sources.yaml."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

Split = Literal["tuning", "held_out"]
SPLITS: tuple[Split, ...] = ("tuning", "held_out")

_FILE = Path(__file__).with_name("sources.yaml")


@dataclass(frozen=True)
class Package:
    """A package of a public registry, in the version with which the figures in the docs were measured."""

    name: str
    registry: Literal["debian", "pypi"]
    version: str
    licence: str


@dataclass(frozen=True)
class Recordings:
    """Recordings of one speaker, or of one kind of sound."""

    name: str
    """Speaker id, or name of the sound."""
    kind: Literal["speech", "noise", "music", "transient"]
    subkind: str
    """Of speech its language; else what sounds."""
    package: Package
    paths: tuple[str, ...]
    """Globs in the unpacked package."""
    but: tuple[str, ...]
    """Globs of file names among them to leave out."""
    split: Split
    rate_hz: int | None
    """Of files without a header; None where the file says it."""
    bits: int
    """Bits per sample in such a file: 16, or 8 (unsigned)."""


def read_sources(file: Path = _FILE) -> tuple[list[Package], list[Recordings]]:
    """(packages in the order of the file, all recordings in them)."""
    packages, recordings = [], []
    for entry in yaml.safe_load(file.read_text()):
        package = Package(entry["package"], entry["registry"], str(entry["version"]), entry["licence"])
        packages.append(package)
        for kind in ("speech", "noise", "music", "transient"):
            for item in entry.get(kind, ()):
                recordings.append(
                    Recordings(
                        name=item["name"],
                        kind=kind,
                        subkind=item.get("language") or item.get("of", kind),
                        package=package,
                        paths=_globs(item["paths"]),
                        but=_globs(item.get("but", [])),
                        split="held_out" if item.get("held_out") else "tuning",
                        rate_hz=item.get("rate_hz"),
                        bits=item.get("bits", 16),
                    )
                )
    return packages, recordings


def _globs(given: str | list[str]) -> tuple[str, ...]:
    return tuple(given) if isinstance(given, list) else (given,)
