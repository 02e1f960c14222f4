"""The periods of the board, and the earlier period with which each is compared."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from domain.errors import ConfigurationError
from domain.periods import FIRST_DAY, LAST_DAY, Period, Window, civil_day, parse_day

#: A year to date is compared with itself as it was so many days ago.
TREND_DAYS: Final = 30
#: The name of days that a reader chose.
ANY: Final = "any"


class BoardPeriod(enum.StrEnum):
    """A period that ends now; the value is that of the parameter ``period``."""

    DAY = "24h"
    MONTH = "month"
    YEAR = "ytd"

    @property
    def window(self) -> Window:
        """The window of the exported gauges over the same time."""
        return {BoardPeriod.DAY: Window.DAY, BoardPeriod.MONTH: Window.MONTH, BoardPeriod.YEAR: Window.YEAR}[self]

    @property
    def compared(self) -> str:
        """The name of the earlier period: the 24 hours before, the month before, or the year ``TREND_DAYS`` days ago."""
        return {BoardPeriod.DAY: "24h", BoardPeriod.MONTH: "month", BoardPeriod.YEAR: f"{TREND_DAYS}d"}[self]

    def days(self, now: dt.datetime) -> Period:
        """The civil days that the period touches."""
        start, end = self.window.bounds(now)
        return Period(civil_day(start), civil_day(end - dt.timedelta(microseconds=1)))

    def day(self, now: dt.datetime) -> dt.date:
        """The day on which listed agencies are in force and on which series end: today."""
        return civil_day(now)

    def previous_days(self, now: dt.datetime) -> Period | None:
        """The civil days of the earlier period: as many of the month before, or those of the year up to ``TREND_DAYS`` days ago.

        None for the last 24 hours, which are compared with the 24 hours before, and for a year that is not older than that.
        """
        days = self.days(now)
        if self is BoardPeriod.MONTH:
            end = days.start - dt.timedelta(days=1)
            start = end.replace(day=1)
            return Period(start, min(end, start + dt.timedelta(days=days.days - 1)))
        earlier = days.end - dt.timedelta(days=TREND_DAYS)
        return Period(days.start, earlier) if self is BoardPeriod.YEAR and earlier >= days.start else None


@dataclass(frozen=True, slots=True)
class ChosenDays:
    """Civil days that a reader chose, both included: the parameters ``from`` and ``to`` of ``period=any``."""

    first: dt.date
    last: dt.date

    @property
    def value(self) -> str:
        """The value of the parameter ``period``: any."""
        return ANY

    @property
    def compared(self) -> str:
        """The name of the earlier period: as many days just before."""
        return "before"

    def days(self, _: dt.datetime) -> Period:
        """The chosen civil days."""
        return Period(self.first, self.last)

    def day(self, now: dt.datetime) -> dt.date:
        """The day on which listed agencies are in force and on which series end: the last chosen day, today at the latest."""
        return min(self.last, civil_day(now))

    def previous_days(self, _: dt.datetime) -> Period | None:
        """As many days just before the chosen ones; None when these begin before the first day that can be counted."""
        start = self.first.toordinal() - (self.last - self.first).days - 1
        if start < FIRST_DAY.toordinal():
            return None
        return Period(dt.date.fromordinal(start), self.first - dt.timedelta(days=1))


#: What the board can show.
AnyPeriod = BoardPeriod | ChosenDays


def board_period(parameters: Mapping[str, str]) -> AnyPeriod:
    """The period that the parameters of a request name; the year to date when they name none.

    Raises:
        ConfigurationError: no period has this name, or its days are missing or wrong.
    """
    text = parameters.get("period", BoardPeriod.YEAR.value)
    if text == ANY:
        return _chosen(parameters)
    if given := [name for name in ("from", "to") if name in parameters]:
        raise ConfigurationError(f"{given[0]} belongs to period={ANY}.", remedy=f"Write period={ANY}, or remove {given[0]}.")
    try:
        return BoardPeriod(text)
    except ValueError:
        names = ", ".join([*(each.value for each in BoardPeriod), ANY])
        raise ConfigurationError(f"There is no period {text[:40]!r}.", remedy=f"Use one of {names}.") from None


def _chosen(parameters: Mapping[str, str]) -> ChosenDays:
    remedy = f"Write period={ANY}&from=2024-01-01&to=2024-06-30, with days from {FIRST_DAY} to {LAST_DAY}."
    days = []
    for name in ("from", "to"):
        text = parameters.get(name, "")
        try:
            day = parse_day(text)
        except ValueError:
            raise ConfigurationError(f"{name} is not a day: {text[:40]!r}.", remedy=remedy) from None
        if not FIRST_DAY <= day <= LAST_DAY:
            raise ConfigurationError(f"{name} is {day}, which cannot be counted.", remedy=remedy)
        days.append(day)
    if days[1] < days[0]:
        raise ConfigurationError(f"The period ends ({days[1]}) before it starts ({days[0]}).", remedy="Swap from and to.")
    return ChosenDays(*days)
