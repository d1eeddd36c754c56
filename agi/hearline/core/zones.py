"""Time zones by name, from the tz database."""

from __future__ import annotations

from difflib import get_close_matches
from zoneinfo import ZoneInfo, available_timezones

DEFAULT_ZONE = "Asia/Shanghai"


class UnknownZone(ValueError):
    """The zone is not in the tz database. ``problem`` and ``remedy`` are sentences without a full stop."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}. {remedy}")
        self.problem, self.remedy = problem, remedy


def zone_named(name: str) -> ZoneInfo:
    """The zone of this name. Raises UnknownZone."""
    try:
        return ZoneInfo(name)
    except (ValueError, LookupError, OSError):  # a path, no such name, a folder of the database
        pass
    known = available_timezones()
    if DEFAULT_ZONE not in known:  # a small container may have no tz database, or nearly none
        raise UnknownZone(
            f"{name!r} cannot be looked up: this machine has no time-zone data", "Install it: pip install tzdata"
        )
    near = get_close_matches(name, known, n=1, cutoff=0.85)
    remedy = f"Write a name of the tz database, such as Europe/Berlin; all of China is {DEFAULT_ZONE}"
    raise UnknownZone(f"{name!r} is not a known time zone", f"Did you mean {near[0]!r}?" if near else remedy)
