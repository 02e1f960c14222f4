"""Named periods: they follow each other without a gap, in both calendars, and are read as they are written."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.calendars import Calendar, PeriodKind, any_days, named, read_day, rolling, year_to_date
from domain.errors import ConfigurationError

CALENDARS = st.sampled_from(list(Calendar))
YEARS = st.integers(1990, 2099)
#: Kind -> how many of them a year has, and the letter before their number.
NUMBERS = {PeriodKind.MONTH: (12, ""), PeriodKind.QUARTER: (4, "Q"), PeriodKind.HALF: (2, "H")}
DAY = dt.timedelta(days=1)


def written(kind, year, number):
    """A period as the option takes it."""
    if kind is PeriodKind.YEAR:
        return str(year)
    return f"{year}-{NUMBERS[kind][1]}{number:02d}" if kind is PeriodKind.MONTH else f"{year}-{NUMBERS[kind][1]}{number}"


periods = st.one_of(
    *(
        st.builds(
            lambda kind, year, number, calendar: named(kind, written(kind, year, number), calendar=calendar),
            st.just(kind),
            YEARS,
            st.integers(1, NUMBERS.get(kind, (1, ""))[0]),
            CALENDARS,
        )
        for kind in (PeriodKind.MONTH, PeriodKind.QUARTER, PeriodKind.HALF, PeriodKind.YEAR)
    )
)


@given(periods)
def test_a_period_follows_the_one_before(period):
    """The previous period ends on the day before, has the same kind and calendar, and its name is read as itself."""
    previous = period.previous()
    assert previous.period.end + DAY == period.period.start
    assert (previous.kind, previous.calendar) == (period.kind, period.calendar)
    assert named(period.kind, period.name, calendar=period.calendar) == period


@given(YEARS, CALENDARS, st.sampled_from([PeriodKind.MONTH, PeriodKind.QUARTER, PeriodKind.HALF]))
def test_the_periods_of_a_year_are_the_year(year, calendar, kind):
    """The months, quarters and halves of a year begin and end with it."""
    whole = named(PeriodKind.YEAR, str(year), calendar=calendar).period
    count = NUMBERS[kind][0]
    first, last = (named(kind, written(kind, year, number), calendar=calendar).period for number in (1, count))
    assert (first.start, last.end) == (whole.start, whole.end)


@given(periods)
def test_last_year_is_a_year_earlier(period):
    """The same period last year ends in the same month of the year before."""
    last = period.last_year().period
    assert (last.end.year, last.end.month) == (period.period.end.year - 1, period.period.end.month)


@pytest.mark.parametrize(
    ("kind", "text", "calendar", "first", "last"),
    [
        (PeriodKind.MONTH, "2024-02", Calendar.CIVIL, "2024-02-01", "2024-02-29"),
        (PeriodKind.MONTH, "02/2024", Calendar.ND09, "2024-01-15", "2024-02-14"),
        (PeriodKind.MONTH, "1/2024", Calendar.ND09, "2023-12-15", "2024-01-14"),
        (PeriodKind.QUARTER, "Q1/2024", Calendar.CIVIL, "2024-01-01", "2024-03-31"),
        (PeriodKind.QUARTER, "2024-q1", Calendar.ND09, "2023-12-15", "2024-03-14"),
        (PeriodKind.HALF, "2024-H1", Calendar.ND09, "2023-12-15", "2024-06-14"),
        (PeriodKind.HALF, "2024-H2", Calendar.CIVIL, "2024-07-01", "2024-12-31"),
        (PeriodKind.YEAR, "2024", Calendar.ND09, "2023-12-15", "2024-12-14"),
        (PeriodKind.DAY, "29/02/2024", Calendar.CIVIL, "2024-02-29", "2024-02-29"),
    ],
)
def test_periods_of_the_decree(kind, text, calendar, first, last):
    """Điều 12 of Nghị định 09/2019/NĐ-CP: months end on the 14th, quarters and half-years on the 14th of their last month."""
    period = named(kind, text, calendar=calendar).period
    assert (str(period.start), str(period.end)) == (first, last)


def test_a_year_to_date_ends_with_yesterday():
    """Without a day it ends with yesterday; in the decree's calendar it begins on 15 December. Before it are the same days."""
    today = dt.date(2024, 8, 21)
    period = year_to_date(None, today=today)
    assert (str(period.period.start), str(period.period.end)) == ("2024-01-01", "2024-08-20")
    assert str(year_to_date(None, today=today, calendar=Calendar.ND09).period.start) == "2023-12-15"
    late = year_to_date(dt.date(2024, 12, 20), today=today, calendar=Calendar.ND09).period
    assert (str(late.start), str(late.end)) == ("2024-12-15", "2024-12-20")
    leap = year_to_date(dt.date(2024, 2, 29), today=today)
    assert leap.previous() == leap.last_year()
    assert (str(leap.previous().period.start), str(leap.previous().period.end)) == ("2023-01-01", "2023-02-28")


@given(st.integers(1, 1_000), st.dates(dt.date(2000, 1, 1), dt.date(2100, 1, 1)))
def test_rolling_days_and_those_before(days, today):
    """N days end with yesterday; before any days are as many."""
    period = rolling(days, today=today)
    assert period.period.days == days
    assert period.period.end == today - DAY
    assert period.previous().period.days == days
    assert period.previous().period.end == period.period.start - DAY


@pytest.mark.parametrize(
    ("read", "remedy"),
    [
        (lambda: named(PeriodKind.MONTH, "2024-13"), "2024-12"),
        (lambda: named(PeriodKind.QUARTER, "Q0/2024"), "2024-Q1"),
        (lambda: named(PeriodKind.QUARTER, "2024-Q5"), "2024-Q4"),
        (lambda: named(PeriodKind.HALF, "2024"), "2024-H2"),
        (lambda: named(PeriodKind.YEAR, "24"), "2024"),
        (lambda: named(PeriodKind.YEAR, "1900"), "1976"),
        (lambda: read_day("2023-02-29"), "2023-02-28"),
        (lambda: read_day("31/04/2024"), "2024-04-30"),
        (lambda: read_day("20240820"), "2024-08-20"),
        (lambda: read_day("8/20/2024"), "20/08/2024"),
        (lambda: rolling(0, today=dt.date(2024, 1, 1)), "1"),
        (lambda: named(PeriodKind.YEAR, "1976").previous(), "later"),
        (lambda: any_days(dt.date(2024, 2, 1), dt.date(2024, 1, 1)), "Swap"),
    ],
)
def test_a_wrong_period_names_the_nearest(read, remedy):
    """The error of a period that does not exist says what to write."""
    with pytest.raises(ConfigurationError) as caught:
        read()
    assert remedy in caught.value.remedy
