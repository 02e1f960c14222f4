"""The published figures of a civil period: agencies, blocks, nation. Ratios divide sums; they are never averaged."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domain.agencies import BLOCKS, AgencyRegistry
from domain.indicators import INDICATORS, Ratio, ratio_of
from domain.periods import Period
from domain.rounding import percent
from sinks.contract.tallies import Counts, TallyReader

NATION_CODE = "VN"
_BLOCK_NAMES = {"ministry": "Khối bộ, ngành", "province": "Khối địa phương"}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a report: an agency, a block or the nation, and its indicators."""

    scope: str  # agency, block or nation
    code: str
    name: str
    block: str  # "" for the nation
    indicators: Mapping[str, Ratio]


@dataclass(frozen=True, slots=True)
class Report:
    """Agencies sorted by code, then the blocks, then the nation."""

    period: Period
    rows: tuple[Row, ...]
    excluded: tuple[Mapping[str, Any], ...] = ()  # excluded dossiers that would have changed the figures

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values for JSON, see docs/reports.md."""
        return {
            "period": {"from": self.period.start.isoformat(), "to": self.period.end.isoformat()},
            "rows": [
                {
                    "scope": row.scope,
                    "code": row.code,
                    "name": row.name,
                    "indicators": {
                        code: {
                            "numerator": ratio.numerator,
                            "denominator": ratio.denominator,
                            "percent": percent(ratio),
                        }
                        for code, ratio in row.indicators.items()
                    },
                }
                for row in self.rows
            ],
            "excluded": list(self.excluded),
        }


def build_report(
    reader: TallyReader, registry: AgencyRegistry, period: Period, excluded: Sequence[Mapping[str, Any]] = ()
) -> Report:
    """Build the report of a period from the day tallies.

    Lists every agency that is in force and expected to report on the last day, and every other one with figures: an agency that
    was merged within the period keeps its own row until the merger.

    Args:
        reader: reads the tallies.
        registry: the agencies.
        period: whole civil days.
        excluded: the excluded dossiers that would have changed the figures, as plain values.

    Raises:
        SinkError: the storage does not answer.
    """
    counts = reader.counts_of_days(period.start, period.end)
    listed = {agency.code: agency for agency in registry.expected(period.end)}
    for code in counts:
        agency = registry.at(code, period.end) or next(reversed(registry.spans(code)), None)
        if agency is not None and counts[code] != Counts():  # a tally that a repair cleared has no figures
            listed.setdefault(code, agency)
    rows: list[Row] = []
    pooled: dict[str, dict[str, Ratio]] = {block: _nothing() for block in BLOCKS}
    for code in sorted(listed):
        ratios = {name: ratio_of(indicator, counts.get(code, Counts())) for name, indicator in INDICATORS.items()}
        agency = listed[code]
        rows.append(Row("agency", code, agency.name_vi, agency.block, ratios))
        for name, ratio in ratios.items():
            pooled[agency.block][name] += ratio
    nation = _nothing()
    for block in BLOCKS:
        rows.append(Row("block", block, _BLOCK_NAMES[block], block, pooled[block]))
        for name in INDICATORS:
            nation[name] += pooled[block][name]
    rows.append(Row("nation", NATION_CODE, "Toàn quốc", "", nation))
    return Report(period, tuple(rows), tuple(excluded))


def _nothing() -> dict[str, Ratio]:
    return {name: Ratio(0, 0) for name in INDICATORS}


def to_csv(report: Mapping[str, Any]) -> str:
    """``Report.as_dict`` as CSV: one line per row, two counts and a percentage per indicator."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    parts = ("numerator", "denominator", "percent")
    writer.writerow(["scope", "code", "name", *(f"{name}_{part}" for name in INDICATORS for part in parts)])
    for row in report["rows"]:
        figures = [row["indicators"][name][part] for name in INDICATORS for part in parts]
        writer.writerow([row["scope"], row["code"], row["name"], *("" if figure is None else figure for figure in figures)])
    return text.getvalue()


def to_json(report: Mapping[str, Any]) -> str:
    """``Report.as_dict`` as JSON text."""
    return json.dumps(report, ensure_ascii=False, indent=2)
