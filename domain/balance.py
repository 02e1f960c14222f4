"""The balance of dossiers (số liệu hồ sơ) of a period: received and carried over, and what became of them.

received + carried over = settled + given back + open at the end. Every number counts for the unit of the submitted event,
followed through the successions to the last day of the period. Carried over, in hand and open may be summed over units, never
over periods: a dossier is in hand in several of them.
Source of the rules: docs/domain.md, "Balance".
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, fields

from domain.dossiers import Dossier
from domain.periods import Period, civil_day


@dataclass(frozen=True, slots=True)
class Balance:
    """Numbers of dossiers of a unit in a period."""

    received: int = 0  # submitted in the period
    carried_over: int = 0  # in hand when it began
    settled: int = 0
    given_back: int = 0
    open: int = 0  # at its end

    def __add__(self, other: Balance) -> Balance:
        return Balance(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    @property
    def in_hand(self) -> int:
        """Number of dossiers that were in hand at some time of the period."""
        return self.received + self.carried_over


def balance(dossier: Dossier, period: Period) -> Balance:
    """What one dossier adds to the balance of a period: nothing, or 1 on each side of the equation in the module's docstring."""
    submitted, closed = civil_day(dossier.submitted.occurred_at), _day_closed(dossier)
    if submitted > period.end or (closed is not None and closed < period.start):
        return Balance()
    ended = closed is not None and closed <= period.end
    return Balance(
        received=int(submitted >= period.start),
        carried_over=int(submitted < period.start),
        settled=int(ended and dossier.settled is not None),
        given_back=int(ended and dossier.settled is None),
        open=int(not ended),
    )


def _day_closed(dossier: Dossier) -> dt.date | None:
    return None if dossier.closed is None else civil_day(dossier.closed.occurred_at)
