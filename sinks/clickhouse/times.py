"""Civil days and instants within the range of ClickHouse's types: any day may be asked for, and none wraps into another day."""

from __future__ import annotations

import datetime as dt
from typing import Final

#: The days of a Date. No row is outside of them: the validator accepts fewer.
FIRST_DAY: Final = dt.date(1970, 1, 1)
LAST_DAY: Final = dt.date(2149, 6, 6)
UNIX_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def storable_days(first: dt.date, last: dt.date) -> tuple[dt.date, dt.date] | None:
    """The part of a period (both days included) that fits a Date, or None when no part does."""
    if last < FIRST_DAY or first > LAST_DAY:
        return None
    return max(first, FIRST_DAY), min(last, LAST_DAY)


def clamped(instant: dt.datetime) -> dt.datetime:
    """The nearest instant that is within the days of a Date in every time zone."""
    earliest, latest = (dt.datetime.combine(day, dt.time(tzinfo=dt.UTC)) for day in (FIRST_DAY + dt.timedelta(days=1), LAST_DAY))
    return min(max(instant, earliest), latest)


def aware(instant: dt.datetime) -> dt.datetime:
    """An instant as the driver returns it, with the zone UTC where it has none."""
    return instant.replace(tzinfo=dt.UTC) if instant.tzinfo is None else instant


def to_seconds(instant: dt.datetime) -> str:
    """An aware instant as ClickHouse reads a DateTime in UTC."""
    return instant.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def to_milliseconds(instant: dt.datetime) -> str:
    """An aware instant as ClickHouse reads a DateTime64(3) in UTC."""
    return instant.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
