"""Prints the faults of a file, for all `check` verbs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from hearline.yamlfiles.checked import Fault


def tell(file: Path, faults: Sequence[Fault], as_json: bool, notes: Sequence[Fault] = ()) -> None:
    """Print one JSON object per file on stdout; or else `ok` on stdout, or each fault on stderr. ``notes`` are warnings
    that do not make the file faulty."""
    if as_json:
        lists = {"faults": [vars(fault) for fault in faults], "notes": [vars(note) for note in notes]}
        typer.echo(json.dumps({"file": str(file), "ok": not faults, **lists}, ensure_ascii=False))
        return
    if not faults:
        typer.secho(f"{file}: ok", fg="green")
    for fault in faults:
        typer.secho(str(fault), fg="red", err=True)
    for note in notes:
        typer.secho(str(note), fg="yellow", err=True)
