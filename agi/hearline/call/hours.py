"""Opening hours as people write them: ``hours`` of a flow, and the calendar files that flows share.

A calendar file (``ivr_flows/calendar/NAME.yaml``) lists a country's holidays and the weekend days that are worked; it
may also set a time zone, hours and special days. The words: ``docs/flows.md``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from hearline.core.calendar import DAY_MIN, Calendar, Span, Spans
from hearline.core.zones import UnknownZone, zone_named
from hearline.yamlfiles.checked import Fault, Rejected, Words, YamlDocument, listed

CLOSED, AS_USUAL = "closed", "as usual"
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EVERY_DAY = "mon-sun"
HOLIDAYS, MAKEUP_DAYS = "holidays", "makeup_days"
_SPAN = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_NOTICE_MONTH = 12  # by then the State Council has announced the next year's holidays


# ---- the words -------------------------------------------------------------------------------------------------------
def _span(value: Any) -> Span:
    """``08:00-21:00`` in minutes after midnight. A span whose end is not after its start ends on the next day."""
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError(f'{value!r} is not a span of hours{_foreign(value)}|Write it as "08:00-21:00"')
    h1, m1, h2, m2 = map(int, found.groups())
    begins, ends = (h1 * 60 + m1) % DAY_MIN, (h2 * 60 + m2) % DAY_MIN
    return begins, ends if ends > begins else ends + DAY_MIN


def _foreign(value: Any) -> str:
    """Names the first non-ASCII character, such as the full-width colon of an input method; '' if there is none."""
    odd = next((sign for sign in str(value) if ord(sign) > 127), None)
    return f": it holds {odd!r} ({unicodedata.name(odd, hex(ord(odd))).lower()})" if odd else ""


def _apart(spans: tuple[Span, ...]) -> Spans:
    spans = tuple(sorted(spans))
    for (_, ends), (begins, _) in pairwise(spans):
        if begins < ends:
            raise ValueError(f"two spans overlap at {begins // 60:02}:{begins % 60:02}|Write them as one span")
    return spans


def _date(value: Any) -> date:
    try:
        if isinstance(value, str) and _DATE.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        raise ValueError(f"there is no {value}|Correct the day") from None
    raise ValueError(f"{value!r} is not a date|Write it as 2027-02-05")


def _usual(value: Any) -> Any:
    if value is None:
        raise ValueError(f"the hours are missing|Write them, or `{CLOSED}`")
    return None if value == AS_USUAL else value


def _zone(value: Any) -> str:
    try:
        return zone_named(str(value)).key
    except UnknownZone as error:
        raise ValueError(f"{error.problem}|{error.remedy}") from None


def _weekdays(key: str) -> list[int]:
    """``tue`` or ``mon-fri`` as numbers of weekdays; Monday is 0."""
    first, dash, last = key.partition("-")
    if first not in WEEKDAYS or (last or first) not in WEEKDAYS or (dash and not last):
        raise ValueError(
            f"{key!r} is not a day of the week|Write mon, tue, wed, thu, fri, sat or sun, or mon-fri; "
            f"{HOLIDAYS} and {MAKEUP_DAYS} are the days that a calendar lists"
        )
    begins, ends = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
    return [(begins + number) % 7 for number in range((ends - begins) % 7 + 1)]


def _day_key(value: Any) -> str:
    if value not in (HOLIDAYS, MAKEUP_DAYS):
        _weekdays(str(value))
    return str(value)


@dataclass(frozen=True)
class Week:
    """``open`` as written: hours for each weekday, and for the days that a calendar lists.

    ``holidays`` None: as on other days (`as usual`). ``said``: the keys that were written.
    """

    weekdays: tuple[Spans, ...]
    holidays: Spans | None
    makeup_days: Spans
    said: frozenset[str]


def _week(written: dict[str, Spans | None]) -> Week:
    weekdays: dict[int, Spans] = {}
    for key, spans in written.items():
        if spans is None and key != HOLIDAYS:
            raise ValueError(f"{key}: only {HOLIDAYS} can be `{AS_USUAL}`|Write hours, or `{CLOSED}`")
        for number in _weekdays(key) if key not in (HOLIDAYS, MAKEUP_DAYS) else ():
            if number in weekdays:
                raise ValueError(f"{WEEKDAYS[number]} has hours twice|Name each day of the week once")
            weekdays[number] = spans
    if missing := [name for number, name in enumerate(WEEKDAYS) if number not in weekdays]:
        raise ValueError(f"no hours for {' and '.join(missing)}|Add `{missing[0]}: {CLOSED}`, or when it is open")
    return Week(
        weekdays=tuple(weekdays[number] for number in range(7)),
        holidays=written.get(HOLIDAYS),
        makeup_days=written.get(MAKEUP_DAYS, weekdays[0]),
        said=frozenset(written),
    )


Day = Annotated[date, BeforeValidator(_date)]
Zone = Annotated[str, BeforeValidator(_zone)]
Hours = Annotated[
    tuple[Annotated[Span, BeforeValidator(_span)], ...],
    BeforeValidator(lambda value: () if value == CLOSED else listed(value)),
    AfterValidator(_apart),
]
HoursOrUsual = Annotated[Hours | None, BeforeValidator(_usual)]
Open = Annotated[
    dict[Annotated[str, BeforeValidator(_day_key)], HoursOrUsual],
    BeforeValidator(lambda value: value if isinstance(value, dict) else {EVERY_DAY: value}),
    AfterValidator(_week),
]


class HoursWords(Words):
    """``hours`` of a flow."""

    calendar: str | None = None
    timezone: Zone | None = None
    open: Open | None = None
    days: dict[Day, Hours] = Field(default_factory=dict)
    closed: str


class YearWords(Words):
    """The special days of a year, each with its name. ``guessed``: not officially announced yet."""

    guessed: bool = False
    holidays: dict[Day, str] = Field(default_factory=dict)
    makeup_days: dict[Day, str] = Field(default_factory=dict)


class CalendarWords(Words):
    """A calendar file, without its years."""

    timezone: Zone | None = None
    open: Open | None = None
    days: dict[Day, Hours] = Field(default_factory=dict)


@dataclass(frozen=True)
class SharedCalendar:
    """A checked calendar file."""

    words: CalendarWords
    years: dict[int, YearWords]

    def notes(self, today: date) -> Iterator[tuple[int | None, str, str]]:
        """Warnings about years that are missing or guessed: (the year's key, problem, remedy)."""
        if not self.years:
            return
        for year in (today.year, today.year + 1):
            if year not in self.years and (year == today.year or today.month >= _NOTICE_MONTH):
                remedy = f"Append what `hearline calendar draft {year}` writes"
                yield None, f"{year} is missing, so it has no holidays", remedy
        for year, words in self.years.items():
            if words.guessed and year >= today.year:
                remedy = "Draft it again, or correct it by the State Council's notice, then remove `guessed`"
                yield year, f"the days of {year} are a guess", remedy


# ---- reading ---------------------------------------------------------------------------------------------------------
def read_calendar(text: str, file: str, today: date) -> tuple[SharedCalendar, list[Fault]]:
    """Check a calendar file. Returns it, and its ``notes`` as faults with lines. Raises Rejected."""
    lines = YamlDocument(text, file)
    if not isinstance(lines.data, dict):
        remedy = "Begin with what `hearline calendar draft YEAR` writes"
        raise Rejected([Fault(file, 1, "this is not a calendar", remedy)])
    faults: list[Fault] = []
    words, years = CalendarWords(), {}
    try:
        words = CalendarWords.model_validate({key: value for key, value in lines.data.items() if type(key) is not int})
        faults += [lines.fault(*fault) for fault in _unsettled(words.open, True)]
    except ValidationError as error:
        faults += lines.faults(error, CalendarWords)
    for year, days in lines.data.items():
        if type(year) is not int:
            continue
        try:
            years[year] = YearWords.model_validate(days)
            faults += [lines.fault((year, *path), *what) for path, *what in _misplaced(year, years[year])]
        except ValidationError as error:
            faults += lines.faults(error, YearWords, (year,))
    if faults:
        raise Rejected(sorted(faults, key=lambda fault: fault.line))
    calendar = SharedCalendar(words, years)
    return calendar, [lines.fault((year,) if year else (), *what) for year, *what in calendar.notes(today)]


def _misplaced(year: int, words: YearWords) -> Iterator[tuple[tuple, str, str]]:
    for list_ in (HOLIDAYS, MAKEUP_DAYS):
        for day in getattr(words, list_):
            if day.year != year:
                yield (list_, day.isoformat()), f"{day} is not a day of {year}", f"Write it below `{day.year}:`"
    for day in words.holidays.keys() & words.makeup_days.keys():
        problem = f"{day} is both a holiday and a make-up day"
        yield (MAKEUP_DAYS, day.isoformat()), problem, "Keep one of the two"


def _unsettled(week: Week | None, has_calendar: bool) -> Iterator[tuple[tuple, str, str]]:
    """Faults of hours that say nothing about holidays, or name days that no calendar lists: (path, problem, remedy)."""
    if week is None:
        return
    if has_calendar and HOLIDAYS not in week.said and EVERY_DAY not in week.said:
        remedy = f"Add `{HOLIDAYS}: {CLOSED}`, their hours, or `{HOLIDAYS}: {AS_USUAL}`"
        yield ("open",), "hours by weekday must say what applies on holidays", remedy
    if not has_calendar:
        for key in week.said & {HOLIDAYS, MAKEUP_DAYS}:
            remedy = "Add `calendar: NAME` below `hours`, NAME being a file of the folder calendar/"
            yield ("open", key), f"only a calendar lists {key}, and these hours name none", remedy


def contradictions(hours: HoursWords, shared: SharedCalendar | None) -> Iterator[tuple[tuple, str, str]]:
    """Contradictions and omissions in a flow's hours: (path below ``hours``, problem, remedy)."""
    if shared and shared.words.timezone and hours.timezone:
        problem = f"the calendar {hours.calendar!r} sets the time zone already: {shared.words.timezone}"
        yield ("timezone",), problem, "Remove `timezone` here or there"
    if hours.open is None and not (shared and shared.words.open):
        yield ("open",), "'open' is missing in 'hours'", 'Add a line such as `open: "08:00-21:00"`'
    yield from _unsettled(hours.open, shared is not None)


def settled(hours: HoursWords | None, shared: SharedCalendar | None, zone: str) -> Calendar:
    """The calendar of a flow with these hours (None: always open). ``zone`` applies if none is written."""
    if hours is None:
        return Calendar(zone_named(zone))
    days: dict[date, Spans] = {}
    week = hours.open
    if shared:
        week = week or shared.words.open
        zone = shared.words.timezone or zone
        for year in shared.years.values():
            days |= dict.fromkeys(year.makeup_days, week.makeup_days)
            if week.holidays is not None:
                days |= dict.fromkeys(year.holidays, week.holidays)
        days |= shared.words.days
    return Calendar(zone_named(hours.timezone or zone), week.weekdays, days | hours.days)
