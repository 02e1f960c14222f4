"""Exact counts of dossiers by agency and step, and what each window holds at any step: integers, nothing rounded."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from domain.agencies import Agency
from domain.indicators import INDICATORS
from domain.periods import Window, civil_day, day_start

Counts = NDArray[np.int64]

_ROLLING: Final = {
    Window.HOUR: dt.timedelta(hours=1),
    Window.DAY: dt.timedelta(days=1),
    Window.WEEK: dt.timedelta(days=7),
    Window.MONTH_OF_DAYS: dt.timedelta(days=30),
}


@dataclass(frozen=True, slots=True)
class Grid:
    """Instants that are one step apart; the first is a midnight of Viet Nam."""

    first: dt.datetime
    step: dt.timedelta
    steps: int

    def at(self, index: int) -> dt.datetime:
        """The instant at which step ``index`` begins; ``steps`` is the end of the last."""
        return self.first + index * self.step

    def index(self, instant: dt.datetime) -> int:
        """The step in which an instant lies, from 0 to ``steps``; an earlier instant is 0, a later one ``steps``."""
        return min(max((instant - self.first) // self.step, 0), self.steps)

    def of_day(self, day: dt.date) -> int:
        """The step that begins at the midnight of a civil day."""
        return self.index(day_start(day))

    def day(self, index: int) -> dt.date:
        """The civil day in which a step begins."""
        return civil_day(self.at(index))


@dataclass(frozen=True)
class Figures:
    """What happened at agencies, step by step.

    Attributes:
        grid: the instants.
        agencies: one for each row.
        counts: name as in ``domain.tiers`` (settled, settled_full, ...) -> (agencies, steps) dossiers within each step.
    """

    grid: Grid
    agencies: Sequence[Agency]
    counts: Mapping[str, Counts]
    _starts: dict[Window, Counts] = field(default_factory=dict, repr=False)

    @cached_property
    def before(self) -> Mapping[str, Counts]:
        """The same counts as sums of all steps before an instant: (agencies, steps + 1)."""
        zeros = np.zeros((len(self.agencies), 1), np.int64)
        return {name: np.concatenate([zeros, counts.cumsum(axis=1)], axis=1) for name, counts in self.counts.items()}

    @cached_property
    def events(self) -> Counts:
        """Dossiers of any count within each step: (agencies, steps)."""
        events: Counts = np.sum(list(self.counts.values()), axis=0, dtype=np.int64)
        return events

    @cached_property
    def events_before(self) -> Counts:
        """The same before each instant: (agencies, steps + 1)."""
        zeros = np.zeros((len(self.agencies), 1), np.int64)
        return np.concatenate([zeros, self.events.cumsum(axis=1)], axis=1)

    @cached_property
    def last_active(self) -> Counts:
        """For each agency and instant the newest step before it with a dossier, -1 without any: (agencies, steps + 1)."""
        steps = np.where(self.events > 0, np.arange(self.grid.steps), -1)
        before = np.full((len(self.agencies), 1), -1)
        return np.concatenate([before, np.maximum.accumulate(steps, axis=1)], axis=1)

    def gap(self, events: int) -> dt.timedelta:
        """Time from the last of so many events of a step to its end, when they are evenly spread."""
        return self.grid.step / (events + 1)

    def window_starts(self, window: Window) -> Counts:
        """For each instant of the grid (steps + 1) the step with which the window that ends there begins.

        A calendar window of an instant at midnight belongs to the day that begins.
        """
        if window not in self._starts:
            self._starts[window] = self._window_starts(window)
        return self._starts[window]

    def _window_starts(self, window: Window) -> Counts:
        indices = np.arange(self.grid.steps + 1, dtype=np.int64)
        if window in _ROLLING:
            return np.maximum(indices - max(_ROLLING[window] // self.grid.step, 1), 0)
        days = [self.grid.day(index) for index in range(self.grid.steps + 1)]
        firsts = [day.replace(day=1) if window is Window.MONTH else day.replace(month=1, day=1) for day in days]
        found = {first: self.grid.of_day(first) for first in set(firsts)}
        return np.array([found[first] for first in firsts], np.int64)

    def within(self, kpi: str, window: Window, *, ago: int = 0) -> tuple[Counts, Counts]:
        """Numerator and denominator of an indicator, each (agencies, steps + 1): what the window holds at each instant.

        ``ago``: of the same window so many steps earlier.
        """
        ends = np.maximum(np.arange(self.grid.steps + 1) - ago, 0)
        starts = self.window_starts(window)[ends]
        indicator = INDICATORS[kpi]
        numerator, denominator = (self.before[name] for name in (indicator.numerator, indicator.denominator))
        return numerator[:, ends] - numerator[:, starts], denominator[:, ends] - denominator[:, starts]
