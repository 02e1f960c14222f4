"""A report as CSV: for a Vietnamese Excel (semicolons, decimal commas, with a byte order mark), or plain for programs."""

from __future__ import annotations

import csv
import enum
import io
from collections.abc import Mapping
from typing import Any

from domain.figure_group import Grouping
from domain.figure_groups import GROUPS
from domain.rounding import change_in_points, percent
from pipeline.report.formats.choice import Choice
from pipeline.report.formats.groups import Cell, all_cells, groups_of, has_indicators, with_parts
from pipeline.report.formats.style import Style, ratio_of

_BYTE_ORDER_MARK = "\ufeff"


class CsvForm(enum.StrEnum):
    """The form of a CSV file; the value is the name in options."""

    EXCEL = "excel"
    PLAIN = "plain"


def to_csv(report: Mapping[str, Any], *, choice: Choice, style: Style, form: CsvForm = CsvForm.EXCEL) -> str:
    """Return the report as CSV, one line for each row.

    Columns are scope, code, name; numerator, denominator, percent, class and rank of each indicator; then the count of each
    figure of the groups, and the percent of those figures that are rates. A report by sub-unit or procedure has sub-units or
    procedures as rows after their unit, and a column ``unit`` after the code. With a comparison, indicators and rates have also
    their values in the earlier period and the change in points.

    When I1 is printed, the last column says which numerator I1 has (``domain.indicators.ReturnAtCounter``). An empty cell means
    no data. Numbers have no separators of thousands.

    Raises:
        ConfigurationError: as ``Choice.rows``.
    """
    text = io.StringIO()
    excel = form is CsvForm.EXCEL
    writer = csv.writer(text, lineterminator="\r\n" if excel else "\n", delimiter=";" if excel else ",")
    compared = report["compared_with"] is not None
    parts = ["numerator", "denominator", "percent", "class", "rank"]
    if compared:
        parts += ["before_numerator", "before_denominator", "before_percent", "change_points"]
    indicators = choice.indicators if has_indicators(report) else ()
    groups, divided = groups_of(report), report["by"] != Grouping.UNIT
    last = ["return_at_counter"] if "I1" in indicators else []
    heads = ["scope", "code", *(["unit"] if divided else []), "name"]
    heads += [f"{name}_{part}" for name in indicators for part in parts]
    heads += [head for group in groups for head in _heads(group, compared=compared)]
    writer.writerow([*heads, *last])

    for row in with_parts(report, choice):
        cells: list[Any] = [row["scope"], row["code"], *([row.get("unit", "")] if divided else []), style.name(row)]
        for name in indicators:
            figure = row["indicators"].get(name)  # what is offered is not divided
            cells += [""] * len(parts) if figure is None else _of_indicator(figure, style, excel=excel)
        cells += [text for _, cell in all_cells(row, groups) for text in _of_group(cell, style, excel=excel)]
        writer.writerow([*cells, *(report[name] for name in last)])
    return (_BYTE_ORDER_MARK if excel else "") + text.getvalue()


def _of_indicator(figure: Mapping[str, Any], style: Style, *, excel: bool) -> list[Any]:
    """The cells of an indicator in a row; class and rank are empty for a part of a unit."""

    def ratio(found: Mapping[str, Any]) -> list[Any]:
        printed = percent(ratio_of(found), decimals=style.decimals, rounding=style.rounding)
        return [found["numerator"], found["denominator"], _decimal(printed, excel=excel)]

    rank = figure.get("rank")
    shown = [*ratio(figure), figure.get("class", ""), "" if rank is None else rank]
    if "before" not in figure:
        return shown
    return [*shown, *ratio(figure["before"]), _decimal(figure["change_points"], excel=excel)]


def _of_group(cell: Cell, style: Style, *, excel: bool) -> list[Any]:
    """The cells of a figure of a group in a row."""
    is_rate = bool(cell.figure.denominator)
    shown: list[Any] = [cell.ratio.numerator, *([_rate(cell, style, excel=excel)] if is_rate else [])]
    if cell.before is None:
        return shown
    shown += [cell.before.ratio.numerator, *([_rate(cell.before, style, excel=excel)] if is_rate else [])]
    if not is_rate:
        return shown
    lacks = cell.lacking or cell.before.lacking
    return [*shown, "" if lacks else _decimal(change_in_points(cell.before.ratio, cell.ratio), excel=excel)]


def _heads(group: str, *, compared: bool) -> list[str]:
    """The headings of the columns of a group of figures."""
    heads = []
    for figure in GROUPS[group].figures:
        name = f"{group.replace('-', '_')}_{figure.code}"
        rates = [f"{name}_percent"] if figure.denominator else []
        heads += [name, *rates]
        if compared:
            heads += [f"{name}_before", *([f"{name}_before_percent", f"{name}_change_points"] if rates else [])]
    return heads


def _rate(cell: Cell, style: Style, *, excel: bool) -> str:
    if cell.lacking:
        return style.word("no_due_date") if excel else "no_due_date"
    return _decimal(percent(cell.ratio, decimals=style.decimals, rounding=style.rounding), excel=excel)


def _decimal(number: str | None, *, excel: bool) -> str:
    if number is None:
        return ""
    return number.replace(".", ",") if excel else number
