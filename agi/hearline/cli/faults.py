"""How every `check` tells what is wrong with a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from hearline.yamlfiles.checked import Fault


def tell(file: Path, faults: list[Fault], as_json: bool) -> None:
    """One JSON object a file on stdout; or `ok` there, and each fault on stderr."""
    if as_json:
        told = [vars(fault) for fault in faults]
        typer.echo(json.dumps({"file": str(file), "ok": not faults, "faults": told}, ensure_ascii=False))
        return
    if not faults:
        typer.secho(f"{file}: ok", fg="green")
    for fault in faults:
        typer.secho(str(fault), fg="red", err=True)
