"""The figures of a report: units, blocks, nation. Ratios divide sums; they are never averaged."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from typing import Any, Final

from domain.agencies import BLOCKS, Agency
from domain.calendars import NamedPeriod
from domain.indicators import INDICATORS, Ratio, ratio_of
from domain.ranking import ranks
from domain.rounding import change_in_percent, change_in_points, decimal, percent
from domain.targets import class_of, target_of
from domain.unit_maps import UnitMap
from pipeline.report.completeness import Completeness
from pipeline.report.gaps import interruptions
from pipeline.report.request import ReportRequest
from sinks.contract.tallies import Counts, TallyReader

NATION_CODE: Final = "VN"
_BLOCK_NAMES: Final = {
    "ministry": ("Khối bộ, ngành", "Ministries and agencies"),
    "province": ("Khối địa phương", "Provinces and cities"),
}
_NATION_NAMES: Final = ("Toàn quốc", "Nation")
_COUNT_NAMES: Final = tuple(field.name for field in fields(Counts))


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a report: a unit, a block or the nation.

    Attributes:
        scope: agency, block or nation.
        code: level-1 code, name of the block, or VN.
        name: in Vietnamese; ``short_name`` fits a table of 80 columns.
        name_en: in English.
        block: "" for the nation.
        counts: of dossiers; ``events`` of events.
        before: the same in the period that the report is compared with, or None.
    """

    scope: str
    code: str
    name: str
    short_name: str
    name_en: str
    block: str
    counts: Counts
    before: Counts | None

    def ratio(self, indicator: str) -> Ratio:
        """The two counts of an indicator."""
        return ratio_of(INDICATORS[indicator], self.counts)


@dataclass(frozen=True, slots=True)
class Report:
    """Units sorted by code, then the blocks, then the nation.

    Attributes:
        request: what was asked for.
        rows: the figures.
        completeness: how complete they are.
        silent: units that are expected to report and have no event in the period, by code.
        interrupted: code -> first and last day of each span without events.
        excluded: excluded dossiers that would have changed the figures, as plain values.
    """

    request: ReportRequest
    rows: tuple[Row, ...]
    completeness: Completeness
    silent: tuple[str, ...] = ()
    interrupted: Mapping[str, Sequence[tuple[dt.date, dt.date]]] | None = None
    excluded: tuple[Mapping[str, Any], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values for JSON, see docs/reports.md."""
        year = self.request.period.period.end.year
        places = {name: self._ranks(name) for name in INDICATORS}
        return {
            "period": _period_dict(self.request.period),
            "compared_with": None if self.request.compared is None else _period_dict(self.request.compared),
            "units": self.request.units.name,
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
                        for name in INDICATORS
                    },
                }
                for row in self.rows
            ],
            "excluded": list(self.excluded),
        }

    def _ranks(self, indicator: str) -> Mapping[str, int]:
        units = {row.code: row.ratio(indicator) for row in self.rows if row.scope == "agency"}
        return ranks(units, min_volume=self.request.min_volume)


def build_report(
    reader: TallyReader,
    request: ReportRequest,
    completeness: Completeness,
    *,
    excluded: Sequence[Mapping[str, Any]] = (),
    today: dt.date,
) -> Report:
    """Build a report from the day tallies.

    Lists every unit that is expected to report on the last day, or on the day of the map, and every other one with figures: by
    the units of the events' days, an agency that was merged within the period keeps its own row until the merger.

    Args:
        reader: reads the tallies.
        request: what is asked for.
        completeness: how complete the figures are.
        excluded: the excluded dossiers that would have changed the figures, as plain values.
        today: the civil day of the clock; later days are not called silent.

    Raises:
        SinkError: the storage does not answer.
    """
    period, units = request.period.period, request.units
    counts = _by_unit(units, reader.counts_of_days(period.start, period.end))
    before: Mapping[str, Counts] | None = None
    if request.compared is not None:
        compared = request.compared.period
        before = _by_unit(units, reader.counts_of_days(compared.start, compared.end))
    listed = {agency.code: agency for agency in units.listed()}
    for code, found in (*counts.items(), *(before or {}).items()):
        unit = units.unit_of(code)
        if unit is not None and found != Counts():  # a tally that a repair cleared has no figures
            listed.setdefault(code, unit)
    rows = [_row("agency", listed[code], counts, before) for code in sorted(listed)]
    blocks = [_sum("block", block, _BLOCK_NAMES[block], block, [row for row in rows if row.block == block]) for block in BLOCKS]
    nation = _sum("nation", NATION_CODE, _NATION_NAMES, "", blocks)
    expected = {agency.code for agency in units.listed()}
    silent = tuple(code for code in sorted(expected) if not counts.get(code, Counts()).events)
    last = min(period.end, today)
    days = _days_by_unit(units, reader.days_with_events(period.start, last)) if last >= period.start else {}
    return Report(
        request,
        (*rows, *blocks, nation),
        completeness,
        silent=silent,
        interrupted=interruptions(days, expected=len(expected)),
        excluded=tuple(excluded),
    )


def _by_unit(units: UnitMap, found: Mapping[str, Counts]) -> dict[str, Counts]:
    """Counts by the units of the map. Codes that the registry does not have are in no row."""
    summed: dict[str, Counts] = {}
    for code, counts in found.items():
        unit = units.unit_of(code)
        if unit is not None:
            summed[unit.code] = added(summed.get(unit.code, Counts()), counts)
    return summed


def _days_by_unit(units: UnitMap, found: Mapping[str, Iterable[dt.date]]) -> dict[str, set[dt.date]]:
    days: dict[str, set[dt.date]] = {}
    for code, active in found.items():
        unit = units.unit_of(code)
        if unit is not None:
            days.setdefault(unit.code, set()).update(active)
    return days


def added(one: Counts, other: Counts) -> Counts:
    """The sum of two counts."""
    return Counts(*(getattr(one, name) + getattr(other, name) for name in _COUNT_NAMES))


def _row(scope: str, agency: Agency, counts: Mapping[str, Counts], before: Mapping[str, Counts] | None) -> Row:
    earlier = None if before is None else before.get(agency.code, Counts())
    names = (agency.name_vi, agency.short_name_vi or agency.name_vi, agency.name_en)
    return Row(scope, agency.code, *names, agency.block, counts.get(agency.code, Counts()), earlier)


def _sum(scope: str, code: str, names: tuple[str, str], block: str, rows: Sequence[Row]) -> Row:
    counts, before = Counts(), None
    for row in rows:
        counts = added(counts, row.counts)
        if row.before is not None:
            before = added(before or Counts(), row.before)
    name, english = names
    return Row(scope, code, name, name, english, block, counts, before)


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
        before = ratio_of(INDICATORS[name], row.before)
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
