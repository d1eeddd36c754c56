"""Formats verdicts, times, levels and tables for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

COLOURS = {"speech": "green", "too_soft": "yellow", "noise": "magenta", "no_signal": "red"}


def is_one_picture(out: Path) -> bool:
    return out.suffix.lower() == ".png" and not out.is_dir()


def with_reason(verdict: str, reason: str) -> str:
    return verdict if reason in ("normal", "soft", verdict) else f"{verdict} ({reason})"


def seconds(ms: int | None) -> str:
    return "–" if ms is None else f"{ms / 1000:.2f}"


def level(dbov: float | None) -> str:
    return "–" if dbov is None else f"{dbov:.1f}".replace("-", "−")


def print_table(table: Table, stderr: bool = False) -> None:
    """Print a table as wide as it needs, also in a pipe or on a narrow terminal: a name that wraps cannot be copied."""
    from rich.console import Console

    console = Console(stderr=stderr)
    everything = console.options.update(max_width=10_000)
    needed = console.measure(table, options=everything).maximum
    Console(stderr=stderr, width=max(needed, console.width)).print(table)
