"""A report as CSV: for a Vietnamese Excel (semicolons, decimal commas, with a byte order mark), or plain for programs."""

from __future__ import annotations

import csv
import enum
import io
from collections.abc import Mapping
from typing import Any

from domain.rounding import percent
from pipeline.report.formats.choice import Choice
from pipeline.report.formats.style import Style, ratio_of

_BYTE_ORDER_MARK = "\ufeff"


class CsvForm(enum.StrEnum):
    """The value is the name of the option."""

    EXCEL = "excel"
    PLAIN = "plain"


def to_csv(report: Mapping[str, Any], *, choice: Choice, style: Style, form: CsvForm = CsvForm.EXCEL) -> str:
    """One line a row: scope, code, name, then numerator, denominator, percent, class and rank of each indicator.

    With a comparison each indicator has also numerator, denominator and percent of before, and the change in points. With I1 the
    last column says which numerator it has (``domain.indicators.ReturnAtCounter``). An empty cell is no data. Numbers have no
    separators of thousands.

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
    last = ["return_at_counter"] if "I1" in choice.indicators else []
    writer.writerow(["scope", "code", "name", *(f"{name}_{part}" for name in choice.indicators for part in parts), *last])

    def rate(figure: Mapping[str, Any]) -> str:
        return _decimal(percent(ratio_of(figure), decimals=style.decimals, rounding=style.rounding), excel=excel)

    for row in choice.rows(report):
        cells: list[Any] = [row["scope"], row["code"], style.name(row)]
        for name in choice.indicators:
            figure = row["indicators"][name]
            rank = figure["rank"]
            cells += [figure["numerator"], figure["denominator"], rate(figure), figure["class"], "" if rank is None else rank]
            if compared:
                before = figure["before"]
                cells += [
                    before["numerator"],
                    before["denominator"],
                    rate(before),
                    _decimal(figure["change_points"], excel=excel),
                ]
        writer.writerow([*cells, *(report[name] for name in last)])
    return (_BYTE_ORDER_MARK if excel else "") + text.getvalue()


def _decimal(number: str | None, *, excel: bool) -> str:
    if number is None:
        return ""
    return number.replace(".", ",") if excel else number
