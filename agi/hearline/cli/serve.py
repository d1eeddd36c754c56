"""`hearline serve`: the server in the foreground."""

from __future__ import annotations

import logging
import signal
import threading
from typing import Annotated

import typer


def serve(
    agi: Annotated[str, typer.Option(help="FastAGI address, HOST:PORT.")] = "",
    media: Annotated[str, typer.Option(help="AudioSocket address, HOST:PORT.")] = "",
    status: Annotated[str, typer.Option(help="Address of /ready, /metrics and /calls, HOST:PORT.")] = "",
    allow: Annotated[str, typer.Option(help="Asterisk's own address or network; others are refused.")] = "",
    always_open: Annotated[bool, typer.Option(help="Pay no heed to opening hours (demo, tests).")] = False,
) -> None:
    """Run the server that Asterisk's dialplan talks to. Ends on SIGTERM or Ctrl-C.

    Asterisk needs `AGI(agi://HOST:4573/hotline)`; `docker/asterisk/etc/extensions.conf.j2` shows the whole dialplan,
    with the guard that sends callers to the queue when this server is not there.
    """
    from hearline.line.workers import LineDown
    from hearline.server import serve_until
    from hearline.settings import Settings

    given = {"agi": agi, "media": media, "status": status, "allow": allow}
    settings = Settings(**{name: value for name, value in given.items() if value})
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        serve_until(settings, stop, always_open)
    except (LineDown, OSError, ValueError) as error:
        typer.secho(f"hearline serve: {error}", fg="red", err=True)
        raise typer.Exit(1) from None
