"""Builds the figures of a report for units, blocks and the nation. Ratios divide sums; they are never averaged."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any, Final

import numpy as np

from domain.agencies import BLOCKS, Agency
from domain.catalogue import Catalogue
from domain.figure_groups import GROUPS
from domain.indicators import ALL_INDICATORS, INDICATORS, ReturnAtCounter
from domain.periods import FIRST_DAY, Period
from domain.supply import Supply, SupplyFigures, procedures_of
from domain.unit_maps import UnitMap
from pipeline.report.completeness import Completeness
from pipeline.report.gaps import interruptions
from pipeline.report.group_figures import NATION_CODE, FigureSources, PeriodSums, part_rows, read_sums
from pipeline.report.model import Report, Row
from pipeline.report.request import ReportRequest
from sinks.contract.tallies import Counts, PeriodReader

_BLOCK_NAMES: Final = {
    "ministry": ("Khối bộ, ngành", "Ministries and agencies"),
    "province": ("Khối địa phương", "Provinces and cities"),
}
_NATION_NAMES: Final = ("Toàn quốc", "Nation")
_COUNT_NAMES: Final = tuple(field.name for field in fields(Counts))


def build_report(
    reader: PeriodReader,
    request: ReportRequest,
    completeness: Completeness,
    *,
    excluded: Sequence[Mapping[str, Any]] = (),
    catalogue: Catalogue | None = None,
    return_at_counter: ReturnAtCounter = ReturnAtCounter.EXCLUDED,
    figures: FigureSources | None = None,
    today: dt.date,
) -> Report:
    """Build a report: indicators from the day tallies, and requested groups of figures from whole dossiers.

    The report has a row for every unit that is expected to report on the last day of the period, or on the day of the request's
    units, and for every other unit with figures. By the units of the events' days, an agency that was merged within the period
    has its own row for the time until the merger.

    Args:
        reader: reads the tallies.
        request: the request of the report.
        completeness: how complete the figures are.
        excluded: the excluded dossiers that would count in the period, as plain values.
        catalogue: the catalogue with the entries of the last day of each period; None or empty: not known.
        return_at_counter: which of its two numerators I1 has.
        figures: the sources of groups of figures; None: the report has no groups, even if they are requested.
        today: the civil day of the clock; days after it cannot be interruptions.

    Raises:
        ConfigurationError: the holidays of a year are not known.
        SinkError: the storage does not answer.
    """
    period, units = request.period.period, request.units
    counts = _by_unit(units, reader.counts_of_days(period.start, period.end))
    before: Mapping[str, Counts] | None = None
    if request.compared is not None:
        compared = request.compared.period
        before = _by_unit(units, reader.counts_of_days(compared.start, compared.end))
    sums = _sums_of(figures, request, catalogue or Catalogue(()), today)
    listed = {agency.code: agency for agency in units.listed()}
    for code, found in (*counts.items(), *(before or {}).items()):
        unit = units.unit_of(code)
        if unit is not None and found != Counts():  # a tally that a repair cleared has no figures
            listed.setdefault(code, unit)
    for each in sums:  # by the units of the last day, which a map of an earlier day may not list
        for code in (code for rows in each.rows.values() for scope, code in rows if scope == "agency"):
            listed.setdefault(code, each.units[code])
    offered = _supplied(reader, request, catalogue)
    indicators = ALL_INDICATORS if offered else INDICATORS
    rows = [_row("agency", listed[code], counts, before) for code in sorted(listed)]
    blocks = [_sum("block", block, _BLOCK_NAMES[block], block, [row for row in rows if row.block == block]) for block in BLOCKS]
    nation = _sum("nation", NATION_CODE, _NATION_NAMES, "", blocks)
    expected = {agency.code for agency in units.listed()}
    silent = tuple(code for code in sorted(expected) if not counts.get(code, Counts()).events)
    first, last = max(period.start, FIRST_DAY), min(period.end, today)
    active = _active_by_unit(units, reader.active_days(first, last)) if last >= first else {}
    return Report(
        request,
        tuple(
            replace(
                _with_supply(row, offered),
                return_at_counter=return_at_counter,
                figures={} if figures is None else {name: _group_counts(row, name, request, sums) for name in request.groups},
            )
            for row in (*rows, *blocks, nation)
        ),
        tuple(indicators),
        completeness,
        silent=silent,
        interrupted=interruptions(active, first=first, expected=len(expected)),
        excluded=tuple(excluded),
        return_at_counter=return_at_counter,
        parts=tuple(part_rows(request, sums[0], sums[1] if len(sums) > 1 else None, return_at_counter)) if sums else (),
    )


def _sums_of(
    sources: FigureSources | None, request: ReportRequest, catalogue: Catalogue, today: dt.date
) -> tuple[PeriodSums, ...]:
    """The sums of the requested groups in the period, and in the period compared with; empty: no group is read."""
    if sources is None or not request.groups_read:
        return ()
    periods = [named.period for named in (request.period, request.compared) if named is not None]
    return tuple(read_sums(sources, request, period, catalogue, today) for period in periods)


def _group_counts(
    row: Row, name: str, request: ReportRequest, sums: Sequence[PeriodSums]
) -> tuple[Mapping[str, int], Mapping[str, int] | None]:
    """The counts of a group in a row, and those of the period compared with (None: no comparison)."""
    if GROUPS[name].in_tallies:
        now, before = (None if counts is None else asdict(counts) for counts in (row.counts, row.before))
        return now or {}, before
    found = [each.rows[name].get((row.scope, row.code), {}) for each in sums]
    return found[0], None if request.compared is None else found[1]


def _supplied(
    reader: PeriodReader, request: ReportRequest, catalogue: Catalogue | None
) -> tuple[SupplyFigures, SupplyFigures | None] | None:
    """The figures of what is offered on the last day of the period, and of the period compared with; None: no catalogue."""
    if not catalogue:
        return None
    units = request.units

    def figures(period: Period) -> SupplyFigures:
        services = reader.services_with_dossiers(period.start, period.end)

        def unit_of(code: str) -> str | None:
            unit = units.unit_of(code)
            return None if unit is None else unit.code

        return procedures_of(
            catalogue,
            day=period.end,
            registry=units.registry,
            units=unit_of,
            submitted=services.submitted,
            submitted_online=services.submitted_online,
        )

    before = None if request.compared is None else figures(request.compared.period)
    return figures(request.period.period), before


def _with_supply(row: Row, offered: tuple[SupplyFigures, SupplyFigures | None] | None) -> Row:
    if offered is None:
        return row
    now, before = (None if figures is None else _supply_of(row, figures) for figures in offered)
    return replace(row, supply=now, supply_before=before)


def _supply_of(row: Row, figures: SupplyFigures) -> Supply | None:
    if row.scope == "nation":
        return figures.nation
    return (figures.blocks if row.scope == "block" else figures.units).get(row.code)


def _by_unit(units: UnitMap, found: Mapping[str, Counts]) -> dict[str, Counts]:
    """Unit of the map -> sum of the counts of its codes. Codes that the registry does not have are ignored."""
    summed: dict[str, Counts] = {}
    for code, counts in found.items():
        unit = units.unit_of(code)
        if unit is not None:
            summed[unit.code] = added(summed.get(unit.code, Counts()), counts)
    return summed


def _active_by_unit(units: UnitMap, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    active: dict[str, np.ndarray] = {}
    for code, days in found.items():
        unit = units.unit_of(code)
        if unit is not None:
            active[unit.code] = active[unit.code] | days if unit.code in active else days
    return active


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
