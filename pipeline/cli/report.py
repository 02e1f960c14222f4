"""``portalpulse report``: the published figures of a period, from the running process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from domain.calendars import Calendar
from domain.clock import parse_clock
from domain.errors import ConfigurationError
from domain.figure_group import Grouping
from domain.figure_groups import GROUPS
from domain.indicators import ALL_INDICATORS
from domain.periods import civil_day
from domain.rounding import Rounding
from domain.unit_maps import EVENT_DAY
from pipeline.cli import options
from pipeline.cli.remote import running
from pipeline.cli.remote_report import fetch_report
from pipeline.cli.report_output import Format, print_explanation, print_report
from pipeline.cli.report_verification import print_verdict, verified
from pipeline.report.formats.choice import Order, choice
from pipeline.report.formats.csv_file import CsvForm
from pipeline.report.formats.style import MAX_DECIMALS, Language, Style
from pipeline.report.request import ALL, INDICATORS, ParameterReader
from pipeline.settings import load_settings

#: Exit statuses (docs/errors.md): a figure is not what the stored messages say; the figures are not final.
WRONG: Final = 1
NOT_FINAL: Final = 3
_PERIOD, _PRINT, _COMPLETE = "Period", "Printing", "Completeness"


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("report", rich_help_panel="Figures")(_report)


def _report(
    *,
    first: Annotated[str | None, typer.Option("--from", help="First day.", metavar="DAY", rich_help_panel=_PERIOD)] = None,
    last: Annotated[
        str | None, typer.Option("--to", help="Last day, included; also of --ytd.", metavar="DAY", rich_help_panel=_PERIOD)
    ] = None,
    day: Annotated[str | None, typer.Option(help="2024-08-20 or 20/08/2024.", metavar="DAY", rich_help_panel=_PERIOD)] = None,
    month: Annotated[str | None, typer.Option(help="2024-08 or 08/2024.", metavar="MONTH", rich_help_panel=_PERIOD)] = None,
    quarter: Annotated[str | None, typer.Option(help="2024-Q3 or Q3/2024.", metavar="QUARTER", rich_help_panel=_PERIOD)] = None,
    half: Annotated[str | None, typer.Option(help="2024-H2 or H2/2024.", metavar="HALF", rich_help_panel=_PERIOD)] = None,
    year: Annotated[str | None, typer.Option(help="2024.", metavar="YEAR", rich_help_panel=_PERIOD)] = None,
    ytd: Annotated[
        bool, typer.Option("--ytd", help="From the first day of the year to yesterday, or to --to.", rich_help_panel=_PERIOD)
    ] = False,
    rolling: Annotated[
        int | None, typer.Option("--last", help="The last N days, to yesterday.", metavar="N", rich_help_panel=_PERIOD)
    ] = None,
    calendar: Annotated[
        Calendar,
        typer.Option(help="nd09: months end on the 14th (Nghị định 09/2019/NĐ-CP).", rich_help_panel=_PERIOD),
    ] = Calendar.CIVIL,
    compare: Annotated[
        str | None,
        typer.Option(help="Compare with previous, last-year, or two days FROM..TO.", metavar="PERIOD", rich_help_panel=_PERIOD),
    ] = None,
    units: Annotated[
        str,
        typer.Option(
            help="By the units of the events' days (event), of today, or of a day from the end of the period on.",
            metavar="event|today|DAY",
            rich_help_panel=_PERIOD,
        ),
    ] = EVENT_DAY,
    indicators: Annotated[
        list[str] | None,
        typer.Option(
            "--indicator", help=f"{', '.join(ALL_INDICATORS)}; may be repeated.", metavar="CODE", rich_help_panel=_PRINT
        ),
    ] = None,
    agencies: Annotated[
        list[str] | None,
        typer.Option("--agency", help="Only this agency, e.g. H17; may be repeated.", metavar="CODE", rich_help_panel=_PRINT),
    ] = None,
    block: Annotated[
        str | None, typer.Option(help="Only this block.", metavar="ministry|province", rich_help_panel=_PRINT)
    ] = None,
    sort: Annotated[
        Order, typer.Option(help="Order of the agencies; rank and volume by the first indicator.", rich_help_panel=_PRINT)
    ] = Order.CODE,
    figures: Annotated[
        str,
        typer.Option(
            help=f"What is printed, separated by commas: {', '.join((INDICATORS, *GROUPS))}; or {ALL}.",
            metavar="NAMES",
            rich_help_panel=_PRINT,
        ),
    ] = INDICATORS,
    by: Annotated[
        Grouping,
        typer.Option(
            help="Divide each agency further, by the receiving unit that the dossier code names, or by procedure.",
            rich_help_panel=_PRINT,
        ),
    ] = Grouping.UNIT,
    min_volume: Annotated[
        int, typer.Option(min=1, help="No rank for an agency with fewer dossiers.", rich_help_panel=_PRINT)
    ] = 1,
    decimals: Annotated[
        int, typer.Option(min=0, max=MAX_DECIMALS, help="Decimals of rates and changes.", rich_help_panel=_PRINT)
    ] = 2,
    rounding: Annotated[
        Rounding, typer.Option("--round", help="How rates are reduced to their decimals.", rich_help_panel=_PRINT)
    ] = Rounding.CUT,
    language: Annotated[
        Language, typer.Option("--lang", help="Language of names, headings and numbers.", rich_help_panel=_PRINT)
    ] = Language.VI,
    form: Annotated[
        Format, typer.Option("--format", help="html is one page to print; xlsx needs --output.", rich_help_panel=_PRINT)
    ] = Format.TABLE,
    csv_form: Annotated[
        CsvForm,
        typer.Option(
            "--csv", help="excel: for a Vietnamese Excel (; and decimal comma); plain: for programs.", rich_help_panel=_PRINT
        ),
    ] = CsvForm.EXCEL,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file.", metavar="FILE", rich_help_panel=_PRINT)
    ] = None,
    explained: Annotated[
        str | None,
        typer.Option(
            "--explain",
            help="With --compare: which procedures and channels of this agency moved its rate, the largest contribution first.",
            metavar="CODE",
            rich_help_panel=_PERIOD,
        ),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="End with status 0 although the figures are not final.", rich_help_panel=_COMPLETE)
    ] = False,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Wait as long as it takes for messages that are not counted yet.", rich_help_panel=_COMPLETE),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Recompute every figure from the stored messages and compare; status 1 when one differs. A year takes minutes.",
            rich_help_panel=_COMPLETE,
        ),
    ] = False,
    data: options.Data = None,
) -> None:
    """Print the figures of whole civil days (Asia/Ho_Chi_Minh): agencies, blocks, nation.

    All figures count dossiers, each once. Rates are cut, not rounded, unless --round says so.

    Figures are final when the period is over and every message that lay in Kafka when the report was asked for is counted.
    Otherwise the first line says so (with CSV, XLSX and HTML on the error stream) and the exit status is 3, unless --partial is
    given.

    Example: portalpulse report --month 2024-08 --compare last-year --sort rank

    Example: portalpulse report --month 2024-08 --compare previous --explain H17

    Example: portalpulse report --ytd --units today --format html --output bulletin.html

    Example: portalpulse report --month 2024-08 --figures balance,due --by sub-unit --agency H17

    Example: portalpulse report --month 2024-08 --figures all --verify
    """
    if form is Format.XLSX and output is None:
        raise ConfigurationError("--format xlsx writes a binary file.", remedy="Give its name: --output report.xlsx.")
    chosen = choice(indicators=indicators or (), units=agencies or (), block=block, order=sort)
    style = Style(decimals, rounding, language)
    named = {"day": day, "month": month, "quarter": quarter, "half": half, "year": year, "from": first}
    parameters = {name: text for name, text in named.items() if text is not None}
    if ytd:
        parameters["ytd"] = last or "yesterday"
    elif last is not None:
        parameters["to"] = last
    if rolling is not None:
        parameters["last"] = str(rolling)
    if compare is not None:
        parameters["compare"] = compare
    parameters |= {"calendar": calendar.value, "units": units, "min_volume": str(min_volume)}
    parameters |= {"figures": figures, "by": by.value}
    settings = load_settings()
    # Before any process is asked, so that errors name options.
    asked = ParameterReader(parameters, civil_day(parse_clock(settings.clock).now()), _option)
    asked.compared(asked.period())
    asked.figures(by)
    process = running(settings, data)
    # An explanation reads the channels of whole dossiers, so the report has to say whether these are complete.
    with_channels = {"figures": f"{figures},channels"} if explained is not None else {}
    report = fetch_report(process, parameters | with_channels, wait=wait)
    if explained is not None:
        print_explanation(process, parameters, report, unit=explained, chosen=chosen, style=style, as_json=form is Format.JSON)
    else:
        print_report(report, form=form, csv_form=csv_form, chosen=chosen, style=style, output=output)
    is_settled = bool(report["completeness"]["final"])
    if verify:
        verdict = verified(process, parameters | with_channels, report, wait=wait)
        print_verdict(verdict, Console(stderr=form is not Format.TABLE or output is not None))
        if verdict.wrong:
            raise typer.Exit(WRONG)
        is_settled = is_settled and not verdict.moved
    if not (partial or is_settled):
        raise typer.Exit(NOT_FINAL)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
