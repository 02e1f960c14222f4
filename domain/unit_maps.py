"""By which units figures are shown: those of the events' days, of today, or of any later day.

A dossier counts for the unit of its event's day. A map joins units that were merged since: their counts are summed, rates are
never averaged. A map of an older day does not exist: the code of a merged unit does not say from which part a dossier comes.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

from domain.agencies import Agency, AgencyRegistry
from domain.calendars import read_day
from domain.errors import ConfigurationError
from domain.periods import Period

#: The names of the two maps that need no day.
EVENT_DAY: Final = "event"
TODAY: Final = "today"


@dataclass(frozen=True, slots=True)
class UnitMap:
    """Assigns the units of figures to the units of a report.

    Attributes:
        day: the units in force on this day; None: those of the events' days.
        last: last day of the period, whose units a report lists when ``day`` is None.
    """

    registry: AgencyRegistry
    day: dt.date | None
    last: dt.date

    @property
    def name(self) -> str:
        """``event``, or the day."""
        return EVENT_DAY if self.day is None else self.day.isoformat()

    def listed(self) -> tuple[Agency, ...]:
        """Every unit that a report lists even without figures: those that are expected to report. By code."""
        return self.registry.expected(self.day or self.last)

    def codes_of(self, unit: str) -> tuple[str, ...]:
        """The codes whose figures belong to a unit, ascending."""
        return tuple(code for code in self.registry.codes if (found := self.unit_of(code)) is not None and found.code == unit)

    def unit_of(self, code: str) -> Agency | None:
        """The unit to which the figures of a code belong, under the name that it has on the day of the map.

        A unit that ended without a successor stays itself. None: the registry does not have the code.
        """
        day = self.day or self.last
        if self.day is not None and (responsible := self.registry.responsible(code, day)) is not None:
            return responsible
        spans = self.registry.spans(code)
        return next((row for row in reversed(spans) if row.valid_from <= day), spans[0]) if spans else None


def unit_map(text: str, *, registry: AgencyRegistry, period: Period, today: dt.date) -> UnitMap:
    """The map that is named ``event``, ``today`` or by a day.

    Raises:
        ConfigurationError: it is not a name or a day, or the day lies before the end of the period.
    """
    if text == EVENT_DAY:
        return UnitMap(registry, None, period.end)
    try:
        day = today if text == TODAY else read_day(text)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"The units are {text[:40]!r}.", remedy="Write event, today, or a day such as 2025-07-01."
        ) from error
    if day < period.end:
        raise ConfigurationError(
            f"The units of {day} are older than the period, which ends on {period.end}: the code of a merged unit does not say "
            "from which part a dossier comes.",
            remedy=f"Choose a day from {period.end} on, or event.",
        )
    return UnitMap(registry, day, period.end)
