"""Past figures, with which present ones are compared: counts one week earlier, and how long each agency is usually quiet.

Past figures hardly change, so counts are read once a minute, and the days with events once an hour.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Final

from domain.periods import Window, civil_day, day_start
from domain.silence import HISTORY_DAYS, usual_pause
from domain.working_time import WORKING_DAY, WorkingTime
from pipeline.serving.window_counts import counts_within
from sinks.contract.tallies import Counts, TallyReader

#: Windows of which the figures of one week earlier are known.
COMPARED: Final = (Window.DAY, Window.WEEK)
#: Civil days that are looked at for the office hours since an event; longer silence counts as this long.
QUIET_DAYS: Final = 2 * HISTORY_DAYS
_WEEK: Final = dt.timedelta(days=7)
#: Working days that are usual for an agency whose newest event is older than what is looked at.
_RARE: Final = HISTORY_DAYS * 5 // 7


class Earlier:
    """Past figures for one collector. Only one thread at a time may call it."""

    def __init__(self, reader: TallyReader) -> None:
        self._reader = reader
        self._counted_at: dt.datetime | None = None
        self._counts: Mapping[Window, Mapping[str, Counts]] = {}
        self._looked_at: dt.datetime | None = None
        self._pauses: dict[str, int] = {}
        self._first_day: dt.date | None = None

    def counts(self, now: dt.datetime) -> Mapping[Window, Mapping[str, Counts]]:
        """For each window of ``COMPARED``, the counts of the same window one week earlier, by agency."""
        minute = now.replace(second=0, microsecond=0)
        if self._counted_at != minute:
            bounds = {window: window.bounds(now) for window in COMPARED}
            self._counts = {
                window: counts_within(self._reader, start - _WEEK, end - _WEEK) for window, (start, end) in bounds.items()
            }
            self._counted_at = minute
        return self._counts

    def quiet(
        self, now: dt.datetime, passed: WorkingTime, events: Mapping[str, dt.datetime], codes: Iterable[str]
    ) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """By agency: seconds of office hours since its newest event, and the longest such time that is usual for it.

        An agency that never sent an event counts from the first day on which any agency sent one, and has no usual time.
        """
        self._look_back(now, passed)
        begin = None if self._first_day is None else day_start(self._first_day)
        quiet = {code: passed.since(at) for code in codes if (at := events.get(code, begin)) is not None}
        usual = {code: float(WORKING_DAY * self._pauses.get(code, _RARE)) for code in quiet if code in events}
        return quiet, usual

    def _look_back(self, now: dt.datetime, passed: WorkingTime) -> None:
        hour = now.replace(minute=0, second=0, microsecond=0)
        if self._looked_at == hour:
            return
        today = civil_day(now)
        first = today - dt.timedelta(days=QUIET_DAYS)
        working = [passed.is_working(first + dt.timedelta(days=number)) for number in range(QUIET_DAYS + 1)]
        active = {code: days.nonzero()[0].tolist() for code, days in self._reader.active_days(first, today).items()}
        self._pauses = {code: usual_pause(days, working) for code, days in active.items()}
        self._first_day = min((first + dt.timedelta(days=days[0]) for days in active.values()), default=None)
        self._looked_at = hour
