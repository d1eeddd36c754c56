"""`hearline calendar`: drafts the holidays of a year from libraries that know them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Holidays for the opening hours.")

Days = dict[date, str]
NEEDS = "needs the holiday libraries, which the server never imports: pip install 'hearline[calendar]'"


@app.callback()
def calendar() -> None:
    """Makes this a group of verbs, although it has only one."""


@app.command()
def draft(year: Annotated[int, typer.Argument(metavar="YEAR", help="From 2004 on.", min=2004, max=2099)]) -> None:
    """Write the holidays of a year in mainland China, and the weekend days that are worked instead (调休).

    Days that the State Council has announced come from the library chinese-calendar. If it does not know the year yet,
    the library holidays works the days out by rule, but cannot know which days are swapped: then the year is marked
    `guessed`, and `hearline flow check` and the server remind you. What counts is the file: read, correct and check it.

    \b
      hearline calendar draft 2027 >> ivr_flows/calendar/china.yaml
      hearline flow check ivr_flows/calendar/china.yaml

    Exit status: 0 the year is written, 1 a library is missing.
    """
    try:
        text = "\n".join(_as_yaml(year, *(_announced(year) or _guessed(year)))) + "\n"
    except ImportError as error:
        _fail(f"{error.name}: {NEEDS}")
    typer.echo(text, nl=False)


def _announced(year: int) -> tuple[str, bool, Days, Days] | None:
    """(source, guessed, holidays, make-up workdays); None if they were not announced when the library was released."""
    import chinese_calendar

    names = {holiday.value: holiday.chinese for holiday in chinese_calendar.Holiday}
    holidays: Days = {}
    makeup_days: Days = {}
    for day in _days_of(year):
        try:
            is_free, name = chinese_calendar.get_holiday_detail(day)
        except NotImplementedError:
            return None
        if name:
            (holidays if is_free else makeup_days)[day] = names[name] if is_free else f"{names[name]}调休"
    return "chinese-calendar, as the State Council announced it", False, holidays, makeup_days


def _guessed(year: int) -> tuple[str, bool, Days, Days]:
    import holidays

    found = holidays.country_holidays("CN", years=year, language="zh_CN")
    return "holidays, by rule: not announced yet", True, dict(sorted(found.items())), {}


def _days_of(year: int) -> Iterator[date]:
    first = date(year, 1, 1)
    return (first + timedelta(number) for number in range((date(year + 1, 1, 1) - first).days))


def _as_yaml(year: int, source: str, guessed: bool, holidays: Days, makeup_days: Days) -> Iterator[str]:
    yield f"{year}:  # {source}"
    if guessed:
        yield "  guessed: true  # 补假 is a guess, 调休 is missing: correct by the official notice, then remove this"
    for word, days in (("holidays", holidays), ("makeup_days", makeup_days)):
        if days:
            yield f"  {word}:"
            yield from (f"    {day}: {name}" for day, name in days.items())


def _fail(problem: str) -> None:
    typer.secho(f"hearline calendar draft: {problem}", fg="red", err=True)
    raise typer.Exit(1)
