"""Seconds of office hours between two instants, so that silence is measured only while somebody could have sent something.

Office hours are 08:00 to 17:00 in Viet Nam on working days. Nights, weekends and public holidays count as 0 seconds.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from domain.errors import ConfigurationError
from domain.periods import civil_day, day_start
from domain.working_days import WorkingDays

#: Office hours of a working day, as time after its midnight.
OPENS: Final = dt.timedelta(hours=8)
CLOSES: Final = dt.timedelta(hours=17)
#: Seconds of a working day.
WORKING_DAY: Final = int((CLOSES - OPENS).total_seconds())
_FRIDAY: Final = 5


class WorkingTime:
    """Seconds of office hours from any instant until ``now``. Every day is computed once, so that many instants cost little.

    Args:
        now: the present.
        working_days: which days are working days. In a year whose holidays are not known, Monday to Friday are working days.
        days: how many civil days before that of ``now`` are computed.
    """

    def __init__(self, now: dt.datetime, working_days: WorkingDays, *, days: int) -> None:
        self._now, self._working_days = now, working_days
        self._today = civil_day(now)
        self._seconds: dict[dt.date, float] = {}
        passed = self._open_seconds(self._today, until=now)
        self._seconds[self._today] = passed
        for number in range(1, days + 1):
            day = self._today - dt.timedelta(days=number)
            passed += WORKING_DAY if self.is_working(day) else 0
            self._seconds[day] = passed

    def is_working(self, day: dt.date) -> bool:
        """Whether a day is a working day. In a year whose holidays are not known: whether it is a Monday to Friday."""
        try:
            return self._working_days.is_working(day)
        except ConfigurationError:
            return day.isoweekday() <= _FRIDAY

    def since(self, instant: dt.datetime) -> float:
        """Seconds of office hours from ``instant`` to ``now``, counted at most from the midnight of the first computed day on."""
        day = civil_day(instant)
        if day >= self._today:
            return max(0.0, self._seconds[self._today] - self._open_seconds(self._today, until=min(instant, self._now)))
        if day not in self._seconds:
            return max(self._seconds.values())
        return self._seconds[day] - self._open_seconds(day, until=instant)

    def _open_seconds(self, day: dt.date, *, until: dt.datetime) -> float:
        if not self.is_working(day):
            return 0.0
        opened = (until - day_start(day) - OPENS).total_seconds()
        return min(max(opened, 0.0), float(WORKING_DAY))
