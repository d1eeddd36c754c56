"""`hearline events`: what happens in agent assist, as it happens."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Annotated

import typer

AGAIN_S = 1.0


def events(
    after: Annotated[str, typer.Option(metavar="NUMBER", help="Go on after the event with this number.")] = "",
    once: Annotated[bool, typer.Option("--once", help="Print how things stand now, and end.")] = False,
) -> None:
    """Print what happens while agents talk, as JSON, one event a line: agents' states, each event of a talk's record,
    whether Asterisk is there. Nothing in it names a caller.

    The first line is a snapshot, unless --after names an event that is still remembered. If agent assist is restarted,
    a snapshot comes again. Run it as the account that the server runs as, with its HEARLINE_STATE; docs/interface.md
    describes the events, and how programs read them.

    \b
      hearline events --once | jq .agents
      hearline events --after 5f3a09c2-118

    Exit status: 0 ended by you, 1 there is no agent assist.
    """
    try:
        status = asyncio.run(_print(after, once))
    except KeyboardInterrupt:
        status = 0
    except BrokenPipeError:  # nobody reads what we print, e.g. `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    raise typer.Exit(status)


async def _print(after: str, once: bool) -> int:
    from hearline.core.settings import Settings, socket_of
    from hearline.wire.answers import Refused
    from hearline.wire.assist_client import AssistClient
    from hearline.wire.event_stream import data_of, number_of

    socket = socket_of(Settings().state)
    assist, seen = AssistClient(socket), False
    try:
        while True:
            try:
                async with assist.events(after) as found:
                    async for kind, block in found:
                        if kind != "beat":
                            after, seen = number_of(block), True
                            told = {"number": after, "kind": kind} | data_of(block)
                            print(json.dumps(told, ensure_ascii=False), flush=True)
                            if once:
                                return 0
            except Refused:
                if not seen:
                    why = f"no agent assist listens on {socket}; is HEARLINE_STATE the server's, and HEARLINE_AMI set?"
                    typer.secho(f"hearline events: {why}", fg="red", err=True)
                    return 1
            await asyncio.sleep(AGAIN_S)
    finally:
        await assist.close()
