"""`hearline install` and `hearline uninstall`: puts Hearline on an Asterisk that is in use, and takes it away again."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from hearline.cli.faults import settings_told

if TYPE_CHECKING:
    from hearline.install.order import Order
    from hearline.install.run import Done

# Its folder exists on every machine, so the journal can come before everything else and go after it.
JOURNAL = Path("/var/lib/hearline-install.json")
ACCOUNT = "hearline"  # of the server; the unit names it
JournalFile = Annotated[
    Path, typer.Option("--journal", metavar="FILE", help="Where the record of all changes is kept.")
]
_ON_RECORD = "What was done is on record: run this again, or `hearline uninstall`"
NoReload = Annotated[bool, typer.Option("--no-reload", help="Leave it to you to have Asterisk read the files again.")]


def install(
    plan: Annotated[
        bool, typer.Option("--plan", help="Show what would change, as a unified diff, and change nothing. The default.")
    ] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Do it, and have a running Asterisk reload what changed.")
    ] = False,
    profile: Annotated[
        str | None,
        typer.Option(metavar="debian|freepbx", help="Whose files these are. Default: found out by looking at them."),
    ] = None,
    asterisk: Annotated[Path, typer.Option(metavar="DIR", help="Asterisk's configuration.")] = Path("/etc/asterisk"),
    config: Annotated[Path, typer.Option(metavar="DIR", help="Hearline's own: settings, flows, secret.")] = Path(
        "/etc/hearline"
    ),
    messages: Annotated[
        Path, typer.Option(metavar="DIR", help="Where Asterisk keeps the messages that callers leave.")
    ] = Path("/var/spool/asterisk/hearline-messages"),
    unit: Annotated[Path, typer.Option(metavar="FILE", help="The server's systemd unit.")] = Path(
        "/etc/systemd/system/hearline.service"
    ),
    no_unit: Annotated[bool, typer.Option("--no-unit", help="Write no unit: you start the server yourself.")] = False,
    no_assist: Annotated[
        bool, typer.Option("--no-assist", help="Only take calls: no manager user, no keys for agents.")
    ] = False,
    bridges: Annotated[
        bool,
        typer.Option(
            "--bridges",
            help="Make whispers audible over silence on Asterisk older than 22.11. This changes every call of the box: "
            'docs/operate.md, "Whispers over silence".',
        ),
    ] = False,
    no_reload: NoReload = False,
    journal: JournalFile = JOURNAL,
) -> None:
    """Install Hearline on an Asterisk that is in use.

    Hearline's files come into a folder of their own (/etc/asterisk/hearline), and each file of yours that has to
    include one gets one line at its end. Nothing else of yours is touched; a `channelvars` of yours is repeated, with
    Hearline's variables, in Hearline's file. Besides, settings, flows, a secret and a systemd unit are written.

    Every change is on record before it is made. If this is killed half-way, the next `install --apply` finishes it and
    `uninstall` undoes it. Asterisk is never restarted, and reloads only the modules whose files have changed.

    \b
      hearline install                    # shows what would change
      hearline install --apply            # as root
      hearline uninstall

    Afterwards hand a number over, in your own dialplan, or by a custom destination in FreePBX:

    \b
      exten => 95160,1,Goto(hearline,${EXTEN},1)

    Exit status: 0 done, or nothing to do; 1 refused, with the reasons, or failed; 2 the options or settings are wrong.
    """
    from hearline.install.difference import difference
    from hearline.install.order import FLOWS, SECRET, Order
    from hearline.install.reload import console_of, nobody
    from hearline.install.run import install as carry_out
    from hearline.install.run import prepare
    from hearline.install.service import systemctl, systemd_runs

    if plan and apply:
        _usage("install", "--plan and --apply exclude each other")
    if profile not in (None, "debian", "freepbx"):
        _usage("install", f"--profile {profile}: there are `debian` and `freepbx`")
    with _told("install"):
        if not asterisk.is_dir():
            _fail("install", f"{asterisk} is no folder: give --asterisk the folder that holds extensions.conf")
        order = Order(
            asterisk=asterisk.resolve(),
            config=config.absolute(),
            unit=None if no_unit else unit.absolute(),
            messages=messages.absolute(),
            assist=not no_assist,
            bridges=bridges,
            environment=dict(os.environ),
        )
        name = _profile(order, profile)
        if not apply:
            prepared = prepare(order.asterisk, name, lambda *seen: order.wish(name, *seen), order.also(), journal)
            typer.echo(
                difference(prepared.plan.steps, [str(order.config / SECRET)], str(order.config / FLOWS)), nl=False
            )
            _remarks(prepared.wishes.notes, prepared.plan.left)
            conflicts = (*prepared.wishes.conflicts, *prepared.plan.conflicts)
            if conflicts:
                _fail("install", *conflicts)
            changes = len(prepared.plan.steps)
            typer.echo(f"{changes} changes; `--apply` makes them" if changes else "nothing to change", err=True)
            return
        _need_root("install", order.asterisk)
        console = nobody if no_reload else console_of(order.asterisk)
        done = carry_out(order.asterisk, name, lambda *seen: order.wish(name, *seen), order.also(), journal, console)
        if str(order.unit) in [step.path for step in done.steps] and systemd_runs():
            systemctl("daemon-reload")
        _tell(done, no_reload)
        if done.steps:
            prepared = prepare(order.asterisk, name, lambda *seen: order.wish(name, *seen), order.also(), journal)
            _remarks(prepared.wishes.notes)
            for step in _next_steps(order, name):
                typer.echo(f"next: {step}")


def uninstall(
    plan: Annotated[bool, typer.Option("--plan", help="Show what would change, and change nothing.")] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Even if your files still lead to Hearline, or calls are in it.")
    ] = False,
    no_reload: NoReload = False,
    journal: JournalFile = JOURNAL,
) -> None:
    """Take Hearline away and leave your files as they were.

    They are then as they were before, byte for byte, plus what you have changed since.

    First the lines in your files go, then Asterisk reloads what has changed, then the server is stopped, and then
    Hearline's files go. Files that you have changed since stay (flows, settings), and so do folders with something in
    them (callers' messages); they are listed. Records and accounts in /var/lib/hearline stay, too.

    It refuses while your own dialplan or queues lead to Hearline, since calls would end there; take these lines out
    first.

    \b
      hearline uninstall --plan
      hearline uninstall                  # as root

    Exit status: 0 done, or not installed; 1 refused, with the reasons, or failed; 2 the options are wrong.
    """
    from hearline.install.difference import difference
    from hearline.install.reload import Console, console_of, nobody
    from hearline.install.run import prepare_uninstall
    from hearline.install.run import uninstall as carry_out
    from hearline.install.service import UNIT, systemctl, systemd_runs

    with _told("uninstall"):
        prepared = prepare_uninstall(journal)
        if prepared is not None and plan:
            _, steps, places = prepared
            hidden = [step.path for step in steps.steps if step.path.endswith("secret")]
            typer.echo(difference(steps.steps, hidden), nl=False)
            _remarks(steps.left, [f"{place} leads to Hearline: take it out first" for place in places])
            return
        console: Console = nobody
        daemon = False
        if prepared is not None:
            folder = Path(prepared[0].asterisk)
            _need_root("uninstall", folder if folder.is_dir() else journal)
            console = nobody if no_reload else console_of(folder)
            ours = [entry.path for entry in prepared[0].entries if entry.path.endswith("/" + UNIT)]
            daemon = systemd_runs() and ours == ["/etc/systemd/system/" + UNIT]

        def stop_server() -> None:
            if daemon:
                systemctl("disable", "--now", UNIT)

        done = carry_out(journal, console, anyway, stop_server)
        if done is None:
            typer.echo(f"not installed: there is no {journal}")
            return
        if daemon:
            systemctl("daemon-reload")
        _tell(done, no_reload)


# ---- what people read ------------------------------------------------------------------------------------------------
def _profile(order: Order, asked: str | None) -> str:
    from hearline.install.disk import look

    return order.profile(look(order.asterisk, ()), asked)


def _tell(done: Done, no_reload: bool) -> None:
    for step in done.steps:
        typer.echo(f"{step.act}: {step.path}")
    _remarks(done.left)
    for command in done.reloaded:
        typer.echo(f"asterisk: {command}")
    if not done.steps:
        typer.echo("nothing to change")
    elif not done.reloaded and not no_reload:
        typer.echo("no Asterisk with these files runs, so nothing was reloaded", err=True)


def _remarks(*groups) -> None:
    for remark in (remark for group in groups for remark in group):
        typer.secho(f"note: {remark}", fg="yellow", err=True)


def _next_steps(order: Order, profile: str) -> list[str]:
    steps = []
    if order.unit and not _account():
        steps.append(
            f"useradd --system --user-group --home-dir /var/lib/{ACCOUNT} --no-create-home --shell /usr/sbin/nologin "
            f"{ACCOUNT}"
        )
    steps.append("systemctl enable --now hearline" if order.unit else "start `hearline serve`")
    steps.append(
        "in FreePBX, add a custom destination hearline,95160,1 (Admin, Custom Destinations) and an inbound route to it"
        if profile == "freepbx"
        else "hand a number over in your dialplan: exten => 95160,1,Goto(hearline,${EXTEN},1)"
    )
    return steps


def _account() -> bool:
    """Does the server's account exist?"""
    try:
        pwd.getpwnam(ACCOUNT)
    except KeyError:
        return False
    return True


def _need_root(verb: str, asterisk: Path) -> None:
    if os.geteuid() != 0 and asterisk.stat().st_uid != os.geteuid():
        _fail(verb, f"the files in {asterisk} belong to somebody else: run this as root (sudo hearline {verb} …)")


@contextmanager
def _told(verb: str) -> Iterator[None]:
    """Failures in words."""
    from hearline.install.disk import Busy, ChangedMeanwhile
    from hearline.install.journal import JournalError
    from hearline.install.run import Refused

    try:
        yield
    except Refused as refused:
        _fail(verb, *refused.reasons)
    except (Busy, ChangedMeanwhile, JournalError) as error:
        _fail(verb, str(error))
    except PermissionError as error:
        if os.geteuid() != 0:
            _fail(verb, f"{error.filename}: {error.strerror}: run this as root")
        _fail(verb, f"{error.filename}: {error.strerror}, even to root: see `lsattr` and `mount`. {_ON_RECORD}")
    except OSError as error:
        _fail(verb, f"{error.filename}: {error.strerror}. {_ON_RECORD}")
    except ValueError as error:
        if getattr(error, "title", "") != "Settings":
            raise
        for told in settings_told(error):
            typer.secho(f"hearline {verb}: {told}", fg="red", err=True)
        raise typer.Exit(2) from error


def _fail(verb: str, *messages: str) -> NoReturn:
    for message in messages:
        typer.secho(f"hearline {verb}: {message}", fg="red", err=True)
    raise typer.Exit(1)


def _usage(verb: str, message: str) -> NoReturn:
    typer.secho(f"hearline {verb}: {message}", fg="red", err=True)
    raise typer.Exit(2)
