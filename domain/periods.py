"""Civil periods in Asia/Ho_Chi_Minh and rolling windows.

Published figures cover whole local days, both ends included; gauges cover windows that end now.
Viet Nam has UTC+7 all year, so a civil day always starts at 17:00 UTC of the day before.
"""

from __future__ import annotations

import datetime as dt
import enum
import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from domain.errors import ConfigurationError

#: The time zone of every civil day.
VIETNAM = ZoneInfo("Asia/Ho_Chi_Minh")
#: The same zone as a constant offset in minutes, for arithmetic on columns.
VIETNAM_OFFSET_MINUTES = 7 * 60
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
#: A time of a day may follow, and an offset the time. ISO 8601 knows more forms, weeks among them.
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?([Zz]|[+-][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?)?"
)
_EPOCH = dt.date(1970, 1, 1)
_OFFSET = dt.timedelta(minutes=VIETNAM_OFFSET_MINUTES)
#: The first and last civil day of an event. Earlier, Viet Nam had other offsets; later, the tables end (the minute of a tally is
#: a DateTime, which ends at 2106-02-07T06:28:15Z).
FIRST_DAY, LAST_DAY = dt.date(1976, 1, 1), dt.date(2106, 2, 6)
#: The first and the last millisecond of these days.
FIRST_INSTANT = dt.datetime(1975, 12, 31, 17, tzinfo=dt.UTC)
LAST_INSTANT = dt.datetime(2106, 2, 6, 16, 59, 59, 999_000, dt.UTC)


def civil_day(instant: dt.datetime) -> dt.date:
    """The civil day in Viet Nam of an aware instant."""
    return (instant.astimezone(dt.UTC) + _OFFSET).date()


def civil_day_of_number(number: int) -> dt.date:
    """The day ``number`` days after 1970-01-01."""
    return _EPOCH + dt.timedelta(days=number)


def parse_day(text: str) -> dt.date:
    """Read a day written as 2024-08-20. Other forms of ISO 8601 are refused: 2024-W33, a week, would be read as its Monday.

    Raises:
        ValueError: the text has another form, or there is no such day.
    """
    if _DAY.fullmatch(text) is None:
        raise ValueError("a day is written as 2024-08-20")
    return dt.date.fromisoformat(text)


def parse_instant(text: str) -> dt.datetime:
    """Read a day with a time, or a day alone, which means its midnight. Without an offset the result has no time zone.

    Raises:
        ValueError: the form is not 2024-08-20, 2024-08-20 08:00 or 2024-08-20T08:00:00+07:00, or there is no such time.
    """
    if _INSTANT.fullmatch(text) is None:
        raise ValueError("a time is written as 2024-08-20T08:00:00+07:00")
    return dt.datetime.fromisoformat(text.upper())


def day_start(day: dt.date) -> dt.datetime:
    """The first instant of a civil day in Viet Nam, in UTC."""
    return dt.datetime.combine(day, dt.time(), VIETNAM).astimezone(dt.UTC)


@dataclass(frozen=True, slots=True)
class Period:
    """Whole civil days from ``start`` to ``end``, both included."""

    start: dt.date
    end: dt.date

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ConfigurationError(
                f"The period ends ({self.end}) before it starts ({self.start}).", remedy="Swap --from and --to."
            )

    @property
    def days(self) -> int:
        """Number of civil days."""
        return (self.end - self.start).days + 1

    def instants(self) -> tuple[dt.datetime, dt.datetime]:
        """The first instant of the period, and the instant just after its last day, in UTC."""
        return day_start(self.start), day_start(self.end + dt.timedelta(days=1))


class Window(enum.StrEnum):
    """The windows of the exported gauges; the value is that of the label ``window``."""

    HOUR = "1h"
    DAY = "1d"
    WEEK = "7d"
    MONTH_OF_DAYS = "30d"
    MONTH = "month"
    YEAR = "ytd"

    def bounds(self, now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
        """Start and end of the window at ``now``, in UTC; the end is not part of it.

        Rolling windows end with the current minute. Civil windows (month, year to date) start at local midnight and end with the
        last instant of today.
        """
        if self in _ROLLING:
            end = now.astimezone(dt.UTC).replace(second=0, microsecond=0) + dt.timedelta(minutes=1)
            return end - _ROLLING[self], end
        today = civil_day(now)
        first = today.replace(day=1) if self is Window.MONTH else today.replace(month=1, day=1)
        return Period(first, today).instants()

    def period(self, now: dt.datetime) -> Period | None:
        """The civil days of the window at ``now``, or None for a rolling window."""
        if self in _ROLLING:
            return None
        start, end = self.bounds(now)
        return Period(civil_day(start), civil_day(end - dt.timedelta(microseconds=1)))


_ROLLING = {
    Window.HOUR: dt.timedelta(hours=1),
    Window.DAY: dt.timedelta(days=1),
    Window.WEEK: dt.timedelta(days=7),
    Window.MONTH_OF_DAYS: dt.timedelta(days=30),
}
