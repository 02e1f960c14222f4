"""The groups of figures of a report as all formats print them: the rows, and count, rate and change of each figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domain.figure_group import lacks_due_dates, rate
from domain.figure_groups import GROUPS
from domain.indicators import Indicator, Ratio
from pipeline.report.formats.choice import Choice
from pipeline.report.formats.style import Style
from pipeline.report.request import INDICATORS


@dataclass(frozen=True, slots=True)
class Cell:
    """The value of a figure in a row.

    Attributes:
        figure: the definition of the figure.
        ratio: count and denominator; the denominator is 0 for a figure that is only a count.
        lacking: whether the rate means nothing because the dossiers have no due date.
        before: the value in the period with which the report is compared, or None.
    """

    figure: Indicator
    ratio: Ratio
    lacking: bool
    before: Cell | None = None

    def rate(self, style: Style) -> str:
        """The rate as printed; empty for a figure that is only a count."""
        if not self.figure.denominator:
            return ""
        return style.word("no_due_date") if self.lacking else style.rate(_plain(self.ratio))

    def points(self, style: Style) -> str:
        """The change in percentage points; empty without a rate or a comparison."""
        if self.before is None or not self.figure.denominator or self.lacking or self.before.lacking:
            return ""
        return style.points(_plain(self.ratio) | {"before": _plain(self.before.ratio)})


def has_indicators(report: Mapping[str, Any]) -> bool:
    """Whether the report has indicators."""
    return INDICATORS in report["figures"]


def groups_of(report: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the report's groups of figures."""
    return tuple(name for name in report["figures"] if name in GROUPS)


def with_parts(report: Mapping[str, Any], choice: Choice) -> list[Mapping[str, Any]]:
    """The rows of ``Choice.rows``; each unit is followed by its sub-units or procedures if the report has them.

    Raises:
        ConfigurationError: as ``Choice.rows``.
    """
    parts: dict[str, list[Mapping[str, Any]]] = {}
    for part in report["parts"]:
        parts.setdefault(part["unit"], []).append(part)
    rows: list[Mapping[str, Any]] = []
    for row in choice.rows(report):
        rows.append(row)
        if row["scope"] == "agency":
            rows += parts.get(row["code"], [])
    return rows


def cells(row: Mapping[str, Any], group: str) -> list[Cell]:
    """The figures of a group in a row, in order."""
    fields = row["figures"][group]
    before = fields.get("before")
    return [
        Cell(figure, *_read(group, figure, fields["counts"]), _before(group, figure, before)) for figure in GROUPS[group].figures
    ]


def heading(group: str, style: Style) -> str:
    """The name of a group in the language of the report."""
    return style.named(GROUPS[group].name_vi, GROUPS[group].name_en)


def note(group: str, style: Style) -> str:
    """A remark about the units of a group when they are not those of the report; otherwise ""."""
    return style.word("last_day_units") if GROUPS[group].by_last_day else ""


def place(row: Mapping[str, Any]) -> str:
    """The code of a row as it is printed; "" for blocks and the nation."""
    return "" if row["scope"] in {"block", "nation"} else str(row["code"])


def is_part(row: Mapping[str, Any]) -> bool:
    """Whether a row is about a part of a unit: a sub-unit or a procedure."""
    return "unit" in row


def _before(group: str, figure: Indicator, before: Mapping[str, Any] | None) -> Cell | None:
    return None if before is None else Cell(figure, *_read(group, figure, before["counts"]))


def _read(group: str, figure: Indicator, counts: Mapping[str, int]) -> tuple[Ratio, bool]:
    return rate(figure, counts), lacks_due_dates(group, figure, counts)


def _plain(ratio: Ratio) -> dict[str, int]:
    return {"numerator": ratio.numerator, "denominator": ratio.denominator}


def all_cells(row: Mapping[str, Any], groups: Sequence[str]) -> list[tuple[str, Cell]]:
    """The figures of several groups in a row, each with the name of its group."""
    return [(group, cell) for group in groups for cell in cells(row, group)]
