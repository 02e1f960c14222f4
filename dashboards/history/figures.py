"""Exact counts of dossiers by agency and step, and the counts of each window at any step: integers, nothing is rounded."""

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
    """Instants that are one step apart; the first is a midnight in Viet Nam."""

    first: dt.datetime
    step: dt.timedelta
    steps: int

    def at(self, index: int) -> dt.datetime:
        """The instant at which step ``index`` begins; ``index`` = ``steps`` gives the end of the last step."""
        return self.first + index * self.step

    def index(self, instant: dt.datetime) -> int:
        """The step that contains an instant, from 0 to ``steps``; an earlier instant gives 0, a later one ``steps``."""
        return min(max((instant - self.first) // self.step, 0), self.steps)

    def of_day(self, day: dt.date) -> int:
        """The step that begins at the midnight of a civil day."""
        return self.index(day_start(day))

    def day(self, index: int) -> dt.date:
        """The civil day in which a step begins."""
        return civil_day(self.at(index))


@dataclass(frozen=True)
class Figures:
    """The dossiers of agencies, step by step.

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
        """The counts of all steps before each instant, added up: name -> (agencies, steps + 1)."""
        zeros = np.zeros((len(self.agencies), 1), np.int64)
        return {name: np.concatenate([zeros, counts.cumsum(axis=1)], axis=1) for name, counts in self.counts.items()}

    @cached_property
    def events(self) -> Counts:
        """Dossiers of all counts together within each step: (agencies, steps)."""
        events: Counts = np.sum(list(self.counts.values()), axis=0, dtype=np.int64)
        return events

    @cached_property
    def events_before(self) -> Counts:
        """Dossiers of all counts together before each instant: (agencies, steps + 1)."""
        zeros = np.zeros((len(self.agencies), 1), np.int64)
        return np.concatenate([zeros, self.events.cumsum(axis=1)], axis=1)

    @cached_property
    def last_active(self) -> Counts:
        """For each agency and instant the newest step before it with a dossier, -1 without one: (agencies, steps + 1)."""
        steps = np.where(self.events > 0, np.arange(self.grid.steps), -1)
        before = np.full((len(self.agencies), 1), -1)
        return np.concatenate([before, np.maximum.accumulate(steps, axis=1)], axis=1)

    def gap(self, events: int) -> dt.timedelta:
        """The time from the last event of a step to the step's end, when the step has ``events`` evenly spread events."""
        return self.grid.step / (events + 1)

    def window_starts(self, window: Window) -> Counts:
        """For each instant of the grid (steps + 1) the first step of the window that ends at the instant.

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
        """Numerator and denominator of an indicator in the window that ends at each instant: each (agencies, steps + 1).

        ``ago``: take the window that ended this many steps earlier.
        """
        ends = np.maximum(np.arange(self.grid.steps + 1) - ago, 0)
        starts = self.window_starts(window)[ends]
        indicator = INDICATORS[kpi]
        numerator, denominator = (self.before[name] for name in (indicator.numerator, indicator.denominator))
        return numerator[:, ends] - numerator[:, starts], denominator[:, ends] - denominator[:, starts]
