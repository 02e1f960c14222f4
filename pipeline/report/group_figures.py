"""Reads the groups of figures of a report by stored unit, and sums them for units, blocks, nation and parts of units."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from domain.acceptance import FIRST_DAY
from domain.agencies import Agency
from domain.catalogue import Catalogue
from domain.figure_group import Grouping, lacks_due_dates, rate
from domain.figure_groups import GROUPS
from domain.group_counts import longest_days
from domain.indicators import Ratio, ReturnAtCounter, indicators_by
from domain.periods import LAST_DAY, Period
from domain.rounding import change_in_points, percent
from domain.unit_maps import UnitMap
from domain.working_days import WorkingDays
from pipeline.report.request import INDICATORS, ReportRequest
from sinks.contract.dossier_figures import DossierFigureReader, FigureQuestion

NATION_CODE: Final = "VN"
#: (scope, code) -> count -> dossiers; of a part the scope is its unit.
Sums = Mapping[tuple[str, str], Mapping[str, int]]
#: Count of a dossier in ``indicators`` -> count of the group ``channels``.
_OF_CHANNELS: Final = {
    "submitted": "submitted",
    "submitted_online": "submitted_online",
    "settled": "settled",
    "settled_full": "settled_full_online",
    "settled_full_any_return": "settled_full_any_return_online",
}


@dataclass(frozen=True, slots=True)
class FigureSources:
    """The sources of groups of figures.

    Attributes:
        reader: counts figures over whole dossiers.
        working_days: which days are working days.
        accepted_late_from: dossiers registered before this day do not count in the group ``accepted-late``.
    """

    reader: DossierFigureReader
    working_days: WorkingDays = field(default_factory=WorkingDays)
    accepted_late_from: dt.date = FIRST_DAY

    def last_answers(self, request: ReportRequest, ends: Sequence[dt.date]) -> list[dt.date]:
        """For each last day of a period the last day on which an answer to a dossier of that day is in time.

        Empty when the report does not have the group ``accepted-late``.

        Raises:
            ConfigurationError: the holidays of a year are not known.
        """
        if "accepted-late" not in request.groups:
            return []
        return [self.working_days.next_after(end) for end in ends if self.accepted_late_from <= end <= LAST_DAY]

    def deadlines(self, period: Period) -> dict[dt.date, dt.date]:
        """Day of the period on which a dossier can be registered -> the last day on which an answer to it is in time.

        Raises:
            ConfigurationError: the holidays of a year are not known.
        """
        first, last = max(period.start, self.accepted_late_from), min(period.end, LAST_DAY)
        days = (first + dt.timedelta(days=number) for number in range((last - first).days + 1))
        return {day: self.working_days.next_after(day) for day in days}


@dataclass(frozen=True, slots=True)
class PeriodSums:
    """The sums of groups of figures in one period.

    Attributes:
        rows: group -> sums of units, blocks and nation.
        parts: group -> sums of parts of units, by (code of the unit, part).
        units: code -> unit, for every unit with figures.
    """

    rows: Mapping[str, Sums] = field(default_factory=dict)
    parts: Mapping[str, Sums] = field(default_factory=dict)
    units: Mapping[str, Agency] = field(default_factory=dict)


def unit_map(request: ReportRequest, period: Period, *, by_last_day: bool) -> UnitMap:
    """The units by which a group is counted: those of the last day of the period (``by_last_day``), or those of the report."""
    return UnitMap(request.units.registry, period.end, period.end) if by_last_day else request.units


def scopes_of(unit: Agency) -> tuple[tuple[str, str], ...]:
    """The (scope, code) of every row to which a unit's figures are added: its own row, its block, the nation."""
    return ("agency", unit.code), ("block", unit.block), ("nation", NATION_CODE)


def read_sums(sources: FigureSources, request: ReportRequest, period: Period, catalogue: Catalogue, today: dt.date) -> PeriodSums:
    """Read the sums of a report's groups in a period. A group in the tallies is read here only if units are divided.

    Raises:
        ConfigurationError: the holidays of a year are not known.
        SinkError: the storage does not answer.
    """
    rows: dict[str, Sums] = {}
    parts: dict[str, Sums] = {}
    units: dict[str, Agency] = {}
    for name in request.groups_read:
        group = GROUPS[name]
        if group.in_tallies and request.by is Grouping.UNIT:
            continue
        question = FigureQuestion(
            period,
            today,
            request.by,
            longest_days(catalogue, request.units.registry, period.end) if name == "due-766" else {},
            sources.deadlines(period) if name == "accepted-late" else {},
        )
        units_of_group = unit_map(request, period, by_last_day=group.by_last_day)
        summed: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        divided: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for (code, part), counts in sources.reader.counts(name, question).items():
            unit = units_of_group.unit_of(code)
            if unit is None:  # a code that the registry does not have is in no row
                continue
            units[unit.code] = unit
            for key in scopes_of(unit):
                summed[key].update(counts)
            divided[unit.code, part].update(counts)
        rows[name], parts[name] = summed, divided
    return PeriodSums(rows, parts if request.by is not Grouping.UNIT else {}, units)


def group_fields(
    name: str, counts: Mapping[str, int], before: Mapping[str, int] | None, *, sparse: bool = False
) -> dict[str, Any]:
    """A group of figures as plain values: counts and rates; with a comparison also the earlier ones.

    Args:
        name: the name of the group.
        counts: count -> number of dossiers.
        before: the same in the period with which the report is compared, or None.
        sparse: whether counts of 0 and rates without data are omitted.
    """
    group = GROUPS[name]

    def shown(found: Mapping[str, int]) -> dict[str, int]:
        return {count: found.get(count, 0) for count in group.counts if found.get(count, 0) or not sparse}

    rates: dict[str, dict[str, Any]] = {}
    for figure in group.rates:
        now = rate(figure, counts)
        lacking = lacks_due_dates(name, figure, counts)
        fields = _ratio_fields(now, lacking=lacking) | {"no_due_date": lacking}
        if before is not None:
            earlier, lacked = rate(figure, before), lacks_due_dates(name, figure, before)
            fields["before"] = _ratio_fields(earlier, lacking=lacked)
            fields["change_points"] = None if lacking or lacked else change_in_points(earlier, now)
        if not (sparse and now.no_data and not lacking and before is None):
            rates[figure.code] = fields
    found: dict[str, Any] = {"counts": shown(counts), "rates": rates}
    return found if before is None else found | {"before": {"counts": shown(before)}}


def _ratio_fields(ratio: Ratio, *, lacking: bool) -> dict[str, Any]:
    return {
        "numerator": ratio.numerator,
        "denominator": ratio.denominator,
        "percent": None if lacking else percent(ratio),
    }


def part_indicators(
    counts: Mapping[str, int], before: Mapping[str, int] | None, return_at_counter: ReturnAtCounter
) -> dict[str, Any]:
    """The indicators of a part of a unit as plain values, from its counts of the group ``channels``."""

    def ratio(indicator: Any, found: Mapping[str, int]) -> Ratio:
        numerator, denominator = (found.get(_OF_CHANNELS[name], 0) for name in (indicator.numerator, indicator.denominator))
        return Ratio(numerator, denominator)

    fields: dict[str, Any] = {}
    for code, indicator in indicators_by(return_at_counter).items():
        now = ratio(indicator, counts)
        fields[code] = _ratio_fields(now, lacking=False)
        if before is not None:
            earlier = ratio(indicator, before)
            fields[code] |= {"before": _ratio_fields(earlier, lacking=False), "change_points": change_in_points(earlier, now)}
    return fields


def part_rows(
    request: ReportRequest, now: PeriodSums, before: PeriodSums | None, return_at_counter: ReturnAtCounter
) -> list[dict[str, Any]]:
    """A row, as plain values, for each part of a unit with figures, by unit and part; empty when units are not divided."""
    keys = {key for sums in (now, before or PeriodSums()) for each in sums.parts.values() for key in each}
    units = {**(before.units if before else {}), **now.units}

    def counts(sums: PeriodSums, group: str, key: tuple[str, str]) -> Mapping[str, int]:
        return sums.parts.get(group, {}).get(key, {})

    rows = []
    for key in sorted(keys):
        unit = units[key[0]]
        row: dict[str, Any] = {
            "scope": request.by.value,
            "unit": unit.code,
            "code": key[1],
            "name": unit.name_vi,
            "short_name": unit.short_name_vi or unit.name_vi,
            "name_en": unit.name_en,
            "block": unit.block,
        }
        if INDICATORS in request.figures:
            earlier = None if before is None else counts(before, "channels", key)
            row["indicators"] = part_indicators(counts(now, "channels", key), earlier, return_at_counter)
        row["figures"] = {
            name: group_fields(name, counts(now, name, key), None if before is None else counts(before, name, key), sparse=True)
            for name in request.groups
        }
        rows.append(row)
    return rows
