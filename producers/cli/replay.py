"""The command ``replay``: recorded events from files, from a topic or from the raw table, at any pace."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from domain.errors import ConfigurationError, PortalPulseError
from producers.cli.check import check_files
from producers.cli.options import (
    INTERRUPTED,
    BootstrapOption,
    CreateTopicOption,
    DataOption,
    HttpOption,
    JsonOption,
    ProcessesOption,
    ReportOption,
    TargetOptions,
    TopicOption,
    brokers_named,
    number,
)
from producers.cli.reports import not_delivered, publish, require_report_place

if TYPE_CHECKING:
    from producers.measuring.measured_run import ProbeTarget
    from producers.measuring.result import SendReport
    from producers.replay.plan import ReplayOptions
    from producers.replay.prebuilt import PackedReplay
    from producers.replay.task import Replay
    from producers.sending.checkpoint import State
    from producers.sending.worker_processes import Broker

REPLAY_HELP: Final = (
    "Send recorded events into the topic: from files, from a range of a topic, or from the raw table.\n\n"
    "[bold]portalpulse produce --output events.ndjson[/bold], then "
    "[bold]portalpulse replay events.ndjson --speed 86400[/bold] sends a day a second. Replaying twice changes no figure.\n\n"
    "[bold]portalpulse replay events.ndjson --prebuilt[/bold] packs the file once and sends it at wire speed.\n\n"
    "[bold]portalpulse replay --from-table --from 2024-05-01 --to 2024-05-31 --agency H26 --time now --rate 200[/bold] sends a "
    "month of Hà Nội as if it happened now.\n\n"
    "Every message is acknowledged by all replicas. After a lost answer it may be sent twice; it counts once.\n\n"
    "[bold]portalpulse replay events.ndjson --check[/bold] sends nothing and says what a worker would make of the file: rejected "
    "messages by reason with their lines, repeats, dossiers, and what is unusual about them. Status 0: no message is rejected; "
    "1: some are; 2: the file cannot be read to its end. [bold]portalpulse schema[/bold] prints the message contract."
)


class EventTime(StrEnum):
    """Which time the events of a replay carry."""

    ORIGINAL = "original"
    NOW = "now"


def replay(
    context: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="NDJSON, CSV or Parquet; plain, gzip, zstd, xz or bzip2; - is standard input."),
    ] = None,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Files only: judge them, send nothing; status 1 when a message is rejected.")
    ] = False,
    from_topic: Annotated[str | None, typer.Option(metavar="NAME", help="Read this topic instead of files.")] = None,
    from_bootstrap: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Brokers of --from-topic. Default: the brokers that are sent to.")
    ] = None,
    from_table: Annotated[bool, typer.Option("--from-table", help="Read the raw table of the running process.")] = False,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Begin: a day; of a topic also an RFC 3339 time (of writing)."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="End: a day (included); of a topic also a time (excluded).")
    ] = None,
    from_offset: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Topic only: first offset of each partition.")
    ] = None,
    to_offset: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Topic only: offset after the last of each partition.")
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="ndjson|csv|parquet", help="Files only: their format. Default: found from their content."
        ),
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(metavar="CHARACTER", help="CSV only: between fields; tab for a tab. Default: as in the header.")
    ] = None,
    agency: Annotated[list[str] | None, typer.Option(metavar="CODE", help="Table only: this agency; may be repeated.")] = None,
    speed: Annotated[
        str, typer.Option(metavar="X|max", help="Original spacing divided by X (60: an hour in a minute), or max.")
    ] = "max",
    rate: Annotated[str | None, typer.Option(metavar="N|max", help="Messages a second, instead of a --speed.")] = None,
    time: Annotated[
        EventTime, typer.Option(help="now: events are dated when they are sent, and are new events; original: as recorded.")
    ] = EventTime.ORIGINAL,
    times: Annotated[
        int, typer.Option(min=0, metavar="N", help="Play N times (0: until Ctrl-C); each further loop is new events.")
    ] = 1,
    processes: ProcessesOption = 1,
    prebuilt: Annotated[
        bool, typer.Option("--prebuilt", help="Pack the files into FILE.batches first (kept for the next time), then send that.")
    ] = False,
    state: Annotated[Path | None, typer.Option(metavar="FILE", help="Keep the position in this file.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue at the position in --state.")] = False,
    http: HttpOption = None,
    report: ReportOption = None,
    data: DataOption = None,
    bootstrap: BootstrapOption = None,
    topic: TopicOption = None,
    create_topic: CreateTopicOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run the command ``replay``; ``REPLAY_HELP`` is its help text."""
    from producers.measuring.measured_run import ProbeTarget  # noqa: PLC0415 - numpy and Kafka, which --help need not load
    from producers.replay.plan import ReplayOptions, plan_replay, with_target  # noqa: PLC0415
    from producers.sending.worker_processes import Broker  # noqa: PLC0415

    target_options = TargetOptions(data=data, bootstrap=bootstrap, topic=topic, create_topic=create_topic, http=http)
    options = ReplayOptions(
        files=tuple(files or ()),
        format=format_,
        delimiter=delimiter,
        from_topic=from_topic,
        from_table=from_table,
        agencies=tuple(agency or ()),
        start=start,
        end=end,
        from_offset=from_offset,
        to_offset=to_offset,
        speed=number(speed, option="--speed"),
        speed_text=speed,
        rate=number(rate, option="--rate"),
        rate_text=rate,
        present_time=time is EventTime.NOW,
        times=times,
        processes=processes,
        prebuilt=prebuilt,
        state=state,
        resume=resume,
    )
    if check:
        check_files(context, options, as_json=as_json, report=report)
        return
    options.check()
    require_report_place(report, sources=options.files, state=state)
    target = target_options.resolve()
    broker = Broker(target.bootstrap, target.topic, target.security, target.portals)
    if target.portals and options.prebuilt:
        raise ConfigurationError("--prebuilt packs for one topic, and every portal has its own.", remedy="Name one with --topic.")
    source_topic = None if from_topic is None else _source_topic(from_topic, from_bootstrap, broker)
    planned, begun = plan_replay(
        options, target=target.topic, source_topic=source_topic, http=target.http, service=target.service
    )
    same_topic = source_topic is not None and (source_topic.bootstrap, source_topic.topic) == (broker.bootstrap, broker.topic)
    if same_topic and not options.present_time and times == 1:
        Console(stderr=True).print("Source and target are the same topic: every event is sent again and changes no figure.")
    target_options.create_missing_topic(target)
    if state is not None:
        begun = with_target(begun, broker)
    probe = ProbeTarget(target.http, required=http is not None, service=target.service)
    result = _run(planned, options=options, broker=broker, probe=probe, begun=begun)
    publish(result, as_json=as_json, path=report)
    _exit(result, options)


def _source_topic(topic: str, bootstrap: str | None, target: Broker) -> Broker:
    """Brokers and topic of --from-topic. Without --from-bootstrap they are the brokers of the target."""
    from pipeline.settings import load_settings  # noqa: PLC0415 - as above

    if bootstrap is None:
        return replace(target, topic=topic, portals=())
    return replace(
        target,
        bootstrap=brokers_named(bootstrap, option="--from-bootstrap"),
        topic=topic,
        security=load_settings().kafka,
        portals=(),
    )


def _run(planned: Replay, *, options: ReplayOptions, broker: Broker, probe: ProbeTarget, begun: State) -> SendReport:
    """Send the replay and measure it; with --prebuilt, pack the files first."""
    from pipeline.logs import SENDING_LIBRARY, configure_logging, get_logger  # noqa: PLC0415 - as above
    from pipeline.settings import load_settings  # noqa: PLC0415
    from pipeline.shutdown import interrupted_by  # noqa: PLC0415
    from producers.measuring.measured_run import measure  # noqa: PLC0415
    from producers.measuring.progress import shown  # noqa: PLC0415
    from producers.sending.checkpoint import Checkpoint  # noqa: PLC0415

    configure_logging(load_settings().log, silenced=SENDING_LIBRARY)
    with ExitStack() as stack:
        stack.enter_context(interrupted_by(signal.SIGTERM))
        task: Replay | PackedReplay = planned
        total = planned.total
        if options.prebuilt:
            task, total = _packed(planned, broker)
        progress = stack.enter_context(shown(Console(stderr=True), get_logger("producers").info, title=task.label))
        progress.expect(total)
        checkpoint = None if options.state is None else Checkpoint(options.state, begun)
        if checkpoint is not None:
            checkpoint.begin()
        return measure(task, broker=broker, processes=options.processes, probe=probe, progress=progress, checkpoint=checkpoint)


def _packed(planned: Replay, broker: Broker) -> tuple[PackedReplay, int | None]:
    """The packed replay, and the number of messages that it will send; None where the number is not known."""
    from pipeline.logs import get_logger  # noqa: PLC0415 - as above
    from producers.replay.prebuilt import prebuilt  # noqa: PLC0415
    from producers.replay.sources.files import FileSource  # noqa: PLC0415
    from producers.sending.worker_processes import partitions_of_topic  # noqa: PLC0415

    assert isinstance(planned.source, FileSource)
    made = prebuilt(planned, planned.source, partitions=partitions_of_topic(broker))
    get_logger("producers").info("batches_ready", file=str(made.task.path), made=made.written, messages=made.messages)
    return made.task, made.messages if planned.skip == 0 else None


def _exit(result: SendReport, options: ReplayOptions) -> None:
    """End the command as the result requires: with the error of a broken source, with a status, or normally."""
    if result.sent.source_error is not None:
        raise _with_progress(result.sent.source_error, result, options)
    if not result.complete:
        raise not_delivered(result.sent, remedy=_way_on(result, options))
    if result.sent.interrupted and options.times != 0:
        raise typer.Exit(INTERRUPTED)


def _with_progress(error: PortalPulseError, result: SendReport, options: ReplayOptions) -> PortalPulseError:
    """The error of a source that ended too early, with how many messages are in the topic by then, and how to continue."""
    from producers.replay.sources.fixed_range import RangeGoneError  # noqa: PLC0415 - Kafka, which --help need not load

    sent = result.sent
    if sent.acknowledged == 0:
        return ConfigurationError(f"{error.problem} Nothing was sent.", remedy=error.remedy)
    way_on = _way_on(result, options)
    if isinstance(error, RangeGoneError):  # the same range cannot be read again, so neither resumed
        twice = "A second replay with --time now would count the sent events twice: begin after them."
        way_on = twice if options.present_time else "Events that are in the topic already change no figure."
    return ConfigurationError(
        f"{error.problem} The {sent.acknowledged:,} messages before that are in the topic.", remedy=f"{error.remedy} {way_on}"
    )


def _way_on(result: SendReport, options: ReplayOptions) -> str:
    """How to continue a replay that sent only a part."""
    if options.state is not None:
        return f"Then run the same command with --resume: it continues at message {result.sent.position:,} ({options.state})."
    if options.present_time:
        return "Replayed again with --time now its events would count twice: use --state, so that --resume can continue."
    return "Then replay it again: events that are in the topic already change no figure."
