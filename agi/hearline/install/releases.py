"""Releases that lie side by side, `/opt/hearline/1.2.0`, with a link `current` to the one in use."""

from __future__ import annotations

from pathlib import Path

CURRENT = "current"


def lasting(path: Path) -> Path:
    """The same path through the link, if it lies in the release that the link leads to: so that it stays right when the
    link leads to another one."""
    for parent in path.parents:
        link = parent.parent / CURRENT
        if link != parent and link.is_symlink() and link.resolve() == parent.resolve():
            return link / path.relative_to(parent)
    return path
