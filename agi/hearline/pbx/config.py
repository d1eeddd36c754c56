"""Asterisk's configuration, rendered from the templates in ``docker/asterisk/etc``.

All templates together configure the private Asterisk, in a folder of its own; the same set serves the container, an
installed Asterisk and a root folder. The templates named ``hearline*`` hold only what Hearline needs: the private
Asterisk's files include them, and so can the files of any other Asterisk.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import jinja2

from hearline.core.files import write_private, write_shared, write_whole
from hearline.core.settings import AMI_USER
from hearline.core.web_phones import WEB_PHONE, web_phone
from hearline.pbx.ami_messages import PROOF
from hearline.sounds.manifest import WhisperSet, load_manifest
from hearline.store.accounts import new_pin

CHANNEL_VARIABLES = (
    "HEARLINE_CALLER",
    "HEARLINE_QUEUE",
    "HEARLINE_HEARD",
    "HEARLINE_QUEUED_AT",
    "HEARLINE_PHRASES",
    "HEARLINE_AGENT",
    "HEARLINE_CAME_AT",
    "HEARLINE_CALL",
)
"""The variables that Asterisk adds to every event of a channel: the caller's channel, what the IVR found out, when this
wait began, whether the channel is an agent's, when the caller's first wait began, and the call's id."""
PRESENTATION = "CALLERID(num-pres)"
"""A dialplan function: whether the caller's number may be shown. Asterisk adds it to every event, like the
variables."""
NUMBER_SHOWN = "allowed"
"""Presentations that begin like this allow showing the number; the others are ``prohib…`` and ``unavailable``."""
EVENTS = (
    "AgentCalled", "AgentConnect", "AgentRingNoAnswer", "AttendedTransfer", "BlindTransfer", "BridgeDestroy",
    "BridgeEnter", "BridgeLeave", "Hangup", "HangupRequest", "Hold", "Newchannel", "Newstate", "QueueCallerAbandon",
    "QueueCallerJoin", "QueueCallerLeave", "QueueMemberAdded", "QueueMemberPause", "QueueMemberStatus", "Rename",
    "SoftHangupRequest", "Unhold",
)  # fmt: skip
"""The events that agent assist uses, besides the agents' keys; Asterisk sends no others."""
KEY_EVENT = "HearlineKey"
KEY_CODES = {
    "*4": "low_volume",
    "*5": "receiver",
    "*6": "mute",
    "*7": "callback",
    "*8": "ask_hold",
    "*9": "nuisance",
    "*#": "supervisor",
}
"""The feature codes that an agent can press during a call, with the name in `assist.hints.events.Key`. Asterisk's
sample configuration uses *0 to *3 for other features. (*8 is call pickup only when dialled, not during a call.)"""
PHONE_FAMILY, PHONE_REALM = "hearline-phones", "hearline"
"""Where Asterisk's database keeps the passwords of these phones (sorcery.conf), and the realm in their hashes."""
PAUSE_REASON = "hearline-phone-gone"
"""The queues' reason for the pause of an agent whose phone in the page is gone."""
AGENT_NUMBERS = ("8016", "8017", "8018", "8019")
FIRST_QUEUE = 8090
"""The number that agents of the private stack dial for its first queue; the other queues follow."""


@dataclass(frozen=True)
class Account:
    """A SIP account. ``number`` is shown to others; an agent's is the work number (工号). ``pin`` is for signing in at
    the page."""

    name: str
    number: str
    password: str
    pin: str = ""

    @property
    def web(self) -> str:
        """The agent's phone in the page."""
        return web_phone(self.number)


@dataclass(frozen=True)
class Queue:
    """A queue. ``number``: agents dial it to reach the queue."""

    name: str
    number: str
    strategy: str = "rrmemory"


@dataclass(kw_only=True)
class Parts:
    """The values for the templates named ``hearline*``, for any Asterisk."""

    sounds_dir: Path
    messages_dir: Path
    site: str = "site"  # see core/ids.py
    agi_host: str = "127.0.0.1"
    agi_port: int = 4573
    fallback_queue: str = "care"
    whisper_waits: list[int] = field(default_factory=list)  # the waits (s) for which there is a whisper, ascending
    channel_variables: str = ",".join((PROOF, *CHANNEL_VARIABLES, PRESENTATION))
    proof: str = ""  # see ami_messages; '' without agent assist
    events: tuple[str, ...] = EVENTS
    key_event: str = KEY_EVENT
    key_codes: dict[str, str] = field(default_factory=lambda: dict(KEY_CODES))
    web_phone: str = WEB_PHONE
    phone_family: str = PHONE_FAMILY
    phone_realm: str = PHONE_REALM
    pause_reason: str = PAUSE_REASON
    key_names: str = "#".join(f"hearline-{key}" for key in KEY_CODES.values())

    @property
    def agi_url(self) -> str:
        """The URL that Asterisk calls. An address that listens everywhere becomes this machine's loopback address."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.agi_host, self.agi_host)
        return f"agi://[{host}]:{self.agi_port}" if ":" in host else f"agi://{host}:{self.agi_port}"


@dataclass(kw_only=True)
class Layout(Parts):
    """The values for all templates. ``home`` holds etc, run, log, spool and lib of this Asterisk."""

    home: Path
    listen: str = "127.0.0.1"
    sip_port: int = 5070
    rtp_first: int = 20000
    rtp_last: int = 20999
    modules_dir: str = "/usr/lib/x86_64-linux-gnu/asterisk/modules"
    data_dir: str = "/usr/share/asterisk"
    callers: list[Account] = field(default_factory=list)
    agents: list[Account] = field(default_factory=list)
    ami: Account = Account(AMI_USER, "", "")
    ami_host: str = "127.0.0.1"
    ami_port: int = 5038
    ami_from: str = ""  # the server's address, if it is another machine's or container's
    # Behind a translation of addresses: the address that phones know, and the network that needs no translation.
    public_address: str = ""
    local_net: str = ""
    queues: list[Queue] = field(default_factory=lambda: [Queue("care", str(FIRST_QUEUE))])
    whispers_into_silence: bool = False  # see pbx/version.py; False if the version is unknown
    verbose: int = 0
    # Asterisk's HTTP server, for the phones in the agents' page; no port: there are none.
    phone_host: str = "127.0.0.1"
    phone_port: int = 0
    try_phone: Account | None = None  # the account of the page "Try it"; None: there is none

    @property
    def conf(self) -> Path:
        return self.home / "etc" / "asterisk.conf"


def accounts(home: Path, callers: tuple[str, ...] = ("caller",)) -> tuple[list[Account], list[Account]]:
    """(callers, agents) with their passwords and PINs, created once and kept in ``home/accounts.json`` (mode 0600).

    ``callers`` names the callers' accounts; it matters only when they are created.
    """
    kept = home / "accounts.json"
    if kept.exists():
        data = json.loads(kept.read_text())
    else:
        data = {
            "callers": [
                asdict(Account(name, f"1380000{index:04}", secrets.token_urlsafe(12)))
                for index, name in enumerate(callers)
            ],
            "agents": [asdict(Account(f"agent-{n}", n, secrets.token_urlsafe(12))) for n in AGENT_NUMBERS],
        }
    if not all(agent.get("pin") for agent in data["agents"]):
        for agent in data["agents"]:
            agent["pin"] = agent.get("pin") or new_pin()
        write_private(kept, json.dumps(data, indent=1))
    return [Account(**a) for a in data["callers"]], [Account(**a) for a in data["agents"]]


def ami_secret(home: Path) -> Path:
    """The file with the manager interface's secret, created once (mode 0600; see `write_shared`)."""
    kept = home / "ami-secret"
    if not kept.exists():
        write_shared(kept, secrets.token_urlsafe(24))
    return kept


def whisper_waits(sounds: Path) -> list[int]:
    """The waits (s) for which ``sounds`` has whispers, ascending. Raises ManifestError."""
    found: set[int] = set()
    for sets in load_manifest(sounds).languages.values():
        for phrases in sets.values():
            if isinstance(phrases, WhisperSet):
                found.update(phrases.waits)
    return sorted(found)


def render(templates: Path, layout: Layout) -> Path:
    """Write every ``*.conf.j2`` of ``templates`` into ``layout.home/etc``; returns the path of asterisk.conf."""
    for folder in ("etc", "run", "log", "spool/messages", "lib/agi-bin", "lib/keys", "cache"):
        (layout.home / folder).mkdir(parents=True, exist_ok=True)
    for private in ("spool/messages", "log"):  # callers' voices, and their numbers if Asterisk logs verbosely
        (layout.home / private).chmod(0o700)
    for name, text in _rendered(templates, "", layout):
        write_whole(layout.home / "etc" / name, text, sync=False)
    return layout.conf


def render_parts(templates: Path, parts: Parts) -> dict[str, str]:
    """The files to include in any other Asterisk, by name: the dialplan ``hearline.conf`` and what goes with it."""
    return dict(_rendered(templates, "hearline", parts))


def _rendered(templates: Path, prefix: str, values: Parts) -> Iterator[tuple[str, str]]:
    """(file name, text) of each template whose name begins with ``prefix``."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        comment_start_string="{##",  # "{#" occurs in dialplan patterns
    )
    given = vars(values) | {"agi_url": values.agi_url}
    for name in environment.list_templates(filter_func=lambda n: n.startswith(prefix) and n.endswith(".j2")):
        yield name.removesuffix(".j2"), environment.get_template(name).render(given)
