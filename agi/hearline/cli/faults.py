"""Prints the faults of a file, for all `check` verbs, and words those of settings, for all verbs."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from hearline.yamlfiles.checked import Fault


def tell(file: Path, faults: Sequence[Fault], as_json: bool, notes: Sequence[Fault] = ()) -> None:
    """Print one JSON object per file; or else `ok` or each fault, and each note. All of it goes to stdout. ``notes``
    are warnings that do not make the file faulty."""
    if as_json:
        lists = {"faults": [vars(fault) for fault in faults], "notes": [vars(note) for note in notes]}
        typer.echo(json.dumps({"file": str(file), "ok": not faults, **lists}, ensure_ascii=False))
        return
    if not faults:
        typer.secho(f"{file}: ok", fg="green")
    for fault in faults:
        typer.secho(str(fault), fg="red")
    for note in notes:
        typer.secho(str(note), fg="yellow")


def setting_named(name: str, options: Collection[str] = ()) -> str:
    """How a setting is set: by its environment variable, and by its option if it is among ``options``."""
    variable = f"HEARLINE_{name.upper()}"
    return f"--{name.replace('_', '-')} ({variable})" if name in options else variable


def settings_told(error: ValueError, options: Collection[str] = ()) -> list[str]:
    """A line for each wrong setting. ``options``: the settings that are options of the verb."""
    faults: list[dict] = getattr(error, "errors", list)()
    told = []
    for fault in faults:
        where = f"{setting_named(str(fault['loc'][0]), options)}: " if fault["loc"] else ""  # none: it is about several
        told.append(where + fault["msg"].removeprefix("Value error, "))
    return told or [str(error)]
