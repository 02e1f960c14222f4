"""Counts for the metrics how many recently registered dossiers of each agency were accepted late (``domain.acceptance``)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from domain.acceptance import FIRST_DAY
from domain.agencies import AgencyRegistry
from domain.errors import ConfigurationError
from domain.periods import Period
from domain.unit_maps import UnitMap
from domain.working_days import WorkingDays
from sinks.contract.dossier_figures import DossierFigureReader, FigureQuestion

_GROUP: Final = "accepted-late"
#: Civil days of registrations that are judged together.
DAYS: Final = 7
_ONE_DAY: Final = dt.timedelta(days=1)
#: Longer than any row of days off.
_LONGEST_PAUSE: Final = 40


@dataclass(frozen=True, slots=True)
class AcceptedLate:
    """Counts the dossiers registered on the newest ``DAYS`` days for which the last day for an answer in time is over."""

    reader: DossierFigureReader
    registry: AgencyRegistry
    working_days: WorkingDays
    first_day: dt.date = FIRST_DAY

    def __call__(self, today: dt.date) -> Mapping[str, tuple[int, int]]:
        """Agency -> (accepted late, registered online), numbers of dossiers; empty when no day can be judged yet.

        Raises:
            SinkError: the storage does not answer.
        """
        try:
            deadlines = self._deadlines(today)
        except ConfigurationError:  # the holidays of the year are not known
            return {}
        if not deadlines:
            return {}
        period = Period(min(deadlines), max(deadlines))
        units = UnitMap(self.registry, today, today)
        found: dict[str, tuple[int, int]] = {}
        for (code, _), counts in self.reader.counts(_GROUP, FigureQuestion(period, today, deadlines=deadlines)).items():
            if (unit := units.unit_of(code)) is not None:
                late, registered = found.get(unit.code, (0, 0))
                found[unit.code] = (late + counts.get("accepted_late", 0), registered + counts.get("registered_online", 0))
        return found

    def _deadlines(self, today: dt.date) -> dict[dt.date, dt.date]:
        last = today - _ONE_DAY
        for _ in range(_LONGEST_PAUSE):
            if self.working_days.next_after(last) < today:
                break
            last -= _ONE_DAY
        days = (last - number * _ONE_DAY for number in range(DAYS))
        return {day: self.working_days.next_after(day) for day in days if day >= self.first_day}
