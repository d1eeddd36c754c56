"""`hearline demo`: five real calls, to hear and see."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Where recordings, timelines and pictures go; emptied first.")] = Path(
        "demo-out"
    ),
) -> None:
    """Five callers ring a private Asterisk side by side: one speaks, one is silent, one sends no RTP at all, one is too
    soft and then louder, one is too soft throughout. Two agents answer. Takes about a minute.

    Leaves for each call what the caller heard, what the agent heard (where one answered), `timeline.json` and
    `call.png`. Exit 0 only if every call went as planned, to 40 ms as heard by the phones.
    """
    from rich.console import Console
    from rich.markup import escape

    from hearline.pbx.asterisk import AsteriskUnavailable
    from hearline.pbx.stack import StackError
    from hearline.settings import Settings

    console = Console()
    try:
        from hearline.demo.play import play
        from hearline.phone.run import PhonesError
    except ModuleNotFoundError as error:
        console.print(f"[red]{error.name} is missing: run `make setup`, or pip install 'hearline\\[softphone]'[/red]")
        raise typer.Exit(1) from None
    try:
        judged = play(Settings(), out, console)
    except (StackError, AsteriskUnavailable, PhonesError, TimeoutError, OSError) as error:
        console.print(f"[red]the demo could not be played: {escape(str(error))}[/red]")
        raise typer.Exit(1) from None
    _tell(judged, out, console)
    raise typer.Exit(1 if any(call.faults for call in judged) else 0)


def _tell(judged: list, out: Path, console) -> None:
    from rich.table import Table

    table = Table(title="planned against heard", title_style="bold")
    for heading in ("caller", "outcome", "waits as heard (ms)", "worst", "agent was told", ""):
        table.add_column(heading)
    for call in judged:
        waits = " · ".join(f"{t.heard_ms:.0f}" for t in call.timings)
        worst = max((abs(t.error_ms) for t in call.timings), default=None)
        table.add_row(
            call.role.title,
            str(call.timeline["outcome"]),
            waits,
            "" if worst is None else f"{worst:.0f} ms",
            call.whisper or "",
            "[green]as planned[/green]" if not call.faults else "[red]not as planned[/red]",
        )
    console.print(table)
    for call in judged:
        for fault in call.faults:
            console.print(f"[red]{call.role.name}: {fault}[/red]")
    console.print(
        f"Hear and see them in [bold]{out}/[/bold]: caller-heard.wav, agent-heard.wav, timeline.json, call.png"
    )
