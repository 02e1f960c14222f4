"""The figures and alerts that the demo must produce, from its scenario, compared with those that the running stack reports."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from domain.indicators import Ratio
from domain.rounding import Rounding, percent
from producers.portals.scenarios import INDICATOR, Scenario, Share

#: The alert and window that the demo compares.
ALERT = "AgencyRateLow"
WINDOW = "ytd"
#: The rungs of the ladder below 5 %.
RUNGS = ("zero", "below5")

#: Decimals of a percentage that the source does not print.
_DECIMALS = 2
#: The scenario's pooled scopes -> (scope, code) of the report.
_POOLED = {"nation": ("nation", "VN"), "ministry": ("block", "ministry"), "province": ("block", "province")}
_SCOPE_ORDER = {"nation": 0, "block": 1, "agency": 2}


@dataclass(frozen=True, slots=True)
class Check:
    """A figure that the demo must produce.

    ``printed``: the percentage in the source, with a decimal point; None: the source prints none. ``rounding``: that of the
    source.
    """

    scope: str
    code: str
    block: str  # "" for the nation
    expected: Ratio
    printed: str | None = None
    rounding: Rounding = Rounding.CUT

    def percent(self, ratio: Ratio) -> str | None:
        """A ratio in percent as the source prints it, or as the product prints it where the source prints none.

        None without data.
        """
        if self.printed is None:
            return percent(ratio, decimals=_DECIMALS)
        return percent(ratio, decimals=len(self.printed.partition(".")[2]), rounding=self.rounding)


@dataclass(frozen=True, slots=True)
class Expectations:
    """The figures and alerts that the demo must produce. ``names``: agency code -> name."""

    first_day: str
    last_day: str
    checks: tuple[Check, ...]
    names: Mapping[str, str]
    below_threshold: frozenset[str]

    @classmethod
    def of(cls, scenario: Scenario) -> Self:
        """The expectations that follow from a scenario."""
        printed = scenario.printed
        pooled = [
            Check(
                scope, code, code if scope == "block" else "", _ratio(scenario.pooled[name]), printed.get(name), scenario.rounding
            )
            for name, (scope, code) in _POOLED.items()
        ]
        agencies = [
            Check("agency", unit.code, unit.block, _ratio(unit.settled), printed.get(unit.code), scenario.rounding)
            for unit in scenario.units
        ]
        return cls(
            first_day=scenario.period.start.isoformat(),
            last_day=scenario.period.end.isoformat(),
            checks=(*pooled, *agencies),
            names={unit.code: unit.name for unit in scenario.units},
            below_threshold=scenario.zero | scenario.above_0_below_5,
        )

    def periods(self) -> tuple[tuple[dt.date, dt.date], ...]:
        """The whole period, then each of its months, as first and last day."""
        first, last = dt.date.fromisoformat(self.first_day), dt.date.fromisoformat(self.last_day)
        found = [(first, last)]
        start = first
        while start <= last:
            later = (start.replace(day=1) + dt.timedelta(days=31)).replace(day=1)
            found.append((start, min(later - dt.timedelta(days=1), last)))
            start = later
        return tuple(found)


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One row of the ranking. ``found``: None when the report has no such row. ``name``: as the report gives it."""

    check: Check
    name: str
    found: Ratio | None

    @property
    def percent(self) -> str | None:
        """The reported percentage; None without data."""
        return None if self.found is None else self.check.percent(self.found)

    @property
    def passed(self) -> bool:
        """Whether both counts are exactly the expected ones and the percentage is the printed one."""
        return self.found == self.check.expected and self.check.printed in {None, self.percent}


def compare(expectations: Expectations, rows: Iterable[Mapping[str, Any]]) -> tuple[ComparisonRow, ...]:
    """Every expected figure beside the report's row for it: nation, blocks, then agencies from best to worst."""
    reported = {(row["scope"], row["code"]): row for row in rows}
    compared = []
    for check in expectations.checks:
        row = reported.get((check.scope, check.code), {})
        figure = row.get("indicators", {}).get(INDICATOR, {})
        counts = (figure.get("numerator"), figure.get("denominator"))
        found = None if None in counts else Ratio(*counts)
        name = row.get("name") or expectations.names.get(check.code, check.code)
        compared.append(ComparisonRow(check, name, found))
    return tuple(sorted(compared, key=lambda row: (_SCOPE_ORDER[row.check.scope], -_rate(row.found), row.check.code)))


@dataclass(frozen=True, slots=True)
class SimulatedFigures:
    """How the report differs from the truth of the simulated dossiers: number of dossiers, number of periods, differences."""

    dossiers: int
    periods: int
    differences: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the report and the truth do not differ."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class AlertComparison:
    """The agencies whose alert is missing or unexpected."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether Alertmanager delivered alerts of exactly the expected agencies."""
        return not self.missing and not self.unexpected


def compare_alerts(expectations: Expectations, delivered: Iterable[str]) -> AlertComparison:
    """Compare the agencies whose alerts were delivered with the expected agencies."""
    codes = frozenset(delivered)
    return AlertComparison(
        missing=tuple(sorted(expectations.below_threshold - codes)),
        unexpected=tuple(sorted(codes - expectations.below_threshold)),
    )


def all_passed(rows: Sequence[ComparisonRow]) -> bool:
    """Whether there are rows and every one passed."""
    return bool(rows) and all(row.passed for row in rows)


def _ratio(share: Share) -> Ratio:
    return Ratio(share.numerator, share.denominator)


def _rate(ratio: Ratio | None) -> float:
    """A number for sorting by rate; rows without data come last."""
    return -1.0 if ratio is None or ratio.no_data else ratio.numerator / ratio.denominator
