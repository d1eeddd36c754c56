"""`hearline doctor`: checks whether calls can be handed to Hearline here, and whether agent assist will work."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hearline.doctor.box import Box, Wanted
    from hearline.doctor.run import Result

COLOURS = {"ok": "green", "warning": "yellow", "fault": "red", "not run": "bright_black"}
SIGNS = {"ok": "✓", "warning": "!", "fault": "✗", "not run": "–"}


def doctor(
    asterisk: Annotated[
        Path, typer.Option("--asterisk", metavar="DIR", help="The folder of Asterisk's configuration.")
    ] = Path("/etc/asterisk"),
    from_: Annotated[
        str, typer.Option("--from", metavar="CONTEXT", help="The context where your trunk's calls come in.")
    ] = "",
    number: Annotated[
        str, typer.Option("--number", metavar="NUMBER", help="The number that is dialled there, e.g. 95160.")
    ] = "",
    calls: Annotated[int, typer.Option(min=1, metavar="N", help="How many calls at once the box is to carry.")] = 50,
    call: Annotated[
        bool,
        typer.Option("--call", help="Also make a call through the dialplan, to hear of its opening; takes about 10 s."),
    ] = False,
    as_server: Annotated[
        bool, typer.Option("--as-server", help="Take the settings from the server that runs here, not the environment.")
    ] = False,
    stack: Annotated[
        bool, typer.Option("--stack", help="Check the private stack of HEARLINE_STATE instead of this machine's own.")
    ] = False,
    all_: Annotated[bool, typer.Option("--all", help="Also list what is in order.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check whether calls can be handed to Hearline on this machine, and whether agent assist will work.

    Run it as root on Asterisk's machine, with the server's settings: with its environment variables, or with
    --as-server. It changes nothing. For each thing that is wrong it shows what it found, what is wanted, and what to
    do; a check that needs another one which has failed is not run. It shows no secrets, and of telephone numbers only
    the last four digits.

    \b
      hearline doctor --as-server
      hearline doctor --as-server --from from-trunk --number 95160 --call

    Exit status: 0 nothing is wrong, 1 only warnings (calls are served), 2 faults.
    """
    from hearline.doctor.box import Wanted
    from hearline.doctor.run import CALL, STATIC, examine, exit_code

    wanted = Wanted(from_, number, calls)
    box = _private(wanted) if stack else _this(asterisk, wanted, as_server)
    try:
        results = examine(box, (*STATIC, CALL) if call else STATIC)
    finally:
        box.manager.close()
    if json_:
        typer.echo(json.dumps(_as_json(results), ensure_ascii=False, indent=1))
    else:
        _show(results, all_)
    raise typer.Exit(exit_code(results))


def _this(folder: Path, wanted: Wanted, as_server: bool) -> Box:
    """The box whose Asterisk is configured in ``folder``."""
    from hearline.core.settings import Settings
    from hearline.doctor.box import NoServer, box_of, settings_of_server
    from hearline.doctor.machine_facts import Machine
    from hearline.pbx.console import console_of

    try:
        settings = settings_of_server(Machine()) if as_server else Settings()
    except NoServer as error:
        typer.secho(f"hearline doctor: --as-server: {error}", fg="red", err=True)
        raise typer.Exit(2) from None
    return box_of(settings, folder, console_of(folder), wanted)


def _private(wanted: Wanted) -> Box:
    """The private stack, with the addresses at which it runs."""
    from dataclasses import replace

    from hearline.core.settings import Settings
    from hearline.doctor.box import box_of
    from hearline.ops.stack import Stack

    stack = Stack(Settings())
    if stack.running is None:
        typer.secho("hearline doctor: no private stack runs; start it with `hearline stack up`", fg="red", err=True)
        raise typer.Exit(2)
    return box_of(stack.server_settings(), stack.home / "etc", stack.console, replace(wanted, own=True))


def _as_json(results: list[Result]) -> dict:
    counts = {level: sum(result.finding.level == level for result in results) for level in COLOURS}
    checks = [
        {
            "check": result.check.id,
            "subject": result.subject,
            "title": result.check.title,
            "needs": result.check.needs,
            "level": result.finding.level,
            "found": result.finding.found,
            "wanted": result.finding.wanted,
            "remedy": result.finding.remedy,
        }
        for result in results
    ]
    return {"counts": counts, "checks": checks}


def _show(results: list[Result], all_: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    from hearline.cli.formatting import print_table
    from hearline.doctor.checks import BECAUSE

    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    subject, blocked = "", defaultdict[str, list[str]](list)
    for result in results:
        finding, level = result.finding, result.finding.level.value
        if level == "ok" and not all_:
            continue
        if finding.found.startswith(BECAUSE):
            blocked[finding.found].append(result.check.id)
            continue
        if result.subject != subject:
            subject = result.subject
            table.add_row("", f"[bold]{escape(subject)}[/]", "")
        colour = COLOURS[level]
        lines = [escape(result.check.title), f"[{colour}]{escape(finding.found)}[/]"]
        lines += [f"wanted: {escape(finding.wanted)}"] if finding.wanted else []
        lines += [f"[bold]{escape(line)}[/]" for line in finding.remedy.splitlines()]
        table.add_row(f"[{colour}]{SIGNS[level]}[/]", f"[{colour}]{escape(result.check.id)}[/]", "\n".join(lines))
    if table.row_count:
        print_table(table)
        typer.echo()
    for why, ids in blocked.items():
        typer.echo(f"{why}: {', '.join(ids)}")
    counts = _as_json(results)["counts"]
    said = [f"{counts['ok']} in order", _counted(counts["warning"], "warning"), _counted(counts["fault"], "fault")]
    typer.echo(", ".join(said) + f", {counts['not run']} not run")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
