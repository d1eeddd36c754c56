"""`hearline flow`: checks flow files, and runs one against a recorded caller in simulated time."""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

NEXT_KEY_MS = 340  # between key presses, as practised callers do

if TYPE_CHECKING:
    from hearline.core.calendar import Calendar
    from hearline.core.settings import Settings
    from hearline.server.flow_store import SharedNumber
    from hearline.yamlfiles.checked import Fault

app = typer.Typer(no_args_is_help=True, help="Check flow files, and try one out against a recorded caller.")


@app.command()
def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE",
            help="Flow files, profiles.yaml, calendars. Default: all in the folder of flows in force (HEARLINE_FLOWS).",
            show_default=False,
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object per file.")] = False,
) -> None:
    """Check flow files and calendars. Faults name file, line and remedy.

    The server makes the same checks, and keeps using the old version while a file is faulty: so check your edits. All
    words of a flow file: docs/flows.md. A number belongs to one flow of a folder, so a flow is compared with all others
    beside it.

    \b
      hearline flow check                       # the folder of flows in force
      hearline flow check ivr_flows/hotline.yaml

    Exit status: 0 no faults, 1 faults.
    """
    from hearline.call.flow import Fault, FlowError
    from hearline.cli.faults import tell
    from hearline.core.settings import Settings
    from hearline.sounds.manifest import ManifestError

    settings = Settings()
    chosen = files or _all_in(settings.flows)
    if not chosen:
        remedy = "Set HEARLINE_FLOWS to a folder of flows"
        tell(settings.flows, [Fault(str(settings.flows), 0, "no flows here", remedy)], json_)
        raise typer.Exit(1)
    shared_in = cache(partial(_shared_numbers, chosen, settings))
    bad = False
    for file in chosen:
        faults, notes = [], []
        try:
            notes = _check_one(file, settings)
            faults = _number_faults(file, chosen, shared_in(file.parent))
        except FlowError as error:
            faults = _hints_instead(file) or error.faults
        except ValueError as error:
            faults = [Fault(str(file), 0, str(error), "Correct the file")]
        except OSError as error:
            faults = [Fault(str(file), 0, error.strerror or str(error), _path_remedy(file, settings))]
        except ManifestError as error:
            faults = [Fault(str(file), 0, str(error), "Correct the sounds' manifest first, or set HEARLINE_SOUNDS")]
        bad = bad or bool(faults)
        tell(file, faults, json_, notes)
    if bad:
        raise typer.Exit(1)


def _all_in(folder: Path) -> list[Path]:
    from hearline.server.flow_store import PROFILES, calendar_files, flow_files

    profiles = [folder / PROFILES] if (folder / PROFILES).exists() else []
    return [*flow_files(folder), *profiles, *calendar_files(folder)]


def _path_remedy(file: Path, settings: Settings) -> str:
    """What to write instead of the path of something that is no flow file."""
    if file.is_dir():
        return f"Give files: {file}/*.yaml"
    return f"Give the path of a flow file; the flows in force are in {settings.flows}"


def _hints_instead(file: Path) -> list[Fault]:
    """One fault for a file of the hints, whose own check says more than that of a flow."""
    from hearline.assist.hints.hint_store import FILES
    from hearline.call.flow import Fault

    if file.name not in FILES:
        return []
    return [Fault(str(file), 0, "these are hints, not a flow", f"Check them with `hearline hints check {file}`")]


def _check_one(file: Path, settings: Settings) -> list[Fault]:
    """Check a file of any kind. Returns its notes (warnings). Raises FlowError, OSError, ManifestError."""
    from hearline.server.flow_store import PROFILES, load_calendar, load_flow, load_profiles

    if _is_calendar(file):
        return load_calendar(file, datetime.now(UTC).date())[1]
    if file.name == PROFILES:
        load_profiles(file)
    else:
        load_flow(file, settings.flows, settings.sounds, settings.zone)
    return []


def _is_calendar(file: Path) -> bool:
    from hearline.server.flow_store import CALENDARS

    return file.absolute().parent.name == CALENDARS


def _shared_numbers(given: Collection[Path], settings: Settings, folder: Path) -> list[SharedNumber]:
    """The flows of a folder, given or not, that a server that loads the folder would reject because of their number."""
    from hearline.server.flow_store import flow_files, load_flow, shared_numbers

    flows = {}
    for name in _names_in(folder, given) | {file.name for file in flow_files(folder)}:
        with suppress(ValueError, OSError):  # another file's own faults are told with that file
            flows[folder / name] = load_flow(folder / name, settings.flows, settings.sounds, settings.zone)
    return shared_numbers(flows, settings.home)


def _number_faults(file: Path, given: Collection[Path], shared: list[SharedNumber]) -> list[Fault]:
    """What is wrong with the numbers of a flow and of those in its folder. Of two given files, the one that the server
    would reject has the fault."""
    given_here = _names_in(file.parent, given)
    return [
        one.fault for one in shared if one.file == file or (one.owner == file.stem and one.file.name not in given_here)
    ]


def _names_in(folder: Path, files: Collection[Path]) -> set[str]:
    return {file.name for file in files if file.absolute().parent == folder.absolute()}


@app.command()
def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A flow file, e.g. ivr_flows/hotline.yaml.")],
    caller: Annotated[
        Path | None,
        typer.Option(
            metavar="WAV",
            help="What the caller says: played once from the start of the call, then silence. Default: silence.",
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object: outcome, duration_ms, events.")] = False,
    no_rtp: Annotated[
        bool,
        typer.Option("--no-rtp", help="Send no frames of digital silence, like phones with silence suppression."),
    ] = False,
    keys: Annotated[
        list[str],
        typer.Option(
            "--keys",
            "--key",
            metavar="[KEYS@]TIME",
            help="Press these keys from TIME on, three a second: 3@4.5s, 1234#@6s. Can be repeated. Without KEYS, any "
            "key is pressed, and TIME can be in plain ms.",
        ),
    ] = [],
    hangup_at: Annotated[int, typer.Option(metavar="MS", help="When the caller hangs up.", show_default=False)] = -1,
    closed: Annotated[bool, typer.Option("--closed", help="Call outside the opening hours.")] = False,
    at: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help='When the call comes, in the flow\'s time zone: "2027-02-06 09:30". Default: while the line is open.',
            show_default=False,
        ),
    ] = "",
) -> None:
    """Run a flow against a recorded caller.

    It uses the engine and the ears of the live server, on a clock that jumps, so it takes no time.

    \b
      hearline flow run ivr_flows/hotline.yaml                        # a silent caller
      hearline flow run ivr_flows/hotline.yaml --caller caller.wav
      hearline flow run ivr_flows/hotline.yaml --keys 4s --json | jq -r .outcome
      hearline flow run ivr_flows/hotline.yaml --at "2027-02-06 21:30"
      hearline flow run survey.yaml --keys 5@6s --keys 1024#@15s

    Exit status: 0 the call reached its end, 2 a file or an option cannot be used.
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
        flow = load_flow(file, settings.flows, settings.sounds, settings.zone)
        samples = read_wav(caller) if caller else np.zeros(0, np.int16)
        presses = [press for text in keys for press in _presses(text)]
    except OSError as error:
        remedy = _path_remedy(file, settings) if str(error.filename) == str(file) else "Give the path of a recording"
        typer.secho(f"{error.filename}: {error.strerror}. {remedy}", fg="red", err=True)
        raise typer.Exit(2) from None
    except (FlowError, BadAudio, ManifestError, ValueError) as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(2) from None
    if closed and not flow.words.hours:
        typer.secho(f"{file}: this flow has no `hours`, so it is never closed. Leave out --closed", fg="red", err=True)
        raise typer.Exit(2)
    begin = flow.words.hours.closed if closed and flow.words.hours else None
    if at:
        try:
            moment = datetime.fromisoformat(at)
        except ValueError:
            typer.secho(f'--at: {at!r} is not a time. Write it as "2027-02-06 09:30"', fg="red", err=True)
            raise typer.Exit(2) from None
        if closed:
            typer.secho("--at decides already whether the line is open. Leave out --closed", fg="red", err=True)
            raise typer.Exit(2)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=flow.calendar.zone)
        begin = flow.begin_at(moment)
        typer.echo(_hours_at(flow.calendar, moment), err=json_)
    try:
        timeline, _ = simulate(
            flow.plan,
            begin,
            samples,
            settings.sounds,
            drop_silence=no_rtp,
            keys=presses,
            hangup_ms=hangup_at if hangup_at >= 0 else None,
        )
    except (OSError, ValueError) as error:
        typer.secho(f"{error}. Run `make sounds`, or `hearline sounds check`", fg="red", err=True)
        raise typer.Exit(2) from None
    if json_:
        typer.echo(json.dumps(timeline.as_dict(), ensure_ascii=False))
        return
    _tell(timeline.as_dict())


def _hours_at(calendar: Calendar, moment: datetime) -> str:
    """Whether the line is open at this moment, and until when."""
    is_open = calendar.is_open(moment)
    turns = calendar.closes_next(moment) if is_open else calendar.opens_next(moment)
    then, until = (f"{t.astimezone(calendar.zone):%a %Y-%m-%d %H:%M}" if t else "" for t in (moment, turns))
    state = ("open, closes" if is_open else "closed, opens") + (f" {until}" if turns else " not within a year")
    return f"{then} ({calendar.zone}): {state}"


def _presses(text: str) -> list[tuple[int, str]]:
    """``1234#@6s`` as a list of (ms, key). Raises ValueError."""
    from hearline.call.plan import KEYS
    from hearline.yamlfiles.checked import duration

    keys, at, when = text.rpartition("@")
    try:
        ms = int(when) if when.isdecimal() and not at else duration(when)
    except ValueError:
        raise ValueError(f"--keys {text}: {when!r} is not a time. Write 3@4.5s or 1234#@6s") from None
    if at and not (keys and set(keys) <= set(KEYS)):
        raise ValueError(f"--keys {text}: {keys!r} cannot be keyed in. Write keys of {KEYS}: 3@4.5s or 1234#@6s")
    return [(ms + number * NEXT_KEY_MS, key) for number, key in enumerate(keys or "#")]


def _tell(timeline: dict) -> None:
    from hearline.call.timeline import keys_of

    lines = [("at", "planned", "event", "what")]
    for event in timeline["events"]:
        what = event.get("prompt") or event.get("to") or event.get("verdict") or event.get("step") or ""
        if event["event"] == "gain":
            what = f"{event['gain_db']:+d} dB"
        if event["event"] in ("collected", "nomatch"):
            what = f"{event['name']}: {event.get('digits') or keys_of(event)}"
        if event.get("level_dbov") is not None:
            what += f" ({event['level_dbov']} dBov)"
        planned = event.get("planned_ms")
        planned_s = "" if planned is None else f"{planned / 1000:.2f} s"
        lines.append((f"{event['at_ms'] / 1000:.2f} s", planned_s, event["event"], what))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for number, line in enumerate(lines):  # without rich: importing it would take longer than running the call
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.secho(text.rstrip(), bold=number == 0)
    outcome = typer.style(timeline["outcome"], bold=True)
    typer.echo(f"{outcome} after {timeline['duration_ms'] / 1000:.2f} s")
