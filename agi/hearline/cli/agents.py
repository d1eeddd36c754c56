"""`hearline agents`: who may sign in at the agents' page."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Who may sign in at the agents' page.")


@app.command()
def pin(
    agent: Annotated[str, typer.Argument(metavar="NUMBER", help="The work number (工号), e.g. 8016.")],
) -> None:
    """Set an agent's PIN, asked for without being shown, or read from standard input.

    It counts at once; whoever was signed in with the old one is signed out. What is kept is a salted hash (scrypt), in
    page/pins.json of the state folder, which only its owner can read. Run it as the account that the server runs as,
    with its HEARLINE_STATE.

    \b
      hearline agents pin 8016
      pwgen -s 8 1 | hearline agents pin 8016

    Exit status: 0 it is set, 1 the file cannot be written, 2 no PIN or no work number.
    """
    from hearline.store.pins import BadPin

    pins = _pins()
    if sys.stdin.isatty():
        told = typer.prompt("PIN", hide_input=True, confirmation_prompt=True)
    else:
        told = sys.stdin.readline().rstrip("\r\n")
    try:
        pins.set(agent, told)
    except BadPin as error:
        _fail("pin", error, 2)
    except (OSError, ValueError) as error:
        _fail("pin", error, 1)
    typer.echo(f"{agent} can sign in with it ({pins.file})")


@app.command("list")
def list_() -> None:
    """Tell which work numbers can sign in, one a line."""
    pins = _pins()
    try:
        for agent in pins.agents():
            typer.echo(agent)
    except (OSError, ValueError) as error:
        _fail("list", error, 1)


def _pins():
    from hearline.core.settings import Settings
    from hearline.store.pins import Pins

    return Pins(Settings().state / "page" / "pins.json")


def _fail(verb: str, error: Exception, status: int) -> None:
    typer.secho(f"hearline agents {verb}: {error}", fg="red", err=True)
    raise typer.Exit(status)
