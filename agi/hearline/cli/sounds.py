"""`hearline sounds`: makes and checks the sounds that callers and agents hear."""

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Make and check the prompts, whispers and music.", no_args_is_help=True)

SoundsFolder = Annotated[
    Path | None,
    typer.Option(
        "--sounds", metavar="DIR", help="The folder of manifest.yaml. Default: $HEARLINE_SOUNDS, else the checkout's."
    ),
]


@app.command()
def check(
    sounds: SoundsFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")] = False,
) -> None:
    """Find prompts that are missing or faulty.

    Checks every file that the manifest lists: whether it exists, says what the manifest says now, has the right sample
    rate and level, and is neither clipped, too long, too short nor untrimmed. Each finding is one line: file, fault,
    remedy.

    Exit status: 0 all in order, 1 faults were found, 2 the manifest cannot be used.
    """
    from hearline.sounds import ManifestError
    from hearline.sounds.check import check_sounds
    from hearline.sounds.manifest import MANIFEST_NAME

    root = _root(sounds)
    try:
        result = check_sounds(root)
    except ManifestError as error:
        _fail(error)
    if as_json:
        findings = [finding.as_dict() for finding in result.findings]
        typer.echo(json.dumps({"files": result.files, "findings": findings}, ensure_ascii=False))
    else:
        for finding in result.findings:
            typer.echo(finding.line())
        verdict = f"{len(result.findings)} findings" if result.findings else "all in order"
        typer.echo(f"{result.files} files of {root / MANIFEST_NAME}: {verdict}")
    raise typer.Exit(1 if result.findings else 0)


@app.command()
def make(
    sounds: SoundsFolder = None,
    only: Annotated[str, typer.Option(metavar="PATTERN", help="Only sounds whose key matches.")] = "*",
    resynthesise: Annotated[
        bool, typer.Option("--resynthesise", help="Speak sounds again even if they are in order, or recordings.")
    ] = False,
) -> None:
    """Speak the prompts that are missing or stale.

    Recordings that have replaced synthetic files are taken over, and not spoken again. Needs the `voice` extra, and
    a network connection the first time.

    \b
      hearline sounds make
      hearline sounds make --only 'zh/whisper/*'

    Exit status: 0 all is made, 1 a file was left alone (the output says why), 2 nothing could be made.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from hearline.sounds import ManifestError
    from hearline.sounds.making.kokoro_parts import PartsError
    from hearline.sounds.making.make import make_sounds
    from hearline.sounds.making.voice_extra import VoiceExtraMissing

    root, console = _root(sounds), Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("checking", total=None)
            report = make_sounds(
                root,
                only=only,
                resynthesise=resynthesise,
                say=lambda what: progress.update(task, description=what),
                step=lambda done, total, key: progress.update(
                    task, description=escape(key), completed=done, total=total
                ),
            )
    except (ManifestError, PartsError, VoiceExtraMissing) as error:
        _fail(error)
    for key, reason in report.refused.items():
        typer.echo(f"{key}: left alone: {reason}", err=True)
    typer.echo(
        f"{len(report.spoken)} made, {len(report.recordings)} recordings taken over, "
        f"{report.in_order} in order already, {len(report.refused)} left alone"
    )
    raise typer.Exit(1 if report.refused else 0)


def _root(sounds: Path | None) -> Path:
    """The folder given, else that of the settings."""
    from hearline.core.settings import Settings

    return sounds if sounds is not None else Settings().sounds


def _fail(error: Exception) -> None:
    typer.echo(str(error), err=True)
    raise typer.Exit(2) from error
