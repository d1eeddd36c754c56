"""Time zones by their names, as the tz database has them."""

from __future__ import annotations

from difflib import get_close_matches
from zoneinfo import ZoneInfo, available_timezones

DEFAULT_ZONE = "Asia/Shanghai"


class UnknownZone(ValueError):
    """``problem`` and ``remedy`` are sentences without their full stop."""

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
    if DEFAULT_ZONE not in known:  # nothing is there, or next to nothing, as in small containers
        raise UnknownZone(
            f"{name!r} cannot be looked up: this machine has no time-zone data", "Install it: pip install tzdata"
        )
    near = get_close_matches(name, known, n=1, cutoff=0.85)
    remedy = f"Write a name of the tz database, such as Europe/Berlin; all of China is {DEFAULT_ZONE}"
    raise UnknownZone(f"{name!r} is no known time zone", f"Did you mean {near[0]!r}?" if near else remedy)
