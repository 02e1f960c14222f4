"""``python -m bench chaos``: faults in random order while events flow; every figure is compared with the ledger after each."""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench.chaos.environment import Environment
from bench.chaos.fault import Fault, FaultResult, all_faults, exercise
from bench.chaos.schedule import Step, steps
from bench.measure import machine
from domain.errors import ConfigurationError, UnavailableError

_INTERRUPTED = 130
#: Columns when the output is a file: enough for the table.
_WIDTH = 150


@dataclass(slots=True)
class Run:
    """The results so far."""

    seed: int
    outcomes: list[FaultResult] = field(default_factory=list)
    #: The time limits of this machine, as a text.
    limits: str = ""
    #: The fault from which the environment did not recover, and why; the run ends with it.
    unrecovered: tuple[str, str] | None = None
    interrupted: bool = False
    #: Unexpected ends of workers, also during the final stop.
    unexpected_ends: list[str] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        """0 only when at least one fault was injected, every number was exact and no worker ended unexpectedly."""
        if self.unrecovered or self.unexpected_ends or not all(outcome.passed for outcome in self.outcomes):
            return 1
        if self.interrupted:
            return _INTERRUPTED
        return 0 if self.outcomes else 1

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "seed": self.seed,
            "machine": machine(),
            "limits": self.limits,
            "exit_status": self.exit_status,
            "broken": self.unrecovered,
            "interrupted": self.interrupted,
            "unexpected_ends": self.unexpected_ends,
            "outcomes": [
                {
                    "fault": outcome.fault,
                    "passed": outcome.passed,
                    "recovery_seconds": round(outcome.recovery_seconds, 2),
                    **outcome.comparison.as_dict(),
                }
                for outcome in self.outcomes
            ],
        }


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def chaos(
        *,
        minutes: Annotated[float, typer.Option(help="No fault is injected later than this.")] = 10.0,
        seed: Annotated[int, typer.Option(help="The same seed gives the same faults in the same order.")] = 1,
        faults: Annotated[str, typer.Option(help="Only these, separated by commas. See --list.")] = "",
        rate: Annotated[float, typer.Option(help="Messages a second.")] = 1_000.0,
        workers: Annotated[int, typer.Option(help="Workers, unless a fault needs more or exactly one.")] = 2,
        output: Annotated[Path | None, typer.Option(help="Write every outcome there, as JSON.")] = None,
        logs: Annotated[Path | None, typer.Option(help="Copy the logs of every service there at the end.")] = None,
        show: Annotated[bool, typer.Option("--list", help="Only list the faults.")] = False,
    ) -> None:
        """Break Kafka, ClickHouse, workers and messages while events flow; status 0 only when nothing is lost or double.

        Example: python -m bench chaos --minutes 10 --seed 7
        """
        console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)
        chosen = choose(faults)
        if show:
            for name, fault in chosen.items():
                console.print(f"[bold]{name}[/]: {(type(fault).__doc__ or '').strip().splitlines()[0]}")
            return
        run = Run(seed)
        began = time.monotonic()
        with console.status("") as status:

            def report(text: str) -> None:
                elapsed = time.monotonic() - began
                status.update(f"{elapsed / 60:.0f}:{elapsed % 60:02.0f} of {minutes:g} min   {text}")
                if not console.is_terminal:
                    console.print(f"{elapsed:6.1f} s  {text}")

            try:
                env = Environment(
                    brokers=max(f.needs.brokers for f in chosen.values()),
                    workers=workers,
                    rate=rate,
                    seed=seed,
                    keep_logs=logs,
                    report=report,
                )
                with env:
                    run.limits = str(env.limits)
                    try:
                        carry_out(env, chosen, steps(tuple(chosen), seed), run, until=began + minutes * 60, console=console)
                    finally:
                        report("stopping")
                        with suppress(UnavailableError):
                            env.set_workers(0)
                        run.unexpected_ends = env.check()
            except KeyboardInterrupt:
                run.interrupted = True
        console.print(table(run.outcomes))
        console.print(f"Limits: {run.limits}.")
        for line in conclusion(run, chosen):
            console.print(line)
        if output is not None:
            output.write_text(json.dumps(run.as_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        sys.exit(run.exit_status)


def choose(names: str) -> dict[str, Fault]:
    """The faults of a comma-separated list, or all of them.

    Raises:
        ConfigurationError: there is no fault of that name.
    """
    known = all_faults()
    chosen = [name.strip() for name in names.split(",") if name.strip()] or list(known)
    for name in chosen:
        if name not in known:
            raise ConfigurationError(f"There is no fault {name!r}.", remedy=f"There are: {', '.join(known)}.")
    return {name: known[name] for name in chosen}


def carry_out(
    env: Environment, faults: dict[str, Fault], schedule: Iterator[Step], run: Run, *, until: float, console: Console
) -> None:
    """Run steps until the time is over (monotonic seconds) or the environment does not recover; fills ``run``."""
    for step in schedule:
        if time.monotonic() >= until:
            return
        env.report(f"{step.fault}: {step.pause:.1f} s of undisturbed traffic before it")
        time.sleep(step.pause)
        try:
            outcome = exercise(env, faults[step.fault], random.Random(step.seed))
        except UnavailableError as error:
            run.unrecovered = (step.fault, str(error))
            return
        run.outcomes.append(outcome)
        compared = outcome.comparison
        console.print(
            f"{'[green]exact[/]' if outcome.passed else '[red]wrong[/]'} {step.fault}: {compared.messages:,} messages,"
            f" {compared.tallied_minutes:,} events tallied, {compared.figures:,} figures compared,"
            f" lost {compared.lost}, double {compared.double},"
            f" recovered in {outcome.recovery_seconds:.1f} s"
        )


def table(outcomes: Sequence[FaultResult]) -> Table:
    """One line a fault: the numbers after its last injection, the worst differences, and its recovery times."""
    shown = Table(title="After each fault: what was sent against what is stored and tallied")
    for heading in (
        "fault",
        "times",
        "messages",
        "raw rows",
        "distinct",
        "tallied",
        "figures",
        "lost",
        "double",
        "recovered in s: median",
        "most",
    ):
        shown.add_column(heading, justify="left" if heading == "fault" else "right", no_wrap=True)
    for name in sorted({outcome.fault for outcome in outcomes}):
        mine = [outcome for outcome in outcomes if outcome.fault == name]
        last = mine[-1].comparison
        seconds = [outcome.recovery_seconds for outcome in mine]
        tallied = sorted({last.tallied_minutes, last.tallied_days, last.tallied_procedures})
        shown.add_row(
            name if all(outcome.passed for outcome in mine) else f"[red]{name}[/]",
            str(len(mine)),
            f"{last.messages:,}",
            f"{last.raw:,}",
            f"{last.distinct:,}",
            " / ".join(f"{events:,}" for events in tallied),
            f"{last.figures:,}",
            str(max(outcome.comparison.lost for outcome in mine)),
            str(max(outcome.comparison.double for outcome in mine)),
            f"{statistics.median(seconds):.1f}",
            f"{max(seconds):.1f}",
        )
    return shown


def conclusion(run: Run, faults: dict[str, Fault]) -> Iterator[str]:
    """What the table does not show, as sentences."""
    if run.unrecovered:
        yield f"[red]The environment did not recover from {run.unrecovered[0]}:[/] {run.unrecovered[1]}"
    for outcome in run.outcomes:
        if wrong := {tier: agencies for tier, agencies in outcome.comparison.wrong.items() if agencies}:
            yield f"[red]{outcome.fault}: not exact:[/] {wrong}"
            yield from outcome.comparison.differences
    for end in run.unexpected_ends:
        yield f"[red]{end}[/]"
    if missing := sorted(set(faults) - {outcome.fault for outcome in run.outcomes}):
        yield f"Not reached: {', '.join(missing)}."
    if run.interrupted:
        yield "Interrupted."
    if run.exit_status == 0:
        yield (
            f"[green]{len(run.outcomes)} faults, lost 0, double 0, every figure in every tier equals the ledger.[/]"
            f" Seed {run.seed}."
        )
