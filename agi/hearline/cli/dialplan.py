"""`hearline dialplan`: what an Asterisk that already works needs to hand its calls over."""

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
        typer.Option(metavar="DIR", help="Write all eight files there instead, e.g. /etc/asterisk."),
    ] = None,
    messages: Annotated[
        Path, typer.Option(metavar="DIR", help="Where Asterisk keeps the messages that callers leave.")
    ] = Path("/var/spool/asterisk/hearline-messages"),
) -> None:
    """Print the dialplan for an Asterisk of your own.

    With --out, eight files are written. Each is meant to be included, and none to be edited: what is yours stays in
    your own files, and a later version of Hearline can write its files again.

    \b
      hearline.conf              the contexts that a call goes through
      hearline-globals.conf      server, site, fallback queue, sounds, messages, agents' keys; agent assist's proof
      hearline-queues.conf       a template for the queues that flows lead to
      hearline-musiconhold.conf  the music that callers hear while they wait
      hearline-modules.conf      the modules that all this uses
      hearline-features.conf     the keys that agents press in the middle of a call
      hearline-manager.conf      what agent assist may ask of the manager interface
      hearline-bridges.conf      whispers that are heard also while a caller's phone sends nothing

    Addresses, folders and secrets in them are those of `hearline serve`, from the same environment variables; the
    fallback queue is that of the flow `hotline`. Then this in extensions.conf hands a number over:

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
    from hearline.core.settings import Settings, address
    from hearline.pbx.ami_messages import proof_of
    from hearline.pbx.config import Parts, render_parts, whisper_waits
    from hearline.server.flow_store import DEFAULT, read_flows
    from hearline.sounds import ManifestError

    settings = Settings()
    try:
        waits = whisper_waits(settings.sounds)
        hotline = read_flows(settings).flows.get(DEFAULT)
        if hotline is None:
            _fail(
                f"the flow {DEFAULT!r} cannot be used, so nobody knows which queue is for callers whom Hearline cannot "
                f"serve; hearline flow check {settings.flows / DEFAULT}.yaml says why"
            )
        host, port = address(settings.agi)
        parts = Parts(
            sounds_dir=settings.sounds.resolve(),
            messages_dir=messages,
            site=settings.site,
            agi_host=host,
            agi_port=port,
            fallback_queue=hotline.words.queue,
            whisper_waits=waits,
            proof=proof_of(_secret(settings.ami_secret_file)) if settings.ami_secret_file else "",
        )
        files = render_parts(settings.asterisk_templates / "etc", parts)
        if DIALPLAN not in files:
            _fail(f"HEARLINE_ASTERISK_TEMPLATES: no templates in {settings.asterisk_templates / 'etc'}")
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                _write(out / name, text, "HEARLINE_PROOF =" in text)
    except ManifestError as error:
        _fail(str(error))
    except ValueError as error:
        _fail(f"HEARLINE_AGI: {error}")
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}. Give --out a folder that you may write to")
    if out is None:
        typer.echo(files[DIALPLAN], nl=False)
        return
    typer.echo('Written. Include each of them with a line such as #tryinclude "hearline.conf":')
    for name in files:
        typer.echo(f"  {out / name}  in {GOES_INTO[name]}")


def _secret(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()
    except OSError as error:
        _fail(f"HEARLINE_AMI_SECRET_FILE: {error.filename}: {error.strerror}")


def _write(file: Path, text: str, secret: bool) -> None:
    """A file with a secret is read by its owner, which is its folder's, and by their group."""
    if secret:
        file.touch(0o640)
        file.chmod(0o640)
        if os.geteuid() == 0:
            os.chown(file, file.parent.stat().st_uid, file.parent.stat().st_gid)
    file.write_text(text, "utf-8")


def _fail(message: str) -> NoReturn:
    typer.secho(f"hearline dialplan: {message}", fg="red", err=True)
    raise typer.Exit(1)
