"""How a call came to the IVR."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

_NUMBER = re.compile(r"\+?[0-9*#]{1,20}")
_NAMED_BY_US = ("PJSIP/", "SIP/", "IAX2/")


@dataclass(frozen=True)
class Entry:
    """Names no caller.

    ``call``: the call's id, see ``core.ids``. ``began_at``: when this visit to the IVR began. ``dialled``: a number of
    ours, '' where the call came by none. ``trunk``: see ``trunk_of``.
    """

    call: str
    site: str
    began_at: datetime
    flow: str
    dialled: str = ""
    trunk: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As it stands at the head of a record."""
        return asdict(self) | {"began_at": utc(self.began_at)}


def utc(moment: datetime) -> str:
    """``2026-11-29T08:30:15.123+00:00``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def dialled_number(extension: str) -> str:
    """The number that was dialled; '' for an extension that is none."""
    return extension if _NUMBER.fullmatch(extension) else ""


def trunk_of(channel: str) -> str:
    """The endpoint by which a channel came: ``PJSIP/carrier`` of ``PJSIP/carrier-0000002a``. Names that are not ours to
    give may hold a caller's number (``Local/…``, ``DAHDI/i1/…``): of those the technology alone."""
    if channel.startswith(_NAMED_BY_US):
        return channel.rpartition("-")[0]
    return channel.partition("/")[0]
