"""`hearline agents`: manages the accounts for the agents' page."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hearline.store.accounts import Account, Accounts, Role

app = typer.Typer(no_args_is_help=True, help="Manage who can sign in to the agents' page, and with which role.")

Number = Annotated[str, typer.Argument(metavar="NUMBER", help="The work number (工号), e.g. 8016.")]
AsRole = Annotated[
    str | None,
    typer.Option("--role", metavar="ROLE", help="agent, supervisor or admin. Default: unchanged; agent if new."),
]
InTeam = Annotated[
    str | None, typer.Option("--team", metavar="TEAM", help="The team; a supervisor sees the agents of their team.")
]


@app.command()
def pin(agent: Number, role: AsRole = None, team: InTeam = None) -> None:
    """Set a PIN, typed without being shown, or read from standard input.

    It takes effect at once; anybody signed in with the old PIN is signed out. Only a salted hash (scrypt) is kept, in
    page/pins.json of the state folder, which only its owner can read. Run this as the user that runs the server, or as
    root, with the server's HEARLINE_STATE. The change is written to the audit log (audit/ there), without the PIN.

    \b
      hearline agents pin 8016
      hearline agents pin 8001 --role supervisor --team care
      pwgen -s 8 1 | hearline agents pin 8016

    Exit status: 0 the PIN is set, 1 the file cannot be written, 2 the PIN, number, role or team is not acceptable,
    3 the PIN is set, but the audit log cannot be written.
    """
    if sys.stdin.isatty():
        given = typer.prompt("PIN", hide_input=True, confirmation_prompt=True)
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    account = _change("pin", "pin-set", lambda accounts: accounts.set_pin(agent, given, _role(role), team))
    typer.echo(f"{agent} can sign in with it, as {_shown(account)}")


@app.command("role")
def role_(agent: Number, role: AsRole = None, team: InTeam = None) -> None:
    """Change an account's role or team. The PIN stays the same.

    It takes effect within a second, even for people who are signed in. Everybody has their own desk; a supervisor also
    sees those of their team; an admin manages the accounts.

    \b
      hearline agents role 8001 --role supervisor --team care

    Exit status: 0 it is changed, 1 the file cannot be written, 2 no such account, or the role or team is not
    acceptable, 3 it is changed, but the audit log cannot be written."""
    account = _change("role", "role-set", lambda accounts: accounts.set_role(agent, _role(role), team))
    typer.echo(f"{agent} is {_shown(account)} now")


@app.command()
def remove(agent: Number) -> None:
    """Remove an account. Anybody signed in with it is signed out within a second.

    Exit status: 0 it is removed, 1 the file cannot be written, 2 no such account, 3 it is removed, but the audit log
    cannot be written.
    """
    _change("remove", "account-removed", lambda accounts: accounts.remove(agent))
    typer.echo(f"{agent} can no longer sign in")


@app.command("list")
def list_() -> None:
    """List the accounts: work number, role and team, separated by tabs."""
    from hearline.core.settings import Settings
    from hearline.store.accounts import accounts_file

    where, accounts = accounts_file(Settings().state), _accounts()
    try:
        found = accounts.all()
        for account in found:
            typer.echo("\t".join((account.number, account.role, account.team)).rstrip())
        if not found:
            typer.echo(f"no accounts in {where}; HEARLINE_STATE must be that of the server", err=True)
    except (OSError, ValueError) as error:
        _fail("list", error, 1)


def _accounts() -> Accounts:
    from hearline.core.settings import Settings
    from hearline.store.accounts import Accounts, accounts_file

    return Accounts(accounts_file(Settings().state))


def _change(verb: str, event: str, change: Callable[[Accounts], Account]) -> Account:
    from hearline.core.files import as_owner_of
    from hearline.core.settings import Settings
    from hearline.store.accounts import BadAccount
    from hearline.store.audit import AuditLog

    settings, accounts = Settings(), _accounts()
    try:
        with as_owner_of(settings.state):
            account = change(accounts)
    except BadAccount as error:
        _fail(verb, error, 2)
    except (OSError, ValueError) as error:
        _fail(verb, error, 1)
    audit = AuditLog(settings.state / "audit", settings.audit_days)
    try:
        with as_owner_of(settings.state):
            audit.write(event, by=f"uid {os.getuid()}", of=account.number, role=account.role, team=account.team)
    except OSError as error:
        _fail(verb, f"{account.number} is changed, but not in the audit log: {error}", 3)
    return account


def _role(text: str | None) -> Role | None:
    from hearline.store.accounts import BadAccount, Role

    if text is None:
        return None
    try:
        return Role(text)
    except ValueError:
        raise BadAccount(f"{text!r} is not a role: use agent, supervisor or admin") from None


def _shown(account: Account) -> str:
    return f"{account.role}, team {account.team}" if account.team else str(account.role)


def _fail(verb: str, error: Exception | str, status: int) -> None:
    typer.secho(f"hearline agents {verb}: {error}", fg="red", err=True)
    raise typer.Exit(status)
