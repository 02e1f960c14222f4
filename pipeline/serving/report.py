"""The published figures for any civil period: every agency, both blocks, the nation; sums first, then one division."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
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
    """One line of a report: a scope and its indicators."""

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

    def as_dict(self) -> dict[str, Any]:
        """The JSON form, see docs/reports.md."""
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
        }


def build_report(reader: TallyReader, registry: AgencyRegistry, period: Period) -> Report:
    """Count the period from the day tallies.

    Every agency in force on the last day is listed, and every other one that has figures: a unit merged away within the
    period keeps its own line up to the merger.
    """
    counts = reader.counts_of_days(period.start, period.end)
    listed = {agency.code: agency for agency in registry.in_force(period.end)}
    for code in counts:
        spans = registry.spans(code)
        if spans:
            listed.setdefault(code, spans[-1])
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
    return Report(period, tuple(rows))


def _nothing() -> dict[str, Ratio]:
    return {name: Ratio(0, 0) for name in INDICATORS}


def to_csv(report: Mapping[str, Any]) -> str:
    """A report (its JSON form) as CSV, a line for each row, two counts and a percentage for each indicator."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    parts = ("numerator", "denominator", "percent")
    writer.writerow(["scope", "code", "name", *(f"{name}_{part}" for name in INDICATORS for part in parts)])
    for row in report["rows"]:
        figures = [row["indicators"][name][part] for name in INDICATORS for part in parts]
        writer.writerow([row["scope"], row["code"], row["name"], *("" if figure is None else figure for figure in figures)])
    return text.getvalue()


def to_json(report: Mapping[str, Any]) -> str:
    """A report (its JSON form) as text."""
    return json.dumps(report, ensure_ascii=False, indent=2)
