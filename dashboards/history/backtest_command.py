"""``portalpulse alerts backtest``: which alerts stored history would have raised, under these or other thresholds."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated, Final

import typer
from rich.console import Console

from dashboards.history.backtest import Row, as_dict, rows_of, with_threshold
from dashboards.history.clock import require_step
from dashboards.history.exported import Exporter
from dashboards.history.feed import Feed
from dashboards.history.figures import Figures
from dashboards.history.run import fired, parts
from dashboards.history.stored import begin_of, requests, stored_figures
from dashboards.history.tables import table
from dashboards.percent_option import percent
from dashboards.rules.generate import RuleTiming, render
from domain.clock import parse_clock
from domain.errors import ConfigurationError
from domain.periods import Period, civil_day
from pipeline.cli import options
from pipeline.cli.progress import progress_bar
from pipeline.cli.remote import running
from pipeline.registry import registry_of
from pipeline.settings import Settings, ThresholdPolicy, load_settings
from pipeline.working_days import working_days_of

#: The answer for a month may take as long as a scan of its minutes.
_ANSWER_SECONDS: Final = 600.0
#: The scope of alerts that history can raise.
_AGENCY: Final = "agency"
_COLUMNS: Final = ("agency", "alert", "kpi", "window", "rung", "limit", "times", "hours", "longest", "firing")


class Form(StrEnum):
    """How the rows are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def backtest(
    *,
    first: Annotated[str, typer.Option("--from", metavar="DAY", help="First civil day, such as 2024-01-01.")],
    last: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Last civil day, included. Default: yesterday.")] = None,
    thresholds: Annotated[
        list[str] | None,
        typer.Option(
            "--threshold",
            metavar="PERCENT",
            help="Instead of the policies' own thresholds: below which rate to alert; may be repeated, to compare.",
        ),
    ] = None,
    agencies: Annotated[
        list[str] | None,
        typer.Option("--agency", metavar="CODE", help="Only this agency, e.g. H17, which takes less time; may be repeated."),
    ] = None,
    step: Annotated[
        int, typer.Option(metavar="MINUTES", help="How far apart two evaluations are: 10, 15, 20, 30, 60, 120 or 180.")
    ] = 60,
    form: Annotated[Form, typer.Option("--format", help="table, csv or json.")] = Form.TABLE,
    data: options.Data = None,
) -> None:
    """Replay stored history through the real rules: how often and how long would each alert have fired?

    Figures come from the running process, hour by hour, as its tallies have them now: what came late counts where it belongs, and
    faults of the pipeline of those days are not replayed. promtool evaluates the rules; docs/alerting.md says what an hourly
    clock keeps.

    Without --threshold the policies of the settings are judged, each rung of the ladder by itself. With it each threshold is
    judged alone, over the windows and with the minimum volumes of these policies: choose the one whose alerts you would act on.

    Example: portalpulse alerts backtest --from 2024-07-01 --to 2024-08-20

    Example: portalpulse alerts backtest --from 2024-07-01 --threshold 5 --threshold 8 --agency H17 --format csv
    """
    require_step(step)
    settings = load_settings()
    registry = registry_of(settings)
    wanted = [percent(text, option="--threshold") for text in thresholds or ()]
    if 0 in wanted:
        raise ConfigurationError("--threshold 0 is below no rate.", remedy="A true zero is a rung of every policy.")
    for code in agencies or ():
        if code not in registry:
            raise ConfigurationError(f"--agency {code[:20]!r} is not in the registry.", remedy="Write a code such as H17.")
    period = _period(settings, first, last)
    process = running(settings, data)
    length = dt.timedelta(minutes=step)
    choices = [with_threshold(settings.thresholds, ratio) for ratio in wanted] or [list(settings.thresholds)]
    with progress_bar() as bar:
        bar.begin("figures", len(requests(begin_of(period), period.end)))
        figures = stored_figures(
            lambda query: process.request_json("GET", "/api/v1/steps", timeout=_ANSWER_SECONDS, params=query),
            period,
            step=length,
            registry=registry,
            only=agencies or (),
            done=lambda: bar.advance(1),
        )
        bar.begin("parts", len(choices) * len(parts(period)))
        found = [row for policies in choices for row in _rows(figures, period, policies, settings, done=lambda: bar.advance(1))]
    # One policy after the other has the same zeros.
    rows = sorted(dict.fromkeys(found), key=lambda row: (row.agency, row.alert, row.kpi, row.window, row.limit or 0))
    _print(rows, period, form)


def _period(settings: Settings, first: str, last: str | None) -> Period:
    today = civil_day(parse_clock(settings.clock).now())
    end = today - dt.timedelta(days=1) if last is None else options.day("--to", last)
    return Period(options.day("--from", first), end)


def _rows(
    figures: Figures, period: Period, policies: Sequence[ThresholdPolicy], settings: Settings, *, done: Callable[[], None]
) -> list[Row]:
    exporter = Exporter(
        figures, Feed.sound(figures.grid), registry_of(settings), policies, working_days_of(settings), is_fresh=True
    )
    spans = fired(exporter, period, render(RuleTiming.production()), scopes=(_AGENCY,), done=done)
    return rows_of(spans, agencies=figures.agencies, policies=policies, step=figures.grid.step, year=period.end.year)


def _print(rows: Sequence[Row], period: Period, form: Form) -> None:
    if form is Form.JSON:
        whole = {
            "period": {"from": period.start.isoformat(), "to": period.end.isoformat()},
            "alerts": [as_dict(row) for row in rows],
        }
        typer.echo(json.dumps(whole, ensure_ascii=False, indent=2))
        return
    if form is Form.CSV:
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: "" if value is None else value for name, value in as_dict(row).items()} for row in rows)
        typer.echo(text.getvalue(), nl=False)
        return
    made = table(
        f"{period.start} to {period.end}",
        [
            "Agency",
            "Alert",
            "Indicator",
            "Window",
            "Rung",
            "Below (%)",
            "Times",
            "Days fired",
            "Longest (days)",
            "Fires at the end",
        ],
        texts=5,
    )
    for row in rows:
        made.add_row(
            *(row.agency, row.alert, row.kpi, row.window, row.rung),
            "" if row.limit is None else f"{float(row.limit * 100):g}",
            f"{row.times:,}",
            f"{row.hours / 24:,.1f}",
            f"{row.longest / 24:,.1f}",
            "yes" if row.firing else "no",
        )
    console = Console(width=150)
    console.print(made)
    console.print(f"{len({row.agency for row in rows})} agencies would have had alerts.", highlight=False)
