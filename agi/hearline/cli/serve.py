"""`hearline serve`: the server in the foreground."""

from __future__ import annotations

import resource
import signal
import threading
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hearline.core.settings import Settings

DESCRIPTORS = 16_384  # where we may have so many, and one more a call: a shell gives 1,024


def serve(
    agi: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where Asterisk's AGI() connects to. Default: 127.0.0.1:4573.")
    ] = "",
    media: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where its AudioSocket() connects to. Default: 127.0.0.1:9092.")
    ] = "",
    status: Annotated[
        str,
        typer.Option(metavar="HOST:PORT", help="Where /ready, /metrics and /calls are. Default: 127.0.0.1:9573."),
    ] = "",
    allow: Annotated[
        str,
        typer.Option(
            metavar="NETWORKS",
            help="Who may connect to the first two: Asterisk's own addresses or networks, comma separated. "
            "Default: 127.0.0.0/8.",
        ),
    ] = "",
    workers: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Media workers, a core each, for more calls than one carries; the second listens on the next port "
            "after --media, and so on. Default: 1.",
            show_default=False,
        ),
    ] = 0,
    always_open: Annotated[
        bool, typer.Option("--always-open", help="Pay no heed to opening hours (demo, tests).")
    ] = False,
) -> None:
    """Run the server that your Asterisk talks to, in the foreground.

    Ends on SIGTERM or Ctrl-C; callers who are in the IVR then go to the queue. `hearline dialplan` gives
    Asterisk its part, docs/operate.md says the rest.

    Instead of an option, an environment variable will do (HEARLINE_AGI, HEARLINE_MEDIA, HEARLINE_STATUS,
    HEARLINE_ALLOW, HEARLINE_WORKERS); HEARLINE_FLOWS, HEARLINE_SOUNDS and HEARLINE_STATE name the folders.

    \b
      hearline serve
      hearline serve --agi 192.0.2.5:4573 --media 192.0.2.5:9092 --allow 192.0.2.10
    """
    from hearline.core.logs import log_to_stderr
    from hearline.core.settings import Settings
    from hearline.media.worker_client import CAPACITY, WorkerDown
    from hearline.server.door import serve_until

    given = {"agi": agi, "media": media, "status": status, "allow": allow, "workers": workers}
    try:
        settings = Settings(**{name: value for name, value in given.items() if value})
    except ValueError as error:
        typer.secho(f"hearline serve: {_told(error)}", fg="red", err=True)
        raise typer.Exit(2) from None
    _check(settings)
    log_to_stderr()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    few, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(few, min(most, DESCRIPTORS + settings.workers * CAPACITY)), most))
    try:
        serve_until(settings, stop, always_open)
    except (WorkerDown, OSError, ValueError) as error:
        typer.secho(f"hearline serve: {error}", fg="red", err=True)
        raise typer.Exit(1) from None


def _told(error: ValueError) -> str:
    """Which option is wrong and how."""
    faults: list[dict] = getattr(error, "errors", list)()
    told = [f"--{fault['loc'][0]} (HEARLINE_{str(fault['loc'][0]).upper()}): {fault['msg']}" for fault in faults]
    return "; ".join(told) or str(error)


def _check(settings: Settings) -> None:
    """Exit 2 with the option's name where an address is none."""
    from hearline.core.peers import parse_networks
    from hearline.core.settings import address

    read_by = dict.fromkeys(("agi", "media", "status", "legs", "page"), address) | {"allow": parse_networks}
    if settings.ami:
        read_by["ami"] = address
        _check_secret(settings)
    for name, read in read_by.items():
        text = getattr(settings, name)
        try:
            read(text)
        except ValueError as error:
            remedy = "" if read is address else ". Write addresses or networks, e.g. --allow 192.0.2.10,10.0.0.0/8"
            variable = f"HEARLINE_{name.upper()}"
            given_by = variable if name in ("ami", "legs", "page") else f"--{name} ({variable})"
            typer.secho(f"hearline serve: {given_by}: {error}{remedy}", fg="red", err=True)
            raise typer.Exit(2) from None


def _check_secret(settings: Settings) -> None:
    """Exit 2 where the manager interface's secret cannot be read."""
    try:
        if settings.ami_secret_file is None:
            raise OSError(0, "not set")
        settings.ami_secret_file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        remedy = "Name a file that holds the secret of HEARLINE_AMI_USER in manager.conf"
        typer.secho(f"hearline serve: HEARLINE_AMI_SECRET_FILE: {why}. {remedy}", fg="red", err=True)
        raise typer.Exit(2) from None
