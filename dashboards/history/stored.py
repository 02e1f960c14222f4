"""Reads stored history as figures from a running process: numerators and denominators by step."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import numpy as np

from dashboards.history.figures import Figures, Grid
from domain.agencies import Agency, AgencyRegistry
from domain.indicators import INDICATORS
from domain.periods import Period, day_start

#: Days of one request.
_DAYS: Final = 31
#: Days before the first that is judged, so that every window but those of the calendar is full, and usual pauses are known.
HISTORY_DAYS: Final = 92
#: Asks for ``GET /api/v1/steps`` with parameters.
Ask = Callable[[Mapping[str, str]], Mapping[str, Any]]


def requests(first: dt.date, last: dt.date) -> list[Period]:
    """The periods into which a span of days is divided for requests, in order."""
    found = []
    while first <= last:
        end = min(first + dt.timedelta(days=_DAYS - 1), last)
        found.append(Period(first, end))
        first = end + dt.timedelta(days=1)
    return found


def begin_of(period: Period) -> dt.date:
    """The first day of which figures are needed: windows need days before the period, the year to date begins on 1 January."""
    return min(period.start - dt.timedelta(days=HISTORY_DAYS), period.start.replace(month=1, day=1))


def stored_figures(
    ask: Ask,
    period: Period,
    *,
    step: dt.timedelta,
    registry: AgencyRegistry,
    only: Collection[str] = (),
    done: Callable[[], None] = lambda: None,
) -> Figures:
    """The figures of a period and of the history that it needs, of ``only`` these agencies (empty: all).

    ``done`` is called after each request.
    """
    first = begin_of(period)
    a_day = dt.timedelta(days=1) // step
    grid = Grid(day_start(first), step, ((period.end - first).days + 1) * a_day)
    minutes = int(step.total_seconds()) // 60
    rows: dict[str, np.ndarray] = {}
    # The indicators are exported by these counts, whatever the process counted them from.
    names = [name for indicator in INDICATORS.values() for name in (indicator.numerator, indicator.denominator)]
    for each in requests(first, period.end):
        answer = ask({"from": each.start.isoformat(), "to": each.end.isoformat(), "step": str(minutes)})
        offset = grid.of_day(each.start)
        for agency, steps in answer["agencies"].items():
            values = np.array(steps, np.int64)
            row = rows.setdefault(agency, np.zeros((len(names), grid.steps), np.int64))
            row[:, offset + values[:, 0]] = values[:, 1:].T
        done()
    agencies = [agency for agency in _agencies(registry, period, rows) if not only or agency.code in only]
    nothing = np.zeros((len(names), grid.steps), np.int64)
    counts = np.stack([rows.get(agency.code, nothing) for agency in agencies], axis=1)
    return Figures(grid, agencies, {name: counts[number] for number, name in enumerate(names)})


def _agencies(registry: AgencyRegistry, period: Period, rows: Mapping[str, Any]) -> list[Agency]:
    """The agencies in force in the period; of others only those with a dossier."""
    found = {agency.code: agency for day in (period.start, period.end) for agency in registry.in_force(day)}
    for code in rows.keys() - found.keys():
        for row in registry.spans(code):
            found[code] = row
    return [found[code] for code in sorted(found)]
