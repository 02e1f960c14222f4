"""When people are at work: whether a message may come now, and when it may come next."""

from __future__ import annotations

import datetime as dt

from dashboards.notify.recipients import OfficeHours
from domain.errors import ConfigurationError
from domain.periods import VIETNAM
from domain.working_days import WorkingDays

#: Tết is the longest break; a year without any working day is a mistake in the file.
_LONGEST_BREAK_DAYS = 60


def is_open(hours: OfficeHours, at: dt.datetime) -> bool:
    """Whether ``at`` is within office hours of a working day of Viet Nam."""
    local = at.astimezone(VIETNAM)
    return hours.start <= local.time() < hours.end and _works(hours, local.date())


def opens_next(hours: OfficeHours, at: dt.datetime) -> dt.datetime:
    """The next instant, from ``at`` on, that is within office hours.

    Raises:
        ConfigurationError: there is no working day within two months.
    """
    if is_open(hours, at):
        return at
    local = at.astimezone(VIETNAM)
    for days in range(_LONGEST_BREAK_DAYS):
        day = local.date() + dt.timedelta(days=days)
        opening = dt.datetime.combine(day, hours.start, tzinfo=VIETNAM)
        if opening >= local and _works(hours, day):
            return opening
    raise ConfigurationError("Office hours have no working day within two months.", remedy="Correct days and holidays.")


def _works(hours: OfficeHours, day: dt.date) -> bool:
    if day in hours.working_days:
        return True
    if day.weekday() not in hours.days or day in hours.holidays:
        return False
    # Weekends are the business of ``days``; the table of a year knows public holidays.
    try:
        return WorkingDays(working=_weekend(day)).is_working(day)
    except ConfigurationError:  # a year whose holidays are not known: a message on a holiday is better than none
        return True


def _weekend(day: dt.date) -> frozenset[dt.date]:
    return frozenset({day}) if day.weekday() >= 5 else frozenset()
