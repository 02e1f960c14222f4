"""``portalpulse report``: the published figures of a period, from the running process."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from domain.errors import UnavailableError
from domain.indicators import INDICATORS
from domain.periods import Period
from domain.rounding import vietnamese
from pipeline.cli import options
from pipeline.cli.remote import Process, running
from pipeline.serving.report import to_csv, to_json
from pipeline.settings import load_settings


class Format(enum.StrEnum):
    """How a report is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""

    @app.command(rich_help_panel="Figures")
    def report(
        first: Annotated[str, typer.Option("--from", help="First day, e.g. 2024-01-01.", metavar="DAY")],
        last: Annotated[str, typer.Option("--to", help="Last day, included.", metavar="DAY")],
        form: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.TABLE,
        data: options.Data = None,
    ) -> None:
        """Print the figures of whole civil days (Asia/Ho_Chi_Minh): agencies, blocks, nation.

        All figures count dossiers, each once; "events" counts distinct events. Excluded dossiers that would have changed the
        figures are listed below them (with --format csv on the error stream).

        Example: portalpulse report --from 2024-01-01 --to 2024-08-20 --format csv > emc.csv
        """
        period = Period(options.day("--from", first), options.day("--to", last))
        figures = fetch_report(running(load_settings(), data), period)
        if form is Format.JSON:
            typer.echo(to_json(figures).encode())
            return
        if form is Format.CSV:
            typer.echo(to_csv(figures).encode(), nl=False)
        else:
            Console().print(as_table(figures))
        if figures["excluded"]:  # beside the figures of a CSV, not among them
            Console(stderr=form is Format.CSV).print(excluded_table(figures))


def fetch_report(process: Process, period: Period) -> Mapping[str, Any]:
    """The figures of ``period`` from ``process``, as ``Report.as_dict`` gives them.

    Raises:
        UnavailableError: it does not answer, or its storage does not.
    """
    figures = process.request_json("GET", "/api/v1/report", params={"from": str(period.start), "to": str(period.end)})
    if not isinstance(figures, dict) or not {"rows", "excluded"} <= figures.keys():
        raise UnavailableError(f"{process.url} did not answer with a report.", remedy="Check whether another program runs there.")
    return figures


def as_table(figures: Mapping[str, Any]) -> Table:
    """A report for people, percentages in Vietnamese form."""
    period = figures["period"]
    table = Table(title=f"{period['from']} - {period['to']}")
    table.add_column("Mã")
    table.add_column("Tên")
    for name in INDICATORS:
        table.add_column(f"{name} tử số", justify="right")
        table.add_column("mẫu số", justify="right")
        table.add_column("%", justify="right")
    for row in figures["rows"]:
        cells = []
        for name in INDICATORS:
            figure = row["indicators"][name]
            rate = figure["percent"]
            cells += [vietnamese(str(figure["numerator"])), vietnamese(str(figure["denominator"]))]
            cells.append("—" if rate is None else vietnamese(rate))
        table.add_row(row["code"], row["name"], *cells, style=None if row["scope"] == "agency" else "bold")
    return table


def excluded_table(figures: Mapping[str, Any]) -> Table:
    """The excluded dossiers that would have changed the figures, for people."""
    table = Table(title=f"Hồ sơ bị loại khỏi thống kê (excluded): {len(figures['excluded'])}")
    for title in ("Mã hồ sơ", "Lẽ ra được tính (would count)", "Lý do", "Người quyết định", "Thời điểm"):
        table.add_column(title, overflow="fold")
    for dossier in figures["excluded"]:
        places = [f"{each['name']} {each['unit']} {each['day']}" for each in dossier["milestones"]]
        cells = (dossier["dossier_code"], "\n".join(places), dossier["reason"], dossier["name"], dossier["decided_at"][:19])
        table.add_row(*(escape(cell or "—") for cell in cells))
    return table
