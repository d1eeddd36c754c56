"""`hearline stack`: runs a private Asterisk and the server, for testers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hearline.core.settings import Settings
    from hearline.store.accounts import Accounts

AS_SET = "(as set by `hearline agents pin`)"
app = typer.Typer(no_args_is_help=True, help="Run a private Asterisk with the Hearline server, for test calls.")


def _stack(verbose: int = 0):
    from hearline.core.settings import Settings
    from hearline.ops.stack import Stack

    return Stack(Settings(), verbose)


@app.command()
def up(
    listen: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="This machine's address for SIP, RTP and the page (https then). Any address but 127.0.0.1 opens the "
            "stack to the network; do that only on purpose.",
        ),
    ] = "127.0.0.1",
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND", help="How to run Asterisk: container, installed or root. Default: the first that works."
        ),
    ] = "",
    always_open: Annotated[bool, typer.Option("--always-open", help="Ignore opening hours.")] = False,
    verbose: Annotated[int, typer.Option(metavar="N", help="Asterisk's verbosity in `stack logs`.")] = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Start everything, and print what a softphone needs.

    It prints the SIP server, the accounts with their passwords, and the numbers to dial. Parts that are running already
    are left as they are. docs/test-with-softphones.md says what to expect from each number.

    \b
      hearline stack up
      hearline stack up --listen 192.0.2.10      # for phones elsewhere on the network
    """
    from hearline.ops.asterisk import AsteriskUnavailable
    from hearline.ops.stack import StackError

    stack = _stack(verbose)
    try:
        stack.up(listen, say=lambda line: typer.echo(f"  {line}", err=True), kind=kind or None, always_open=always_open)
    except (StackError, AsteriskUnavailable, OSError) as error:
        typer.secho(f"hearline stack up: {error}", fg="red", err=True)
        raise typer.Exit(1) from None
    if differences := stack.differences(listen, kind or None, always_open):
        remedy = "it is left as it is; to change that, run `hearline stack down`, then this again"
        for line in (*differences, remedy):
            typer.secho(f"  {line}", fg="yellow", err=True)
    running = stack.running
    where = stack.settings.model_copy(update={"page": running.page, "status": running.status})
    card = _card(where, f"{running.listen}:{running.sip_port}", stack.accounts(), stack.pins, running.kind)
    typer.echo(json.dumps(card, ensure_ascii=False, indent=1) if json_ else _as_text(card))


@app.command()
def prepare(
    kind: Annotated[
        str, typer.Option(metavar="KIND", help="container, installed or root. Default: the first that works.")
    ] = "",
) -> None:
    """Fetch or build the private Asterisk, without starting it.

    `stack up` and `make setup` do this anyway; use this on a machine that will have no network later.
    """
    from hearline.ops.asterisk import AsteriskUnavailable
    from hearline.ops.stack import StackError

    try:
        kind = _stack().prepare(lambda line: typer.echo(f"  {line}"), kind or None)
    except (StackError, AsteriskUnavailable, OSError) as error:
        typer.secho(f"hearline stack prepare: {error}", fg="red", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"  Asterisk is ready to start ({kind})")


@app.command()
def down() -> None:
    """Stop what `stack up` started. Calls in progress are cut off.

    Accounts and passwords are kept for next time, in .hearline/stack/accounts.json.
    """
    from hearline.ops.stack import StackError

    try:
        _stack().down()
    except StackError as error:
        typer.secho(f"hearline stack down: {error}", fg="red", err=True)
        raise typer.Exit(1) from None
    typer.echo("down")


@app.command()
def status(json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Show whether Asterisk and the server are running, and how many calls there are.

    Exit status: 0 both are running, 1 not.
    """
    stack = _stack()
    up_ = stack.asterisk_alive()
    ready = up_ and stack.ready()
    found = {"asterisk": up_, "server_ready": ready, "kind": stack.running.kind if stack.running else None}
    if json_:
        typer.echo(json.dumps(found))
    else:
        typer.echo(f"Asterisk: {'up (' + found['kind'] + ')' if up_ else 'down'}")
        typer.echo(f"Hearline server: {'ready' if ready else 'not ready' if stack.server_alive() else 'down'}")
    if up_:
        typer.echo(stack.console("core show channels count").strip(), err=json_)
    raise typer.Exit(0 if up_ and ready else 1)


@app.command()
def logs(lines: Annotated[int, typer.Option("-n", min=1, metavar="N", help="Lines to show of each log.")] = 30) -> None:
    """Show the last lines of Asterisk's logs and the server's log.

    They are in .hearline/stack/log: `messages` and `console.log` are Asterisk's, `hearline.log` is the server's.
    """
    stack = _stack()
    for name in ("messages", "console.log", "hearline.log"):
        file = stack.home / "log" / name
        if file.exists():
            typer.secho(f"== {file}", bold=True)
            typer.echo("\n".join(file.read_text(errors="replace").splitlines()[-lines:]))


@app.command(hidden=True)
def init(
    listen: Annotated[str, typer.Option(metavar="ADDRESS", help="Asterisk's address for SIP and RTP.")] = "127.0.0.1",
    public: Annotated[str, typer.Option(metavar="ADDRESS", help="The address that phones use, if another one.")] = "",
    sip_port: Annotated[int, typer.Option(metavar="PORT", help="Asterisk's port for SIP.")] = 5070,
    rtp: Annotated[str, typer.Option(metavar="FIRST-LAST", help="The ports for sound.")] = "20000-20999",
    page: Annotated[
        str, typer.Option(metavar="ADDRESS", help="The address at which the page is published, if another one.")
    ] = "",
) -> None:
    """Make what the containers of docker/asterisk/compose.yaml share, and print what a softphone needs.

    Only that file calls this, in the container `init`. What was made before stays: accounts, passwords and PINs.
    """
    from hearline.core.settings import Settings
    from hearline.ops.containers import HOME, KEPT, InitError, Phones
    from hearline.ops.containers import init as make
    from hearline.ops.provision import EVERYWHERE, page_accounts
    from hearline.sounds.manifest import ManifestError

    try:
        settings = Settings()
        first, last = _ports(rtp)
        phones = Phones(listen=listen, public=public, sip_port=sip_port, rtp=(first, last))
        browsers = public if page in EVERYWHERE else page
        layout = make(settings, phones, HOME, KEPT, browsers)
    except (InitError, ManifestError, OSError, ValueError) as error:
        typer.secho(f"init: {error}", fg="red", err=True)
        raise typer.Exit(1) from None
    accounts = layout.callers, layout.agents
    card = _card(settings, phones.server, accounts, page_accounts(settings.state), "container", browsers)
    file = f"docker/asterisk/compose.{'bridge.' if public else ''}yaml"
    card |= {"at_most": phones.calls, "stop": f"docker compose -f {file} down"}
    if public:
        del card["status"]  # it is not published
    typer.echo(_as_text(card))


def _ports(text: str) -> tuple[int, int]:
    """``"20000-20999"`` as ``(20000, 20999)``. Raises ValueError."""
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 1_024 <= int(first) < int(last) <= 65_535):
        raise ValueError(f"--rtp {text}: write the first and the last port, e.g. 20000-20999")
    return int(first), int(last)


def _card(settings: Settings, server: str, accounts: tuple, pins: Accounts, kind: str, browsers: str = "") -> dict:
    """All that a person with a softphone needs.

    Args:
        settings: the folders, and the addresses of the page and the status as a browser on this machine reaches them.
        server: Asterisk's address for SIP.
        accounts: (callers, agents).
        browsers: the address by which browsers reach the page, if another than its own.
    """
    from hearline.core.settings import address
    from hearline.ops.provision import page_card, queues_of
    from hearline.pbx.config import FIRST_QUEUE
    from hearline.server.flow_store import read_flows

    callers, agents = accounts
    flows = read_flows(settings).flows
    numbers = {"600": "echo test"}
    for name, flow in flows.items():
        title = flow.words.title.get("zh", "")
        if flow.words.number:
            numbers[flow.words.number] = f"{name} {title}"
        if flow.words.test_number:
            numbers[flow.words.test_number] = f"{name} {title}, open at any hour"
    return {
        "server": server,
        "transport": "UDP",
        "codecs": ["PCMA", "PCMU"],
        "callers": [vars(a) for a in callers],
        "agents": [vars(a) for a in agents],
        **page_card(settings, browsers or address(settings.page)[0]),
        "pins": {a.number: a.pin for a in agents if pins.check(a.number, a.pin)},
        "numbers": numbers,
        "listen_in": {a.number: f"7{a.number}" for a in agents},
        "pass_on": {a.number: f"agent {a.number}" for a in agents}
        | {str(FIRST_QUEUE + i): f"queue {queue}" for i, queue in enumerate(queues_of(settings))},
        "status": f"http://{settings.status}/calls",
        "kind": kind,
    }


def _as_text(card: dict) -> str:
    lines = [f"Try it       {card['try_it']} (ring the hotline from a browser)", ""] if "try_it" in card else []
    lines += [f"SIP server   {card['server']} (UDP; {', '.join(card['codecs'])})", "", "Call from    account, password"]
    lines += [f"             {a['name']}  {a['password']}" for a in card["callers"]]
    lines += ["", "Answer as    account, password (register, then pick up)"]
    lines += [f"             {a['name']}  {a['password']}" for a in card["agents"]]
    lines += ["", f"Agents' page {card['page']}"]
    if "fingerprint" in card:
        lines += ["             The browser does not know its certificate. Compare, and trust it: SHA-256"]
        lines += [f"             {card['fingerprint'][start : start + 48]}" for start in (0, 48)]
    lines += ["Sign in      work number, PIN"]
    lines += [f"             {a['number']}  {card['pins'].get(a['number'], AS_SET)}" for a in card["agents"]]
    lines += ["", "Dial"] + [f"  {number:<10} {what}" for number, what in card["numbers"].items()]
    lines += [
        "",
        "To hear what an agent hears, register a softphone as that agent; or, from another agent's account, dial",
    ]
    lines += [f"  {dial:<10} to listen in on agent {agent}" for agent, dial in card["listen_in"].items()]
    lines += ["", "To call a colleague or a queue, or to transfer a caller to them, dial from an agent's account"]
    lines += [f"  {number:<10} {whom}" for number, whom in card["pass_on"].items()]
    lines += [""]
    if "at_most" in card:
        lines += [f"At once      {card['at_most']} phones in a call at most"]
    if "status" in card:
        lines += [f"Live calls   {card['status']}"]
    lines += [f"Stop         {card.get('stop', f'{_program()} stack down')}"]
    if "try_it" in card:  # again, since the first line has left a small terminal
        lines += [f"Try it       {card['try_it']}"]
    if "try_it" in card and "fingerprint" in card:
        lines += ["             Whoever reaches this address may ring the hotline, and sees a test agent's PIN."]
    return "\n".join(lines)


def _program() -> str:
    """This program, as it was called."""
    return sys.argv[0] if Path(sys.argv[0]).name == "hearline" else "hearline"
