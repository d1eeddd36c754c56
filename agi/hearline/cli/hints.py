"""`hearline hints`: checks rules and cards, runs a conversation in simulated time, reports unused rules."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, help="Check hint rules and cards, try them out, see which are used.")

RULES = Annotated[
    Path | None,
    typer.Argument(
        metavar="RULES", help="The rules, with the cards in the same folder. Default: ivr_flows/hints/rules.yaml."
    ),
]


@app.command()
def check(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Default: all files of ivr_flows/hints.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object per file.")] = False,
) -> None:
    """Check the files of the hints. Faults name file, line and remedy.

    The server makes the same checks, and keeps using the old versions while a file is faulty: so check your edits. A
    file is checked together with the others in its folder. All words: docs/hints.md.

    \b
      hearline hints check
      hearline hints check ivr_flows/hints/rules.yaml

    Exit status: 0 no faults, 1 faults.
    """
    from hearline.assist.hints.hint_store import FILES
    from hearline.cli.faults import tell
    from hearline.core.settings import Settings

    settings = Settings()
    chosen = files or [settings.flows / "hints" / name for name in FILES]
    found = {folder: _faults(folder, settings) for folder in {file.parent for file in chosen}}
    bad = False
    for file in chosen:
        faults = _of_one(file, found[file.parent])
        bad = bad or bool(faults)
        tell(file, faults, json_)
    if bad:
        raise typer.Exit(1)


def _faults(folder: Path, settings: Any) -> list:
    from hearline.assist.hints.hint_store import load_book
    from hearline.yamlfiles.checked import Rejected

    try:
        load_book(folder, _whispers(settings))
    except Rejected as error:
        return error.faults
    return []


def _of_one(file: Path, faults: list) -> list:
    from hearline.assist.hints.hint_store import CARDS, FILES, RULES, SPOKEN
    from hearline.yamlfiles.checked import Fault

    if file.name not in FILES:
        remedy = f"Those are {', '.join(FILES)}; a flow is checked with `hearline flow check {file}`"
        return [Fault(str(file), 0, "not a file of the hints", remedy)]
    own = [fault for fault in faults if fault.file == str(file)]
    before = {Path(fault.file).name for fault in faults} & {CARDS, SPOKEN}
    if file.name == RULES and not own and before:
        return [Fault(str(file), 0, "could not be checked", f"Correct {' and '.join(sorted(before))} first")]
    return own


def _whispers(settings: Any) -> Any:
    """The recorded whispers; None, which allows any, if the sounds have no such set."""
    from hearline.server.flow_store import prompts_of

    try:
        return prompts_of(settings.sounds).get(("zh", "hints"))
    except Exception:
        return None  # `hearline sounds check` is for that


def _load(rules: Path | None) -> Any:
    from hearline.assist.hints.hint_store import RULES, load_book
    from hearline.core.settings import Settings
    from hearline.yamlfiles.checked import Rejected

    settings = Settings()
    try:
        return load_book((rules or settings.flows / "hints" / RULES).parent, _whispers(settings))
    except Rejected as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(2) from None


@app.command()
def run(
    rules: RULES = None,
    events: Annotated[
        Path, typer.Option(metavar="JSONL", help="The events, one per line, in order; - reads stdin.")
    ] = Path("-"),
    until: Annotated[
        int,
        typer.Option(metavar="MS", help="When to stop. Default: a minute after the last event.", show_default=False),
    ] = -1,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object per action.")] = False,
) -> None:
    """Run a conversation against the rules, and print when cards are shown and what is whispered.

    It uses the engine of the live server, on a clock that jumps. The events are those of docs/hints.md; the first is
    `joined`, and times are in ms since then.

    \b
      {"at_ms": 0, "event": "joined", "queue": "care", "wait_s": 24.5}
      {"at_ms": 620, "event": "speech_started", "side": "agent", "ago_ms": 120}
      {"at_ms": 4200, "event": "speech_ended", "side": "agent", "ago_ms": 700}

    \b
      hearline hints run --events talk.jsonl
      hearline hints run --json --events - < talk.jsonl | jq -c 'select(.action == "show_card")'

    Exit status: 0 it was run, 2 a file cannot be used.
    """
    from hearline.assist.hints import engine as hints
    from hearline.assist.hints.events import Count, as_dict

    book = _load(rules)
    story = _story(events)
    end = until if until >= 0 else story[-1][0] + 60_000
    done = hints.run(book.rules, story, end)
    if json_:
        for ms, action in done:
            typer.echo(json.dumps({"at_ms": ms} | as_dict(action), ensure_ascii=False))
        return
    for ms, action in done:
        if not isinstance(action, Count):
            data = as_dict(action)
            what = data.get("card") or data.get("whisper") or ""
            typer.echo(f"{ms / 1000:9.2f} s  {data['action']:<12} {data.get('rule', ''):<20} {what}".rstrip())


def _story(file: Path) -> list:
    from hearline.assist.hints.events import Joined, event_from_dict

    def refuse(line: int, why: str) -> None:
        typer.secho(f"{file}:{line}: {why}" if line else f"{file}: {why}", fg="red", err=True)
        raise typer.Exit(2)

    try:
        lines = (sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        refuse(0, f"{getattr(error, 'strerror', None) or 'not UTF-8 text'}. Give a file of events, one per line")
    story: list = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            at = data.pop("at_ms")
            event = event_from_dict(data)
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            refuse(number, "at_ms is missing" if isinstance(error, KeyError) else f"not an event: {error}")
        if isinstance(at, bool) or not isinstance(at, int) or at < (story[-1][0] if story else 0):
            refuse(number, f"at_ms is {at!r}; it must be whole ms since the join, and not less than in the line before")
        story.append((at, event))
    if not story or not isinstance(story[0][1], Joined):
        refuse(1, 'Begin with {"at_ms": 0, "event": "joined"}')
    return story


@app.command()
def report(
    figures: Annotated[
        list[Path],
        typer.Argument(
            metavar="FIGURES",
            help='Records of talks, folders with such records, or figures: {"RULE": {"shown": 3, "used": 1}}.',
        ),
    ],
    rules: Annotated[Path | None, typer.Option(metavar="RULES", help="Default: ivr_flows/hints/rules.yaml.")] = None,
    enough: Annotated[
        int, typer.Option(metavar="N", help="Call a rule unused only if it was shown at least this often.")
    ] = 20,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object per rule.")] = False,
) -> None:
    """Report how often each rule's card was shown and used, unused rules first.

    \b
      fired      the rule applied                    used       the agent said or did it
      shown      … and the card was on the screen    dismissed  the agent closed the card
      whispered  … and the whisper was heard         expired    the agent did not react
      silent     only the card, without the whisper  passed     its reason went away
      crowded    not shown: something more important was on the screen

    \b
      hearline hints report .hearline/talks                 # all talks on record
      hearline hints report .hearline/talks/2026-11-2*

    Exit status: 0 the report was printed, 2 a file cannot be used.
    """
    from hearline.assist.hints.engine import Figures
    from hearline.assist.hints.events import Tallied

    book, all_of_them = _load(rules), Figures()
    for file in [f for given in figures for f in (sorted(given.rglob("*.json")) if given.is_dir() else [given])]:
        try:
            data = json.loads(file.read_text("utf-8"))
            for counts in _of_a_talk(data) if "talk" in data else [data]:
                all_of_them.merge(Figures(counts))
        except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
            typer.secho(f"{file}: {error}. Give the record of a talk, or a file of figures", fg="red", err=True)
            raise typer.Exit(2) from None
    rows = all_of_them.report(book.rules, enough)
    if json_:
        for row in rows:
            data = {"rule": row.rule, "automatic": row.automatic, "unused": row.unused, "used_share": row.used_share}
            typer.echo(json.dumps(data | {what: row[what] for what in Tallied}))
        return
    from rich.table import Table

    from hearline.cli.formatting import print_table

    table = Table("rule", box=None, header_style="bold")
    for what in Tallied:
        table.add_column(what, justify="right")
    table.add_column("used share", justify="right")
    table.add_column("")
    for row in rows:
        share = "" if row.used_share is None else f"{row.used_share:.0%}"
        counted = [str(row[what] or "") for what in Tallied]
        table.add_row(row.rule, *counted, share, "unused" if row.unused else "")
    print_table(table)


def _of_a_talk(record: dict) -> list[dict[str, dict[str, int]]]:
    """The counts of hints for each agent in the talk."""
    return [event["counts"] for event in record["events"] if event["event"] == "hints"]


@app.command()
def hear(
    recordings: Annotated[list[Path], typer.Argument(metavar="WAV", help="Recordings of one side of a talk.")],
    side: Annotated[str, typer.Option(metavar="agent|caller", help="Who speaks in them.")] = "agent",
    model: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The model's folder. Default: HEARLINE_RECOGNISER_MODEL.")
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per group heard, and one with the cost.")
    ] = False,
) -> None:
    """Try a recogniser: which groups of spoken.yaml it hears in recordings, when, and at what cost.

    As in live talks, the recognised text is not shown. The last line says how much of a core one leg takes: use it to
    choose HEARLINE_RECOGNISER_LEGS. Needs the extra: pip install 'hearline[recogniser]'.

    \b
      hearline hints hear agent.wav --model /srv/models/zipformer-zh
      hearline hints hear caller.wav --side caller

    Exit status: 0 all recordings were processed, 2 a file or the model cannot be used.
    """
    from hearline.assist.hints.events import Side
    from hearline.assist.speech.recogniser import Trial
    from hearline.assist.speech.sherpa import ModelFault
    from hearline.audio.wav import BadAudio, read_wav
    from hearline.core.settings import Settings

    folder = model or Settings().recogniser_model
    if folder is None or side not in list(Side):
        remedy = "give --model DIR, or set HEARLINE_RECOGNISER_MODEL" if folder is None else "--side: agent or caller"
        typer.secho(f"hearline hints hear: {remedy}", fg="red", err=True)
        raise typer.Exit(2)
    groups = {name: group for name, group in _load(None).spoken.items() if group.of == side}
    try:
        sounds = [read_wav(file) for file in recordings]
        trial = Trial(folder, groups)
        for file, sound in zip(recordings, sounds):
            for at_s, group in trial.hear(sound):
                found = {"file": str(file), "at_s": round(at_s, 1), "group": group}
                typer.echo(json.dumps(found) if json_ else f"{file}: {at_s:6.1f} s  {group}")
    except (BadAudio, ModelFault) as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(2) from None
    cost = {"sound_s": round(trial.sound_s, 1), "core": round(trial.cpu_s / trial.sound_s, 3)}
    typer.echo(json.dumps(cost) if json_ else f"{cost['sound_s']} s of sound; a leg takes {cost['core']:.0%} of a core")
