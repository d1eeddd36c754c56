"""The settings of an installation: folders, addresses, the site. The environment overrides them.

Every field can be set as ``HEARLINE_<FIELD>``, e.g. ``HEARLINE_STATE=/srv/hearline``.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from hearline.core.calendar import Calendar
from hearline.core.ids import SITE_LONGEST, is_site, site_from
from hearline.core.numbers import Home, is_country
from hearline.core.peers import is_loopback, parse_networks
from hearline.core.zones import DEFAULT_ZONE, zone_named

AMI_USER = "hearline-assist"
_PACKAGE = Path(__file__).resolve().parents[1]
_CHECKOUT = _PACKAGE.parents[1]


def _shipped(folder: str) -> Path:
    """A data folder: in the checkout (editable installs too), else in the current folder, else in the wheel."""
    places = _CHECKOUT / folder, Path.cwd() / folder, _PACKAGE / "shipped" / folder
    return next((place for place in places if place.is_dir()), places[-1])


class Settings(BaseModel):
    """Addresses are ``host:port``; by default everything binds to loopback."""

    model_config = ConfigDict(extra="forbid")

    flows: Path = _shipped("ivr_flows")
    sounds: Path = _shipped("sounds")
    asterisk_templates: Path = _shipped("docker/asterisk")
    state: Path = Path(".hearline").absolute()
    cache: Path = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hearline"

    # The site's name, part of the id of every call that enters here; by default made from the host name.
    site: str = Field(default_factory=lambda: site_from(socket.gethostname()))
    # The site's time zone: decides when a day begins ("today", records by day), and applies to opening hours that name
    # no zone.
    zone: str = DEFAULT_ZONE

    # The country (ISO 3166) of numbers without a country code, and the area code of numbers without one (no leading 0).
    country: str = "CN"
    area_code: str = Field("", pattern=r"^([1-9][0-9]{0,4})?$")

    agi: str = "127.0.0.1:4573"
    media: str = "127.0.0.1:9092"
    status: str = "127.0.0.1:9573"
    # Asterisk's manager interface (AMI). Empty: agent assist is off.
    ami: str = ""
    ami_user: str = AMI_USER
    ami_secret_file: Path | None = None
    # AudioSocket address for the listening legs of agent assist.
    legs: str = "127.0.0.1:9192"
    # Play a soft tick before each whisper.
    whisper_tick: bool = False
    # The folder of a streaming model for sherpa-onnx, for spoken triggers of hints. None: no speech recognition.
    recogniser_model: Path | None = None
    # The most legs that are recognised at once; the others go without.
    recogniser_legs: int = Field(2, ge=1, le=64)
    # The agents' page, part of agent assist.
    page: str = "127.0.0.1:9673"
    # Its certificate (PEM, with those between it and the root) and private key, for https; see `page_pair`.
    page_certificate: Path | None = None
    page_key: Path | None = None
    # "Try it", a page that rings the hotline from a browser: off; signed-in, for who is signed in at the agents' page;
    # anybody, for test stacks only, since it shows the PIN of a test agent.
    try_it: Literal["off", "signed-in", "anybody"] = "off"
    # The proxies in front of it, whose X-Forwarded-For and -Proto are trusted (comma separated; networks allowed).
    proxies: str = "127.0.0.0/8, ::1"
    # Asterisk's HTTP server, which takes the websockets of phones in the agents' page. Empty: there are none.
    phone: str = ""
    # How long the ledger keeps what exactly happened in a call, and how long the figures that follow from it.
    timeline_days: int = Field(90, ge=1, le=3_650)
    figures_days: int = Field(1_100, ge=90, le=36_500)
    # The ledger's database: empty for a file of SQLite in the state folder, or postgresql://USER@HOST/NAME.
    database: str = ""
    # How long the audit log is kept.
    audit_days: int = Field(190, ge=1, le=3_650)
    # How long earlier calls of a caller, and their outcomes, are kept.
    earlier_calls_days: int = Field(90, ge=1, le=3_650)
    # The period for "third call lately", which an agent sees before answering.
    trouble_days: int = Field(7, ge=1, le=90)
    # The number of media workers, one per core. Each listens on its own port, from that of `media` upwards.
    workers: int = Field(1, ge=1, le=64)
    # Asterisk's addresses: only they may open AGI and AudioSocket connections (comma separated; networks allowed).
    allow: str = "127.0.0.0/8"

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        return zone_named(name).key

    @field_validator("site")
    @classmethod
    def _fit_for_ids(cls, name: str) -> str:
        if not is_site(name):
            remedy = f"use small letters, digits and, in between, dashes, at most {SITE_LONGEST}"
            raise ValueError(f"{name!r} is not a valid site name: {remedy}, e.g. {site_from(name)}")
        return name

    @field_validator("country")
    @classmethod
    def _known_country(cls, name: str) -> str:
        if name != "CN" and not is_country(name):  # loading the numbering plans takes a while
            raise ValueError(f"{name!r} is not a country code: write two capital letters, e.g. CN")
        return name

    @field_validator("database")
    @classmethod
    def _known_database(cls, url: str) -> str:
        if url and not url.startswith(("sqlite:///", "postgresql://")):
            raise ValueError(
                "not a database URL: write sqlite:////FOLDER/ledger.sqlite or postgresql://USER@HOST/NAME, without a "
                "password (PostgreSQL reads it from ~/.pgpass)"
            )
        return url

    @field_validator("proxies")
    @classmethod
    def _known_networks(cls, text: str) -> str:
        parse_networks(text)
        return text

    @model_validator(mode="after")
    def _both_of_the_pair(self) -> Settings:
        alone, other = "HEARLINE_PAGE_CERTIFICATE", "HEARLINE_PAGE_KEY"
        if self.page_certificate is None:
            alone, other = other, alone
        if (self.page_certificate is None) != (self.page_key is None):
            raise ValueError(f"{alone}: set {other} as well, since https needs both files")
        return self

    @property
    def database_url(self) -> str:
        """The URL of the ledger's database."""
        return self.database or f"sqlite:///{self.state.absolute() / 'ledger' / 'ledger.sqlite'}"

    @property
    def spool(self) -> Path:
        """What happens in calls waits here until the ledger has taken it in: a folder for each process that appends."""
        return self.state / "spool"

    @property
    def home(self) -> Home:
        """The country and area of numbers that name none."""
        return Home(self.country, self.area_code)

    @property
    def calendar(self) -> Calendar:
        """The site's calendar: it is always open, and knows the site's day."""
        return Calendar(zone_named(self.zone))

    @model_validator(mode="before")
    @classmethod
    def _from_environment(cls, given: dict[str, str | Path]) -> dict[str, str | Path]:
        variables = {name: os.environ.get(f"HEARLINE_{name.upper()}") for name in cls.model_fields}
        return {name: text for name, text in variables.items() if text} | given


_OTHERS = frozenset({"HEARLINE_MIRROR"})  # read where they are used


def unknown_settings(variables: Iterable[str]) -> list[str]:
    """The variables that are named like settings, but are none: misspelt ones, which count for nothing."""
    known = {f"HEARLINE_{name.upper()}" for name in Settings.model_fields} | _OTHERS
    return sorted(name for name in variables if name.startswith("HEARLINE_") and name not in known)


def trial_file(state: Path) -> Path:
    """What the page "Try it" rings with, given the folder of the server's state."""
    return state / "page" / "try.json"


def socket_of(state: Path) -> Path:
    """The Unix socket on which agent assist listens, given the folder of its state."""
    return state / "assist" / "interface.sock"


def made_pair(state: Path) -> tuple[Path, Path]:
    """Where `hearline certificate make` puts the page's certificate and key, given the folder of the server's state."""
    return state / "page" / "certificate.pem", state / "page" / "key.pem"


def page_pair(settings: Settings) -> tuple[Path, Path] | None:
    """The page's certificate and key: those that are set, else those that `hearline certificate make` has made, if
    others than this machine can reach the page. None: plain HTTP, which browsers trust on loopback alone."""
    if settings.page_certificate and settings.page_key:
        return settings.page_certificate, settings.page_key
    made = made_pair(settings.state)
    if is_loopback(address(settings.page)[0]) or not all(file.exists() for file in made):
        return None
    return made


# The most bytes of `Settings.state`: Linux has 108 for the path of a Unix socket, with the NUL at its end.
STATE_LONGEST = 107 - len(os.fsencode(socket_of(Path("/"))))


def address(text: str) -> tuple[str, int]:
    """``"127.0.0.1:4573"`` as ``("127.0.0.1", 4573)``.

    Raises:
        ValueError: the port is missing or out of range.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"{text!r} is not an address: write HOST:PORT, e.g. 127.0.0.1:4573")
    return host.strip("[]") or "127.0.0.1", int(port)
