"""The command ``replay``: recorded events from files, from a topic or from the raw table, at any pace."""

from __future__ import annotations

import datetime as dt
import json
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
    INTERRUPTED,
    BootstrapOption,
    CreateTopicOption,
    DataOption,
    HttpOption,
    JsonOption,
    ProcessesOption,
    ReportOption,
    Target,
    TargetOptions,
    TopicOption,
    brokers_named,
    number,
    require_report_place,
)

if TYPE_CHECKING:
    from pipeline.settings import KafkaSettings
    from producers.measuring.result import Outcome
    from producers.replay.sources.files import FileSource
    from producers.replay.task import PackedReplay, Replay, Source
    from producers.sending.checkpoint import State

REPLAY_HELP: Final = (
    "Send recorded events into the topic: from files, from a range of a topic, or from the raw table.\n\n"
    "[bold]portalpulse produce --output events.ndjson[/bold], then "
    "[bold]portalpulse replay events.ndjson --speed 86400[/bold] sends a day a second. Replaying twice changes no figure.\n\n"
    "[bold]portalpulse replay events.ndjson --prebuilt[/bold] packs the file once and sends it at wire speed.\n\n"
    "[bold]portalpulse replay --from-table --from 2024-05-01 --to 2024-05-31 --agency H26 --time now --rate 200[/bold] plays a "
    "month of Hà Nội as if it happened now.\n\n"
    "Every message is acknowledged by all replicas. After a lost answer it may be sent twice; it counts once."
)


#: No event is older; what says so has a wrong clock.
_FIRST_PORTALS: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


class EventTime(StrEnum):
    """Which time events carry."""

    ORIGINAL = "original"
    NOW = "now"


def replay(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="NDJSON, CSV or Parquet; plain, gzip, zstd, xz or bzip2; - is standard input."),
    ] = None,
    *,
    from_topic: Annotated[str | None, typer.Option(metavar="NAME", help="Read this topic instead of files.")] = None,
    from_bootstrap: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Brokers of --from-topic. Default: those that are sent to.")
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
        typer.Option("--format", metavar="ndjson|csv|parquet", help="Files only: what they are. Default: as they look."),
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(metavar="CHARACTER", help="CSV only: between fields; tab for a tab. Default: as in the header.")
    ] = None,
    agency: Annotated[list[str] | None, typer.Option(metavar="CODE", help="Table only: this agency; may be repeated.")] = None,
    speed: Annotated[
        str, typer.Option(metavar="X|max", help="Original spacing divided by X (60: an hour in a minute), or max.")
    ] = "max",
    rate: Annotated[str | None, typer.Option(metavar="N|max", help="So many messages a second instead of a --speed.")] = None,
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
    resume: Annotated[bool, typer.Option("--resume", help="Go on at the position in --state.")] = False,
    http: HttpOption = None,
    report: ReportOption = None,
    data: DataOption = None,
    bootstrap: BootstrapOption = None,
    topic: TopicOption = None,
    create_topic: CreateTopicOption = False,
    as_json: JsonOption = False,
) -> None:
    """Send recorded events; ``REPLAY_HELP`` says it to the user."""
    from producers.replay.task import Replay  # noqa: PLC0415 - numpy and Kafka, which --help need not load
    from producers.replay.transforms.spacing import Spacing  # noqa: PLC0415

    names = tuple(files or ())
    _refuse_contradictions(
        names,
        topic=from_topic is not None,
        table=from_table,
        bounded=(start or end) is not None,
        by_offset=(from_offset, to_offset) != (None, None),
        agency=bool(agency),
        two_paces=rate is not None and speed != "max",
    )
    spacing = Spacing(speed=number(speed, option="--speed"), rate=number(rate, option="--rate"), dated=_dated())
    if resume and state is None:
        raise ConfigurationError("--resume needs --state.", remedy="Name the file in which the position was kept.")
    if prebuilt and (not names or time is EventTime.NOW or times == 0 or spacing.speed is not None):
        raise ConfigurationError(
            "--prebuilt is for files, in original time, with an end, at a --rate or flat out.", remedy="Leave --prebuilt out."
        )
    require_report_place(report, sources=names, state=state)
    options = TargetOptions(data=data, bootstrap=bootstrap, topic=topic, create_topic=create_topic, http=http)
    target = options.resolve()
    plan = _plan(
        [
            *names,
            format_,
            delimiter,
            from_topic,
            "table" if from_table else "",
            start,
            end,
            from_offset,
            to_offset,
            *(agency or ()),
        ],
        topic=target.topic,
        speed=speed,
        rate=rate,
        time=time,
        times=times,
        prebuilt=prebuilt,
    )
    begun = _state(state, plan=plan, resume=resume)
    if from_topic is not None:
        bounds = (_time(start, option="--from"), _time(end, option="--to", last=True))
        brokers, security = _brokers_of_source(from_bootstrap, target)
        source, begun = _topic_range(from_topic, brokers, security, offsets=(from_offset, to_offset), times=bounds, begun=begun)
        if (from_topic, brokers) == (target.topic, target.bootstrap) and time is EventTime.ORIGINAL and times == 1:
            Console(stderr=True).print("Source and target are the same topic: every event is sent again and changes no figure.")
    else:
        days = (_day(start, option="--from"), _day(end, option="--to"))
        source = _files(names, format_, delimiter) if names else _table(target, days=days, agencies=tuple(agency or ()))
    _look_at(source, more_than_once=times != 1 or processes > 1 or state is not None or prebuilt)
    if options.partitions is not None:
        from producers.sending.kafka_writer import create_topic as create  # noqa: PLC0415 - as above

        create(bootstrap=target.bootstrap, topic=target.topic, partitions=options.partitions, security=target.security)
    if time is EventTime.NOW and begun.rebase is None:
        begun = replace(begun, rebase=int(dt.datetime.now(dt.UTC).timestamp() * 1000))
    wanted = Replay(source, spacing, loops=times, skip=begun.position, rebase=begun.rebase)
    outcome = _run(
        wanted, files=names if prebuilt else (), target=target, http=http, processes=processes, state=state, begun=begun
    )
    publish(outcome, as_json=as_json, report=report)
    _leave(outcome, state=state, new_events=time is EventTime.NOW, endless=times == 0)


def publish(outcome: Outcome, *, as_json: bool, report: Path | None) -> None:
    """Print the report, and write it to a file when one is named."""
    text = json.dumps(outcome.as_dict(), ensure_ascii=False)
    typer.echo(text.encode() if as_json else outcome.text())
    write_report(report, text)


def write_report(report: Path | None, text: str) -> None:
    """Write a JSON text to a file when one is named.

    Raises:
        UnavailableError: the file cannot be written.
    """
    if report is None:
        return
    try:
        report.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UnavailableError(f"{report} cannot be written: {error.strerror}.", remedy="Name another file.") from error


def _refuse_contradictions(
    names: tuple[str, ...], *, topic: bool, table: bool, bounded: bool, by_offset: bool, agency: bool, two_paces: bool
) -> None:
    """Raises: ConfigurationError: options that make no sense together."""
    rules = (
        (sum((bool(names), topic, table)) != 1, "A replay has one source.", "Name files, or --from-topic, or --from-table."),
        (two_paces, "A replay has a --speed or a --rate.", "Leave one of them out."),
        (agency and not table, "--agency belongs to --from-table.", "Leave it out, or read from the table."),
        (by_offset and not topic, "Offsets belong to --from-topic.", "Leave them out, or name a topic."),
        (bounded and bool(names), "--from and --to belong to --from-topic and --from-table.", "Leave them out."),
    )
    for broken, problem, remedy in rules:
        if broken:
            raise ConfigurationError(problem, remedy=remedy)


def _dated() -> tuple[int, int]:
    """The times that an event can have, in epoch milliseconds: since there are portals, and not in the future."""
    latest = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    return int(_FIRST_PORTALS.timestamp() * 1000), int(latest.timestamp() * 1000)


def _plan(parts: list[object], *, topic: str, speed: str, rate: str | None, time: EventTime, times: int, prebuilt: bool) -> str:
    """Names a replay for its state: what has the same name has the same places."""
    source = " ".join(str(part) for part in parts if part not in (None, ""))
    how = "batches" if prebuilt else "messages"
    return f"{source} | {how} to {topic}, times {times}, time {time}, speed {speed}, rate {rate or 'max'}"


def _state(path: Path | None, *, plan: str, resume: bool) -> State:
    from producers.sending.checkpoint import State, resumed  # noqa: PLC0415 - as above

    return resumed(path, plan=plan) if path is not None and resume else State(plan)


def _time(text: str | None, *, option: str, last: bool = False) -> dt.datetime | None:
    """A day (its start, or its end when it is the ``last``) or a time with an offset."""
    from domain.periods import day_start, parse_day, parse_instant  # noqa: PLC0415 - as above

    if text is None:
        return None
    try:
        if len(text) == len("2024-05-01"):
            day = parse_day(text)
            try:
                return day_start(day + dt.timedelta(days=1 if last else 0))
            except OverflowError:  # the first day or the last one that there is: no bound
                return dt.datetime.max.replace(tzinfo=dt.UTC) if last else dt.datetime.min.replace(tzinfo=dt.UTC)
        instant: dt.datetime | None = parse_instant(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise ConfigurationError(
            f"{option} {text!r} is neither a day nor a time with an offset.",
            remedy=f"Write {option} 2024-05-01 or {option} 2024-05-01T08:00:00+07:00.",
        )
    return instant


def _day(text: str | None, *, option: str) -> dt.date | None:
    from domain.periods import parse_day  # noqa: PLC0415 - as above

    try:
        return None if text is None else parse_day(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{option} {text!r} is no day; the table is read by whole days.", remedy=f"Write {option} 2024-05-01."
        ) from error


def _files(names: tuple[str, ...], format_: str | None, delimiter: str | None) -> FileSource:
    from producers.replay.sources.files import FileSource  # noqa: PLC0415 - as above
    from producers.replay.sources.formats import Format  # noqa: PLC0415

    try:
        wanted = None if format_ is None else Format(format_.lower())
    except ValueError as error:
        raise ConfigurationError(f"There is no format {format_!r}.", remedy=f"Choose one of: {', '.join(Format)}.") from error
    if delimiter is not None:
        delimiter = "\t" if delimiter.lower() in {"tab", "\\t"} else delimiter
        if len(delimiter) != 1 or delimiter in '"\r\n\0':
            raise ConfigurationError(f"--delimiter {delimiter!r} is not one character.", remedy="Write --delimiter ';' or tab.")
    return FileSource(names, wanted, delimiter)


def _table(target: Target, *, days: tuple[dt.date | None, dt.date | None], agencies: tuple[str, ...]) -> Source:
    from producers.replay.sources.raw_table import RawTable  # noqa: PLC0415 - as above

    first, last = days
    if first is None or last is None:
        raise ConfigurationError("--from-table needs --from and --to.", remedy="Write --from 2024-05-01 --to 2024-05-31.")
    if target.http is None:
        raise ConfigurationError(
            "No running process is known that could hand out its events.", remedy="Name it with --http, or its stack with --data."
        )
    return RawTable(target.http, first, last, agencies)


def _look_at(source: Source, *, more_than_once: bool) -> None:
    """Raises: ConfigurationError: the source cannot be read, or not as often as it would have to be."""
    from producers.replay.sources.files import FileSource  # noqa: PLC0415 - as above

    if more_than_once and not source.repeatable:
        raise ConfigurationError(f"{source.label} can be read once, by one process.", remedy="Write it to a file first.")
    if isinstance(source, FileSource):
        source.check()


def _leave(outcome: Outcome, *, state: Path | None, new_events: bool, endless: bool) -> None:
    """End as the outcome asks for: with the sentence of a broken source, with a status, or normally."""
    if outcome.sent.broken is not None:
        raise _broken_off(outcome.sent.broken, outcome, state=state, new_events=new_events)
    if not outcome.complete:
        raise typer.Exit(1)
    if outcome.sent.interrupted and not endless:
        raise typer.Exit(INTERRUPTED)


def _broken_off(broken: PortalPulseError, outcome: Outcome, *, state: Path | None, new_events: bool) -> PortalPulseError:
    """Why the source ended too early, how many messages are in the topic by then, and how to go on."""
    sent = outcome.sent
    if sent.acknowledged == 0:
        return ConfigurationError(f"{broken.problem} Nothing was sent.", remedy=broken.remedy)
    if state is not None:
        way_on = f"Then run the same command with --resume: it goes on at message {sent.position:,} ({state})."
    elif new_events:
        way_on = "Replayed again with --time now its events would count twice: use --state, which a later --resume goes on from."
    else:
        way_on = "Then replay it again: what is in the topic already changes no figure."
    return ConfigurationError(
        f"{broken.problem} The {sent.acknowledged:,} messages before that are in the topic.", remedy=f"{broken.remedy} {way_on}"
    )


def _brokers_of_source(from_bootstrap: str | None, target: Target) -> tuple[tuple[str, ...], KafkaSettings]:
    """Addresses and access of the brokers of --from-topic: those named, or those that are sent to."""
    from pipeline.settings import load_settings  # noqa: PLC0415 - as above

    if from_bootstrap is None:
        return target.bootstrap, target.security
    return brokers_named(from_bootstrap, option="--from-bootstrap"), load_settings().kafka


def _topic_range(
    topic: str,
    brokers: tuple[str, ...],
    security: KafkaSettings,
    *,
    offsets: tuple[int | None, int | None],
    times: tuple[dt.datetime | None, dt.datetime | None],
    begun: State,
) -> tuple[Source, State]:
    """The range with its offsets fixed: now, or when the replay that is resumed was started."""
    from producers.replay.sources.kafka_range import Bounds, FixedRange, KafkaRange  # noqa: PLC0415 - as above

    # Kafka's times begin in 1970; the numbers below have other meanings.
    first, last = (None if time is None else max(0, int(time.timestamp() * 1000)) for time in times)
    whole = KafkaRange(brokers, topic, Bounds(*offsets, first, last), security=security)
    if begun.ranges is not None:
        return FixedRange(whole, {int(number): bounds for number, bounds in begun.ranges.items()}), begun
    fixed = whole.resolved()
    return fixed, replace(begun, ranges={str(number): bounds for number, bounds in fixed.ranges.items()})


def _run(
    wanted: Replay,
    *,
    files: tuple[str, ...],
    target: Target,
    http: str | None,
    processes: int,
    state: Path | None,
    begun: State,
) -> Outcome:
    """Pack when ``files`` are to be packed, then send and measure."""
    from pipeline.logs import SENDING_LIBRARY, configure_logging, get_logger  # noqa: PLC0415 - as above
    from pipeline.settings import load_settings  # noqa: PLC0415
    from pipeline.shutdown import interrupted_by  # noqa: PLC0415
    from producers.measuring.measured_run import ProbeTarget, measure  # noqa: PLC0415
    from producers.measuring.progress import shown  # noqa: PLC0415
    from producers.sending.checkpoint import Checkpoint  # noqa: PLC0415
    from producers.sending.worker_processes import Broker  # noqa: PLC0415

    configure_logging(load_settings().log, silenced=SENDING_LIBRARY)
    broker = Broker(target.bootstrap, target.topic, target.security)
    task: Replay | PackedReplay = wanted
    total: int | None = getattr(wanted.source, "total", None)
    if total is not None:
        total = max(total * wanted.loops - wanted.skip, 0) or None
    with ExitStack() as stack:
        stack.enter_context(interrupted_by(signal.SIGTERM))
        if files:
            task, total = _packed(wanted, files=files, broker=broker)
        progress = stack.enter_context(
            shown(Console(stderr=True), get_logger("producers").info, title=task.label, rate=wanted.spacing.rate)
        )
        progress.expect(total)
        checkpoint = None if state is None else Checkpoint(state, begun)
        if checkpoint is not None:
            checkpoint.begin()
        return measure(
            task,
            broker=broker,
            processes=processes,
            asked=ProbeTarget(target.http, required=http is not None),
            progress=progress,
            checkpoint=checkpoint,
        )


def _packed(wanted: Replay, *, files: tuple[str, ...], broker: object) -> tuple[PackedReplay, int | None]:
    """The file of batches beside the first source file, made or found."""
    from pipeline.logs import get_logger  # noqa: PLC0415 - as above
    from producers.replay.task import PackedReplay, prebuilt  # noqa: PLC0415
    from producers.sending import batch_file  # noqa: PLC0415
    from producers.sending.worker_processes import Broker, partitions_of_topic  # noqa: PLC0415

    assert isinstance(broker, Broker)
    path = Path(files[0] + batch_file.ENDING)
    read_as = [getattr(wanted.source, name) for name in ("format", "delimiter")]
    variant = " ".join([f"loops {wanted.loops}", *(part for part in read_as if part is not None)])
    origin = batch_file.origin_of(files, variant=variant)
    contents, made = prebuilt(wanted, path=path, origin=origin, partitions=partitions_of_topic(broker))
    get_logger("producers").info("batches_ready", file=str(path), made=made, messages=contents.records)
    task = PackedReplay(path, wanted.label, rate=wanted.spacing.rate, skip=wanted.skip)
    return task, contents.records if wanted.skip == 0 else None
