"""`hearline flow`: check flow files, run one with a recorded caller in no time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Check flow files, and try one out with a recorded caller.")


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Flow files; profiles.yaml too.")],
    json_: Annotated[bool, typer.Option("--json", help="One JSON object a file.")] = False,
) -> None:
    """Tell what is wrong with flow files: file, line, remedy.

    The server checks them in the same way and keeps to the old flow while a file is broken: check before you
    trust an edit. All words of a flow file: docs/flows.md.

    \b
      hearline flow check ivr_flows/*.yaml

    Exit status: 0 all is well, 1 something is wrong.
    """
    from hearline.call.flow import Fault, FlowError
    from hearline.cli.faults import tell
    from hearline.core.settings import Settings
    from hearline.sounds.manifest import ManifestError

    settings = Settings()
    bad = False
    for file in files:
        faults = []
        try:
            _check_one(file, settings)
        except FlowError as error:
            faults = error.faults
        except ValueError as error:
            faults = [Fault(str(file), 0, str(error), "Correct the file")]
        except OSError as error:
            faults = [Fault(str(file), 0, error.strerror or str(error), "Give the path of a flow file")]
        except ManifestError as error:
            faults = [Fault(str(file), 0, str(error), "Mend the sounds' manifest first, or set HEARLINE_SOUNDS")]
        bad = bad or bool(faults)
        tell(file, faults, json_)
    if bad:
        raise typer.Exit(1)


def _check_one(file: Path, settings: object) -> None:
    from hearline.server.flow_store import PROFILES, load_flow, load_profiles

    if file.name == PROFILES:
        load_profiles(file)
    else:
        load_flow(file, settings.flows, settings.sounds)


@app.command()
def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A flow file, e.g. ivr_flows/hotline.yaml.")],
    caller: Annotated[
        Path | None,
        typer.Option(
            metavar="WAV",
            help="What the caller says: begins with the call, is played once, then silence. Without it: silence.",
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object: outcome, duration_ms, events.")] = False,
    no_rtp: Annotated[
        bool,
        typer.Option("--no-rtp", help="Digital silence is not sent at all, as by phones with silence suppression."),
    ] = False,
    key: Annotated[list[int], typer.Option(metavar="MS", help="Press a key then; may be given again.")] = [],
    hangup_at: Annotated[int, typer.Option(metavar="MS", help="The caller hangs up then.", show_default=False)] = -1,
    closed: Annotated[bool, typer.Option("--closed", help="Call outside the opening hours.")] = False,
) -> None:
    """Run a flow against a recorded caller.

    The engine and the ears are those of the live server, and the clock jumps, so nobody has to wait.

    \b
      hearline flow run ivr_flows/hotline.yaml                        # a silent caller
      hearline flow run ivr_flows/hotline.yaml --caller caller.wav
      hearline flow run ivr_flows/hotline.yaml --key 4000 --json | jq -r .outcome

    Exit status: 0 the call came to its end, 2 a file cannot be used.
    """
    import numpy as np

    from hearline.audio.wav import BadAudio, read_wav
    from hearline.call.flow import FlowError
    from hearline.core.settings import Settings
    from hearline.media.simulate import simulate
    from hearline.server.flow_store import load_flow
    from hearline.sounds.manifest import ManifestError

    settings = Settings()
    try:
        flow = load_flow(file, settings.flows, settings.sounds)
        samples = read_wav(caller) if caller else np.zeros(0, np.int16)
    except OSError as error:
        typer.secho(f"{error.filename}: {error.strerror}. Give the path of a flow file", fg="red", err=True)
        raise typer.Exit(2) from None
    except (FlowError, BadAudio, ManifestError, ValueError) as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(2) from None
    if closed and not flow.words.hours:
        typer.secho(f"{file}: this flow has no `hours`, so it is never closed. Leave out --closed", fg="red", err=True)
        raise typer.Exit(2)
    begin = flow.words.hours.closed if closed and flow.words.hours else None
    try:
        timeline, _ = simulate(
            flow.plan,
            begin,
            samples,
            settings.sounds,
            drop_silence=no_rtp,
            keys_ms=key,
            hangup_ms=hangup_at if hangup_at >= 0 else None,
        )
    except (OSError, ValueError) as error:
        typer.secho(f"{error}. Run `make sounds`, or `hearline sounds check`", fg="red", err=True)
        raise typer.Exit(2) from None
    if json_:
        typer.echo(json.dumps(timeline.as_dict(), ensure_ascii=False))
        return
    _tell(timeline.as_dict())


def _tell(timeline: dict) -> None:
    lines = [("at", "planned", "event", "what")]
    for event in timeline["events"]:
        what = event.get("prompt") or event.get("to") or event.get("verdict") or event.get("step") or ""
        if event["event"] == "gain":
            what = f"{event['gain_db']:+d} dB"
        if event.get("level_dbov") is not None:
            what += f" ({event['level_dbov']} dBov)"
        planned = event.get("planned_ms")
        planned_s = "" if planned is None else f"{planned / 1000:.2f} s"
        lines.append((f"{event['at_ms'] / 1000:.2f} s", planned_s, event["event"], what))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for number, line in enumerate(lines):  # by hand: rich would take longer to be imported than the call to run
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.secho(text.rstrip(), bold=number == 0)
    outcome = typer.style(timeline["outcome"], bold=True)
    typer.echo(f"{outcome} after {timeline['duration_ms'] / 1000:.2f} s")
