"""The id of a call. It is made where the call enters, and every record, log line and message about the call carries it.

    20261129-083015123-482139075-shanghai
    arrival, UTC       │         site
                       random

Ids sort by time, can be read out on the phone, are valid file names, and reveal nothing about the caller. Two calls
share an id only if they enter the same site in the same millisecond and draw the same of 900 million numbers. There is
no counter, so a restart or a second Asterisk repeats no id. The dialplan makes it (``hearline.conf``, context
``hearline-call``).

An id that comes from outside is untrusted: check its shape with `is_call_id` before using it.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

SITE_LONGEST = 31
TRY_SITE = "try"  # of calls from the page "Try it"
_SITE = re.compile(rf"[a-z0-9](?:[a-z0-9-]{{0,{SITE_LONGEST - 2}}}[a-z0-9])?")
_CALL = re.compile(rf"([0-9]{{8}})-([0-9]{{6}})([0-9]{{3}})-[1-9][0-9]{{8}}-{_SITE.pattern}")
_FIRST, _NUMBERS = 100_000_000, 900_000_000


def new_call_id(site: str, at: datetime) -> str:
    """An id for a call that came at ``at`` (aware). Raises ValueError if ``site`` is not a valid site name."""
    if not is_site(site):
        raise ValueError(f"{site!r} is not a valid site name")
    return f"{at.astimezone(UTC).strftime('%Y%m%d-%H%M%S%f')[:-3]}-{_FIRST + secrets.randbelow(_NUMBERS)}-{site}"


def is_call_id(claim: str) -> bool:
    """True if ``claim`` has the shape of our ids."""
    found = _CALL.fullmatch(claim)
    if not found:
        return False
    try:
        datetime.fromisoformat("{}T{}.{}".format(*found.groups()))
    except ValueError:  # no such day or time
        return False
    return True


def site_of(call: str) -> str:
    """The site in a call's id."""
    return call.split("-", 3)[-1]


def is_site(name: str) -> bool:
    """True for a valid site name: at most 31 small letters, digits and dashes, with no dash at either end."""
    return bool(_SITE.fullmatch(name))


def site_from(host: str) -> str:
    """A site name made from a host name: ``Box_7.example.org`` → ``box-7``."""
    name = re.sub(r"[^a-z0-9]+", "-", host.partition(".")[0].lower())[:SITE_LONGEST].strip("-")
    return name or "site"
