"""A report as an Excel workbook. Counts are numbers, and each rate is a formula that cuts or rounds exactly as the report does.

Only this module uses XlsxWriter.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import xlsxwriter
from xlsxwriter.utility import xl_rowcol_to_cell

from domain.figure_groups import GROUPS
from domain.indicators import Ratio
from domain.rounding import Rounding, change_in_points, percent
from pipeline.report.formats.choice import Choice
from pipeline.report.formats.groups import Cell, cells, groups_of, has_indicators, heading, note, with_parts
from pipeline.report.formats.style import NO_DATA, Style, ratio_of

#: Rows above the headings.
_TITLE_ROWS: Final = 4
_CODE_WIDTH, _NAME_WIDTH, _NUMBER_WIDTH = 9, 36, 13
_A4: Final = 9
#: Longest name of a sheet.
_SHEET_NAME: Final = 31
#: Names of the registry are texts, never formulas or links.
_OPTIONS: Final = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
#: Counts that the second sheet lists.
_COUNTS: Final = (
    "submitted", "submitted_online", "settled", "settled_full", "settled_full_any_return",
    "refused", "withdrawn", "stopped", "given_back",
)  # fmt: skip


def to_xlsx(report: Mapping[str, Any], *, choice: Choice, style: Style) -> bytes:
    """The bytes of the workbook: a sheet of indicators, a sheet of counts, and a sheet for each group of figures.

    Raises:
        ConfigurationError: as ``Choice.rows``.
    """
    rows = choice.rows(report)
    body = io.BytesIO()
    with xlsxwriter.Workbook(body, _OPTIONS) as book:
        formats = {
            "title": book.add_format({"bold": True, "font_size": 14}),
            "head": book.add_format({"bold": True, "text_wrap": True, "bottom": 1, "valign": "top"}),
            "warning": book.add_format({"bold": True, "font_color": "#9C0006"}),
            "text": book.add_format({}),
            "bold": book.add_format({"bold": True, "top": 1}),
            "count": book.add_format({"num_format": "#,##0"}),
            "rate": book.add_format({"num_format": "0." + "0" * style.decimals if style.decimals else "0"}),
        }
        compared = report["compared_with"] is not None
        if has_indicators(report):
            sheets = [_Sheet(book.add_worksheet(style.word(key)), style, formats) for key in ("ranking", "count")]
            for sheet in sheets:
                sheet.title(report, style.return_note(report, choice.indicators))
            sheets[0].indicators(with_parts(report, choice), choice.indicators, compared=compared)
            sheets[1].counts(rows)
        for group in groups_of(report):
            sheet = _Sheet(book.add_worksheet(heading(group, style)[:_SHEET_NAME]), style, formats)
            sheet.title(report, note(group, style))
            sheet.group(with_parts(report, choice), group, compared=compared)
    return body.getvalue()


def rate_formula(numerator: str, denominator: str, style: Style) -> str:
    """The Excel formula of a rate from two cells, cut or rounded as ``style`` says. A cell format alone would always round."""
    shift = 10**style.decimals
    if style.rounding is Rounding.HALF_UP:
        return f"=ROUND({numerator}*100/{denominator},{style.decimals})"
    return f"=TRUNC({numerator}*{100 * shift}/{denominator})/{shift}"


class _Sheet:
    """Writes one sheet of the workbook."""

    def __init__(self, sheet: Any, style: Style, formats: Mapping[str, Any]) -> None:
        self._sheet, self._style, self._formats = sheet, style, formats

    def title(self, report: Mapping[str, Any], remark: str) -> None:
        """Write title and period of the report, whether its figures are final, and a remark."""
        word, period, compared = self._style.word, report["period"], report["compared_with"]
        self._sheet.write_string(0, 0, word("title"), self._formats["title"])
        text = f"{word('period')}: {self._style.period(period)}"
        if compared is not None:
            text += f"; {word('compared').lower()} {self._style.period(compared)}"
        self._sheet.write_string(1, 0, text)
        warning = self._style.warning(report)
        self._sheet.write_string(2, 0, warning or word("final"), self._formats["warning" if warning else "text"])
        self._sheet.write_string(3, 0, remark)

    def indicators(self, rows: Sequence[Mapping[str, Any]], indicators: Sequence[str], *, compared: bool) -> None:
        """Write rank, counts, rate and class of each indicator; with a comparison also earlier ones and the change."""
        word = self._style.word
        heads = []
        for name in indicators:
            heads += [f"{name} {word('rank').lower()}"]
            heads += [f"{name} {word(part)}" for part in ("numerator", "denominator", "rate")]
            heads += [f"{name} {word('class').lower()}"]
            if compared:
                heads += [f"{name} {word('before')}: {word(part)}" for part in ("numerator", "denominator", "rate")]
                heads += [f"{name} {word('points_long')}"]
        for number, row in self._table(heads, rows):
            column = 2
            for name in indicators:
                figure = row["indicators"].get(name)  # what is offered is not divided
                if figure is None:
                    column += 9 if compared else 5
                else:
                    column = self._figure(number, column, figure, compared=compared)

    def group(self, rows: Sequence[Mapping[str, Any]], group: str, *, compared: bool) -> None:
        """Write count and rate of each figure of a group; with a comparison also the earlier ones and the change."""
        word, heads = self._style.word, []
        for figure in GROUPS[group].figures:
            name = self._style.named(figure.name_vi, figure.name_en)
            rates = [word("rate")] if figure.denominator else []
            heads += [name, *(f"{name} {rate}" for rate in rates)]
            if compared:
                heads += [f"{name}, {word('before')}", *(f"{name}, {word('before')} {rate}" for rate in rates)]
                heads += [f"{name} {word('points_long')}"] if rates else []
        for number, row in self._table(heads, rows):
            found = cells(row, group)
            columns = _columns(found)
            for cell in found:
                self._cell(number, columns, cell)

    def _cell(self, row: int, columns: Mapping[str, tuple[int, int]], cell: Cell) -> None:
        """Write count and rate of one figure of a group; with a comparison also the earlier ones and the change."""
        name, denominator = cell.figure.code, cell.figure.denominator
        for each, at in ((cell, 0), (cell.before, 1)):
            if each is None:
                continue
            column = columns[name][at]
            self._sheet.write_number(row, column, each.ratio.numerator, self._formats["count"])
            if denominator and each.lacking:
                self._sheet.write_string(row, column + 1, each.rate(self._style))
            elif denominator:
                self._rate(row, column + 1, each.ratio, (column, columns[denominator][at]))
        if cell.before is None or not denominator:
            return
        points = None if cell.lacking or cell.before.lacking else change_in_points(cell.before.ratio, cell.ratio)
        column = columns[name][1] + 2
        if points is None:
            self._sheet.write_string(row, column, NO_DATA)
        else:
            self._sheet.write_number(row, column, float(points), self._formats["rate"])

    def counts(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the numbers of dossiers of each row."""
        for number, row in self._table([self._style.word(name) for name in _COUNTS], rows):
            for column, name in enumerate(_COUNTS, start=2):
                self._sheet.write_number(number, column, row["counts"][name], self._formats["count"])

    def _table(self, heads: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Iterable[tuple[int, Mapping[str, Any]]]:
        """Write headings, codes and names; yield the number of each row in the sheet, and the row."""
        sheet, last = self._sheet, len(heads) + 1
        for column, head in enumerate((self._style.word("code"), self._style.word("unit"), *heads)):
            sheet.write_string(_TITLE_ROWS, column, head, self._formats["head"])
        for column, until, width in ((0, 0, _CODE_WIDTH), (1, 1, _NAME_WIDTH), (2, last, _NUMBER_WIDTH)):
            sheet.set_column(column, until, width)
        for number, row in enumerate(rows, start=_TITLE_ROWS + 1):
            cell = self._formats["bold" if row["scope"] in {"block", "nation"} else "text"]
            sheet.write_string(number, 0, row["code"], cell)
            sheet.write_string(number, 1, self._style.name(row), cell)
            yield number, row
        sheet.freeze_panes(_TITLE_ROWS + 1, 2)
        sheet.autofilter(_TITLE_ROWS, 0, _TITLE_ROWS + max(1, len(rows)), last)
        sheet.repeat_rows(_TITLE_ROWS)
        sheet.set_landscape()
        sheet.set_paper(_A4)
        sheet.fit_to_pages(1, 0)

    def _figure(self, row: int, column: int, figure: Mapping[str, Any], *, compared: bool) -> int:
        """Write one indicator of a row; return the next column."""
        if figure.get("rank") is not None:
            self._sheet.write_number(row, column, figure["rank"], self._formats["count"])
        self._ratio(row, column + 1, figure)
        self._sheet.write_string(row, column + 4, self._style.class_word(figure["class"]) if "class" in figure else "")
        if not compared:
            return column + 5
        self._ratio(row, column + 5, figure["before"])
        if figure["change_points"] is None:
            self._sheet.write_string(row, column + 8, NO_DATA)
        else:
            self._sheet.write_number(row, column + 8, float(figure["change_points"]), self._formats["rate"])
        return column + 9

    def _ratio(self, row: int, column: int, figure: Mapping[str, Any]) -> None:
        """Write numerator, denominator and rate into three cells."""
        self._sheet.write_number(row, column, figure["numerator"], self._formats["count"])
        self._sheet.write_number(row, column + 1, figure["denominator"], self._formats["count"])
        self._rate(row, column + 2, ratio_of(figure), (column, column + 1))

    def _rate(self, row: int, column: int, ratio: Ratio, parts: tuple[int, int]) -> None:
        """Write a rate as a formula of the cells of its numerator and denominator; ``parts``: the columns of these."""
        printed = percent(ratio, decimals=self._style.decimals, rounding=self._style.rounding)
        if printed is None:
            self._sheet.write_string(row, column, NO_DATA)
            return
        numerator, denominator = (xl_rowcol_to_cell(row, part) for part in parts)
        formula = rate_formula(numerator, denominator, self._style)
        self._sheet.write_formula(row, column, formula, self._formats["rate"], float(printed))


def _columns(cells: Iterable[Cell]) -> dict[str, tuple[int, int]]:
    """Count of a group -> the columns of its value and of its earlier value. The column of a rate follows that of its count."""
    found, column = {}, 2
    for cell in cells:
        width = 2 if cell.figure.denominator else 1
        found[cell.figure.code] = (column, column + width)
        column += width if cell.before is None else 2 * width + width - 1  # the change follows both
    return found
