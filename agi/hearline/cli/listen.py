"""`hearline listen`: runs recordings through the ears of live calls, or follows a live call, for people and scripts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from hearline.cli.formatting import COLOURS, is_one_picture, level, print_table, seconds, with_reason


def listen(
    wavs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="WAV", show_default=False, help="8, 16, 44.1 or 48 kHz, mono or stereo; PCM, A-law or mu-law."
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one JSON object per file, one per line, in order; with --call, one every 100 ms. Errors go to "
            "stderr.",
        ),
    ] = False,
    png: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT",
            help="Draw what is heard. OUT.png is the picture of one file or call; any other OUT is a folder, created "
            "if necessary, with one picture per file or call, under its name.",
        ),
    ] = None,
    line_gain: Annotated[
        int,
        typer.Option(
            metavar="DB",
            min=0,
            max=15,
            help="The most by which a call would raise these lines, as in a timer profile. A soft caller may then no "
            "longer be too soft.",
        ),
    ] = 9,
    call: Annotated[
        str,
        typer.Option(
            metavar="ID",
            show_default=False,
            help="Follow a call in the IVR instead. ID is the call's id, a part of it that follows a dash, or the name "
            "of its channel.",
        ),
    ] = "",
    server: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            show_default=False,
            help="With --call: the server's status address. Default: HEARLINE_STATUS, else that of a private stack "
            "running here, else 127.0.0.1:9573.",
        ),
    ] = "",
) -> None:
    """Judge what recordings, or a live call, carry: speech, too soft, noise, no signal.

    Each file is heard like a caller's line, at 8 kHz.

    \b
      speech     somebody speaks and can be heard
      too_soft   somebody speaks below −38 dBov: the line is raised, or the caller asked to speak up
      noise      sounds, but no speech: street, music, tones
      no_signal  silence, comfort noise or hum: the caller is asked whether they are there

    The level is that of the speech without its pauses (ITU-T P.56 method B), in dBov: 0 is a full-scale square wave,
    ordinary speech is around −26. The verdict is on the line as received. A call first raises lines below −35 dBov, so
    a caller who is `too_soft (speech at +9 dB)` is not asked to speak up. In JSON: gain_db and raised_verdict.

    \b
      hearline listen call.wav
      hearline listen --png call.png call.wav
      hearline listen --png pictures recordings/*.wav
      hearline listen --json recordings/*.wav | jq -r 'select(.verdict == "too_soft") | .file'

    A live call is followed until it leaves the IVR: level, noise, state, verdict so far, step and timer. Watching does
    not affect the call; ^C only stops watching. An ID that no call has, e.g. a dash, lists the live calls.

    \b
      hearline listen --call 482139075
      hearline listen --call PJSIP/trunk-00000002 --png seen.png

    Exit status: 0 success, 1 no picture could be drawn or no call followed, 2 at least one file could not be read.
    """
    wavs = wavs or []
    if bool(wavs) == bool(call):
        _refuse("give WAV files, or --call ID" + (", not both" if call else ""), 2)
    if server and not call:
        _refuse("--server needs --call", 2)
    if png:
        _ready_to_draw(png, len(wavs) or 1)
    if call:
        from hearline.cli.follow import follow

        raise typer.Exit(follow(call, server, as_json, png))
    if not _listen_to_files(wavs, as_json, png, line_gain):
        raise typer.Exit(2)


def _refuse(why: str, status: int) -> None:
    print(f"hearline listen: {why}", file=sys.stderr)
    raise typer.Exit(status)


def _ready_to_draw(out: Path, count: int) -> None:
    """Check beforehand that pictures can be drawn, and that ``out`` can hold them. Exits if not."""
    from importlib.util import find_spec

    if not find_spec("matplotlib"):
        _refuse(
            f"--png needs matplotlib, which is not installed: {sys.executable} -m pip install 'hearline[picture]'",
            1,
        )
    if is_one_picture(out) and count > 1:
        _refuse(
            f"--png {out} has room for one picture, not {count}; name a folder, e.g. --png {out.with_suffix('')}", 2
        )
    if out.suffix.lower() in (".jpg", ".jpeg", ".svg", ".pdf"):
        _refuse(f"--png {out}: pictures are PNG; name a file OUT.png or a folder", 2)


def _listen_to_files(wavs: list[Path], as_json: bool, png: Path | None, line_gain: int) -> bool:
    """Listen to the files and print the results. Returns True if all files could be read."""
    from hearline.audio.listen import listen_to_files  # here, so that --help does not load the network
    from hearline.audio.wav import BadAudio

    rows, bad, pictures = [], False, _pictures(wavs, png) if png else {}
    for index, (path, heard) in enumerate(listen_to_files(wavs, looks=bool(png))):
        if isinstance(heard, BadAudio):
            print(f"hearline listen: {heard}", file=sys.stderr)
            bad = True
            continue
        row = _row(path, heard, line_gain)
        if png:
            _draw(Path(path), heard, pictures[index])
            row["picture"] = str(pictures[index])
        if as_json:
            print(json.dumps(row, ensure_ascii=False), flush=True)
        else:
            rows.append(row)
    if rows:
        _print_table(rows)
    if rows and png:
        drawn = [row["picture"] for row in rows]
        print(drawn[0] if len(drawn) == 1 else f"{len(drawn)} pictures in {png}")
    return not bad


def _pictures(wavs: list[Path], png: Path) -> dict[int, Path]:
    """The picture of each file, by index: named after the file, with as many of its folders' names as needed to tell it
    from the others, and with a number if the same file is given twice."""
    if is_one_picture(png):
        return {0: png}
    parts = [path.with_suffix("").absolute().parts[1:] for path in wavs]
    pictures: dict[int, Path] = {}
    for index, own in enumerate(parts):
        depth = 1
        while depth < len(own) and any(p != own and p[-depth:] == own[-depth:] for p in parts):
            depth += 1
        name = "-".join(own[-depth:])
        same = parts[:index].count(own)
        pictures[index] = png / (f"{name}-{same + 1}.png" if same else f"{name}.png")
    return pictures


def _draw(path: Path, heard: Any, picture: Path) -> None:
    from hearline.audio.wav import read_wav
    from hearline.pictures import ears

    try:
        ears.save(
            picture,
            ears.Heard(
                name=path.name,
                looks=heard.looks,
                hearing=heard.hearing,
                end_ms=heard.duration_ms,
                samples=read_wav(path),
            ),
        )
    except OSError as error:
        _refuse(f"{picture}: cannot be written ({error.strerror}); name another place with --png", 1)


def _row(path: Path | str, heard: Any, line_gain: int) -> dict[str, Any]:
    from hearline.audio.level.gain import line_gain_db, verdict_when_raised

    hearing, level = heard.hearing, heard.hearing.active_level_dbov
    gain = line_gain_db(hearing, line_gain)
    return {
        "file": str(path),
        "duration_ms": heard.duration_ms,
        "verdict": hearing.verdict,
        "speech_onset_ms": hearing.speech_onset_ms,
        "speech_ms": hearing.speech_ms,
        "active_level_dbov": None if level is None else round(level, 1),
        "noise_level_dbov": round(hearing.noise_level_dbov, 1),
        "reason": hearing.reason,
        "far": hearing.far,
        "gain_db": gain,
        "raised_verdict": verdict_when_raised(hearing, gain),
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    caption = "s: whole length, first speech, speech in all · dBov: of the speech, of the noise"
    table = Table(box=None, header_style="bold", pad_edge=False, caption=caption, caption_justify="left")
    table.add_column("file", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for name in ("length", "from", "speech", "level", "noise"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        verdict = with_reason(row["verdict"], row["reason"])
        if row["far"]:
            verdict += ", far"
        if row["raised_verdict"] != row["verdict"]:
            verdict += f" ({row['raised_verdict']} at +{row['gain_db']} dB)"
        table.add_row(
            escape(row["file"]),
            f"[{COLOURS[row['verdict']]}]{verdict}[/]",
            seconds(row["duration_ms"]),
            seconds(row["speech_onset_ms"]),
            seconds(row["speech_ms"] or None),
            level(row["active_level_dbov"]),
            level(row["noise_level_dbov"]),
        )
    print_table(table)
