"""``portalpulse alerts year``: a simulated year through the real rules, compared with its exact counts."""

from __future__ import annotations

import datetime as dt
import time
from typing import Annotated, Final

import typer
from rich.console import Console

from dashboards.history.clock import require_step
from dashboards.history.run import parts
from dashboards.history.tables import alerts_table, drops_table, faults_table, wrong_lines
from dashboards.history.trial import Trial, run_trial
from dashboards.history.year import simulate
from dashboards.rules.generate import RuleTiming, render
from domain.calendars import PeriodKind, named
from domain.errors import ConfigurationError
from domain.periods import Period
from pipeline.cli.progress import progress_bar
from pipeline.registry import registry_of
from pipeline.settings import load_settings
from pipeline.working_days import working_days_of

#: Exit status when an alert was wrong, or something was missed (docs/errors.md).
WRONG: Final = 1
#: The registrations of the last day are answered in the year after.
_YEARS: Final = (2018, 2099)


def year(
    *,
    of: Annotated[
        int, typer.Option("--year", metavar="YEAR", help="Its weekends and holidays, and the agencies of its first day.")
    ] = 2024,
    month: Annotated[str | None, typer.Option(metavar="MONTH", help="Only this month: 2024-02 or 02/2024.")] = None,
    step: Annotated[
        int, typer.Option(metavar="MINUTES", help="How far apart two evaluations are: 10, 15, 20, 30, 60, 120 or 180.")
    ] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Everything random follows from it.")] = 1,
    agencies: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only so many agencies, spread over all sizes. Default: all 84.")
    ] = None,
) -> None:
    """Simulate a year of agencies and run it through the real rules: is every alert right, and is every drop found?

    The year has nights, weekends, Tết and other holidays, growth, noise, drops of rates, agencies that send nothing, and faults
    of the pipeline. promtool evaluates the rules with the policies of the settings; docs/alerting.md says what a coarser clock
    keeps.

    Every alert is compared with the exact counts, by other means than the rules. Status 1 when one was false, ended without
    reason or was missed. A year takes about ten minutes on two cores, a month one.

    Example: portalpulse alerts year --month 2024-02

    Example: portalpulse alerts year --step 20 --seed 7
    """
    require_step(step)
    settings = load_settings()
    period = _period(of, month)
    registry, working_days = registry_of(settings), working_days_of(settings)
    timing = RuleTiming.production()
    began = time.monotonic()
    length = dt.timedelta(minutes=step)
    simulated = simulate(period, step=length, seed=seed, registry=registry, working_days=working_days, agencies=agencies)
    with progress_bar() as bar:
        bar.begin("parts", len(parts(period)))
        trial = run_trial(
            simulated,
            render(timing),
            policies=settings.thresholds,
            registry=registry,
            working_days=working_days,
            timing=timing,
            done=lambda: bar.advance(1),
        )
    _print(trial, seconds=time.monotonic() - began, step=step)
    if not trial.right:
        raise typer.Exit(WRONG)


def _period(of: int, month: str | None) -> Period:
    if month is None:
        period = named(PeriodKind.YEAR, str(min(max(of, _YEARS[0] - 1), _YEARS[1] + 1))).period
    else:
        period = named(PeriodKind.MONTH, month).period
    if not _YEARS[0] <= period.start.year <= _YEARS[1]:
        raise ConfigurationError(
            f"{month or f'--year {of}'} has no table of holidays.", remedy=f"Choose a year from {_YEARS[0]} to {_YEARS[1]}."
        )
    return period


def _print(trial: Trial, *, seconds: float, step: int) -> None:
    figures, period = trial.year.figures, trial.year.period
    first, last = figures.grid.of_day(period.start), figures.grid.of_day(period.end + dt.timedelta(days=1))
    settled = figures.before["settled"][:, last] - figures.before["settled"][:, first]
    console = Console(width=150)
    console.print(
        f"{period.start} to {period.end}: {len(figures.agencies)} agencies, {int(settled.sum()):,} settled dossiers, "
        f"{last - first:,} evaluations {step} minutes apart, {len(trial.drops)} drops, {len(trial.faults)} faults, "
        f"{len(trial.year.silences)} silences; {seconds:,.0f} s",
        soft_wrap=True,
        highlight=False,
    )
    for table in (
        alerts_table(trial.spans, trial.verdict, figures),
        drops_table(trial.drops),
        faults_table(trial.faults, wait=trial.wait, figures=figures),
    ):
        console.print(table)
    for line in wrong_lines(trial.verdict, figures):
        typer.echo(line)
    for drop in trial.not_found:
        typer.echo(f"not found: {drop.drop.agency} from {drop.drop.first} on, {drop.hundredths / 100:.2f} points in seven days")
    for fault in trial.not_told:
        typer.echo(f"not told: {fault.fault.fault.value} from {figures.grid.at(fault.fault.first):%Y-%m-%d %H:%M} UTC on")
    verdict = trial.verdict
    typer.echo(
        f"{'RIGHT' if trial.right else 'WRONG'}: {len(verdict.false_alerts)} false alerts, {len(verdict.false_ends)} false ends, "
        f"{len(verdict.missed)} missed, {len(trial.not_found)} drops not found, {len(trial.not_told)} faults not told"
    )
