"""Prints the figures as a table for people, and writes them as JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .figures import Figure
from .machine import Machine

_WIDTH = 140  # if the output is not a terminal


def show(machine: Machine, figures: Sequence[Figure], repetitions: int, console: Console | None = None) -> None:
    """Print all figures under the machine's name."""
    console = console or Console()
    if not console.is_terminal:
        console.width = _WIDTH
    table = Table(title=f"{machine}\n{repetitions} repetitions", title_justify="left", title_style="")
    for name in ("", "unit"):
        table.add_column(name)
    for name in ("min", "median", "max", "bar"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    part = None
    for figure in figures:
        if figure.part != part:
            part = figure.part
            table.add_section()
            table.add_row(f"[bold]{part}")
        verdict = {None: "", True: "met", False: "[bold red]missed"}[figure.met]
        note = f"{verdict} {figure.note}".strip()
        low, middle, high = (number(v) for v in (min(figure.values), figure.median, max(figure.values)))
        table.add_row(figure.what, figure.unit, low, middle, high, str(figure.bar or ""), note)
    console.print(table)


def number(value: float) -> str:
    """A number with three significant digits: 1,000, 12.3, 0.0123."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def write_json(file: Path, machine: Machine, figures: Sequence[Figure], repetitions: int) -> None:
    """Write what `show` prints, with the value of every repetition."""
    data = {
        "machine": asdict(machine),
        "repetitions": repetitions,
        "figures": [figure.as_dict() for figure in figures],
    }
    file.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", "utf-8")
