"""The data of a report: its rows, and the report as plain values for JSON."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

from domain.calendars import NamedPeriod
from domain.indicators import Ratio, ReturnAtCounter, indicators_by, ratio_of
from domain.ranking import ranks
from domain.rate_classes import class_of
from domain.rounding import change_in_percent, change_in_points, decimal, percent
from domain.supply import Supply
from domain.targets import target_of
from pipeline.report.completeness import Completeness
from pipeline.report.group_figures import group_fields
from pipeline.report.request import ReportRequest
from sinks.contract.tallies import Counts


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a report: a unit, a block or the nation.

    Attributes:
        scope: agency, block or nation.
        code: level-1 code, name of the block, or VN.
        name, short_name: the Vietnamese name; the short one fits a table of 80 columns.
        name_en: the English name.
        block: the block; "" for the nation.
        counts: numbers of dossiers in the period, and of events (``events``).
        before: the same in the period with which the report is compared, or None.
        supply, supply_before: indicators of what is offered on the last day of each period; None: no catalogue is known.
        return_at_counter: which of its two numerators I1 has.
        figures: group -> its counts in the period, and in the period compared with (or None).
    """

    scope: str
    code: str
    name: str
    short_name: str
    name_en: str
    block: str
    counts: Counts
    before: Counts | None
    supply: Supply | None = None
    supply_before: Supply | None = None
    return_at_counter: ReturnAtCounter = ReturnAtCounter.EXCLUDED
    figures: Mapping[str, tuple[Mapping[str, int], Mapping[str, int] | None]] = field(default_factory=dict)

    def ratio(self, indicator: str) -> Ratio:
        """Numerator and denominator of an indicator in the period."""
        return self._ratio(indicator, self.counts, self.supply)

    def ratio_before(self, indicator: str) -> Ratio:
        """Numerator and denominator of an indicator in the period with which the report is compared."""
        return self._ratio(indicator, self.before or Counts(), self.supply_before)

    def _ratio(self, indicator: str, counts: Counts, supply: Supply | None) -> Ratio:
        found = indicators_by(self.return_at_counter).get(indicator)
        if found is not None:
            return ratio_of(found, counts)
        return Ratio(0, 0) if supply is None else supply.ratio(indicator)


@dataclass(frozen=True, slots=True)
class Report:
    """A report.

    Attributes:
        request: the request of the report.
        rows: the rows: units sorted by code, then the blocks, then the nation.
        indicators: codes of the indicators that the rows have; those of what is offered need a catalogue.
        completeness: how complete the figures are.
        silent: units that are expected to report and have no event in the period, by code.
        interrupted: code -> first and last day of each span without events.
        excluded: excluded dossiers that would count in the period, as plain values.
        return_at_counter: which of its two numerators I1 has in every row.
        parts: rows of sub-units or procedures as plain values; empty when units are not divided.
    """

    request: ReportRequest
    rows: tuple[Row, ...]
    indicators: tuple[str, ...]
    completeness: Completeness
    silent: tuple[str, ...] = ()
    interrupted: Mapping[str, Sequence[tuple[dt.date, dt.date]]] | None = None
    excluded: tuple[Mapping[str, Any], ...] = ()
    return_at_counter: ReturnAtCounter = ReturnAtCounter.EXCLUDED
    parts: tuple[Mapping[str, Any], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values for JSON, see docs/reports.md."""
        year = self.request.period.period.end.year
        places = {name: self._ranks(name) for name in self.indicators}
        return {
            "period": _period_dict(self.request.period),
            "compared_with": None if self.request.compared is None else _period_dict(self.request.compared),
            "units": self.request.units.name,
            "figures": list(self.request.figures),
            "by": self.request.by.value,
            "return_at_counter": self.return_at_counter.value,
            "completeness": {
                **self.completeness.as_dict(),
                "silent": list(self.silent),
                "interrupted": {
                    code: [[first.isoformat(), last.isoformat()] for first, last in spans]
                    for code, spans in (self.interrupted or {}).items()
                },
            },
            "rows": [
                {
                    "scope": row.scope,
                    "code": row.code,
                    "name": row.name,
                    "short_name": row.short_name,
                    "name_en": row.name_en,
                    "block": row.block,
                    "counts": asdict(row.counts),
                    "indicators": {
                        name: _indicator_dict(row, name, target_of(name, year=year, block=row.block))
                        | {"rank": places[name].get(row.code) if row.scope == "agency" else None}
                        for name in self.indicators
                    },
                    "figures": {name: group_fields(name, *counts) for name, counts in row.figures.items()},
                }
                for row in self.rows
            ],
            "parts": list(self.parts),
            "excluded": list(self.excluded),
        }

    def _ranks(self, indicator: str) -> Mapping[str, int]:
        units = {row.code: row.ratio(indicator) for row in self.rows if row.scope == "agency"}
        return ranks(units, min_volume=self.request.min_volume)


def _indicator_dict(row: Row, name: str, target: Fraction | None) -> dict[str, Any]:
    ratio = row.ratio(name)
    found: dict[str, Any] = {
        "numerator": ratio.numerator,
        "denominator": ratio.denominator,
        "percent": percent(ratio),
        "class": class_of(ratio, target).value,
        "target_percent": None if target is None else decimal(100 * target),
    }
    if row.before is not None:
        before = row.ratio_before(name)
        found["before"] = {"numerator": before.numerator, "denominator": before.denominator, "percent": percent(before)}
        found["change_points"] = change_in_points(before, ratio)
        found["change_percent"] = change_in_percent(before, ratio)
    return found


def _period_dict(named: NamedPeriod) -> dict[str, str]:
    return {
        "kind": named.kind.value,
        "name": named.name,
        "calendar": named.calendar.value,
        "from": named.period.start.isoformat(),
        "to": named.period.end.isoformat(),
    }
