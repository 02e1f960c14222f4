"""Which agency counts the dossiers of a portal before and after a merger."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from domain.agencies import AgencyRegistry
from domain.periods import Period
from producers.portals.schedule import day_number


@dataclass(frozen=True, slots=True)
class Succession:
    """The agency that counts the dossiers of a portal, day by day.

    Attributes:
        codes: the agency, and the successor that counts from ``first_day`` on; the same code twice without a successor.
        first_day: days since 1970-01-01.
    """

    codes: tuple[str, str]
    first_day: int

    @property
    def merged(self) -> bool:
        """Whether a successor takes over."""
        return self.codes[0] != self.codes[1]

    @classmethod
    def of(cls, registry: AgencyRegistry, code: str, period: Period) -> Succession:
        """The succession of an agency: which agency counts from the day after the period on."""
        later = period.end + dt.timedelta(days=1)
        row = registry.responsible(code, later)
        return cls((code, code if row is None else row.code), day_number(later))
