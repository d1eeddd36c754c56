"""The business calendar: the business day at a given moment, and whether the line is open then.

It reads no clock and no file: every moment is passed in as an aware ``datetime``, in any zone. The wall clock of the
calendar's zone decides. When clocks go forward, a span that begins within the missing hour begins at its end. When they
go back, the repeated hour is open (or closed) both times.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from zoneinfo import ZoneInfo

DAY_MIN = 24 * 60
HORIZON_DAYS = 366
LATEST_MS = 253_370_764_800_000  # the year 9999, in ms since 1970: a later moment may have no date in some zone

Span = tuple[int, int]
"""Minutes after midnight: open from the first, closed from the second. Beyond ``DAY_MIN``: on the next day. A span
belongs to the day on which it begins, so Friday's 22:00-06:00 ends on Saturday, whatever Saturday's hours are."""
Spans = tuple[Span, ...]

ALL_DAY: Spans = ((0, DAY_MIN),)
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Calendar:
    """Opening hours in a time zone. The default is always open.

    Args:
        zone: the zone whose wall clock counts.
        week: the spans of Monday … Sunday.
        days: spans of single dates, which replace their weekday's: holidays, make-up workdays, special days.
    """

    zone: ZoneInfo
    week: tuple[Spans, ...] = (ALL_DAY,) * 7
    days: Mapping[date, Spans] = field(default_factory=dict)

    def business_day(self, at: datetime) -> date:
        """The date in the calendar's zone at ``at``. It changes at midnight there, whatever the opening hours and the
        machine's own zone are."""
        return self._wall(at).date()

    def day_begins(self, day: date) -> datetime:
        """The first moment of a business day, in UTC."""
        return datetime.combine(day, time.min, self.zone).astimezone(UTC)

    def spans_on(self, day: date) -> Spans:
        """The spans that begin on this day."""
        return self.days.get(day, self.week[day.weekday()])

    def is_open(self, at: datetime) -> bool:
        wall = self._wall(at)
        minute = wall.hour * 60 + wall.minute
        return any(
            begins <= minute + before * DAY_MIN < ends
            for before in (0, 1)
            for begins, ends in self.spans_on(wall.date() - before * _ONE_DAY)
        )

    def opens_next(self, at: datetime) -> datetime | None:
        """The first moment from ``at`` on at which it is open (``at`` itself, if it is open then), in UTC.

        None if it stays closed for ``HORIZON_DAYS``.
        """
        return next((moment for moment in self._turns(at) if self.is_open(moment)), None)

    def closes_next(self, at: datetime) -> datetime | None:
        """The first moment from ``at`` on at which it is closed, in UTC. None if it stays open for ``HORIZON_DAYS``."""
        return next((moment for moment in self._turns(at) if not self.is_open(moment)), None)

    def _wall(self, at: datetime) -> datetime:
        if at.tzinfo is None:
            raise ValueError("this datetime has no time zone: pass an aware one")
        return at.astimezone(self.zone)

    def _turns(self, at: datetime) -> Iterator[datetime]:
        """``at``, then all later moments at which it may open or close, in order."""
        first, at = self.business_day(at), at.astimezone(UTC)
        yield at
        for number in range(HORIZON_DAYS + 1):
            for moment in sorted(self._turns_on(first + number * _ONE_DAY)):
                if moment > at:
                    yield moment

    def _turns_on(self, day: date) -> Iterator[datetime]:
        """The moments on this day at which a span begins or ends, or the clock is changed."""
        yesterday = ((minute - DAY_MIN) for span in self.spans_on(day - _ONE_DAY) for minute in span)
        for minute in chain(yesterday, *self.spans_on(day)):
            if 0 <= minute < DAY_MIN:
                wall = datetime.combine(day, time(*divmod(minute, 60)))
                for fold in (0, 1):  # a wall-clock time may occur twice, or not at all
                    moment = wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC)
                    if moment.astimezone(self.zone).replace(tzinfo=None) == wall:
                        yield moment
        begins, ends = (int(self.day_begins(of).timestamp()) for of in (day, day + _ONE_DAY))
        if self._offset(begins) != self._offset(ends):
            seconds = range(begins, ends)
            changed = bisect_left(seconds, True, key=lambda second: self._offset(second) != self._offset(begins))
            yield datetime.fromtimestamp(begins + changed, UTC)

    def _offset(self, second: int) -> timedelta:
        offset = datetime.fromtimestamp(second, self.zone).utcoffset()
        assert offset is not None  # an aware datetime always has one
        return offset
