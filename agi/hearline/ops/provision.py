"""What an Asterisk of ours is given, in whichever way it runs: its configuration's values, the queues that the flows
lead to, a PIN for each agent, and a certificate for a page that others can reach."""

from __future__ import annotations

import json
import secrets
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from hearline.core.files import read_text, write_shared
from hearline.core.peers import is_loopback
from hearline.core.settings import AMI_USER, Settings, address, made_pair, page_pair, trial_file
from hearline.pbx import config
from hearline.pbx.ami_messages import proof_of
from hearline.server.flow_store import queues_led_to, read_flows
from hearline.store.accounts import Accounts, accounts_file
from hearline.wire.certificates import are_others, is_name, made_for, make, read_certificate

TRY_PHONE, TRY_NUMBER = "web-caller", "13800009999"  # the account with which the page "Try it" rings
TEAM = "care"  # of the accounts that agents sign in with
CHEAP = 2**14  # scrypt's N, as in `store.accounts`; low, since these PINs are printed on the screen anyway
EVERYWHERE = ("0.0.0.0", "::")  # addresses that stand for all
CONTAINER_MODULES, CONTAINER_DATA = "/opt/asterisk-modules", "/usr/share/asterisk"  # see docker/asterisk/Dockerfile


def queues_of(settings: Settings) -> list[str]:
    """The queues that the flows lead to, the hotline's own first."""
    return queues_led_to(read_flows(settings).flows) or ["care"]


def layout(
    settings: Settings,
    *,
    home: Path,
    secret: Path,
    accounts: tuple[list[config.Account], list[config.Account]],
    agi: str,
    ami: str,
    phone: str = "",
    **more: Any,
) -> config.Layout:
    """The values for Asterisk's configuration.

    Args:
        home: Asterisk's folder, as Asterisk sees it.
        secret: the file with the manager interface's secret.
        accounts: (callers, agents).
        agi: the server's address for AGI.
        ami: the address of the manager interface.
        phone: the address of Asterisk's HTTP server; '' for no phones in the agents' page.
        more: further fields of `config.Layout`.

    Raises ManifestError, OSError, ValueError.
    """
    queues = queues_of(settings)
    password = secret.read_text()
    try_phone = set_up_trial(settings.state, accounts[1]) if settings.try_it == "anybody" else None
    if phone:
        more["phone_host"], more["phone_port"] = address(phone)
    return config.Layout(
        home=home,
        sounds_dir=settings.sounds.absolute(),
        messages_dir=home / "spool" / "messages",
        site=settings.site,
        agi_host=address(agi)[0],
        agi_port=address(agi)[1],
        fallback_queue=queues[0],
        callers=accounts[0],
        agents=accounts[1],
        ami=config.Account(AMI_USER, "", password),
        proof=proof_of(password.strip()),
        ami_host=address(ami)[0],
        ami_port=address(ami)[1],
        queues=[config.Queue(name, str(config.FIRST_QUEUE + i)) for i, name in enumerate(queues)],
        try_phone=try_phone,
        whisper_waits=config.whisper_waits(settings.sounds),
        **more,
    )


def page_accounts(state: Path) -> Accounts:
    """The accounts of the agents' page. Their PINs are printed, so a cheap hash is enough."""
    return Accounts(accounts_file(state), cost=CHEAP)


def give_pins(pins: Accounts, agents: list[config.Account]) -> None:
    """Give a PIN to each agent without one. PINs set by `hearline agents pin` stay."""
    known = {account.number for account in pins.all()}
    for agent in agents:
        if agent.number not in known:
            pins.set_pin(agent.number, agent.pin, team=TEAM)


def set_up_trial(state: Path, agents: list[config.Account]) -> config.Account:
    """Write the file that the page "Try it" needs: the account it rings with, whose password stays as it is, and an
    agent for the visitor's second tab. Returns that account. Raises OSError."""
    file = trial_file(state)
    try:
        password = str(json.loads(read_text(file))["phone"]["password"])
    except (OSError, ValueError, TypeError, KeyError):
        password = secrets.token_urlsafe(12)
    told: dict[str, Any] = {"phone": {"user": TRY_PHONE, "password": password}}
    if agents:
        told["agent"] = {"number": agents[0].number, "pin": agents[0].pin}
    write_shared(file, json.dumps(told, indent=1))
    return config.Account(TRY_PHONE, TRY_NUMBER, password)


def certify_page(settings: Settings, host: str) -> None:
    """Make the page's certificate for ``host``, by which browsers reach it, unless one of ours is there for it, or
    somebody's own is set, or ``host`` is on loopback, where browsers trust plain HTTP.

    Raises BadCertificate, OSError.
    """
    pair = made_pair(settings.state)
    if settings.page_certificate or are_others(*pair):
        return
    if is_loopback(host):
        if not is_loopback(address(settings.page)[0]):  # behind a bridge it would count
            for file in pair:
                file.unlink(missing_ok=True)  # of an earlier time, when others could reach it
        return
    names = _names_of_this_machine() if host in EVERYWHERE else [host]
    if not made_for(*pair, names):
        make(*pair, names)


def page_card(settings: Settings, host: str) -> dict[str, str]:
    """The page's address for browsers that reach it by ``host``, and its certificate's fingerprint, if it has one."""
    port = address(settings.page)[1]
    pair = page_pair(settings)
    if host in EVERYWHERE:
        host = _names_of_this_machine()[0]
    at = f"{f'[{host}]' if ':' in host else host}:{port}/"
    page = f"{'http' if pair is None else 'https'}://{at}"
    trial = {"try_it": f"{page}try"} if settings.try_it == "anybody" else {}
    return trial | {"page": page} | ({"fingerprint": read_certificate(pair[0]).fingerprint} if pair else {})


def _names_of_this_machine() -> list[str]:
    """The address by which this machine reaches others, its name, and loopback."""
    found = []
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # of the documentation's network: nothing is sent
        found.append(probe.getsockname()[0])
        if is_name(socket.gethostname()):  # (a container without a network has a name that nobody knows)
            found.append(socket.gethostname())
    return [*found, "localhost", "127.0.0.1"]
