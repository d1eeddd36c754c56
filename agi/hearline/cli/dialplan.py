"""`hearline dialplan`: writes the configuration with which an existing Asterisk hands its calls to Hearline."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, NoReturn

import typer

DIALPLAN = "hearline.conf"
GOES_INTO = {
    DIALPLAN: "extensions.conf, at its end",
    "hearline-globals.conf": "extensions.conf, above that line",
    "hearline-bridges.conf": "modules.conf, at its end; for agent assist on Asterisk older than 22.11 only",
    "hearline-features.conf": "features.conf, at its end; agents' keys, for agent assist only",
    "hearline-manager.conf": "manager.conf, in the section of the user hearline-assist; for agent assist only",
    "hearline-modules.conf": "modules.conf, at its end; not needed with autoload = yes",
    "hearline-musiconhold.conf": "musiconhold.conf, at its end",
    "hearline-queues.conf": "queues.conf, at its end; then [NAME](hearline-queue) for each queue, with its members",
}


def dialplan(
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write all eight files to this folder instead, e.g. /etc/asterisk."),
    ] = None,
    messages: Annotated[
        Path, typer.Option(metavar="DIR", help="Where Asterisk keeps the messages that callers leave.")
    ] = Path("/var/spool/asterisk/hearline-messages"),
) -> None:
    """Print the dialplan for your own Asterisk.

    With --out, eight files are written. Include them, but do not edit them: keep your changes in your own files, so
    that a later version of Hearline can write its files again.

    \b
      hearline.conf              the contexts that a call goes through
      hearline-globals.conf      server, site, fallback queue, sounds, messages, agents' keys; agent assist's proof
      hearline-queues.conf       a template for the queues that flows lead to
      hearline-musiconhold.conf  the music that callers hear while they wait
      hearline-modules.conf      the modules that all this uses
      hearline-features.conf     the keys that agents press during a call
      hearline-manager.conf      the rights of agent assist at the manager interface
      hearline-bridges.conf      makes whispers audible even while a caller's phone sends nothing

    Addresses, folders and secrets come from the same environment variables as those of `hearline serve`; the fallback
    queue is that of the flow `hotline`. These lines in extensions.conf then hand a number to Hearline:

    \b
      [from-trunk]
      exten => 95160,1,Goto(hearline,${EXTEN},1)
    \b
      #tryinclude "hearline-globals.conf"
      #tryinclude "hearline.conf"

    Queues, music and modules: docs/operate.md.

    \b
      hearline dialplan | less
      hearline dialplan --out /etc/asterisk
    """
    from hearline.core.settings import Settings
    from hearline.pbx.config import render_parts
    from hearline.server.dialplan_values import NoValues, dialplan_values, secret_in
    from hearline.sounds import ManifestError

    settings = Settings()
    try:
        secret = secret_in(settings.ami_secret_file) if settings.ami_secret_file else ""
        files = render_parts(settings.asterisk_templates / "etc", dialplan_values(settings, messages, secret))
        if DIALPLAN not in files:
            _fail(f"HEARLINE_ASTERISK_TEMPLATES: no templates in {settings.asterisk_templates / 'etc'}")
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                _write(out / name, text, "HEARLINE_PROOF =" in text)
    except (ManifestError, NoValues) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}. Give --out a folder that you can write to")
    if out is None:
        typer.echo(files[DIALPLAN], nl=False)
        return
    typer.echo('Written. Include each of them with a line such as #tryinclude "hearline.conf":')
    for name in files:
        typer.echo(f"  {out / name}  in {GOES_INTO[name]}")


def _write(file: Path, text: str, secret: bool) -> None:
    """Write a file. One with a secret gets mode 0640, and the owner and group of its folder."""
    if secret:
        file.touch(0o640)
        file.chmod(0o640)
        if os.geteuid() == 0:
            os.chown(file, file.parent.stat().st_uid, file.parent.stat().st_gid)
    file.write_text(text, "utf-8")


def _fail(message: str) -> NoReturn:
    typer.secho(f"hearline dialplan: {message}", fg="red", err=True)
    raise typer.Exit(1)
