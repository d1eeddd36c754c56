"""`hearline callers`: manages what is kept about earlier callers."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Delete what is kept about a caller, at their request.")


@app.callback()
def callers() -> None:
    """Delete what is kept about a caller, at their request."""


@app.command()
def forget(
    number: Annotated[str, typer.Argument(metavar="CALLER", help="The caller's telephone number; - reads stdin.")],
) -> None:
    """Delete what is kept about a caller's earlier calls, notes included, at the caller's request.

    The number itself is not kept: its keyed hash finds the calls. Records under calls/ and talks/ name no caller. The
    ledger forgets whose calls they were as soon as its process reads the request. Run this as the user that runs the
    server, or as root, with the server's HEARLINE_STATE.

    \b
      hearline callers forget -          # keeps the number out of the shell's history

    Exit status: 0 the calls are deleted, and the ledger's process has the request, 1 the database is missing or cannot
    be read, 2 not a telephone number, 3 the calls are deleted, but the audit log cannot be written.
    """
    from hearline.core.files import as_owner_of
    from hearline.core.numbers import normal
    from hearline.core.settings import Settings
    from hearline.store.audit import AuditLog
    from hearline.store.earlier_calls import EarlierCalls
    from hearline.store.ledger.erasure import FORGET
    from hearline.store.spool.appender import Appender

    settings = Settings()
    number = sys.stdin.readline().strip() if number == "-" else number
    folder = settings.state / "callers"
    if not normal(number, settings.home):
        _fail("forget", ValueError("that is not a telephone number"), 2)
    if missing := [name for name in ("calls.sqlite", "key") if not os.access(folder / name, os.R_OK)]:
        why = f"{folder / missing[0]} is missing or cannot be read: set HEARLINE_STATE as for the server"
        _fail("forget", ValueError(why), 1)
    try:
        with as_owner_of(settings.state):
            earlier = EarlierCalls(folder, settings.earlier_calls_days, settings.home)
            spool = Appender(settings.spool / "cli")
            try:
                count, now = earlier.forget(number), round(time.time() * 1_000)
                asked = spool.append("", FORGET, {"caller_key": earlier.who(number)}, now)
            finally:
                earlier.close()
                spool.close()
            if not asked.done() or not asked.result():
                raise OSError(f"the request to the ledger cannot be written in {settings.spool}")
    except (OSError, sqlite3.Error) as error:
        _fail("forget", error, 1)
    told = f"{count} {'call' if count == 1 else 'calls'} forgotten"
    try:
        with as_owner_of(settings.state):
            AuditLog(settings.state / "audit", settings.audit_days).write(
                "caller-forgotten", by=f"uid {os.getuid()}", calls=count
            )
    except OSError as error:
        _fail("forget", f"{told}, but it is not in the audit log: {error}", 3)
    typer.echo(told)


def _fail(verb: str, error: Exception | str, status: int) -> None:
    typer.secho(f"hearline callers {verb}: {error}", fg="red", err=True)
    raise typer.Exit(status)
