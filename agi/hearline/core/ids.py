"""The id of a call: made where the call enters, and carried by everything that is kept or said of it.

    20261129-083015123-482139075-shanghai
    when it came, UTC  │         site
                       by chance

It sorts by time, can be read out, names a file, and says nothing of the caller. Two calls share one only if they enter
the same site in the same millisecond and draw the same of 900 million numbers; nothing is counted, so a restart or a
second Asterisk repeats none. The dialplan makes it (``hearline.conf``, context ``hearline-call``).

An id that comes from outside is a claim: look at its shape before it names anything.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

SITE_LONGEST = 31
_SITE = re.compile(rf"[a-z0-9](?:[a-z0-9-]{{0,{SITE_LONGEST - 2}}}[a-z0-9])?")
_CALL = re.compile(rf"([0-9]{{8}})-([0-9]{{6}})([0-9]{{3}})-[1-9][0-9]{{8}}-{_SITE.pattern}")
_FIRST, _NUMBERS = 100_000_000, 900_000_000


def new_call_id(site: str, at: datetime) -> str:
    """An id for a call that came at ``at`` (aware). Raises ValueError: no name of a site."""
    if not is_site(site):
        raise ValueError(f"{site!r} is no name of a site")
    return f"{at.astimezone(UTC).strftime('%Y%m%d-%H%M%S%f')[:-3]}-{_FIRST + secrets.randbelow(_NUMBERS)}-{site}"


def is_call_id(claim: str) -> bool:
    """Is it shaped as the ids that we make?"""
    found = _CALL.fullmatch(claim)
    if not found:
        return False
    try:
        datetime.fromisoformat("{}T{}.{}".format(*found.groups()))
    except ValueError:  # no such day or time
        return False
    return True


def is_site(name: str) -> bool:
    """May a site be called so? Small letters, digits and, in between, dashes; at most 31."""
    return bool(_SITE.fullmatch(name))


def site_from(host: str) -> str:
    """A site's name for a host's: ``Box_7.example.org`` → ``box-7``."""
    name = re.sub(r"[^a-z0-9]+", "-", host.partition(".")[0].lower())[:SITE_LONGEST].strip("-")
    return name or "site"
