"""Online registrations of a simulated period, and how many of them are accepted late (``domain.acceptance``)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from dashboards.history.figures import Counts, Grid
from domain.working_days import WorkingDays

#: Registrations that are judged together: those of so many days.
_JUDGED_DAYS: Final = 7
_ONE_DAY: Final = dt.timedelta(days=1)
#: Online registrations for one dossier that is settled.
_REGISTERED: Final = 0.5
#: Usual shares of late acceptances; and those of bad times, how long they last (days) and how far apart they are at most.
_USUAL: Final = (0.01, 0.03, 0.05, 0.08)
_BAD: Final = (0.09, 0.11, 0.15, 0.3)
_BAD_DAYS: Final = (3, 30)
_BAD_APART: Final = 120


@dataclass(frozen=True, slots=True)
class Acceptances:
    """How many dossiers were registered online on each civil day, and how many of them were answered in time.

    Attributes:
        grid: the instants; it begins with the first day.
        deadlines: for each day of registration the last civil day of an answer in time.
        registered: (agencies, days) registrations.
        answered: (agencies, days, steps of a day) registrations that are answered in time, in this step of their last day.
    """

    grid: Grid
    deadlines: Sequence[dt.date]
    registered: Counts
    answered: Counts

    def counts(self, today: dt.date, counted: int | None = None) -> tuple[Counts, Counts]:
        """(late, registered) of each agency, of the last seven days of registration whose deadline is over on ``today``.

        ``counted``: only events of the steps before this step are known; None: all.
        """
        judged = [day for day, deadline in enumerate(self.deadlines) if deadline < today][-_JUDGED_DAYS:]
        late = np.zeros(self.registered.shape[0], np.int64)
        registered = np.zeros_like(late)
        for day in judged:
            steps = self.answered.shape[2]
            known, until = self.registered[:, day], steps
            if counted is not None:
                known = known * min(max(counted - day * steps, 0), steps) // steps
                until = min(max(counted - self.grid.of_day(self.deadlines[day]), 0), steps)
            registered += known
            late += np.maximum(known - self.answered[:, day, :until].sum(axis=1), 0)
        return late, registered


def acceptances(
    rng: Generator,
    grid: Grid,
    *,
    settled: NDArray[np.float64],
    hours: NDArray[np.float64],
    working_days: WorkingDays,
) -> Acceptances:
    """Draw registrations in proportion to the settled dossiers.

    Args:
        rng: every draw comes from this generator.
        grid: whole days.
        settled: (agencies, days) expected dossiers.
        hours: share of each step of a day.
        working_days: which days are working days.

    Raises:
        ConfigurationError: the holidays of a year are not known.
    """
    agencies, number = settled.shape
    days = [grid.day(0) + day * _ONE_DAY for day in range(number)]
    registered = rng.poisson(settled * _REGISTERED).astype(np.int64)
    shares = np.repeat(rng.choice(_USUAL, agencies)[:, None], number, axis=1)
    for row in range(agencies):
        start = int(rng.integers(0, _BAD_APART))
        while start < number:
            length = int(rng.integers(*_BAD_DAYS))
            shares[row, start : start + length] = rng.choice(_BAD)
            start += length + int(rng.integers(1, _BAD_APART))
    in_time = rng.binomial(registered, 1 - shares)
    answered = rng.multinomial(in_time, hours / hours.sum()).astype(np.int64)
    return Acceptances(grid, [working_days.next_after(day) for day in days], registered, answered)
