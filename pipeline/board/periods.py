"""The periods of the board, and the earlier one that each is compared with."""

from __future__ import annotations

import datetime as dt
import enum
from typing import Final

from domain.periods import Period, Window, civil_day

#: A year to date is compared with itself as it was so many days ago.
TREND_DAYS: Final = 30


class BoardPeriod(enum.StrEnum):
    """A period of the board; the value is the parameter ``period``."""

    DAY = "24h"
    MONTH = "month"
    YEAR = "ytd"

    @property
    def window(self) -> Window:
        """The window of the exported gauges over the same time."""
        return {BoardPeriod.DAY: Window.DAY, BoardPeriod.MONTH: Window.MONTH, BoardPeriod.YEAR: Window.YEAR}[self]

    def days(self, now: dt.datetime) -> Period:
        """The civil days that the period touches."""
        start, end = self.window.bounds(now)
        return Period(civil_day(start), civil_day(end - dt.timedelta(microseconds=1)))

    def previous_days(self, now: dt.datetime) -> Period | None:
        """The days that are compared with: as many of the month before; the year as it was ``TREND_DAYS`` ago.

        None for the last 24 hours, which are compared with those before, and for a year that was too short then.
        """
        days = self.days(now)
        if self is BoardPeriod.MONTH:
            end = days.start - dt.timedelta(days=1)
            start = end.replace(day=1)
            return Period(start, min(end, start + dt.timedelta(days=days.days - 1)))
        earlier = days.end - dt.timedelta(days=TREND_DAYS)
        return Period(days.start, earlier) if self is BoardPeriod.YEAR and earlier >= days.start else None


def board_period(text: str) -> BoardPeriod | None:
    """The period of a parameter, or None when there is no such period."""
    try:
        return BoardPeriod(text)
    except ValueError:
        return None
