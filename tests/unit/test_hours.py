"""Opening hours as written in flows and calendar files: their meaning, what is rejected, and with which message."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from textwrap import dedent, indent
from zoneinfo import ZoneInfo, reset_tzpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearline.call.flow import FlowError, read_flow, read_profiles
from hearline.call.hours import read_calendar
from hearline.core.zones import UnknownZone, zone_named
from hearline.server.flow_store import FlowStore, prompts_of

REPO = Path(__file__).resolve().parents[2]
PROFILES = read_profiles((REPO / "ivr_flows/profiles.yaml").read_text(), "profiles.yaml")
PROMPTS = prompts_of(REPO / "sounds")
SHANGHAI = ZoneInfo("Asia/Shanghai")
TODAY = date(2026, 6, 1)
FLOW = """\
begin: hello
hours:
{hours}
  closed: bye
steps:
  hello: {{play: opening, on: {{noinput: queue, speech: queue}}}}
  bye: {{play: closed, wait: 0s, on: {{noinput: message}}}}
"""
CHINA = """\
timezone: Asia/Shanghai
days:
  2026-12-31: "09:00-15:00"
2026:
  holidays:
    2026-10-01: 国庆节
    2026-10-02: 国庆节
  makeup_days:
    2026-10-10: 国庆节调休
"""
OFFICE = """\
  calendar: china
  open:
    mon-thu: ["09:00-12:00", "13:30-18:00"]
    fri: ["09:00-12:00", "13:30-17:00"]
    sat-sun: closed
    holidays: {holidays}
"""


def flow(hours: str, calendar: str = CHINA, zone: str = "Asia/Shanghai"):
    def named(name: str):
        if name != "china":
            raise FileNotFoundError(name)
        return read_calendar(calendar, "calendar/china.yaml", TODAY)[0]

    hours = indent(dedent(hours.strip("\n")), "  ")
    return read_flow(FLOW.format(hours=hours), "f.yaml", "f", PROFILES, PROMPTS, calendar_named=named, zone=zone)


def faults(hours: str, calendar: str = CHINA) -> list[str]:
    with pytest.raises(FlowError) as told:
        flow(hours, calendar)
    return [str(fault) for fault in told.value.faults]


def open_at(hours: str, *clocks: str, calendar: str = CHINA) -> list[bool]:
    settled = flow(hours, calendar)
    return [settled.begin_at(datetime.fromisoformat(clock).replace(tzinfo=SHANGHAI)) == "hello" for clock in clocks]


# ---- the hours of before ---------------------------------------------------------------------------------------------
def before(text: str, wall: time) -> bool:
    """What `open` meant when it held for every day: word for word."""
    found = re.fullmatch(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)", text)
    h1, m1, h2, m2 = map(int, found.groups())
    begins, ends = time(h1 % 24, m1), time(h2 % 24, m2)
    return begins <= wall < ends if begins < ends else not ends <= wall < begins


clock = st.tuples(st.integers(0, 24), st.integers(0, 59)).map(lambda hm: f"{hm[0]:02}:{hm[1]:02}")


@given(span=st.tuples(clock, clock).map("-".join), minute=st.integers(0, 7 * 24 * 60))
def test_a_span_for_every_day_means_what_it_meant(span, minute):
    wall = datetime(2026, 9, 28) + timedelta(minutes=minute)  # holidays among them
    assert open_at(f'open: "{span}"', wall.isoformat()) == [before(span, wall.time())]


@pytest.mark.parametrize("span", ["08:00-21:00", "22:00-06:00", "00:00-24:00", "24:00-08:00", "08:00-08:00"])
@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Europe/Berlin", "America/New_York"])
def test_so_it_does_where_the_clock_is_changed(span, zone):
    settled = flow(f'open: "{span}"\ntimezone: {zone}')
    for first in (datetime(2026, 3, 7), datetime(2026, 3, 28), datetime(2026, 10, 24), datetime(2026, 10, 31)):
        for quarter in range(3 * 96):
            moment = first.replace(tzinfo=UTC) + quarter * timedelta(minutes=15)
            wall = moment.astimezone(ZoneInfo(zone)).time()
            assert (settled.begin_at(moment) == "hello") is before(span, wall), moment


def test_hours_without_a_zone_are_the_sites():
    noon = datetime(2026, 10, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    assert flow('open: "11:59-12:01"', zone="Europe/Berlin").begin_at(noon) == "hello"
    assert flow('open: "11:59-12:01"').begin_at(noon) == "bye"
    assert flow('open: "11:59-12:01"\ntimezone: Europe/Berlin').begin_at(noon) == "hello"


def test_the_store_hands_the_sites_zone_on(tmp_path):
    folder = shutil.copytree(REPO / "ivr_flows", tmp_path / "flows")
    (folder / "mine.yaml").write_text('like: hotline\nhours: {open: "08:00-21:00", closed: closed}\n', "utf-8")
    store = FlowStore(folder, REPO / "sounds", "Europe/Berlin")
    store.refresh()
    flows = store.flows
    assert (flows["mine"].calendar.zone.key, flows["hotline"].calendar.zone.key) == ("Europe/Berlin", "Asia/Shanghai")


# ---- weekdays, breaks, holidays, special days ------------------------------------------------------------------------
def test_weekdays_and_breaks():
    tuesday = [f"2026-09-29 {clock}" for clock in ("08:59", "09:00", "11:59", "12:00", "13:30", "17:59", "18:00")]
    assert open_at(OFFICE.format(holidays="closed"), *tuesday) == [False, True, True, False, True, True, False]
    friday = [f"2026-09-25 {clock}" for clock in ("16:59", "17:00")]
    assert open_at(OFFICE.format(holidays="closed"), *friday) == [True, False]
    assert open_at(OFFICE.format(holidays="closed"), "2026-09-26 10:00", "2026-09-27 10:00") == [False, False]


@pytest.mark.parametrize(
    ("holidays", "ten", "eleven"), [("closed", False, False), ('"10:30-12:00"', False, True), ("as usual", True, True)]
)
def test_holidays_have_hours_of_their_own_or_none_or_the_usual_ones(holidays, ten, eleven):
    days = "2026-10-01 10:00", "2026-10-01 11:00", "2026-10-05 10:00"
    assert open_at(OFFICE.format(holidays=holidays), *days) == [ten, eleven, True]


def test_a_saturday_that_is_worked_is_as_a_monday_unless_said():
    hours = OFFICE.format(holidays="closed")
    late = "2026-10-10 17:30"
    assert open_at(hours, "2026-10-10 10:00", late, "2026-10-17 10:00") == [True, True, False]
    assert open_at(hours + '    makeup_days: "09:00-17:00"\n', "2026-10-10 10:00", late) == [True, False]
    assert open_at(hours + "    makeup_days: closed\n", "2026-10-10 10:00") == [False]


def test_special_days_come_before_all_and_the_flows_before_the_calendars():
    hours = OFFICE.format(holidays="closed")
    clocks = "2026-12-31 14:59", "2026-12-31 15:00", "2026-10-01 10:00"
    assert open_at(hours, *clocks) == [True, False, False]
    hours += '  days: {2026-12-31: closed, 2026-10-01: ["08:00-11:00"]}\n'
    assert open_at(hours, *clocks) == [False, False, True]


def test_every_day_is_every_day():
    assert open_at('calendar: china\nopen: "08:00-21:00"', "2026-10-01 10:00", "2026-10-03 10:00") == [True, True]


def test_a_calendar_may_say_the_hours_and_a_flow_others():
    calendar = CHINA + "open: {mon-fri: '09:00-18:00', sat-sun: closed, holidays: closed}\n"
    clocks = "2026-09-30 19:00", "2026-10-01 10:00", "2026-09-30 10:00"
    assert open_at("calendar: china", *clocks, calendar=calendar) == [False, False, True]
    assert open_at('calendar: china\nopen: "08:00-20:00"', *clocks, calendar=calendar) == [True, True, True]


def test_a_night_shift_goes_on_into_a_day_that_is_closed():
    hours = 'open: {fri: "22:00-06:00", sat-thu: closed}'
    assert open_at(hours, "2026-09-25 05:00", "2026-09-25 23:00", "2026-09-26 05:59", "2026-09-26 06:00") == [
        *(False, True, True, False)
    ]


# ---- what is wrong ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("hours", "line", "says"),
    [
        ('open: "8-21"', 3, "hours.open: '8-21' is not a span of hours. Write it as \"08:00-21:00\""),
        ('open: "08：00-21:00"', 3, "it holds '：' (fullwidth colon)"),
        ('open: "08:00–21:00"', 3, "it holds '–' (en dash)"),
        ('open: ["09:00-12:00", "11:00-18:00"]', 3, "two spans overlap at 11:00"),
        ('open:\n  - "09:00-12:00"\n  - "13-18"', 5, "'13-18' is not a span of hours"),
        ('open: {mon-fri: "09:00-18:00"}', 3, "no hours for sat and sun. Add `sat: closed`"),
        ('open:\n  mon-sat: "09:00-18:00"\n  sat-sun: closed', 3, "sat has hours twice"),
        ('open:\n  mon-sat: "09:00-18:00"\n  sunday: closed', 5, "'sunday' is not a day of the week. Write mon, tue"),
        ('open:\n  mon-sat: "09:00-18:00"\n  sun:', 5, "the hours are missing"),
        ('open:\n  mon-sat: "09:00-18:00"\n  sun: as usual', 3, "sun: only holidays can be `as usual`"),
        ('open:\n  mon-sun: "09:00-18:00"\n  holidays: closed', 5, "only a calendar lists holidays, and these hours"),
        ('calendar: china\nopen:\n  mon-sat: "09:00-18:00"\n  sun: closed', 4, "Add `holidays: closed`"),
        ('calendar: chnia\nopen: "09:00-18:00"', 3, "there is no calendar 'chnia'. Name a file of the folder"),
        ("calendar: china", 2, "'open' is missing in 'hours'"),
        ("timezone: Asia/Shanghai", 2, "'open' is missing in 'hours'"),
        ('calendar: china\ntimezone: Europe/Berlin\nopen: "09:00-18:00"', 4, "the calendar 'china' sets the time zone"),
        ('open: "09:00-18:00"\ntimezone: Asia/Shangai', 4, "Did you mean 'Asia/Shanghai'?"),
        ('open: "09:00-18:00"\ntimezone: ../etc/passwd', 4, "is not a known time zone. Write a name of the tz"),
        ('open: "09:00-18:00"\ndays:\n  2026-02-30: closed', 5, "there is no 2026-02-30"),
        ('open: "09:00-18:00"\ndays:\n  20260201: closed', 5, "20260201 is not a date. Write it as 2027-02-05"),
        ('open: "09:00-18:00"\ndays:\n  2026-02-01: close', 5, "'close' is not a span of hours"),
        ('opened: "09:00-18:00"', 3, "Did you mean 'open'?"),
    ],
)
def test_a_fault_in_the_hours_names_file_line_and_remedy(hours, line, says):
    found = faults(hours)
    assert any(fault.startswith(f"f.yaml:{line}: ") and says in fault for fault in found), found


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("2026-10-02", "2026-10-32", 7, "there is no 2026-10-32"),
        ("2026-10-02", "2027-10-02", 7, "2027-10-02 is not a day of 2026. Write it below `2027:`"),
        ("2026-10-10", "2026-10-01", 9, "both a holiday and a make-up day"),
        ("    2026-10-02", "    2026-10-01", 7, "a second time"),
        ("makeup_days", "makeupdays", 8, "Did you mean 'makeup_days'?"),
        ("Asia/Shanghai", "Asia/Beijing", 1, "all of China is Asia/Shanghai"),
        ('"09:00-15:00"', "09-15", 3, "'09-15' is not a span of hours"),
        ("2026:\n", "open: {mon-sun: '09:00-18:00', tue: closed}\n2026:\n", 4, "tue has hours twice"),
        ("2026:\n", "open: {mon-fri: '09:00-18:00', sat-sun: closed}\n2026:\n", 4, "Add `holidays: closed`"),
        ("2026:\n", "2025:\n2026:\n", 4, "2025: None has no words"),
        ("2026:\n", "year:\n", 4, "unknown word 'year'"),
        ("国庆节调休", "", 9, "is not text"),
        (CHINA, "", 1, "this is not a calendar"),
        (CHINA, "- 2026-10-01", 1, "this is not a calendar"),
    ],
)
def test_a_fault_in_a_calendar_names_file_line_and_remedy(old, new, line, says):
    assert old in CHINA
    with pytest.raises(FlowError) as told:
        read_calendar(CHINA.replace(old, new, 1), "c.yaml", TODAY)
    found = [str(fault) for fault in told.value.faults]
    assert any(fault.startswith(f"c.yaml:{line}: ") and says in fault for fault in found), found


@pytest.mark.parametrize(
    ("years", "today", "says"),
    [
        ("2026: {holidays: {}}", "2026-11-30", []),
        ("2026: {holidays: {}}", "2026-12-01", ["c.yaml:1: 2027 is missing"]),
        ("2026: {holidays: {}}", "2027-01-01", ["c.yaml:1: 2027 is missing"]),
        ("2026: {}\n2027: {guessed: true}", "2026-11-29", ["c.yaml:2: the days of 2027 are a guess"]),
        ("2026: {guessed: true}\n2027: {}", "2027-11-29", []),
        ("open: '08:00-21:00'", "2027-01-01", []),
    ],
)
def test_a_year_that_is_missing_or_guessed_is_pointed_out(years, today, says):
    notes = list(map(str, read_calendar(years, "c.yaml", date.fromisoformat(today))[1]))
    assert len(notes) == len(says) and all(note.startswith(said) for note, said in zip(notes, says)), notes


# ---- time-zone data --------------------------------------------------------------------------------------------------
@pytest.fixture
def no_zone_data(monkeypatch):
    """A machine without the tz database, and without the package that brings it."""
    for name in ["tzdata", *(name for name in sys.modules if name.startswith("tzdata."))]:
        monkeypatch.setitem(sys.modules, name, None)
    reset_tzpath([])
    ZoneInfo.clear_cache()
    yield
    reset_tzpath()
    ZoneInfo.clear_cache()


def test_a_machine_without_time_zone_data_is_told_to_install_it(no_zone_data):
    with pytest.raises(UnknownZone, match="'Asia/Shanghai' cannot be looked up: .* pip install tzdata"):
        zone_named("Asia/Shanghai")
    [fault] = faults('open: "08:00-21:00"\ntimezone: Asia/Shanghai')
    assert fault.startswith("f.yaml:4: ") and fault.endswith("Install it: pip install tzdata"), fault


# ---- the store -------------------------------------------------------------------------------------------------------
class Store:
    """A FlowStore whose hotline goes by a calendar, and a clock that is set by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = shutil.copytree(REPO / "ivr_flows", folder)
        self.calendar = self.folder / "calendar" / "china.yaml"
        self.calendar.write_text(CHINA, "utf-8")
        hotline = self.folder / "hotline.yaml"
        text = hotline.read_text("utf-8").replace("  timezone: Asia/Shanghai\n", "")
        hours = '  calendar: china\n  open: {mon-sun: "08:00-21:00", holidays: closed}\n'
        hotline.write_text(re.sub(r"  open: .*\n", hours, text), "utf-8")
        self.now = datetime(2026, 9, 30, 4, tzinfo=UTC)

    def start(self) -> FlowStore:
        self.flows = FlowStore(self.folder, REPO / "sounds", now=lambda: self.now)
        self.flows.refresh()
        return self.flows

    def edit(self, old: str, new: str, file: str = "calendar/china.yaml") -> None:
        path = self.folder / file
        stat, text = path.stat(), path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new), "utf-8")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))  # however coarse the file system's clock

    def is_open(self, day: str) -> bool:
        self.flows.refresh()
        noon = datetime.fromisoformat(f"{day} 12:00").replace(tzinfo=SHANGHAI)
        return self.flows.for_number("95160")[0].begin_at(noon) == "opening"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "flows")


def test_an_edit_of_a_calendar_counts_from_the_next_call_and_a_broken_one_does_not(store, caplog):
    assert store.start().rejected == {}
    assert [store.is_open(day) for day in ("2026-10-01", "2026-10-03")] == [False, True]
    store.edit("    2026-10-02", "    2026-10-03: 国庆节\n    2026-10-02")
    assert not store.is_open("2026-10-03")
    store.edit("    2026-10-02: 国庆节", "    2026-10-02 国庆节")
    assert not store.is_open("2026-10-03"), "what was loaded before stays"
    assert "calendar/china.yaml" in store.flows.rejected and "china.yaml:" in caplog.text
    store.edit("    2026-10-02 国庆节", "    2026-10-04: 国庆节")
    assert not store.is_open("2026-10-04") and store.flows.rejected == {}


def test_a_flow_can_be_edited_while_its_calendar_is_broken(store):
    store.start()
    store.edit("    2026-10-02: 国庆节", "    2026-10-02 国庆节")
    store.edit("08:00-21:00", "13:00-21:00", "hotline.yaml")
    assert not store.is_open("2026-10-05"), "the flow's edit is in force"
    store.edit("13:00-21:00", "11:00-21:00", "hotline.yaml")
    assert [store.is_open(day) for day in ("2026-10-02", "2026-10-05")] == [False, True], "with the calendar of before"
    assert list(store.flows.rejected) == ["calendar/china.yaml"]


def test_a_calendar_that_is_taken_away_changes_nothing(store):
    store.start()
    store.calendar.unlink()
    assert not store.is_open("2026-10-01")
    assert "there is no calendar 'china'" in store.flows.rejected["hotline.yaml"]


def test_a_calendar_that_is_broken_from_the_start_costs_only_the_flows_that_name_it(store):
    store.edit("2026-10-02", "2026-10-32")
    flows = store.start()
    assert "china.yaml:7: " in flows.rejected["calendar/china.yaml"]
    assert "china.yaml:7: " in flows.rejected["hotline.yaml"]
    assert "nuisance" in flows.flows and "hotline" not in flows.flows
    with pytest.raises(LookupError):  # straight to the queue, and not to whichever flow is left
        flows.for_number("95160")


def test_only_a_calendar_in_use_is_pointed_out_and_every_month_anew(store, caplog):
    caplog.set_level(logging.WARNING)
    (store.calendar.parent / "other.yaml").write_text("2020: {}\n", "utf-8")
    flows = store.start()
    assert flows.notes == {} and not caplog.records
    store.now = datetime(2026, 12, 1, tzinfo=UTC)
    assert flows.refresh()
    [note] = flows.notes.values()
    assert "2027 is missing" in note and "hearline calendar draft 2027" in note and note in caplog.text
    assert not flows.refresh()


def test_a_clock_that_jumps_takes_nothing_with_it(store):
    store.start()
    for when in (2030, 2026, 2020, 2026):
        store.now = store.now.replace(year=when)
        assert [store.is_open(day) for day in ("2026-10-01", "2026-10-03")] == [False, True]
    assert store.flows.rejected == {} and store.flows.notes == {}
