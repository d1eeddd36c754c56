"""`hearline callers`: what is remembered of those who have called."""

from __future__ import annotations

import os
import sqlite3
import sys
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="What is remembered of callers: forget one at their request.")


@app.callback()
def callers() -> None:
    """What is remembered of callers: forget one at their request."""


@app.command()
def forget(
    number: Annotated[str, typer.Argument(metavar="CALLER", help="The caller's telephone number; - reads stdin.")],
) -> None:
    """Delete what is remembered of a caller's earlier calls, notes included, at that caller's request.

    The number itself is kept nowhere: it is found by its keyed hash. Records under calls/ and talks/ name no caller.
    Run it as the account that the server runs as, with its HEARLINE_STATE.

    \b
      hearline callers forget -          # keeps the number out of the shell's history

    Exit status: 0 they are forgotten, 1 there is nothing to look in or it cannot be read, 2 no telephone number.
    """
    from hearline.core.numbers import normal
    from hearline.core.settings import Settings
    from hearline.store.audit import AuditLog
    from hearline.store.earlier_calls import EarlierCalls

    settings = Settings()
    number = sys.stdin.readline().strip() if number == "-" else number
    folder = settings.state / "callers"
    if not normal(number, settings.home):
        _fail("forget", ValueError("that is no telephone number"), 2)
    if missing := [name for name in ("calls.sqlite", "key") if not os.access(folder / name, os.R_OK)]:
        told = f"{folder / missing[0]} is not there or cannot be read: is HEARLINE_STATE the server's?"
        _fail("forget", ValueError(told), 1)
    earlier = EarlierCalls(folder, settings.earlier_calls_days, settings.home)
    try:
        count = earlier.forget(number)
        AuditLog(settings.state / "audit", settings.audit_days).write(
            "caller-forgotten", by=f"uid {os.getuid()}", calls=count
        )
    except (OSError, sqlite3.Error) as error:
        _fail("forget", error, 1)
    typer.echo(f"{count} {'call' if count == 1 else 'calls'} forgotten")


def _fail(verb: str, error: Exception, status: int) -> None:
    typer.secho(f"hearline callers {verb}: {error}", fg="red", err=True)
    raise typer.Exit(status)
