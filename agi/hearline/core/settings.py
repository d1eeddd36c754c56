"""Where things are and on which addresses they listen: one place, overridable from the environment.

Every field can be set as ``HEARLINE_<FIELD>``, e.g. ``HEARLINE_STATE=/srv/hearline``.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from hearline.core.calendar import Calendar
from hearline.core.ids import SITE_LONGEST, is_site, site_from
from hearline.core.numbers import Home, is_country
from hearline.core.peers import parse_networks
from hearline.core.zones import DEFAULT_ZONE, zone_named

AMI_USER = "hearline-assist"
_PACKAGE = Path(__file__).resolve().parents[1]
_CHECKOUT = _PACKAGE.parents[1]


def _shipped(folder: str) -> Path:
    """A folder with data: the checkout's (also of an editable install), else the current folder's, else the wheel's."""
    places = _CHECKOUT / folder, Path.cwd() / folder, _PACKAGE / "shipped" / folder
    return next((place for place in places if place.is_dir()), places[-1])


class Settings(BaseModel):
    """Addresses are ``host:port``; everything binds to loopback unless told otherwise."""

    model_config = ConfigDict(extra="forbid")

    flows: Path = _shipped("ivr_flows")
    sounds: Path = _shipped("sounds")
    asterisk_templates: Path = _shipped("docker/asterisk")
    state: Path = Path(".hearline").absolute()
    cache: Path = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hearline"

    # The site's name, in the id of every call that enters here; by default the machine's.
    site: str = Field(default_factory=lambda: site_from(socket.gethostname()))
    # The site's time zone: when a day begins ("today", records by day), and that of opening hours that name none.
    zone: str = DEFAULT_ZONE

    # Where numbers without a country code are from (ISO 3166), and those without an area code (no leading zero).
    country: str = "CN"
    area_code: str = Field("", pattern=r"^([1-9][0-9]{0,4})?$")

    agi: str = "127.0.0.1:4573"
    media: str = "127.0.0.1:9092"
    status: str = "127.0.0.1:9573"
    # Asterisk's manager interface. Without it nobody listens to callers and agents while they talk: no hints.
    ami: str = ""
    ami_user: str = AMI_USER
    ami_secret_file: Path | None = None
    # Where Asterisk brings the sound of those who talk.
    legs: str = "127.0.0.1:9192"
    # A soft tick before each whisper.
    whisper_tick: bool = False
    # A folder with a streaming model for sherpa-onnx: spoken triggers of hints. Without it nothing is recognised.
    recogniser_model: Path | None = None
    # How many legs are recognised at once; others go without.
    recogniser_legs: int = Field(2, ge=1, le=64)
    # What agents look at while they talk; only with agent assist. It has no TLS: put a proxy before it.
    page: str = "127.0.0.1:9673"
    # Proxies before it, whose X-Forwarded-For and -Proto are believed (comma separated; networks allowed).
    proxies: str = "127.0.0.0/8, ::1"
    # How long the audit log is kept.
    audit_days: int = Field(190, ge=1, le=3_650)
    # How long it is remembered that a caller has called, and what came of it.
    earlier_calls_days: int = Field(90, ge=1, le=3_650)
    # So many days count for "third call lately": an agent sees it before answering.
    trouble_days: int = Field(7, ge=1, le=90)
    # Media workers, a core each; each takes a port of its own, from that of `media` upwards.
    workers: int = Field(1, ge=1, le=64)
    # Asterisk's own address, from which AGI and AudioSocket connections are taken (comma separated; networks allowed).
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
            raise ValueError(f"{name!r} is no name for a site: {remedy}, e.g. {site_from(name)}")
        return name

    @field_validator("country")
    @classmethod
    def _known_country(cls, name: str) -> str:
        if name != "CN" and not is_country(name):  # the numbering plans take a while to be loaded
            raise ValueError(f"{name!r} is no country: write two capital letters, e.g. CN")
        return name

    @field_validator("proxies")
    @classmethod
    def _known_networks(cls, text: str) -> str:
        parse_networks(text)
        return text

    @property
    def home(self) -> Home:
        """Where numbers are from that do not say it."""
        return Home(self.country, self.area_code)

    @property
    def calendar(self) -> Calendar:
        """The site's: which day it is."""
        return Calendar(zone_named(self.zone))

    @model_validator(mode="before")
    @classmethod
    def _from_environment(cls, given: dict[str, str | Path]) -> dict[str, str | Path]:
        variables = {name: os.environ.get(f"HEARLINE_{name.upper()}") for name in cls.model_fields}
        return {name: text for name, text in variables.items() if text} | given


def address(text: str) -> tuple[str, int]:
    """``"127.0.0.1:4573"`` as ``("127.0.0.1", 4573)``.

    Raises:
        ValueError: no port, or none that there is.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"{text!r} is no address: write HOST:PORT, e.g. 127.0.0.1:4573")
    return host.strip("[]") or "127.0.0.1", int(port)
