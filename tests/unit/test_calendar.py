"""The business calendar: the business day, and whether the line is open, in any zone, on any day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hearline.core.calendar import ALL_DAY, DAY_MIN, Calendar

SHANGHAI, BERLIN, NEW_YORK = map(ZoneInfo, ("Asia/Shanghai", "Europe/Berlin", "America/New_York"))


def span(text: str) -> tuple[int, int]:
    begins, ends = (int(clock[:2]) * 60 + int(clock[3:]) for clock in text.split("-"))
    return begins, ends if ends > begins else ends + DAY_MIN


def every_day(*spans: str):
    return (tuple(map(span, spans)),) * 7


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def at(text: str, zone: ZoneInfo, fold: int = 0) -> datetime:
    """In UTC: Python takes no ambiguous local time for equal to anything (PEP 495)."""
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(UTC)


# ---- which day it is -------------------------------------------------------------------------------------------------
def test_the_day_turns_at_midnight_in_the_zone_and_not_at_opening():
    calendar = Calendar(SHANGHAI)
    assert calendar.business_day(utc("2026-11-28 15:59:59.999")) == date(2026, 11, 28)
    assert calendar.business_day(utc("2026-11-28 16:00")) == date(2026, 11, 29)
    assert calendar.business_day(utc("2026-11-29 00:00")) == date(2026, 11, 29), "08:00 in Shanghai: the same day"


@pytest.mark.parametrize("machine", ["UTC", "America/Los_Angeles", "Asia/Shanghai"])
def test_the_machines_zone_does_not_matter(machine, machine_zone):
    machine_zone(machine)
    calendar = Calendar(SHANGHAI, every_day("08:00-21:00"))
    assert calendar.business_day(utc("2026-11-28 16:00")) == date(2026, 11, 29)
    assert calendar.day_begins(date(2026, 11, 29)) == utc("2026-11-28 16:00")
    assert not calendar.is_open(utc("2026-11-28 23:59:59")) and calendar.is_open(utc("2026-11-29 00:00"))


@pytest.mark.parametrize(
    ("zone", "day", "begins", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), "2026-03-28 23:00", 23),
        ("Europe/Berlin", date(2026, 10, 25), "2026-10-24 22:00", 25),
        ("America/New_York", date(2026, 3, 8), "2026-03-08 05:00", 23),
        ("America/New_York", date(2026, 11, 1), "2026-11-01 04:00", 25),
        ("Asia/Beirut", date(2026, 3, 29), "2026-03-28 22:00", 23),  # put forward at midnight: it begins at 01:00
        ("America/Havana", date(2026, 11, 1), "2026-11-01 04:00", 25),  # put back at 01:00: its first hour comes twice
        ("Australia/Lord_Howe", date(2026, 10, 4), "2026-10-03 13:30", 23.5),  # by half an hour
    ],
)
def test_a_day_on_which_the_clock_is_changed(zone, day, begins, hours):
    calendar = Calendar(ZoneInfo(zone))
    first = calendar.day_begins(day)
    assert first == utc(begins)
    assert calendar.day_begins(day + timedelta(1)) - first == timedelta(hours=hours)
    assert calendar.business_day(first) == day
    assert calendar.business_day(first - timedelta(microseconds=1)) == day - timedelta(1)


@pytest.mark.parametrize("ask", ["business_day", "is_open", "opens_next", "closes_next"])
def test_a_moment_without_a_zone_is_refused(ask):
    with pytest.raises(ValueError, match="aware"):
        getattr(Calendar(SHANGHAI), ask)(datetime(2026, 11, 29))


# ---- is it open? -----------------------------------------------------------------------------------------------------
WEEK = (every_day("09:00-12:00", "13:30-18:00")[0],) * 5 + ((), ())
OFFICE = Calendar(
    SHANGHAI,
    WEEK,
    {
        date(2026, 10, 1): (),  # a holiday
        date(2026, 10, 10): WEEK[0],  # a Saturday that is worked
        date(2026, 12, 31): (span("09:00-15:00"),),  # a special day
    },
)


@pytest.mark.parametrize(
    ("clock", "is_open"),
    [
        ("2026-09-30 08:59:59.999999", False),  # a Wednesday
        ("2026-09-30 09:00", True),
        ("2026-09-30 11:59:59.999999", True),
        ("2026-09-30 12:00", False),  # the break
        ("2026-09-30 13:29:59", False),
        ("2026-09-30 13:30", True),
        ("2026-09-30 18:00", False),
        ("2026-10-01 10:00", False),  # a Thursday, but a holiday
        ("2026-10-03 10:00", False),  # a Saturday
        ("2026-10-10 10:00", True),  # a Saturday that is worked
        ("2026-12-31 14:59", True),
        ("2026-12-31 15:00", False),
    ],
)
def test_weekdays_breaks_holidays_and_special_days(clock, is_open):
    assert OFFICE.is_open(at(clock, SHANGHAI)) is is_open


@pytest.mark.parametrize(
    ("clock", "opens", "closes"),
    [
        ("2026-09-30 10:00", "2026-09-30 10:00", "2026-09-30 12:00"),
        ("2026-09-30 12:10", "2026-09-30 13:30", "2026-09-30 12:10"),
        ("2026-09-30 18:00", "2026-10-02 09:00", "2026-09-30 18:00"),  # past the holiday
        ("2026-10-09 18:00", "2026-10-10 09:00", "2026-10-09 18:00"),  # on the Saturday that is worked
    ],
)
def test_when_it_opens_and_closes(clock, opens, closes):
    moment = at(clock, SHANGHAI)
    assert OFFICE.opens_next(moment) == at(opens, SHANGHAI)
    assert OFFICE.closes_next(moment) == at(closes, SHANGHAI)


def test_a_span_past_midnight_belongs_to_the_day_on_which_it_begins():
    fridays = Calendar(SHANGHAI, ((),) * 4 + ((span("22:00-06:00"),), (), ()))
    assert not fridays.is_open(at("2026-11-27 05:59", SHANGHAI)), "Thursday's night is closed"
    assert fridays.is_open(at("2026-11-27 22:00", SHANGHAI)) and fridays.is_open(at("2026-11-28 05:59", SHANGHAI))
    assert not fridays.is_open(at("2026-11-28 06:00", SHANGHAI))
    assert not fridays.is_open(at("2026-11-28 22:00", SHANGHAI))
    assert fridays.closes_next(at("2026-11-27 23:00", SHANGHAI)) == at("2026-11-28 06:00", SHANGHAI)
    assert fridays.business_day(at("2026-11-28 05:00", SHANGHAI)) == date(2026, 11, 28), "the day turns all the same"


def test_always_and_never():
    moment = utc("2026-11-29 12:00")
    assert Calendar(BERLIN).is_open(moment) and Calendar(BERLIN).closes_next(moment) is None
    never = Calendar(BERLIN, ((),) * 7)
    assert not never.is_open(moment) and never.opens_next(moment) is None
    once = Calendar(BERLIN, ((),) * 7, {date(2027, 11, 29): ALL_DAY})
    assert once.opens_next(moment) == at("2027-11-29 00:00", BERLIN), "a year ahead is seen"


# ---- zones whose clock is changed ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("zone", "hours", "clock", "opens"),
    [
        # A gap: there is no 02:30 on that day, so it opens when the clock shows something later.
        (BERLIN, "02:30-05:00", "2026-03-29 00:00", "2026-03-29T03:00+02:00"),
        (NEW_YORK, "02:30-05:00", "2026-03-08 00:00", "2026-03-08T03:00-04:00"),
        # Hours that lie within the gap alone do not exist on that day.
        (BERLIN, "02:15-02:45", "2026-03-29 00:00", "2026-03-30T02:15+02:00"),
        # The working hours of that day are those of any other, by the wall clock.
        (BERLIN, "08:00-21:00", "2026-03-29 00:00", "2026-03-29T08:00+02:00"),
        (NEW_YORK, "08:00-21:00", "2026-11-01 00:00", "2026-11-01T08:00-05:00"),
        # An overlap: 02:30 (in New York 01:30) comes twice; it opens the first time.
        (BERLIN, "02:30-05:00", "2026-10-25 00:00", "2026-10-25T02:30+02:00"),
        (NEW_YORK, "01:30-05:00", "2026-11-01 00:00", "2026-11-01T01:30-04:00"),
    ],
)
def test_it_opens_by_the_wall_clock(zone, hours, clock, opens):
    calendar = Calendar(zone, every_day(hours))
    assert calendar.opens_next(at(clock, zone)) == datetime.fromisoformat(opens)


@pytest.mark.parametrize(("zone", "day", "hour"), [(BERLIN, "2026-10-25", 2), (NEW_YORK, "2026-11-01", 1)])
def test_an_hour_that_comes_twice_is_open_both_times(zone, day, hour):
    calendar = Calendar(zone, every_day(f"{hour:02}:30-08:00"))
    early, late = f"{day} {hour:02}:29:59", f"{day} {hour:02}:30"
    assert [calendar.is_open(at(clock, zone, fold)) for fold in (0, 1) for clock in (early, late)] == [False, True] * 2
    first = at(late, zone)
    closes = calendar.closes_next(first)
    assert closes == first + timedelta(minutes=30), "when the clock is put back"
    assert calendar.opens_next(closes) == at(late, zone, fold=1)


def test_a_span_that_is_over_comes_back_with_the_hour():
    calendar = Calendar(BERLIN, every_day("01:00-02:30"))
    assert calendar.opens_next(at("2026-10-25 02:45", BERLIN)) == at("2026-10-25 02:00", BERLIN, fold=1)


def test_a_night_shift_over_the_change():
    calendar = Calendar(BERLIN, every_day("22:00-06:00"))
    for evening, hours in (("2026-03-28", 7), ("2026-10-24", 9), ("2026-11-24", 8)):
        begins = at(f"{evening} 22:00", BERLIN)
        assert calendar.closes_next(begins) - begins == timedelta(hours=hours)


# ---- clocks that jump ------------------------------------------------------------------------------------------------
def test_a_clock_that_jumps_leaves_nothing_behind():
    moments = ["2026-09-30 11:59", "2026-10-10 10:00", "2026-09-30 12:00", "2026-10-01 10:00", "2026-09-30 11:59"]
    assert [OFFICE.is_open(at(moment, SHANGHAI)) for moment in moments] == [True, True, False, False, True]
    assert OFFICE.opens_next(at(moments[3], SHANGHAI)) > OFFICE.opens_next(at(moments[4], SHANGHAI))


# ---- against a slow reference ----------------------------------------------------------------------------------------
STEP = timedelta(minutes=15)
ZONES = ["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "America/Havana"]


def slow_is_open(calendar: Calendar, moment: datetime) -> bool:
    """Spelt out with naive wall-clock times."""
    wall = moment.astimezone(calendar.zone).replace(tzinfo=None)
    for day in (wall.date() - timedelta(1), wall.date()):
        midnight = datetime(day.year, day.month, day.day)
        for begins, ends in calendar.days.get(day, calendar.week[day.weekday()]):
            if midnight + timedelta(minutes=begins) <= wall < midnight + timedelta(minutes=ends):
                return True
    return False


quarter = st.integers(0, 95).map(lambda n: n * 15)
some_spans = st.lists(
    st.tuples(quarter, quarter).map(lambda s: (s[0], s[1] if s[1] > s[0] else s[1] + DAY_MIN)), max_size=3
).map(tuple)
# Around the changes of 2026, where it matters.
CHANGES = [(3, 7), (3, 28), (4, 4), (10, 3), (10, 24), (10, 31), (6, 1)]
some_days = st.sampled_from([date(2026, month, day) for month, day in CHANGES])


@settings(max_examples=60, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    week=st.lists(some_spans, min_size=7, max_size=7).map(tuple),
    days=st.dictionaries(some_days.map(lambda day: day + timedelta(1)), some_spans, max_size=3),
    start=st.tuples(some_days, st.integers(0, 95)),
)
@example("Europe/Berlin", every_day("02:30-02:45"), {}, (date(2026, 3, 28), 0))
@example("Asia/Beirut", every_day("00:30-23:45"), {}, (date(2026, 3, 28), 90))
def test_it_agrees_with_a_slow_reference(zone, week, days, start):
    calendar = Calendar(ZoneInfo(zone), week, days)
    first = datetime.combine(start[0], datetime.min.time(), UTC) + start[1] * STEP
    moments = [first + n * STEP for n in range(9 * 96)]
    told = [slow_is_open(calendar, moment) for moment in moments]
    assert [calendar.is_open(moment) for moment in moments] == told
    for number in range(0, 96, 7):
        for wanted, ask in ((True, calendar.opens_next), (False, calendar.closes_next)):
            found = next((m for m, is_open in zip(moments[number:], told[number:]) if is_open is wanted), None)
            answer = ask(moments[number])
            if found is None:
                assert answer is None or answer > moments[-1]
            else:
                assert answer == found


@settings(max_examples=200, deadline=None)
@given(zone=st.sampled_from(ZONES), moment=st.datetimes(datetime(2020, 1, 1), datetime(2037, 1, 1)))
def test_a_moment_lies_within_its_day(zone, moment):
    calendar, moment = Calendar(ZoneInfo(zone)), moment.replace(tzinfo=UTC)
    day = calendar.business_day(moment)
    assert calendar.day_begins(day) <= moment < calendar.day_begins(day + timedelta(1))
