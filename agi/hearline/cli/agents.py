"""`hearline agents`: who may sign in at the agents' page, and as what."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hearline.store.accounts import Account, Accounts, Role

app = typer.Typer(no_args_is_help=True, help="Who may sign in at the agents' page, and as what.")

Number = Annotated[str, typer.Argument(metavar="NUMBER", help="The work number (工号), e.g. 8016.")]
AsRole = Annotated[
    str | None,
    typer.Option("--role", metavar="ROLE", help="agent, supervisor or admin; else as before, at first agent."),
]
InTeam = Annotated[str | None, typer.Option("--team", metavar="TEAM", help="A supervisor sees the agents of theirs.")]


@app.command()
def pin(agent: Number, role: AsRole = None, team: InTeam = None) -> None:
    """Set somebody's PIN, asked for without being shown, or read from standard input.

    It counts at once; whoever was signed in with the old one is signed out. What is kept is a salted hash (scrypt), in
    page/pins.json of the state folder, which only its owner can read. Run it as the account that the server runs as,
    with its HEARLINE_STATE. What is done is written to the audit log (audit/ there), without the PIN.

    \b
      hearline agents pin 8016
      hearline agents pin 8001 --role supervisor --team care
      pwgen -s 8 1 | hearline agents pin 8016

    Exit status: 0 it is set, 1 the file cannot be written, 2 no PIN, no work number, or a supervisor without a team.
    """
    if sys.stdin.isatty():
        told = typer.prompt("PIN", hide_input=True, confirmation_prompt=True)
    else:
        told = sys.stdin.readline().rstrip("\r\n")
    account = _change("pin", "pin-set", lambda accounts: accounts.set_pin(agent, told, _role(role), team))
    typer.echo(f"{agent} can sign in with it, as {_shown(account)}")


@app.command("role")
def role_(agent: Number, role: AsRole = None, team: InTeam = None) -> None:
    """Change somebody's role or team; the PIN stays.

    It counts within a second, for who is signed in as well. Everybody has a desk of their own; a supervisor sees those
    of their team as well, an admin says who may sign in as what.

    \b
      hearline agents role 8001 --role supervisor --team care

    Exit status: 0 it is changed, 1 the file cannot be written, 2 no such account, or a supervisor without a team.
    """
    account = _change("role", "role-set", lambda accounts: accounts.set_role(agent, _role(role), team))
    typer.echo(f"{agent} is {_shown(account)} now")


@app.command()
def remove(agent: Number) -> None:
    """Remove somebody: they can sign in no more, and are signed out within a second.

    Exit status: 0 it is removed, 1 the file cannot be written, 2 no such account.
    """
    _change("remove", "account-removed", lambda accounts: accounts.remove(agent))
    typer.echo(f"{agent} can sign in no more")


@app.command("list")
def list_() -> None:
    """Tell who can sign in: work number, role and team, separated by tabs."""
    accounts = _accounts()
    try:
        for account in accounts.all():
            typer.echo("\t".join((account.number, account.role, account.team)).rstrip())
    except (OSError, ValueError) as error:
        _fail("list", error, 1)


def _accounts() -> Accounts:
    from hearline.core.settings import Settings
    from hearline.store.accounts import Accounts, accounts_file

    return Accounts(accounts_file(Settings().state))


def _change(verb: str, event: str, change: Callable[[Accounts], Account]) -> Account:
    from hearline.core.settings import Settings
    from hearline.store.accounts import BadAccount
    from hearline.store.audit import AuditLog

    settings, accounts = Settings(), _accounts()
    try:
        account = change(accounts)
        audit = AuditLog(settings.state / "audit", settings.audit_days)
        audit.write(event, by=f"uid {os.getuid()}", of=account.number, role=account.role, team=account.team)
    except BadAccount as error:
        _fail(verb, error, 2)
    except (OSError, ValueError) as error:
        _fail(verb, error, 1)
    return account


def _role(text: str | None) -> Role | None:
    from hearline.store.accounts import BadAccount, Role

    if text is None:
        return None
    try:
        return Role(text)
    except ValueError:
        raise BadAccount(f"{text!r} is no role: agent, supervisor or admin") from None


def _shown(account: Account) -> str:
    return f"{account.role}, team {account.team}" if account.team else str(account.role)


def _fail(verb: str, error: Exception, status: int) -> None:
    typer.secho(f"hearline agents {verb}: {error}", fg="red", err=True)
    raise typer.Exit(status)
