"""`hearline listen --call`: shows what the running server's ears hear on a live call."""

from __future__ import annotations

import http.client
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hearline.audio.settings import FRAME_MS, CallSettings
from hearline.audio.vad.snapshots import Snapshot
from hearline.cli.formatting import COLOURS, is_one_picture, level, print_table, seconds, with_reason
from hearline.core.settings import Settings, address

SILENT_S = 5.0  # a server that is silent for this long counts as gone
_METER_FROM_DBOV, _METER_CELLS = -80, 60
_STATE_COLOURS = {"QUIET": "dim", "STARTING": "cyan", "SPEAKING": "bold green", "STOPPING": "cyan"}


class NotFollowed(Exception):
    """The call cannot be followed; the message says why. ``calls``: the live calls, if a list of them helps."""

    def __init__(self, why: str, calls: list[dict] | None = None) -> None:
        super().__init__(why)
        self.calls = calls


def follow(call: str, server: str, as_json: bool, png: Path | None) -> int:
    """Show a call until it leaves the IVR, then draw it if ``png`` is given. Returns the exit status."""
    seen: list[dict[str, Any]] = []
    status = 0
    try:
        _show(_looks(call, *_status_address(server)), seen, as_json)
    except KeyboardInterrupt:
        print("stopped watching; the call goes on", file=sys.stderr)
    except BrokenPipeError:  # nobody reads our output any more, e.g. `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except NotFollowed as error:
        print(f"hearline listen: {error}", file=sys.stderr)
        if error.calls is not None:
            _print_calls(error.calls)
        status = 1
    if png and any("over" not in look for look in seen):
        picture = png if is_one_picture(png) else png / f"{seen[0]['call']}.png"
        try:
            _draw(seen, picture)
        except OSError as error:
            print(f"hearline listen: {picture}: cannot be written ({error.strerror})", file=sys.stderr)
            return 1
        print(picture, file=sys.stderr)
    return status


def _status_address(server: str) -> tuple[str, int]:
    from hearline.ops.stack import Stack

    settings = Settings()
    if not server and not os.environ.get("HEARLINE_STATUS"):
        stack = Stack(settings)
        if stack.running and stack.asterisk_alive():
            server = stack.running.status
    try:
        return address(server or settings.status)
    except ValueError as error:
        raise NotFollowed(f"{'--server' if server else 'HEARLINE_STATUS'}: {error}") from None


def _looks(call: str, host: str, port: int) -> Iterator[dict[str, Any]]:
    """The server's looks at the call, until it is over. Raises NotFollowed."""
    connection = http.client.HTTPConnection(host, port, timeout=SILENT_S)
    over = False
    try:
        connection.request("GET", f"/calls/{quote(call, safe='')}/ears")
        answer = connection.getresponse()
        if answer.status != 200:
            refusal = json.loads(answer.read())
            raise NotFollowed(refusal.get("error", "this server is too old for --call"), refusal.get("calls"))
        for line in answer:
            look = json.loads(line)
            over = "over" in look
            yield look
    except (OSError, http.client.HTTPException, ValueError) as error:
        if not isinstance(error, ConnectionRefusedError):
            raise NotFollowed(
                f"the server at {host}:{port} does not answer ({error}); the call is not affected"
            ) from None
        raise NotFollowed(
            f"no server at {host}:{port}: start `hearline serve`, or give its status address with --server HOST:PORT"
        ) from None
    finally:
        connection.close()
    if not over:
        raise NotFollowed("the server is gone; Asterisk sends its calls to the queue")


def _show(looks: Iterator[dict[str, Any]], seen: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        for look in looks:
            seen.append(look)
            print(json.dumps(look, ensure_ascii=False), flush=True)
        return
    console = Console()
    with Live(console=console, auto_refresh=False) as live:
        for look in looks:
            seen.append(look)
            if "over" in look:
                break
            live.update(_screen(look), refresh=True)
    if not console.is_terminal:
        console.line()  # when writing to a file, Live leaves its last line open
    last = seen[-1] if seen else {}
    if "over" in last:
        console.print(f"the call has left the IVR: [bold]{last['outcome'] or 'outcome unknown'}[/bold]")


def _screen(look: dict[str, Any]) -> Group:
    loudest = max(look["levels_dbov"], default=_METER_FROM_DBOV)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", min_width=8)
    table.add_column(justify="right", min_width=7)
    table.add_column()
    table.add_row("level", level(loudest), _meter(loudest, look["noise_level_dbov"], CallSettings(**look["ears"])))
    table.add_row("noise", level(look["noise_level_dbov"]), Text("dBov, between the words", "dim"))
    table.add_row("speech", level(look["active_level_dbov"]), Text(_speech(look), "dim"))
    verdict = Text(with_reason(look["verdict"], look["reason"]), f"bold {COLOURS[look['verdict']]}")
    verdict.append(", far" if look["far"] else "")
    verdict.append("" if look["final"] else "  so far", "dim")
    verdict.append(f"  line raised by {look['gain_db']} dB" if look["gain_db"] else "", "dim")
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", min_width=8)
    facts.add_column()
    facts.add_row("state", Text(look["state"], _STATE_COLOURS[look["state"]]))
    facts.add_row("verdict", verdict)
    timer = "" if look["timer_ms"] is None else f", {look['timer_ms'] / 1000:.1f} s left"
    facts.add_row("step", f"{look['step']}  {look['flow_state'].replace('_', ' ')}{timer}")
    title = Text(look["channel"], "bold").append(
        f"  {look['flow']}  {look['at_ms'] / 1000:.1f} s  ", "not bold"
    ).append(look["call"], "dim not bold")  # fmt: skip
    return Group(title, table, facts, Text("^C stops watching; the call goes on", "dim"))


def _speech(look: dict[str, Any]) -> str:
    if not look["speech_ms"]:
        return "nothing said since the last question"
    return f"dBov, {seconds(look['speech_ms'])} s said since the last question"


def _meter(dbov: float, noise_dbov: float, ears: CallSettings) -> Text:
    """A bar up to `dbov`, yellow below the level that is too soft, with marks at both thresholds and at the noise."""

    def cell(level_dbov: float) -> int:
        share = (level_dbov - _METER_FROM_DBOV) / -_METER_FROM_DBOV
        return max(0, min(_METER_CELLS - 1, int(share * _METER_CELLS)))

    soft, normal, noise = cell(ears.too_soft_dbov), cell(ears.normal_dbov), cell(noise_dbov)
    filled = cell(dbov) if dbov > _METER_FROM_DBOV else -1
    bar = Text()
    for at in range(_METER_CELLS):
        mark = "│" if at in (soft, normal) else "┊" if at == noise else " "
        colour = "yellow" if at < soft else "green" if at < cell(-6) else "red"
        bar.append(*(("█", colour) if at <= filled else (mark, "yellow" if at == soft else "dim")))
    return bar


def _print_calls(calls: list[dict]) -> None:
    if not calls:
        print("there are no calls in the IVR at the moment", file=sys.stderr)
        return
    table = Table("id", "channel", "flow", "step", "for", box=None, header_style="bold", pad_edge=False)
    for call in calls:
        table.add_row(call["call"], call["channel"], call["flow"], call["step"], f"{call['at_ms'] / 1000:.0f} s")
    print_table(table, stderr=True)


def _draw(seen: list[dict[str, Any]], picture: Path) -> None:
    """Draw what was seen, with the steps of the flow. The verdict is the last one on speech, so a caller who was too
    soft and then silent counts as too soft."""
    from hearline.pictures import ears

    data = [look for look in seen if "over" not in look]
    looks = [Snapshot.from_dict(look) for look in data]
    steps = [(b["at_ms"], b["step"]) for a, b in zip([{"step": None}, *data], data) if a["step"] != b["step"]]
    last = looks[-1].hearing
    judged = next((look.hearing for look in reversed(looks) if look.hearing.speech_ms), last)
    outcome = [f"→ {seen[-1]['outcome']}"] if seen[-1].get("outcome") else []
    ears.save(
        picture,
        ears.Heard(
            name="   ".join([data[0]["channel"], data[0]["call"], *outcome]),
            looks=looks,
            hearing=replace(judged, noise_level_dbov=last.noise_level_dbov),
            start_ms=looks[0].at_ms - len(looks[0].levels_dbov) * FRAME_MS,
            end_ms=looks[-1].at_ms,
            marks=steps,
        ),
        CallSettings(**data[0]["ears"]),
    )
