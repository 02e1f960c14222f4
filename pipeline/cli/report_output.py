"""Prints a report, or writes it to a file; a table is printed with notes on silent units, interruptions and rounding."""

from __future__ import annotations

import enum
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Console

from domain.errors import ConfigurationError
from pipeline.cli.remote import Process
from pipeline.cli.remote_report import ask
from pipeline.report.formats.choice import Choice
from pipeline.report.formats.csv_file import CsvForm, to_csv
from pipeline.report.formats.html_page import to_html
from pipeline.report.formats.style import Style
from pipeline.report.formats.table import as_tables, excluded_table, explanation_tables
from pipeline.report.formats.xlsx_file import to_xlsx
from pipeline.whole_files import write_whole

#: Width of a table in a file.
_FILE_COLUMNS: Final = 120


class Format(enum.StrEnum):
    """How a report is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    XLSX = "xlsx"
    HTML = "html"


def print_report(
    report: Mapping[str, Any], *, form: Format, csv_form: CsvForm, chosen: Choice, style: Style, output: Path | None
) -> None:
    """Print the chosen rows and indicators of a report, after a warning when it is not final.

    Raises:
        ConfigurationError: a choice does not exist, or the file cannot be written.
    """
    warning = style.warning(report)
    people = form is Format.TABLE and output is None
    if warning and form is not Format.JSON:
        Console(stderr=not people).print(warning, style="bold", markup=False, highlight=False, soft_wrap=True)
    if people:
        if _is_empty(report):
            Console().print(_nothing(report), markup=False, highlight=False, soft_wrap=True)
        else:
            Console().print(*as_tables(report, choice=chosen, style=style))
            _print_notes(report, style)
    else:
        _write(_body(report, form=form, csv_form=csv_form, chosen=chosen, style=style), output)
    if report["excluded"] and form is not Format.JSON:  # beside the figures of a file, not among them
        Console(stderr=not people).print(excluded_table(report))


def print_explanation(
    process: Process,
    parameters: Mapping[str, str],
    report: Mapping[str, Any],
    *,
    unit: str,
    chosen: Choice,
    style: Style,
    as_json: bool,
) -> None:
    """Print, for each indicator, which procedures and channels moved the rate of a unit."""
    warning = style.warning(report)
    if warning:
        Console(stderr=as_json).print(warning, style="bold", markup=False, highlight=False, soft_wrap=True)
    found = [
        ask(process, "/api/v1/report/explanation", {**parameters, "agency": unit, "indicator": name})
        for name in chosen.indicators
    ]
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2).encode())
        return
    for each in found:
        Console().print(*explanation_tables(each, style=style))


def _body(report: Mapping[str, Any], *, form: Format, csv_form: CsvForm, chosen: Choice, style: Style) -> bytes:
    if form is Format.JSON:
        return (json.dumps(report, ensure_ascii=False, indent=2) + "\n").encode()
    if form is Format.CSV:
        return to_csv(report, choice=chosen, style=style, form=csv_form).encode()
    if form is Format.XLSX:
        return to_xlsx(report, choice=chosen, style=style)
    if form is Format.HTML:
        return to_html(report, choice=chosen, style=style).encode()
    text = io.StringIO()
    Console(file=text, width=_FILE_COLUMNS).print(*as_tables(report, choice=chosen, style=style))
    return text.getvalue().encode()


def _write(body: bytes, output: Path | None) -> None:
    """Write to standard output, or to a file that appears only when it is complete."""
    if output is None:
        sys.stdout.flush()
        typer.echo(body, nl=False)
        return
    try:
        write_whole(output, body)
    except OSError as error:
        raise ConfigurationError(
            f"{output} cannot be written: {error.strerror}.", remedy="Choose another file with --output."
        ) from error


def _is_empty(report: Mapping[str, Any]) -> bool:
    return not any(row["counts"]["events"] for row in report["rows"])


def _nothing(report: Mapping[str, Any]) -> str:
    period = report["period"]
    return f"No event from {period['from']} to {period['to']} is stored, so there are no figures. This is not 0 %."


def _print_notes(report: Mapping[str, Any], style: Style) -> None:
    """Print the notes on a report: silent and interrupted units, and how rates are rounded."""
    console, completeness = Console(), report["completeness"]
    notes = []
    if completeness["silent"]:
        notes.append(f"{style.word('silent')}: {', '.join(completeness['silent'])}")
    if completeness["interrupted"]:
        spans = (
            f"{code} ({', '.join(f'{first} - {last}' for first, last in found)})"
            for code, found in completeness["interrupted"].items()
        )
        notes.append(f"{style.word('interrupted')}: {', '.join(spans)}")
    notes.append(style.rounding_note)
    for note in notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)
