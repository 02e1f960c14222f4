"""Rates over the last ``RATE_DAYS`` days, one for each day: sparklines and series. Pure functions of daily ratios."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final

from domain.indicators import Ratio

#: Civil days of a sparkline, and of the rate that each of its points is.
SPARK_DAYS: Final = 30
RATE_DAYS: Final = 7
#: The sparkline of an agency without data.
NO_LINE: Final[list[int | None]] = [None] * SPARK_DAYS
_NONE: Final = Ratio(0, 0)


def first_day(last: dt.date, points: int = SPARK_DAYS) -> dt.date:
    """The first day whose ratio is needed for a line of ``points`` points, of which the newest is that of ``last``."""
    return last - dt.timedelta(days=points + RATE_DAYS - 2)


def sparklines(daily: Mapping[tuple[str, dt.date], Ratio], last: dt.date) -> dict[str, list[int | None]]:
    """Agency -> ``rolling`` over the ``SPARK_DAYS`` days that end with ``last``, of every agency with data in ``daily``."""
    days = [first_day(last) + dt.timedelta(days=number) for number in range(SPARK_DAYS + RATE_DAYS - 1)]
    codes = {code for code, _ in daily}
    return {code: rolling([daily.get((code, day), _NONE) for day in days]) for code in codes}


def rolling(days: Sequence[Ratio]) -> list[int | None]:
    """For each day the rate over it and the days before it, ``RATE_DAYS`` in all, in hundredths of a percent, cut.

    Begins with the first day that has enough days before it. A rate is None when its days have no data.
    """
    found: list[int | None] = []
    for end in range(RATE_DAYS, len(days) + 1):
        total = sum(days[end - RATE_DAYS : end], _NONE)
        found.append(None if total.no_data else total.numerator * 10_000 // total.denominator)
    return found
