"""The units for which figures are shown: those of the events' days, of today, or of another day after the period.

A dossier is stored for the unit of its event's day. A map of a later day joins units that were merged since: their counts are
summed, rates are never averaged. There is no map of a day before the end of the period: the code of a merged unit does not say
from which of the former units a dossier comes.
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
    """Assigns each stored unit to the unit under which a report shows it.

    Attributes:
        registry: the agencies and their successions.
        day: a report shows the units in force on this day; None: the units of the events' days.
        last: last day of the period. When ``day`` is None, a report lists the units of this day.
    """

    registry: AgencyRegistry
    day: dt.date | None
    last: dt.date

    @property
    def name(self) -> str:
        """The name of the map in options and reports: ``event``, or its day."""
        return EVENT_DAY if self.day is None else self.day.isoformat()

    def listed(self) -> tuple[Agency, ...]:
        """The units that a report lists even without figures, sorted by code: those that are expected to report."""
        return self.registry.expected(self.day or self.last)

    def codes_of(self, unit: str) -> tuple[str, ...]:
        """The stored units whose figures are shown under ``unit``, ascending."""
        return tuple(code for code in self.registry.codes if (found := self.unit_of(code)) is not None and found.code == unit)

    def unit_of(self, code: str) -> Agency | None:
        """The unit under which the figures of a stored unit are shown, with the name that it has on the day of the map.

        A unit that ended without a successor is shown as itself. None: the registry does not have ``code``.
        """
        day = self.day or self.last
        if self.day is not None and (responsible := self.registry.responsible(code, day)) is not None:
            return responsible
        spans = self.registry.spans(code)
        return next((row for row in reversed(spans) if row.valid_from <= day), spans[0]) if spans else None


def unit_map(text: str, *, registry: AgencyRegistry, period: Period, today: dt.date) -> UnitMap:
    """The map with the name ``text``: ``event``, ``today`` or a day.

    Raises:
        ConfigurationError: ``text`` is none of these, or the day lies before the end of the period.
    """
    if text == EVENT_DAY:
        return UnitMap(registry, None, period.end)
    try:
        day = today if text == TODAY else read_day(text)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{text[:40]!r} does not name units.", remedy="Write event, today, or a day such as 2025-07-01."
        ) from error
    if day < period.end:
        raise ConfigurationError(
            f"The units of {day} are older than the period, which ends on {period.end}: the code of a merged unit does not say "
            "from which of the former units a dossier comes.",
            remedy=f"Choose a day from {period.end} on, or event.",
        )
    return UnitMap(registry, day, period.end)
