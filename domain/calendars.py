"""Named periods of reports: month, quarter, half-year, year, year to date, rolling days, or any days; in two calendars.

A year of the civil calendar is 1 January to 31 December. In the calendar of Nghị định 09/2019/NĐ-CP, Điều 12 (``nd09``), a month
begins on the 15th of the month before and ends on the 14th. A quarter and a half-year begin on the 15th of the month before their
first month, a year on 15 December.
"""

from __future__ import annotations

import datetime as dt
import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from domain.errors import ConfigurationError
from domain.periods import FIRST_DAY, LAST_DAY, Period, parse_day


class Calendar(enum.StrEnum):
    """On which day months begin; the value is the name of the calendar in options and reports."""

    CIVIL = "civil"
    ND09 = "nd09"


class PeriodKind(enum.StrEnum):
    """The kind of a period; the value is the name of the kind in reports."""

    DAY = "day"
    MONTH = "month"
    QUARTER = "quarter"
    HALF = "half"
    YEAR = "year"
    YEAR_TO_DATE = "ytd"
    DAYS = "days"  # a rolling number of days, or any from-to


#: Months of the kinds that have a fixed number of them.
_MONTHS: Final[Mapping[PeriodKind, int]] = {
    PeriodKind.MONTH: 1,
    PeriodKind.QUARTER: 3,
    PeriodKind.HALF: 6,
    PeriodKind.YEAR: 12,
}
#: The letter before the number of a quarter or half-year, and their numbers in a year.
_LETTERS: Final = {PeriodKind.QUARTER: "Q", PeriodKind.HALF: "H"}
_EXAMPLES: Final = {
    PeriodKind.DAY: "2024-08-20",
    PeriodKind.MONTH: "2024-08",
    PeriodKind.QUARTER: "2024-Q3",
    PeriodKind.HALF: "2024-H2",
    PeriodKind.YEAR: "2024",
}
#: 20/08/2024: in Viet Nam the day comes first, always.
_LOCAL_DAY: Final = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})")
#: The first day of the nd09 month after which it is named is this day of the month before.
_ND09_FIRST: Final = 15
_MOST_DAYS: Final = (LAST_DAY - FIRST_DAY).days


@dataclass(frozen=True, slots=True)
class NamedPeriod:
    """A period of a report and its kind, from which the period before and that of last year follow.

    Attributes:
        kind: day, month, quarter, half-year, year, year to date, or any days.
        period: its civil days, both ends included.
        calendar: on which day months begin. Periods of the kinds ``days`` and ``day`` have the civil calendar.
    """

    kind: PeriodKind
    period: Period
    calendar: Calendar = Calendar.CIVIL

    @property
    def name(self) -> str:
        """The period as options write it: 2024-Q3, 2024-08, 2024, 2024-08-20; other kinds as days, 2024-01-01..2024-08-20."""
        months = _MONTHS.get(self.kind)
        if months is None:
            first, last = self.period.start.isoformat(), self.period.end.isoformat()
            return first if self.kind is PeriodKind.DAY else f"{first}..{last}"
        year, month = self.period.end.year, self.period.end.month
        if self.kind in _LETTERS:
            return f"{year}-{_LETTERS[self.kind]}{month // months}"
        return f"{year}" if self.kind is PeriodKind.YEAR else f"{year}-{month:02d}"

    def previous(self) -> NamedPeriod:
        """The period directly before this one. Before a year to date: the same days last year. Before N days: the N days before.

        Raises:
            ConfigurationError: that period begins before the first day that can be counted.
        """
        if self.kind is PeriodKind.YEAR_TO_DATE:
            return self.last_year()
        months = _MONTHS.get(self.kind)
        if months is None:
            return NamedPeriod(self.kind, _before(self.period), self.calendar)
        year, month = _shifted(self.period.end.year, self.period.end.month, -months)
        return _of_months(self.kind, year, month, self.calendar)

    def last_year(self) -> NamedPeriod:
        """The same period a year earlier; 29 February becomes 28 February.

        Raises:
            ConfigurationError: that period begins before the first day that can be counted.
        """
        if self.kind in _MONTHS:
            return _of_months(self.kind, self.period.end.year - 1, self.period.end.month, self.calendar)
        return NamedPeriod(self.kind, _checked(_year_before(self.period.start), _year_before(self.period.end)), self.calendar)


def read_day(text: str) -> dt.date:
    """Read a day as people write it: 2024-08-20 or 20/08/2024.

    Raises:
        ConfigurationError: ``text`` is not a day; the remedy names the last day of the month when the day's number is too large.
    """
    local = _LOCAL_DAY.fullmatch(text)
    iso = f"{local[3]}-{int(local[2]):02d}-{int(local[1]):02d}" if local else text
    try:
        return parse_day(iso)
    except ValueError as error:
        written = re.fullmatch(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", iso)
        nearest = ""
        if written and 1 <= int(written[2]) <= 12 and int(written[1]) >= 1 and int(written[3]) > 0:
            last = _last_of_month(int(written[1]), int(written[2]))
            nearest = f"The last day of that month is {last}."
        raise ConfigurationError(
            f"{text[:40]!r} is not a day.", remedy=nearest or "Write it as 2024-08-20 or 20/08/2024."
        ) from error


def any_days(first: dt.date, last: dt.date) -> NamedPeriod:
    """The period from one day to another, both included.

    Raises:
        ConfigurationError: ``last`` is before ``first``.
    """
    return NamedPeriod(PeriodKind.DAY if first == last else PeriodKind.DAYS, Period(first, last))


def rolling(days: int, *, today: dt.date) -> NamedPeriod:
    """The period of the last ``days`` whole days; yesterday is the last of them.

    Raises:
        ConfigurationError: ``days`` is below 1 or too large.
    """
    if not 1 <= days <= _MOST_DAYS:
        raise ConfigurationError(f"The number of days is {days}.", remedy=f"Write a number from 1 to {_MOST_DAYS}.")
    end = today - dt.timedelta(days=1)
    return any_days(end - dt.timedelta(days=days - 1), end)


def year_to_date(last: dt.date | None, *, today: dt.date, calendar: Calendar = Calendar.CIVIL) -> NamedPeriod:
    """The period from the first day of the year to ``last``, or to yesterday when ``last`` is None.

    Raises:
        ConfigurationError: the period begins before the first day that can be counted.
    """
    end = last or today - dt.timedelta(days=1)
    year = end.year + (calendar is Calendar.ND09 and (end.month, end.day) >= (12, _ND09_FIRST))
    start = _first_day(year, 1, calendar)
    return NamedPeriod(PeriodKind.YEAR_TO_DATE, _checked(start, end), calendar)


def named(kind: PeriodKind, text: str, *, calendar: Calendar = Calendar.CIVIL) -> NamedPeriod:
    """Read a month (2024-08, 08/2024), quarter (2024-Q3, Q3/2024), half-year (2024-H2, H2/2024), year (2024) or day.

    Raises:
        ConfigurationError: ``text`` is not a period of this kind; the remedy names the nearest one or shows the form.
    """
    if kind is PeriodKind.DAY:
        only = read_day(text)
        return any_days(only, only)
    year, number = _parts(kind, text)
    months = _MONTHS[kind]
    count = 12 // months
    if not FIRST_DAY.year <= year <= LAST_DAY.year - 1:
        raise ConfigurationError(
            f"{text!r} lies outside of what can be counted.", remedy=f"Write a year from {FIRST_DAY.year} to {LAST_DAY.year - 1}."
        )
    if not 1 <= number <= count:
        nearest = _written(kind, year, min(max(number, 1), count))
        raise ConfigurationError(f"{text!r} does not exist: a year has {count} of them.", remedy=f"The nearest is {nearest}.")
    return _of_months(kind, year, number * months, calendar)


def _parts(kind: PeriodKind, text: str) -> tuple[int, int]:
    """The year, and the number of the month, quarter or half-year in the year (1 for a whole year).

    Raises:
        ConfigurationError: ``text`` does not have the form of this kind.
    """
    letter = _LETTERS.get(kind, "")
    patterns = (
        (r"(?P<year>[0-9]{4})(?P<number>)",)
        if kind is PeriodKind.YEAR
        else (
            rf"(?P<year>[0-9]{{4}})-{letter}(?P<number>[0-9]{{1,2}})",
            rf"{letter}(?P<number>[0-9]{{1,2}})/(?P<year>[0-9]{{4}})",
        )
    )
    for pattern in patterns:
        if found := re.fullmatch(pattern, text.strip().upper()):
            return int(found["year"]), int(found["number"] or 1)
    raise ConfigurationError(f"{text[:40]!r} is not a {kind.value}.", remedy=f"Write it as {_EXAMPLES[kind]}.")


def _written(kind: PeriodKind, year: int, number: int) -> str:
    return f"{year}-{_LETTERS[kind]}{number}" if kind in _LETTERS else f"{year}-{number:02d}"


def _of_months(kind: PeriodKind, year: int, last_month: int, calendar: Calendar) -> NamedPeriod:
    """The period of this kind whose last month is ``last_month`` of ``year``."""
    first_year, first_month = _shifted(year, last_month, 1 - _MONTHS[kind])
    last = _last_of_month(year, last_month) if calendar is Calendar.CIVIL else dt.date(year, last_month, _ND09_FIRST - 1)
    return NamedPeriod(kind, _checked(_first_day(first_year, first_month, calendar), last), calendar)


def _first_day(year: int, month: int, calendar: Calendar) -> dt.date:
    if calendar is Calendar.CIVIL:
        return dt.date(year, month, 1)
    return dt.date(*_shifted(year, month, -1), _ND09_FIRST)


def _last_of_month(year: int, month: int) -> dt.date:
    return dt.date(*_shifted(year, month, 1), 1) - dt.timedelta(days=1)


def _shifted(year: int, month: int, by: int) -> tuple[int, int]:
    index = year * 12 + month - 1 + by
    return index // 12, index % 12 + 1


def _before(period: Period) -> Period:
    end = period.start - dt.timedelta(days=1)
    return _checked(end - dt.timedelta(days=period.days - 1), end)


def _year_before(day: dt.date) -> dt.date:
    try:
        return day.replace(year=day.year - 1)
    except ValueError:
        return day.replace(year=day.year - 1, day=28)


def _checked(start: dt.date, end: dt.date) -> Period:
    if start < FIRST_DAY:
        raise ConfigurationError(
            f"The period from {start} to {end} begins before {FIRST_DAY}, the first day that can be counted.",
            remedy="Choose a later period.",
        )
    return Period(start, end)
