"""Reads counts of a window, of days or of a span of minutes: whole days from day tallies, the rest from minute tallies."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import astuple
from typing import Final

from domain.periods import Period, Window, civil_day, day_start
from sinks.contract.tallies import Counts, TallyReader

_ONE_DAY: Final = dt.timedelta(days=1)


def counts_in(reader: TallyReader, window: Window, now: dt.datetime) -> Mapping[str, Counts]:
    """Counts by agency in a window that ends now.

    Raises:
        SinkError: the storage does not answer.
    """
    period = window.period(now)
    if period is not None:
        return reader.counts_of_days(period.start, period.end)
    return counts_within(reader, *window.bounds(now))


def counts_within(reader: TallyReader, start: dt.datetime, end: dt.datetime) -> Mapping[str, Counts]:
    """Counts by agency from the minute ``start`` (included) to the minute ``end`` (not included).

    Raises:
        SinkError: the storage does not answer.
    """
    first, last = civil_day(start) + _ONE_DAY, civil_day(end) - _ONE_DAY
    if first > last:
        return reader.counts_between(start, end)
    parts = (
        reader.counts_between(start, day_start(first)),
        reader.counts_of_days(first, last),
        reader.counts_between(day_start(last + _ONE_DAY), end),
    )
    return _added(*parts)


def newest_counts_of_days(reader: TallyReader, days: Period, today: dt.date) -> Mapping[str, Counts]:
    """Counts by agency of civil days. ``today`` is read from the minute tallies: day tallies are made of them and are later.

    Raises:
        SinkError: the storage does not answer.
    """
    if not days.start <= today <= days.end:
        return reader.counts_of_days(days.start, days.end)
    parts = [reader.counts_between(*Period(today, today).instants())]
    if days.start < today:
        parts.append(reader.counts_of_days(days.start, today - _ONE_DAY))
    if today < days.end:
        parts.append(reader.counts_of_days(today + _ONE_DAY, days.end))
    return _added(*parts)


def _added(*parts: Mapping[str, Counts]) -> Mapping[str, Counts]:
    return {
        agency: Counts(*map(sum, zip(*(astuple(part[agency]) for part in parts if agency in part), strict=True)))
        for agency in set().union(*parts)
    }
