"""`hearline callers`: what is remembered of those who have called."""

from __future__ import annotations

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

    \b
      hearline callers forget -          # keeps the number out of the shell's history
    """
    from hearline.earlier_calls import EarlierCalls
    from hearline.settings import Settings

    settings = Settings()
    number = sys.stdin.readline().strip() if number == "-" else number
    earlier = EarlierCalls(settings.state / "callers", settings.earlier_calls_days)
    if not earlier.who(number):
        _fail("forget", ValueError("that is no telephone number"), 2)
    try:
        count = earlier.forget(number)
    except (OSError, sqlite3.Error) as error:
        _fail("forget", error, 1)
    typer.echo(f"{count} {'call' if count == 1 else 'calls'} forgotten")


def _fail(verb: str, error: Exception, status: int) -> None:
    typer.secho(f"hearline callers {verb}: {error}", fg="red", err=True)
    raise typer.Exit(status)
