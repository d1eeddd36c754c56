"""`hearline demo`: plays five real calls, to hear and see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console


def demo(
    out: Annotated[Path, typer.Option(help="Folder for recordings, timelines and pictures; emptied first.")] = Path(
        "demo-out"
    ),
) -> None:
    """Play five real calls, to hear and see. Takes about a minute.

    Five callers call a private Asterisk at the same time, and two agents answer:

    \b
      1-speaks            says what they want
      2-silent            sends silence
      3-no-rtp            sends no RTP at all
      4-soft-then-louder  is asked to speak up, and does
      5-too-soft          is asked to speak up, and does not

    Each call leaves a folder:

    \b
      caller-heard.wav    what the caller's phone heard
      caller-said.wav     what the caller said, if anything
      agent-heard.wav     what the agent's phone heard, if one answered
      call.png            the call as a picture
      timeline.json       every event, planned and actual

    Exit status: 0 every call went as planned, with each wait within 40 ms as the phones heard it; 1 a call did not, or
    the demo could not be played.
    """
    from importlib.util import find_spec

    from rich.console import Console
    from rich.markup import escape

    from hearline.core.settings import Settings
    from hearline.ops.asterisk import AsteriskUnavailable
    from hearline.ops.stack import StackError

    console = Console()
    if not find_spec("pjsua2"):  # only the softphones' own process imports it, once Asterisk is up
        _missing("pjsua2", console)
    try:
        from hearline.demo.play import play
        from hearline.phone.run import PhonesError
    except ModuleNotFoundError as error:
        _missing(error.name, console)
    try:
        judged = play(Settings(), out, console)
    except (StackError, AsteriskUnavailable, PhonesError, TimeoutError, OSError) as error:
        console.print(f"[red]the demo could not be played: {escape(str(error))}[/red]")
        raise typer.Exit(1) from None
    _tell(judged, out, console)
    raise typer.Exit(1 if any(call.faults for call in judged) else 0)


def _missing(module: str | None, console: Console) -> NoReturn:
    remedy = "run `make setup`, or pip install 'hearline\\[softphone]'"
    console.print(f"[red]the demo needs softphones, and {module} is missing: {remedy}[/red]", soft_wrap=True)
    raise typer.Exit(1)


def _tell(judged: list, out: Path, console) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title="planned against heard", title_style="bold", box=SIMPLE_HEAD, collapse_padding=True)
    for heading in ("caller", "outcome", "waits as heard (ms)", "worst", "whisper to agent", ""):
        words = heading in ("caller", "waits as heard (ms)")  # the table fits 80 columns only if these wrap
        table.add_column(heading, no_wrap=not words, overflow="fold")
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
