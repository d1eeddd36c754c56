"""`hearline certificate`: a certificate for the agents' page, where there is none of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

app = typer.Typer(no_args_is_help=True, help="Make a certificate for the agents' page, and show the one in use.")


@app.command()
def make(
    for_: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="HOST,ADDRESS",
            help="The host names and addresses by which browsers reach the page, separated by commas.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to put both files. Default: page/ in the server's HEARLINE_STATE."),
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, max=397, metavar="N", help="For how long; browsers take 397 at most.")
    ] = 397,
) -> None:
    """Make a private key and a certificate that signs itself, for https on the agents' page.

    Browsers warn of such a certificate until somebody has compared its fingerprint and trusts it. One of a certificate
    authority spares them that: set HEARLINE_PAGE_CERTIFICATE and HEARLINE_PAGE_KEY to its files instead.

    Run this as the user that runs the server, or as root, with the server's HEARLINE_STATE; only that user can read the
    key. The server takes the files in HEARLINE_STATE without a setting, if HEARLINE_PAGE is not on loopback. Files that
    replace those in use count within seconds, without a restart.

    \b
      hearline certificate make --for desk.example.com,192.0.2.10

    Exit status: 0 it is made, 1 the files cannot be written, 2 a name is not acceptable.
    """
    from hearline.core.settings import Settings, made_pair
    from hearline.wire.certificates import BadCertificate, are_others
    from hearline.wire.certificates import make as make_pair

    pair = made_pair(Settings().state) if out is None else (out / "certificate.pem", out / "key.pem")
    if are_others(*pair):
        _fail("make", f"{pair[0].parent} has files of that name that Hearline has not made: move them, or use --out", 1)
    try:
        made = make_pair(*pair, [name for part in for_.split(",") if (name := part.strip())], days)
    except BadCertificate as error:
        _fail("make", str(error), 2)
    except OSError as error:
        _fail("make", f"{error.filename or pair[0].parent}: {error.strerror}", 1)
    typer.echo(f"certificate  {pair[0]}\nprivate key  {pair[1]}")
    typer.echo(f"for          {', '.join(made.names)}\nuntil        {made.ends:%Y-%m-%d}")
    typer.echo(f"SHA-256      {made.fingerprint}")
    if out is not None:
        typer.echo(f"settings     HEARLINE_PAGE_CERTIFICATE={pair[0].absolute()}")
        typer.echo(f"             HEARLINE_PAGE_KEY={pair[1].absolute()}")


@app.command()
def show() -> None:
    """Show the certificate that the page has with these settings, and whether it can be used.

    Exit status: 0 it can be used, 1 it cannot, or there is none.
    """
    from hearline.core.peers import is_loopback
    from hearline.core.settings import Settings, address, page_pair
    from hearline.wire.certificates import BadCertificate, read_pair

    settings = Settings()
    pair = page_pair(settings)
    if pair is None:
        if is_loopback(address(settings.page)[0]):
            _fail("show", f"none: at {settings.page} the page is plain HTTP, which browsers trust there", 1)
        _fail("show", "none is made or set, so the page is plain HTTP: hearline certificate make --for NAME", 1)
    try:
        found = read_pair(*pair)
    except BadCertificate as error:
        _fail("show", str(error), 1)
    typer.echo(f"certificate  {pair[0]}\nprivate key  {pair[1]}")
    typer.echo(f"for          {', '.join(found.names)}\nuntil        {found.ends:%Y-%m-%d}, {found.days_left()} days")
    typer.echo(f"SHA-256      {found.fingerprint}\nmade by      {'Hearline' if found.ours else 'others'}")


def _fail(verb: str, why: str, status: int) -> NoReturn:
    typer.secho(f"hearline certificate {verb}: {why}", fg="red", err=True)
    raise typer.Exit(status)
