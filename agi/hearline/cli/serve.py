"""`hearline serve`: runs the server in the foreground."""

from __future__ import annotations

import os
import resource
import signal
import threading
from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated

import typer

from hearline.cli.faults import setting_named, settings_told

if TYPE_CHECKING:
    from hearline.core.settings import Settings

DESCRIPTORS = 16_384  # raise the limit to this, plus one per call, as far as permitted: a shell's is 1,024


def serve(
    agi: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Address for Asterisk's AGI(). Default: 127.0.0.1:4573.")
    ] = "",
    media: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Address for Asterisk's AudioSocket(). Default: 127.0.0.1:9092.")
    ] = "",
    status: Annotated[
        str,
        typer.Option(metavar="HOST:PORT", help="Address of /ready, /metrics and /calls. Default: 127.0.0.1:9573."),
    ] = "",
    allow: Annotated[
        str,
        typer.Option(
            metavar="NETWORKS",
            help="Who can connect to --agi and --media: Asterisk's addresses or networks, comma separated. "
            "Default: 127.0.0.0/8.",
        ),
    ] = "",
    workers: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="The number of media workers, one per core, for more calls than one can carry. The second listens on "
            "the port after --media's, and so on. Default: 1.",
            show_default=False,
        ),
    ] = 0,
    always_open: Annotated[
        bool, typer.Option("--always-open", help="Ignore opening hours (for demo and tests).")
    ] = False,
) -> None:
    """Run the server for your Asterisk, in the foreground.

    It ends on SIGTERM or Ctrl-C; callers in the IVR then go to the queue. `hearline dialplan` writes Asterisk's part
    of the configuration; docs/operate.md explains the rest.

    Each option can also be set as an environment variable (HEARLINE_AGI, HEARLINE_MEDIA, HEARLINE_STATUS,
    HEARLINE_ALLOW, HEARLINE_WORKERS); HEARLINE_FLOWS, HEARLINE_SOUNDS and HEARLINE_STATE set the folders.

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
        for told in settings_told(error, given):
            typer.secho(f"hearline serve: {told}", fg="red", err=True)
        raise typer.Exit(2) from None
    _check(settings, given)
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


def _check(settings: Settings, options: Collection[str]) -> None:
    """Exit with status 2, naming the setting, if an address is not valid."""
    from hearline.core.peers import parse_networks
    from hearline.core.settings import address

    read_by = dict.fromkeys(("agi", "media", "status", "legs", "page"), address) | {"allow": parse_networks}
    if settings.ami:
        read_by["ami"] = address
        _check_secret(settings)
        _check_state(settings)
    if settings.phone:
        read_by["phone"] = address
    for name, read in read_by.items():
        text = getattr(settings, name)
        try:
            read(text)
        except ValueError as error:
            remedy = "" if read is address else ". Write addresses or networks, e.g. --allow 192.0.2.10,10.0.0.0/8"
            typer.secho(f"hearline serve: {setting_named(name, options)}: {error}{remedy}", fg="red", err=True)
            raise typer.Exit(2) from None


def _check_secret(settings: Settings) -> None:
    """Exit with status 2 if the manager interface's secret cannot be read."""
    from hearline.core.files import read_text

    try:
        if settings.ami_secret_file is None:
            raise OSError(0, "not set")
        read_text(settings.ami_secret_file)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        remedy = "Set it to a file with the secret of HEARLINE_AMI_USER in manager.conf"
        typer.secho(f"hearline serve: HEARLINE_AMI_SECRET_FILE: {why}. {remedy}", fg="red", err=True)
        raise typer.Exit(2) from None


def _check_state(settings: Settings) -> None:
    """Exit with status 2 if the state folder's path is too long for agent assist's Unix socket."""
    from hearline.core.settings import STATE_LONGEST

    length = len(os.fsencode(settings.state))
    if length > STATE_LONGEST:
        why = f"the path has {length} bytes, but a Unix socket in the folder allows at most {STATE_LONGEST}"
        typer.secho(f"hearline serve: HEARLINE_STATE: {why}. Use a shorter one", fg="red", err=True)
        raise typer.Exit(2)
