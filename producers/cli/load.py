"""The command ``load``: live traffic in the shapes of a load test, measured from send to visible."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from domain.errors import ConfigurationError, PortalPulseError, UnavailableError
from producers.cli.options import (
    FAULT_HELP,
    LARGEST,
    LONGEST,
    BootstrapOption,
    CreateTopicOption,
    DataOption,
    FaultOption,
    HttpOption,
    JsonOption,
    ProcessesOption,
    ProfileOption,
    ReportOption,
    TargetOptions,
    TopicOption,
    TruthOption,
    fault_shares,
)
from producers.cli.options import (
    Profile as DossierProfile,
)
from producers.cli.reports import not_delivered, publish, require_places

if TYPE_CHECKING:
    from producers.load.limit import Limit, Objective
    from producers.load.profiles import Profile
    from producers.load.traffic import Load
    from producers.measuring.measured_run import ProbeTarget
    from producers.measuring.result import SendReport
    from producers.sending.progress import Progress
    from producers.sending.worker_processes import Broker

LOAD_HELP: Final = (
    "Send new live events in the shape of a load test and say how soon they were visible.\n\n"
    "[bold]portalpulse load --shape ramp --from-rate 1000 --rate 20000 --duration 120[/bold] goes from 1,000 to 20,000 events "
    "a second in two minutes.\n\n"
    "[bold]portalpulse load --shape find-limit --objective 0.75[/bold] raises the rate until 1 of 100 events takes longer than "
    "0.75 s to become visible, and prints the highest rate that keeps the objective.\n\n"
    "All events are new and count: use a stack of its own (`portalpulse up --data DIR`).\n\n"
    "[bold]portalpulse load --profile realistic --truth truth.json[/bold] sends dossiers with the faults of real portals, all of "
    "them to their end, and writes what must be counted.\n\n" + FAULT_HELP
)


class LoadShape(StrEnum):
    """How the rate changes over the run."""

    STEADY = "steady"
    RAMP = "ramp"
    STEP = "step"
    SPIKE = "spike"
    DAILY = "daily"
    FIND_LIMIT = "find-limit"
    SOAK = "soak"


#: How long a shape lasts unless said otherwise (seconds); of find-limit: one trial.
_SECONDS: Final = {
    LoadShape.STEADY: 60.0,
    LoadShape.RAMP: 120.0,
    LoadShape.STEP: 120.0,
    LoadShape.SPIKE: 100.0,
    LoadShape.DAILY: 240.0,
    LoadShape.FIND_LIMIT: 10.0,
    LoadShape.SOAK: 3_600.0,
}
#: The start of a trial is not measured, while connections open and the first recount runs: seconds, largest part of the trial.
_WARM_UP: Final = (2.0, 0.3)


def _require_known_truth(shape: LoadShape, processes: int) -> None:
    """Refuse a load whose true figures nobody knows.

    Raises:
        ConfigurationError: several processes, or several runs.
    """
    if processes != 1:
        raise ConfigurationError("--truth is known for the messages of one process only.", remedy="Omit --processes or --truth.")
    if shape is LoadShape.FIND_LIMIT:
        raise ConfigurationError(
            "--truth is known for one run only, and --shape find-limit makes several.",
            remedy="Omit --truth, or choose another --shape.",
        )


def load(
    *,
    shape: Annotated[LoadShape, typer.Option(help="How the rate changes over the run.")] = LoadShape.STEADY,
    rate: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=LARGEST,
            metavar="N",
            help="Events per second: the peak of the shape; for find-limit, the first rate to try.",
        ),
    ] = 5_000.0,
    from_rate: Annotated[
        float | None,
        typer.Option(min=0.0, max=LARGEST, metavar="N", help="Lowest rate of ramp, step and spike. Default: a tenth of --rate."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="Number of steps; only for step.")] = 5,
    duration: Annotated[
        float | None,
        typer.Option(
            min=1.0,
            max=LONGEST,
            metavar="SECONDS",
            help="Length of the run (60 to 240, soak 3600) or of a trial of find-limit (10).",
        ),
    ] = None,
    objective: Annotated[
        float, typer.Option(min=0.01, max=LONGEST, metavar="SECONDS", help="find-limit only: p99 (send to visible) to keep.")
    ] = 0.75,
    max_rate: Annotated[
        float, typer.Option(min=1.0, max=LARGEST, metavar="N", help="find-limit only: the highest rate to try.")
    ] = 500_000.0,
    precision: Annotated[
        float, typer.Option(min=1.01, max=2.0, metavar="X", help="find-limit only: stop when the limit is known to this factor.")
    ] = 1.1,
    seed: Annotated[int, typer.Option(min=0, help="Agencies, rates and dossiers follow from it; event ids never repeat.")] = 1,
    profile: ProfileOption = DossierProfile.REGULAR,
    fault: FaultOption = None,
    truth: TruthOption = None,
    processes: ProcessesOption = 1,
    http: HttpOption = None,
    report: ReportOption = None,
    data: DataOption = None,
    bootstrap: BootstrapOption = None,
    topic: TopicOption = None,
    create_topic: CreateTopicOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run the command ``load``; ``LOAD_HELP`` is its help text."""
    low = rate / 10 if from_rate is None else from_rate
    if from_rate is not None and shape not in {LoadShape.RAMP, LoadShape.STEP, LoadShape.SPIKE}:
        raise ConfigurationError("--from-rate belongs to ramp, step and spike.", remedy="Omit it.")
    if truth is not None:
        _require_known_truth(shape, processes)
    shares = fault_shares(profile, fault)
    require_places({"--report": report, "--truth": truth})
    options = TargetOptions(data=data, bootstrap=bootstrap, topic=topic, create_topic=create_topic, http=http)
    target = options.resolve()
    if shape is LoadShape.FIND_LIMIT and target.http is None:
        raise ConfigurationError(
            "find-limit needs a running process to ask what is visible.", remedy="Pass --http URL or --data DIR."
        )
    from domain.clock import parse_clock  # noqa: PLC0415 - numpy and Kafka, which --help need not load
    from pipeline.logs import SENDING_LIBRARY, configure_logging, get_logger  # noqa: PLC0415
    from pipeline.registry import registry_of  # noqa: PLC0415
    from pipeline.settings import load_settings  # noqa: PLC0415
    from pipeline.shutdown import interrupted_by  # noqa: PLC0415
    from producers.load.limit import Objective  # noqa: PLC0415
    from producers.load.pool import live_pool  # noqa: PLC0415
    from producers.load.traffic import Load  # noqa: PLC0415
    from producers.measuring.measured_run import ProbeTarget, measure  # noqa: PLC0415
    from producers.measuring.progress import shown  # noqa: PLC0415
    from producers.sending.worker_processes import Broker  # noqa: PLC0415

    settings = load_settings()
    configure_logging(settings.log, silenced=SENDING_LIBRARY)
    clock = parse_clock(settings.clock)
    broker = Broker(target.bootstrap, target.topic, target.security, target.portals)
    probe = ProbeTarget(target.http, required=http is not None or shape is LoadShape.FIND_LIMIT, service=target.service)
    options.create_missing_topic(target)
    rates = _profile(shape, low=low, rate=rate, seconds=duration or _SECONDS[shape], steps=steps)
    task = Load(
        rates,
        live_pool(clock=clock, seed=seed, shares=shares, registry=registry_of(settings)),
        clock,
        whole_rounds=truth is not None,
    )
    with ExitStack() as stack:
        stack.enter_context(interrupted_by(signal.SIGTERM))
        progress = stack.enter_context(shown(Console(stderr=True), get_logger("producers").info, title=task.label))
        if shape is LoadShape.FIND_LIMIT:
            limit = _limit(
                task,
                broker=broker,
                processes=processes,
                probe=probe,
                progress=progress,
                objective=Objective(objective),
                rates=(rate, max_rate, precision),
            )
        else:
            progress.expect(round(rates.count(rates.seconds)))
            result = measure(task, broker=broker, processes=processes, probe=probe, progress=progress, windows=rates.windows)
            limit = None
    if limit is not None:
        publish(limit, as_json=as_json, path=report)
        if limit.max_sustainable_rate is None:
            raise PortalPulseError(
                f"No rate that was tried kept a p99 of {limit.objective.seconds:g} s.",
                remedy="Give a lower --rate to begin with, or a longer --objective.",
            )
        return
    publish(result, as_json=as_json, path=report)
    if not result.complete:
        raise not_delivered(result.sent, remedy="Run it again.")
    if truth is not None:
        _write_truth(task, result, truth)


def _write_truth(task: Load, result: SendReport, path: Path) -> None:
    """Write the truth of a load: what its events must count as.

    Raises:
        UnavailableError: the truth is not known, or the file cannot be written.
    """
    from domain.periods import civil_day  # noqa: PLC0415 - as above

    pool = task.pool
    rounds, rest = divmod(result.sent.sent, len(pool.models))
    if rest or pool.merged or civil_day(task.clock.now()) != pool.day:
        reason = "the load was interrupted" if rest else "an agency ends today" if pool.merged else "it went on over midnight"
        raise UnavailableError(f"There is no truth of this load: {reason}.", remedy="Run it again.")
    pool.truth(rounds, source=task.label).write(path)


def _profile(shape: LoadShape, *, low: float, rate: float, seconds: float, steps: int) -> Profile:
    from producers.load import profiles  # noqa: PLC0415 - as above

    match shape:
        case LoadShape.RAMP:
            return profiles.ramp(low, rate, seconds)
        case LoadShape.STEP:
            return profiles.step(low, rate, seconds, steps=steps)
        case LoadShape.SPIKE:
            return profiles.spike(low, rate, seconds)
        case LoadShape.DAILY:
            return profiles.daily(rate, seconds)
        case LoadShape.SOAK:
            return profiles.soak(rate, seconds)
        case _:
            return profiles.steady(rate, seconds, name=shape.value)


def _limit(
    task: Load,
    *,
    broker: Broker,
    processes: int,
    probe: ProbeTarget,
    progress: Progress,
    objective: Objective,
    rates: tuple[float, float, float],
) -> Limit:
    """Run the trials of ``find-limit``, each with new event ids, on a pipeline that has caught up."""
    from producers.load.limit import Trial, find_limit  # noqa: PLC0415 - as above
    from producers.load.profiles import steady  # noqa: PLC0415
    from producers.measuring.measured_run import measure  # noqa: PLC0415
    from producers.measuring.result import Window  # noqa: PLC0415

    seconds = task.profile.seconds
    warm = min(_WARM_UP[0], _WARM_UP[1] * seconds)

    def trial(rate: float) -> Trial:
        profile = steady(rate, seconds, name=f"find-limit {rate:,.0f}/s")
        progress.expect(round(rate * seconds))
        result: SendReport = measure(
            replace(task, profile=profile, pool=task.pool.with_new_ids()),
            broker=broker,
            processes=processes,
            probe=probe,
            progress=progress,
            windows=[Window("measured", warm, seconds, rate)],
        )
        if result.sent.interrupted:
            raise KeyboardInterrupt
        return Trial(rate, result.windows[0].rate, result.windows[0].latency)

    start, max_rate, precision = rates
    return find_limit(trial, objective=objective, start=start, max_rate=max_rate, precision=precision)
