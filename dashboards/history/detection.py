"""Finds out which injected drops of a rate and which faults raised an alert, and after how long."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np

from dashboards.history.faults import TOLD_BY, Fault, Injected
from dashboards.history.figures import Figures
from dashboards.history.verdict import Span
from dashboards.history.year import Drop
from domain.periods import Window

#: Every drop of so many points, for so many days, on so many dossiers a week must be found.
POINTS: Final = 5
DAYS: Final = 7
DOSSIERS: Final = 2_000
#: Alerts that tell of a drop; of a low rate only over the windows that move along.
_DROPPED: Final = "AgencyRateDropped"
_LOW: Final = "AgencyRateLow"
_MOVING: Final = frozenset({Window.DAY.value, Window.WEEK.value, Window.MONTH_OF_DAYS.value})
_A_WEEK: Final = dt.timedelta(days=7)
#: The highest rung of the last 24 hours, and how far above it an alert has ended.
_TEN_PERCENT: Final = Fraction(1, 10)
_CLEAR: Final = Fraction(2, 100)
#: A window of seven days still holds a drop for some time after it.
_AFTER: Final = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class FoundDrop:
    """What became of one injected drop.

    Attributes:
        drop: the drop as it was injected.
        dossiers: dossiers settled in the seven days from its first day on.
        hundredths: by how many hundredths of a point the rate of these seven days is below that of the seven days before (cut).
        due: whether the rules must find the drop.
        hours: from its first midnight to the first alert; None: it was not found.
        by: the name of that alert.
    """

    drop: Drop
    dossiers: int
    hundredths: int
    due: bool
    hours: float | None
    by: str


def found_drops(
    figures: Figures, drops: Sequence[Drop], spans: Iterable[Span], *, has_rule: bool, rung: Fraction = _TEN_PERCENT
) -> list[FoundDrop]:
    """What became of every drop. ``has_rule``: a rule on drops exists; otherwise only a fall below ``rung`` can be found."""
    grid = figures.grid
    rows = {agency.code: row for row, agency in enumerate(figures.agencies)}
    week = _A_WEEK // grid.step
    full, settled = figures.within("I1", Window.WEEK)
    alerts = [span for span in spans if span.first is not None and _tells_of_a_drop(span)]
    found = []
    for drop in drops:
        row, first = rows[drop.agency], grid.of_day(drop.first)
        at = min(first + week, grid.steps)
        now, before = (int(full[row, at]), int(settled[row, at])), (int(full[row, first]), int(settled[row, first]))
        hundredths = 10_000 * (before[0] * now[1] - now[0] * before[1]) // max(before[1] * now[1], 1)
        large = min(now[1], before[1]) >= DOSSIERS
        deep = hundredths >= POINTS * 100
        # Without a rule on drops only a fall through the highest rung of the last 24 hours is told.
        through = _below(now, rung) and not _below(before, rung + _CLEAR)
        due = large and drop.days >= DAYS and deep and (has_rule or through)
        last = grid.of_day(drop.first + dt.timedelta(days=drop.days)) + _AFTER // grid.step
        told = [span for span in alerts if span.key.label("agency") == drop.agency and first < (span.first or 0) <= last]
        earliest = min(told, key=lambda span: (span.first, span.key.name), default=None)
        hours = None if earliest is None else (grid.at(earliest.first or 0) - grid.at(first)) / dt.timedelta(hours=1)
        found.append(FoundDrop(drop, now[1], hundredths, due, hours, "" if earliest is None else earliest.key.name))
    return found


def _below(rate: tuple[int, int], limit: Fraction) -> bool:
    return rate[0] * limit.denominator < rate[1] * limit.numerator


def _tells_of_a_drop(span: Span) -> bool:
    return span.key.name == _DROPPED or (span.key.name == _LOW and span.key.label("window") in _MOVING)


@dataclass(frozen=True, slots=True)
class ToldFault:
    """A fault, the name of the first alert that told operations of it, and after how many steps."""

    fault: Injected
    by: str
    steps: int | None


def told_faults(faults: Sequence[Injected], spans: Iterable[Span]) -> list[ToldFault]:
    """Which of the faults raised an alert; a missed scrape need not raise one."""
    by_name: dict[str, list[int]] = {}
    for span in spans:
        if span.first is not None:
            by_name.setdefault(span.key.name, []).append(span.first)
    found = []
    for fault in faults:
        candidates = [
            (at, name) for name in TOLD_BY[fault.fault] for at in by_name.get(name, ()) if fault.first <= at <= fault.end + 1
        ]
        at, name = min(candidates, default=(None, ""))
        found.append(ToldFault(fault, name, None if at is None else at - fault.first))
    return found


def must_be_told(fault: Injected, *, wait: int) -> bool:
    """Whether a fault lasts longer than an alert waits (``wait`` steps), so that an alert must fire."""
    return fault.fault is not Fault.SCRAPE and fault.end - fault.first > wait


def median(values: Sequence[float]) -> float | None:
    """The median of the values; None without values."""
    return float(np.median(values)) if values else None
