"""How a call came to the IVR: its id, site, flow, dialled number and trunk."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from hearline.core.channel_names import shown

_NUMBER = re.compile(r"\+?[0-9*#]{1,20}")
_NAMED_BY_US = ("PJSIP/", "SIP/", "IAX2/")


@dataclass(frozen=True)
class Entry:
    """One visit of a call to the IVR. It holds nothing about the caller.

    ``call``: the call's id, see ``core.ids``. ``began_at``: when this visit began. ``dialled``: the number of ours that
    was dialled; '' if there is none. ``trunk``: see ``trunk_of``.
    """

    call: str
    site: str
    began_at: datetime
    flow: str
    dialled: str = ""
    trunk: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The fields at the head of a record, JSON-ready."""
        return asdict(self) | {"began_at": utc(self.began_at)}


def utc(moment: datetime) -> str:
    """A moment (aware) in UTC, to the ms: ``2026-11-29T08:30:15.123+00:00``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def dialled_number(extension: str) -> str:
    """The dialled number; '' if the extension is not a number."""
    return extension if _NUMBER.fullmatch(extension) else ""


def trunk_of(channel: str) -> str:
    """The endpoint of a channel: ``PJSIP/carrier`` for ``PJSIP/carrier-0000002a``. Channel names that we do not choose
    (``Local/…``, ``DAHDI/i1/…``) may hold a caller's number: for those, only the technology."""
    if channel.startswith(_NAMED_BY_US):
        return shown(channel).rpartition("-")[0]
    return channel.partition("/")[0]
