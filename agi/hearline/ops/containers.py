"""The stack in containers: what its one-shot ``init`` makes for the others (``docker/asterisk/compose.yaml``).

Accounts, secrets and the page's certificate are made once and kept; Asterisk's configuration is written anew each time.
``init`` has an account of its own and no capability. Who else can read what it writes is said by the folders in the
images, which new volumes take over: each belongs to the group of the service that needs it, and so do the files in it
(setgid). `files.write_shared` and `FOR_ASTERISK` let that group read.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from hearline.core.settings import Settings, address
from hearline.ops.provision import CONTAINER_DATA, CONTAINER_MODULES, certify_page, give_pins, layout, page_accounts
from hearline.pbx import config
from hearline.server.flow_store import DEFAULT, read_flows

HOME = Path("/srv/asterisk")  # Asterisk's folder, in its container and in this one
KEPT = Path("/srv/accounts")  # only this container's
FOR_ASTERISK = 0o640


class InitError(RuntimeError):
    """The containers could not be given what they need; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Phones:
    """How phones reach Asterisk.

    Args:
        listen: the address that Asterisk listens on, in its container.
        public: the address that phones use, if it is another one.
        rtp: the first and the last port for sound.
    """

    listen: str
    sip_port: int
    rtp: tuple[int, int]
    public: str = ""

    @property
    def server(self) -> str:
        return f"{self.public or self.listen}:{self.sip_port}"

    @property
    def calls(self) -> int:
        """How many calls the ports for sound are enough for. A phone's connection takes two: RTP and RTCP."""
        return (self.rtp[1] - self.rtp[0] + 1) // 2


def init(settings: Settings, phones: Phones, home: Path, kept: Path, browsers: str = "") -> config.Layout:
    """Write Asterisk's configuration to ``home/etc``; make the accounts, the manager interface's secret, and the page's
    PINs and certificate if they are missing.

    Args:
        browsers: the address by which browsers reach the page, if another than its own; see `certify_page`.

    Raises InitError, ManifestError, OSError, ValueError.
    """
    flows = read_flows(settings)
    if DEFAULT not in flows.flows:
        why = "; ".join(flows.rejected.values()) or f"{settings.flows} holds no {DEFAULT}.yaml that can be read"
        remedy = f"The files must be readable for all: chmod -R o+rX {settings.flows.name} sounds"
        raise InitError(f"the flow {DEFAULT!r} cannot be used: {why}. {remedy}")
    secret = config.ami_secret(settings.state)
    callers, agents = config.accounts(kept)
    give_pins(page_accounts(settings.state), agents)
    certify_page(settings, browsers or address(settings.page)[0])
    server = address(settings.agi)[0]
    values = layout(
        settings,
        home=home,
        secret=secret,
        accounts=(callers, agents),
        agi=settings.agi,
        ami=settings.ami,
        phone=settings.phone,
        ami_from="" if ipaddress.ip_address(server).is_loopback else server,
        listen=phones.listen,
        sip_port=phones.sip_port,
        rtp_first=phones.rtp[0],
        rtp_last=phones.rtp[1],
        public_address=phones.public,
        # Asterisk alone: everybody else, phones behind the bridge's gateway too, is given the public address.
        local_net=f"{phones.listen}/32" if phones.public else "",
        modules_dir=CONTAINER_MODULES,
        data_dir=CONTAINER_DATA,
    )
    etc = config.render(settings.asterisk_templates / "etc", values).parent
    for file in etc.iterdir():
        file.chmod(FOR_ASTERISK)
    return values
