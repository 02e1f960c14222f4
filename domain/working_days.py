"""Working days of Viet Nam: Monday to Friday without public holidays, and days that a decree exchanges.

Only this module uses the holidays library. A year whose holidays are not known is an error: a dossier could be judged late if a
holiday counted as a working day.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import holidays

from domain.errors import ConfigurationError

#: Earlier registrations have no figure that needs working days.
FIRST_YEAR: Final = 2016
_WEEKEND: Final = 5


@dataclass(frozen=True, slots=True)
class WorkingDays:
    """Which days are working days.

    Attributes:
        working: days that a decree made working days although they are weekends or holidays.
        off: days that a decree made days off.
    """

    working: Collection[dt.date] = frozenset()
    off: Collection[dt.date] = frozenset()

    def is_working(self, day: dt.date) -> bool:
        """Whether a day is a working day.

        Raises:
            ConfigurationError: the holidays of the day's year are not known.
        """
        if day in self.working:
            return True
        if day in self.off or day.weekday() >= _WEEKEND:
            return False
        return day not in _holidays(day.year)

    def next_after(self, day: dt.date) -> dt.date:
        """The first working day after ``day``.

        Raises:
            ConfigurationError: the holidays of a year that is looked at are not known.
        """
        following = day + dt.timedelta(days=1)
        while not self.is_working(following):
            following += dt.timedelta(days=1)
        return following


@functools.cache
def _holidays(year: int) -> frozenset[dt.date]:
    found = frozenset(holidays.country_holidays("VN", years=year)) if year >= FIRST_YEAR else frozenset()
    if not found:
        raise ConfigurationError(f"The public holidays of {year} are not known.", remedy="Choose another period.")
    return found
