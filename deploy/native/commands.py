"""The commands of the local stack: ``up``, ``demo``, ``seeds``, ``rehearse`` and ``doctor``."""

from __future__ import annotations

import json
import logging
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from domain.clock import parse_clock
from pipeline.folders import folder
from pipeline.logs import configure_logging
from pipeline.registry import registry_of
from pipeline.settings import Settings, load_settings

#: The exit status of a shell for a program that Ctrl-C ended.
INTERRUPTED = 130

DataFolderOption = Annotated[
    Path | None, typer.Option("--data", parser=folder, metavar="DIR", help="Folder for all files of the stack.")
]
MemoryOption = Annotated[
    bool, typer.Option("--memory-broker", help="Without Kafka and Java: a broker in memory; events are lost at the end.")
]


class ClickHouseChoice(StrEnum):
    """Where the events and tallies are stored."""

    EMBEDDED = "embedded"
    SERVER = "server"


#: The commands of this folder: name -> the module that registers it.
COMMANDS: Final = dict.fromkeys(("up", "demo", "seeds", "rehearse", "doctor"), __name__)


def register(app: typer.Typer) -> None:
    """Add the commands of the local stack to the command line."""
    panel = "On this machine"
    app.command("up", rich_help_panel=panel)(_up)
    app.command("demo", rich_help_panel=panel)(_demo)
    app.command("seeds", rich_help_panel=panel)(_seeds)
    app.command("rehearse", rich_help_panel=panel)(_rehearse)
    app.command("doctor", rich_help_panel=panel)(_doctor)


def _configure_logging(settings: Settings) -> None:
    configure_logging(settings.log)
    # A producer that connects to a broker in its first second logs warnings, although its retries succeed.
    logging.getLogger("librdkafka").setLevel(logging.ERROR)


def _up(
    *,
    data: DataFolderOption = None,
    clock: Annotated[
        str | None, typer.Option(metavar="TIME", help="system, or the fixed instant of a scenario (RFC 3339).")
    ] = None,
    memory_broker: MemoryOption = False,
    clickhouse: Annotated[
        ClickHouseChoice, typer.Option(help="The engine inside the worker, or a separate server.")
    ] = ClickHouseChoice.EMBEDDED,
    quick_alerts: Annotated[bool, typer.Option("--quick-alerts", help="Alerts in seconds instead of minutes.")] = False,
    recipients: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="People who are told about alerts, too; see `portalpulse alerts example`."),
    ] = None,
) -> None:
    """Run all of portalpulse on this machine, in the foreground, until Ctrl-C.

    Every alert is printed here and kept in the folder; people of a recipients file get messages as well.
    """
    from deploy.native.people import check_people  # noqa: PLC0415 - the other commands start faster without these
    from deploy.native.stack_options import StackOptions  # noqa: PLC0415
    from deploy.native.up import up  # noqa: PLC0415

    settings = load_settings()
    _configure_logging(settings)
    parse_clock(clock or settings.clock)
    registry_of(settings)  # the processes read it, too, and would only be restarted
    options = StackOptions(
        data_dir=data or settings.data_dir,
        topic=settings.kafka.topic,
        group=settings.kafka.group,
        partitions=settings.kafka.partitions,
        clock=clock or settings.clock,
        registry_file=_absolute(settings.registry_file),
        broker="memory" if memory_broker else "kafka",
        clickhouse=clickhouse.value,
        quick=quick_alerts,
        recipients_file=_absolute(str(recipients or settings.notify.recipients_file)),
    )
    check_people(options)
    up(options, console=Console())


def _absolute(path: str) -> str:
    return str(Path(path).absolute()) if path else ""


def _demo(
    *,
    data: DataFolderOption = None,
    memory_broker: MemoryOption = False,
    exit_when_done: Annotated[
        bool, typer.Option("--exit-when-done", help="Exit with status 0 if every figure and alert is right, else 1.")
    ] = False,
) -> None:
    """Reproduce the published figures of 2024 with every real service, and the alerts of the right agencies."""
    from deploy.native.demo.run import demo, demo_options  # noqa: PLC0415

    settings = load_settings()
    _configure_logging(settings)
    options = demo_options(
        data or settings.data_dir / "demo",
        topic=settings.kafka.topic,
        group=settings.kafka.group,
        memory_broker=memory_broker,
    )
    try:
        passed = demo(options, exit_when_done=exit_when_done, console=Console())
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(0 if passed else 1)


def _seeds(
    *,
    data: DataFolderOption = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option("--scenario", metavar="NAME", help="Only this document; may be repeated. Default: all of them."),
    ] = None,
) -> None:
    """Print every figure of the published documents beside the one that is counted; status 1 when one that can be right is not.

    Each document gets real Kafka, worker and ClickHouse, simulated portals and a service catalogue.

    Bounds and contradictions are listed with their reason.
    """
    from deploy.native.seeds.run import Place, seeds  # noqa: PLC0415
    from producers.portals.documents import available_scenarios  # noqa: PLC0415

    settings = load_settings()
    _configure_logging(settings)
    place = Place(data or settings.data_dir / "seeds", topic=settings.kafka.topic, group=settings.kafka.group)
    try:
        right = seeds(scenario or available_scenarios(), place, console=Console())
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(0 if right else 1)


def _rehearse(
    *,
    data: DataFolderOption = None,
    fault: Annotated[
        list[str] | None, typer.Option("--fault", metavar="NAME", help="Only this fault; may be repeated. Default: all of them.")
    ] = None,
    factor: Annotated[
        int,
        typer.Option(min=1, max=60, help="Every duration of rules and routes is divided by this; 1: real time, an hour a fault."),
    ] = 1,
) -> None:
    """Play the faults that alerts must survive on real parts; status 1 when somebody was told something wrong, twice, or nothing.

    A mail server, Telegram's API and a webhook of its own stand in for people; nobody outside is told.

    Faults: exporter-frozen, worker-frozen, kafka-gone, clickhouse-gone, prometheus-restarted, many-low.

    Example: portalpulse rehearse --factor 60 --fault exporter-frozen
    """
    from deploy.native.rehearsal.run import Rehearsal, check_faults, rehearse  # noqa: PLC0415

    settings = load_settings()
    _configure_logging(settings)
    wanted = Rehearsal(check_faults(fault or ()), data or settings.data_dir / "rehearsal", factor)
    try:
        right = rehearse(wanted, console=Console())
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(0 if right else 1)


class DoctorFormat(StrEnum):
    """How findings are printed."""

    TABLE = "table"
    JSON = "json"


def _doctor(
    *,
    data: DataFolderOption = None,
    form: Annotated[DoctorFormat, typer.Option("--format", help="Output format.")] = DoctorFormat.TABLE,
    as_json: Annotated[bool, typer.Option("--json", hidden=True, help="The same as --format json.")] = False,
) -> None:
    """Examine every part of the set-up and say what is wrong and what to do. Changes nothing.

    The parts are those of the local stack that runs on the folder, else those that the settings name: this machine, ClickHouse
    (every server), Kafka, worker or exporter with its board, Prometheus, Alertmanager, relay and watchdog.

    Status 0: nothing is wrong; 2: something is.

    Example: portalpulse doctor --format json
    """
    from deploy.native.doctor.examination import examine  # noqa: PLC0415
    from deploy.native.doctor.finding import as_json as findings_as_json  # noqa: PLC0415
    from deploy.native.doctor.finding import healthy  # noqa: PLC0415
    from deploy.native.doctor.output import print_findings, progress  # noqa: PLC0415

    settings = load_settings()
    with progress() as pending:
        findings = examine(settings, data_dir=data or settings.data_dir, pending=pending)
    if as_json or form is DoctorFormat.JSON:
        typer.echo(json.dumps(findings_as_json(findings), ensure_ascii=False, indent=2).encode())
    else:
        print_findings(findings, console=Console())
    raise typer.Exit(0 if healthy(findings) else 2)
