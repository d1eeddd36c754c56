"""`hearline listen`: what do these recordings carry? The ears of live calls, for people and scripts."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

_COLOURS = {"speech": "green", "too_soft": "yellow", "noise": "magenta", "no_signal": "red"}


def listen(
    wavs: Annotated[
        list[Path],
        typer.Argument(metavar="WAV", help="8, 16, 44.1 or 48 kHz, mono or stereo; PCM, A-law or mu-law."),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a file, each in a line, in order; errors go to stderr.")
    ] = False,
) -> None:
    """Tell what recordings carry: speech, too soft, noise, no signal.

    Each file is heard as a caller's line is, at 8 kHz.

    \b
      speech     somebody speaks and can be heard
      too_soft   somebody speaks, under −38 dBov: such a caller is asked to speak up
      noise      sounds, but nobody speaks: street, music, tones
      no_signal  silence, comfort noise or hum: such a caller is asked whether they are there

    The level is that of the speech alone, pauses left out (ITU-T P.56 method B), in dBov: 0 is a full-scale square
    wave, ordinary speech lies round −26.

    \b
      hearline listen call.wav
      hearline listen --json recordings/*.wav | jq -r 'select(.verdict == "too_soft") | .file'

    Exit status: 0 all files were heard, 2 at least one could not be read.
    """
    from ..audio.listen import listen_to_files  # here, so that --help does not load the network
    from ..audio.wav import BadAudio

    rows, bad = [], 0
    for path, heard in listen_to_files(wavs):
        if isinstance(heard, BadAudio):
            print(f"hearline listen: {heard}", file=sys.stderr)
            bad += 1
            continue
        row = _row(path, heard)
        if as_json:
            print(json.dumps(row, ensure_ascii=False), flush=True)
        else:
            rows.append(row)
    if rows:
        _print_table(rows)
    if bad:
        raise typer.Exit(2)


def _row(path: Path, heard: Any) -> dict[str, Any]:
    level = heard.active_level_dbov
    return {
        "file": str(path),
        "duration_ms": heard.duration_ms,
        "verdict": heard.verdict,
        "speech_onset_ms": heard.speech_onset_ms,
        "speech_ms": heard.speech_ms,
        "active_level_dbov": None if level is None else round(level, 1),
        "noise_level_dbov": round(heard.noise_level_dbov, 1),
        "reason": heard.reason,
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    caption = "s: whole length, first speech, speech in all · dBov: of the speech, of the noise"
    table = Table(box=None, header_style="bold", pad_edge=False, caption=caption, caption_justify="left")
    table.add_column("file", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    for name in ("length", "from", "speech", "level", "noise"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        said = (
            row["verdict"]
            if row["reason"] in ("normal", "soft", row["verdict"])
            else f"{row['verdict']} ({row['reason']})"
        )
        table.add_row(
            row["file"],
            f"[{_COLOURS[row['verdict']]}]{said}[/]",
            _seconds(row["duration_ms"]),
            _seconds(row["speech_onset_ms"]),
            _seconds(row["speech_ms"] or None),
            _level(row["active_level_dbov"]),
            _level(row["noise_level_dbov"]),
        )
    Console().print(table)


def _seconds(ms: int | None) -> str:
    return "–" if ms is None else f"{ms / 1000:.2f}"


def _level(dbov: float | None) -> str:
    return "–" if dbov is None else f"{dbov:.1f}".replace("-", "−")
