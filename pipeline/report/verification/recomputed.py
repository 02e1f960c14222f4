"""Figures recomputed from stored messages: they can be added up, turned into JSON, and turned into the rows of a report."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from domain.catalogue import Catalogue
from domain.errors import ConfigurationError
from domain.figure_group import Grouping
from domain.indicators import ReturnAtCounter
from domain.periods import FIRST_INSTANT, Period
from pipeline.report.completeness import Completeness
from pipeline.report.figures import build_report
from pipeline.report.group_figures import part_indicators, scopes_of, unit_map
from pipeline.report.request import INDICATORS, ReportRequest
from pipeline.report.verification.groups import COUNTS, FigureGroup, periods_of
from sinks.contract.tallies import Counts, ServicesWithDossiers

#: Not of interest here: only rows are taken.
_UNKNOWN: Final = Completeness(FIRST_INSTANT, None, ())
#: Dossiers by group of figures, unit, part of the unit ("" by unit) and count.
Figures = Counter[tuple[str, str, str, str]]
_Sums = defaultdict[tuple[str, str], Counter[str]]


@dataclass(slots=True)
class PeriodFigures:
    """The figures of one period.

    Attributes:
        dossiers: (group, stored unit, part, name of a count) -> number of dossiers; for the count ``events``, of events.
        submitted, submitted_online: services, as (unit, procedure), with a dossier submitted, and submitted online.
    """

    dossiers: Figures = field(default_factory=Counter)
    submitted: set[tuple[str, str]] = field(default_factory=set)
    submitted_online: set[tuple[str, str]] = field(default_factory=set)


@dataclass(slots=True)
class Recomputed:
    """Figures recomputed from some dossiers.

    Attributes:
        periods: the figures of each period, in the order of ``groups.periods_of``.
        dossiers: dossiers that were read.
        messages: messages that were read.
    """

    periods: list[PeriodFigures]
    dossiers: int = 0
    messages: int = 0

    @classmethod
    def nothing(cls, periods: int) -> Recomputed:
        """Empty figures of ``periods`` periods, to add to."""
        return cls([PeriodFigures() for _ in range(periods)])

    def add(self, other: Recomputed) -> None:
        """Add the figures of ``other``, which must be of other dossiers."""
        for mine, theirs in zip(self.periods, other.periods, strict=True):
            mine.dossiers.update(theirs.dossiers)
            mine.submitted |= theirs.submitted
            mine.submitted_online |= theirs.submitted_online
        self.dossiers += other.dossiers
        self.messages += other.messages

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "dossiers": self.dossiers,
            "messages": self.messages,
            "periods": [
                {
                    "figures": [[*key, number] for key, number in sorted(each.dossiers.items())],
                    "submitted": _by_unit(each.submitted),
                    "submitted_online": _by_unit(each.submitted_online),
                }
                for each in self.periods
            ],
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Recomputed:
        """The reverse of ``as_dict``.

        Raises:
            ConfigurationError: ``fields`` do not have the form that ``as_dict`` returns.
        """
        try:
            periods = [
                PeriodFigures(_figures(each["figures"]), _services(each["submitted"]), _services(each["submitted_online"]))
                for each in fields["periods"]
            ]
            return cls(periods, int(fields["dossiers"]), int(fields["messages"]))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ConfigurationError(
                "The figures are not those of a verification.", remedy="Send the sum of its shards in their form."
            ) from error


def rows_of(
    recomputed: Recomputed,
    request: ReportRequest,
    groups: Collection[FigureGroup],
    *,
    catalogue: Catalogue,
    return_at_counter: ReturnAtCounter,
    today: dt.date,
) -> list[dict[str, Any]]:
    """The rows that the report must have, in the form of the report's JSON, with the counts of each group."""
    reader = _Reader(request, recomputed)
    report = build_report(reader, request, _UNKNOWN, catalogue=catalogue, return_at_counter=return_at_counter, today=today)
    rows: list[dict[str, Any]] = report.as_dict()["rows"]
    shown = [group for group in groups if group.name in request.groups]
    for group in shown:
        for place, (sums, _) in _places(group, recomputed, request):
            known = {(row["scope"], row["code"]) for row in rows}
            # Units of the last day that the map of the report does not list.
            rows += [{"scope": scope, "code": code} for scope, code in sums.keys() - known]
            for row in rows:
                _put(row, place, dict(sums[row["scope"], row["code"]]))
    if request.by is Grouping.UNIT:
        return rows
    parts: defaultdict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    for group in shown:
        for place, (_, divided) in _places(group, recomputed, request):
            for key, counts in divided.items():
                _put(parts[key], place, dict(counts))
    if INDICATORS in request.figures:
        channels = [each for group in groups if group.name == "channels" for each in _places(group, recomputed, request)]
        now, *before = (divided for _, (_, divided) in channels)
        for key in {*now, *(before[0] if before else ())}:
            earlier = before[0].get(key, Counter()) if before else None
            parts[key]["indicators"] = part_indicators(now.get(key, {}), earlier, return_at_counter)
    return [*rows, *({"scope": request.by.value, "unit": unit, "code": code} | row for (unit, code), row in parts.items())]


def _places(
    group: FigureGroup, recomputed: Recomputed, request: ReportRequest
) -> list[tuple[tuple[str, ...], tuple[_Sums, _Sums]]]:
    """The group's place in a row and its sums, for the period and, with a comparison, for the earlier period."""
    each = zip((group.place, group.place_before), recomputed.periods, periods_of(request), strict=False)
    return [(place, _sums(figures.dossiers, group, request, period)) for place, figures, period in each]


def _put(row: dict[str, Any], place: Sequence[str], counts: Mapping[str, int]) -> None:
    """Put counts into the row under the keys of ``place``; missing levels are made."""
    for name in place[:-1]:
        row = row.setdefault(name, {})
    row[place[-1]] = counts


class _Reader:
    """A ``PeriodReader`` over recomputed figures."""

    def __init__(self, request: ReportRequest, recomputed: Recomputed) -> None:
        periods = zip(periods_of(request), recomputed.periods, strict=True)
        self._periods = {(period.start, period.end): each for period, each in periods}

    def counts_of_days(self, first: dt.date, last: dt.date) -> Mapping[str, Counts]:
        """Recomputed counts of the period from ``first`` to ``last``, by unit."""
        counts: dict[str, dict[str, int]] = defaultdict(dict)
        for (group, unit, _, name), number in self._periods[first, last].dossiers.items():
            if group == COUNTS:
                counts[unit][name] = number
        return {unit: Counts(**each) for unit, each in counts.items()}

    def services_with_dossiers(self, first: dt.date, last: dt.date) -> ServicesWithDossiers:
        """The services with a dossier submitted in the period from ``first`` to ``last``."""
        found = self._periods[first, last]
        return ServicesWithDossiers(frozenset(found.submitted), frozenset(found.submitted_online))

    def active_days(self, first: dt.date, last: dt.date) -> Mapping[str, np.ndarray]:  # noqa: ARG002 - of the protocol
        """Empty: interruptions are not verified."""
        return {}


def _sums(figures: Figures, group: FigureGroup, request: ReportRequest, period: Period) -> tuple[_Sums, _Sums]:
    """The counts of a group, added up over units and blocks: by (scope, code), and by (unit, part)."""
    units = unit_map(request, period, by_last_day=group.by_last_day)
    sums: _Sums = defaultdict(Counter)
    divided: _Sums = defaultdict(Counter)
    for (name, code, part, count), number in figures.items():
        unit = units.unit_of(code)
        if name != group.name or unit is None:
            continue
        for key in scopes_of(unit):
            sums[key][count] += number
        divided[unit.code, part][count] += number
    return sums, divided


def _by_unit(services: Collection[tuple[str, str]]) -> dict[str, Sequence[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for unit, procedure in sorted(services):
        found[unit].append(procedure)
    return dict(found)


def _figures(rows: Sequence[Sequence[Any]]) -> Figures:
    found: Figures = Counter(
        {(str(group), str(unit), str(part), str(count)): int(number) for group, unit, part, count, number in rows}
    )
    if unknown := {count for group, _, _, count in found if group == COUNTS} - {*Counts.__slots__}:
        raise ValueError(f"no such count: {min(unknown)}")
    return found


def _services(fields: Mapping[str, Sequence[str]]) -> set[tuple[str, str]]:
    return {(unit, str(procedure)) for unit, procedures in fields.items() for procedure in procedures}
