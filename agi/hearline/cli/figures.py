"""`hearline figures`: what the ledger counts."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from typing import Annotated

import typer


def figures(
    day: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The last business day to count; by default today."),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=3_660, help="How many days, up to that one.")] = 1,
    queue: Annotated[str, typer.Option(help="Only what concerns this queue.")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="For other programs; shares from 0 to 1, times in s.")
    ] = False,
) -> None:
    """Show the hotline's figures, each with its formula: calls, service level, waits, talks.

    They are counted from the ledger, to which the server reports every call. Run this as the user that runs the server,
    or as root, with the server's HEARLINE_STATE (and HEARLINE_DATABASE).

    \b
      hearline figures                              # today so far
      hearline figures --day 2026-11-30 --days 7    # the week until then
      hearline figures --queue care --json

    Exit status: 0 shown, 1 the ledger cannot be read.
    """
    from sqlalchemy.exc import DBAPIError

    from hearline.core.settings import Settings
    from hearline.figures.definitions import DEFINITIONS
    from hearline.figures.tally import tally
    from hearline.store.ledger.database import WrongDatabase, reading_engine

    settings = Settings()
    until = day.date() if day else settings.calendar.business_day(datetime.now().astimezone())
    since = until - timedelta(days=days - 1)
    try:
        engine = reading_engine(settings.database_url)
        with engine.connect() as connection:
            counted = tally(connection, since, until, queue)
        engine.dispose()
    except (WrongDatabase, DBAPIError) as error:
        why = str(error.orig).partition("\n")[0] if isinstance(error, DBAPIError) else str(error)
        typer.secho(
            f"hearline figures: the ledger cannot be read: {why}. Set HEARLINE_STATE and HEARLINE_DATABASE as for the "
            "server, which makes the ledger when it first runs",
            fg="red",
            err=True,
        )
        raise typer.Exit(1) from None
    values = {one.key: one.of(counted) for one in DEFINITIONS}
    if as_json:
        period = {"since": since.isoformat(), "until": until.isoformat(), "queue": queue or None}
        rounded = {key: value if value is None else round(value, 4) for key, value in values.items()}
        typer.echo(json.dumps(period | {"figures": rounded}, ensure_ascii=False, indent=1))
        return
    _show(values, since, until, queue)


def _show(values: dict[str, float | None], since: date, until: date, queue: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from hearline.figures.definitions import DEFINITIONS

    period = f"{until}" if since == until else f"{since} – {until}"
    table = Table(
        title=f"{period}{f', queue {queue}' if queue else ''}", box=None, header_style="", title_justify="left"
    )
    table.add_column("figure", no_wrap=True)
    table.add_column("指标", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("formula")
    for one in DEFINITIONS:
        table.add_row(one.english, one.chinese, _told(values[one.key], one.unit), one.formula)
    Console(highlight=False).print(table)


def _told(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    return {"share": f"{value * 100:.1f} %", "s": f"{value:.1f} s"}.get(unit, f"{value:.0f}")
