"""Asterisk's configuration: templates in ``docker/asterisk/etc``.

All of them together are the private Asterisk's, rendered into a folder of its own: one set for the container, an
installed Asterisk and a root folder alike. Those called ``hearline*`` hold nothing but what Hearline needs; the private
Asterisk's files include them, and so can the files of any other.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import jinja2

from hearline.core.files import write_private, write_whole
from hearline.core.settings import AMI_USER
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
"""The variables that Asterisk adds to every event of a channel: who the caller is, what the IVR found out, when this
wait began, whether the channel is an agent's, when the caller's first wait began, and the call's id."""
PRESENTATION = "CALLERID(num-pres)"
"""A dialplan function: may the caller's number be seen? Asterisk adds it to every event as it does the variables."""
NUMBER_SHOWN = "allowed"
"""How the presentations begin in which it may; the others are ``prohib…`` and ``unavailable``."""
EVENTS = (
    "AgentCalled", "AgentConnect", "AgentRingNoAnswer", "AttendedTransfer", "BlindTransfer", "BridgeDestroy",
    "BridgeEnter", "BridgeLeave", "Hangup", "HangupRequest", "Hold", "Newchannel", "Newstate", "QueueCallerAbandon",
    "QueueCallerJoin", "QueueCallerLeave", "QueueMemberAdded", "QueueMemberStatus", "Rename", "SoftHangupRequest",
    "Unhold",
)  # fmt: skip
"""The events that agent assist works on, beside the agents' keys; Asterisk sends no others."""
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
"""What an agent presses in the middle of a call, and which of `assist.hints.events.Key` it is. Asterisk's own samples
have other things on *0 to *3. (*8 picks up a call only where it is dialled, never inside a call.)"""
AGENT_NUMBERS = ("8016", "8017", "8018", "8019")
FIRST_QUEUE = 8090
"""What agents of the private stack dial for the first of its queues; the others come after it."""


@dataclass(frozen=True)
class Account:
    """A SIP account; ``number`` is what others see, for an agent the work number (工号), ``pin`` what they sign in with
    at the page."""

    name: str
    number: str
    password: str
    pin: str = ""


@dataclass(frozen=True)
class Queue:
    """``number``: what agents dial to reach it."""

    name: str
    number: str
    strategy: str = "rrmemory"


@dataclass(kw_only=True)
class Parts:
    """What the templates called ``hearline*`` need, whoever's Asterisk it is."""

    sounds_dir: Path
    messages_dir: Path
    site: str = "site"  # see core/ids.py
    agi_host: str = "127.0.0.1"
    agi_port: int = 4573
    fallback_queue: str = "care"
    whisper_waits: list[int] = field(default_factory=list)  # seconds for which there is a whisper, ascending
    channel_variables: str = ",".join((PROOF, *CHANNEL_VARIABLES, PRESENTATION))
    proof: str = ""  # that a message of the manager interface is Asterisk's; '' where there is no agent assist
    events: tuple[str, ...] = EVENTS
    key_event: str = KEY_EVENT
    key_codes: dict[str, str] = field(default_factory=lambda: dict(KEY_CODES))
    key_names: str = "#".join(f"hearline-{key}" for key in KEY_CODES.values())

    @property
    def agi_url(self) -> str:
        """Where Asterisk asks Hearline. One that listens everywhere is on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.agi_host, self.agi_host)
        return f"agi://[{host}]:{self.agi_port}" if ":" in host else f"agi://{host}:{self.agi_port}"


@dataclass(kw_only=True)
class Layout(Parts):
    """All that the templates need. ``home`` holds etc, run, log, spool and lib of this Asterisk."""

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
    ami_port: int = 5038
    queues: list[Queue] = field(default_factory=lambda: [Queue("care", str(FIRST_QUEUE))])
    whispers_into_silence: bool = False  # see pbx/version.py; also where the version is not known
    verbose: int = 0

    @property
    def conf(self) -> Path:
        return self.home / "etc" / "asterisk.conf"


def accounts(home: Path, callers: tuple[str, ...] = ("caller",)) -> tuple[list[Account], list[Account]]:
    """(callers, agents) with their passwords and PINs, made once and kept in ``home/accounts.json`` (mode 0600).

    ``callers`` names the callers' accounts where they are made now.
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
    """The file with the manager interface's secret, made once (mode 0600)."""
    kept = home / "ami-secret"
    if not kept.exists():
        write_private(kept, secrets.token_urlsafe(24))
    return kept


def whisper_waits(sounds: Path) -> list[int]:
    """The waits (s) that the whispers of ``sounds`` name, ascending. Raises ManifestError."""
    found: set[int] = set()
    for sets in load_manifest(sounds).languages.values():
        for phrases in sets.values():
            if isinstance(phrases, WhisperSet):
                found.update(phrases.waits)
    return sorted(found)


def render(templates: Path, layout: Layout) -> Path:
    """Write every ``*.conf.j2`` of ``templates`` into ``layout.home/etc``; returns the path of asterisk.conf."""
    for folder in ("etc", "run", "log", "spool/messages", "lib/agi-bin", "cache"):
        (layout.home / folder).mkdir(parents=True, exist_ok=True)
    for private in ("spool/messages", "log"):  # callers' voices, and what Asterisk says of them when it is verbose
        (layout.home / private).chmod(0o700)
    for name, text in _rendered(templates, "", layout):
        write_whole(layout.home / "etc" / name, text, sync=False)
    return layout.conf


def render_parts(templates: Path, parts: Parts) -> dict[str, str]:
    """The files for somebody else's Asterisk, by name: the dialplan ``hearline.conf`` and what goes with it."""
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
