"""Plans a replay before anything is sent: checks the options, opens the source, and reads the position of an earlier run."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from domain.errors import ConfigurationError
from domain.periods import day_start, parse_day, parse_instant
from pipeline.texts import expressible
from producers.measuring.service import Service
from producers.replay.sources.files import FileSource
from producers.replay.sources.fixed_range import FixedRange
from producers.replay.sources.formats import Format
from producers.replay.sources.kafka_range import Bounds, KafkaRange
from producers.replay.sources.raw_table import RawTable
from producers.replay.task import Replay, Source
from producers.replay.transforms.spacing import Spacing
from producers.sending.checkpoint import State, resumed
from producers.sending.worker_processes import Broker

#: No event is older; an earlier time comes from a wrong clock.
_FIRST_PORTALS: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """The options of a replay, as they were given.

    Attributes:
        files: names of files; ``-`` is standard input.
        speed: divides the original spacing; ``speed_text`` and ``rate_text`` are the options as they were written.
        rate: messages a second.
        present_time: events are dated when they are sent.
        times: how often the source is played; 0: without end.
    """

    files: tuple[str, ...] = ()
    format: str | None = None
    delimiter: str | None = None
    from_topic: str | None = None
    from_table: bool = False
    agencies: tuple[str, ...] = ()
    start: str | None = None
    end: str | None = None
    from_offset: int | None = None
    to_offset: int | None = None
    speed: float | None = None
    speed_text: str = "max"
    rate: float | None = None
    rate_text: str | None = None
    present_time: bool = False
    times: int = 1
    processes: int = 1
    prebuilt: bool = False
    state: Path | None = None
    resume: bool = False

    def check(self) -> None:
        """Refuse options that contradict each other.

        Raises:
            ConfigurationError: the first contradiction.
        """
        topic, table, by_offset = (
            self.from_topic is not None,
            self.from_table,
            (self.from_offset, self.to_offset) != (None, None),
        )
        not_packable = not self.files or self.present_time or self.times == 0 or self.speed is not None
        rules = (
            (
                sum((bool(self.files), topic, table)) != 1,
                "A replay has one source.",
                "Name files, or --from-topic, or --from-table.",
            ),
            (
                self.rate_text is not None and self.speed_text != "max",
                "A replay has a --speed or a --rate.",
                "Omit one of them.",
            ),
            (bool(self.agencies) and not table, "--agency belongs to --from-table.", "Omit it, or read from the table."),
            (by_offset and not topic, "Offsets belong to --from-topic.", "Omit them, or name a topic."),
            (
                bool(self.start or self.end) and bool(self.files),
                "--from and --to belong to --from-topic and --from-table.",
                "Omit them.",
            ),
            (self.resume and self.state is None, "--resume needs --state.", "Name the file in which the position was kept."),
            (
                self.prebuilt and not_packable,
                "--prebuilt is for files, in original time, with an end, at a --rate or as fast as possible.",
                "Omit --prebuilt.",
            ),
        )
        for broken, problem, remedy in rules:
            if broken:
                raise ConfigurationError(problem, remedy=remedy)

    def name(self, topic: str) -> str:
        """The name of the replay into ``topic``, kept in its state: replays with one name have the same positions.

        The source is written as in a command line: no other files or options give the same name.
        """
        options = (
            ("--format", self.format),
            ("--delimiter", self.delimiter),
            ("--from-topic", self.from_topic),
            ("--from", self.start),
            ("--to", self.end),
            ("--from-offset", self.from_offset),
            ("--to-offset", self.to_offset),
            *(("--agency", agency) for agency in self.agencies),
        )
        words = [f"./{name}" if name.startswith("-") else name for name in self.files]
        words += ["--from-table"] if self.from_table else []
        words += [word for option, value in options if value not in (None, "") for word in (option, str(value))]
        source = expressible(shlex.join(words))
        unit, time = "batches" if self.prebuilt else "messages", "now" if self.present_time else "original"
        pace = f"speed {self.speed_text}, rate {self.rate_text or 'max'}"
        return f"{source} | {unit} to {topic}, times {self.times}, time {time}, {pace}"


def plan_replay(
    options: ReplayOptions,
    *,
    target: str,
    source_topic: Broker | None,
    http: str | None,
    service: Callable[[str], Service] = Service,
) -> tuple[Replay, State]:
    """The replay that the options ask for, and its state at the start.

    Args:
        options: the checked options.
        target: the topic that is sent to.
        source_topic: brokers and topic of --from-topic.
        http: the address of the running process that is asked for the events of --from-table.
        service: opens the running process.

    Raises:
        ConfigurationError: the source or the state cannot be used.
        UnavailableError: the brokers of the source do not answer.
    """
    name = options.name(target)
    state = resumed(options.state, plan=name) if options.state is not None and options.resume else State(name)
    source: Source
    if source_topic is not None:
        source, state = _topic_range(options, source_topic, state)
    elif options.files:
        source = file_source(options)
        if options.state is not None:
            state = _with_contents(source, state)
    else:
        source = _table(options, http, service)
    if options.present_time and state.rebase is None:
        state = replace(state, rebase=int(dt.datetime.now(dt.UTC).timestamp() * 1000))
    spacing = Spacing(speed=options.speed, rate=options.rate, valid_times=_possible_times())
    return Replay(source, spacing, loops=options.times, skip=state.position, rebase=state.rebase), state


def with_target(state: State, target: Broker) -> State:
    """The state of a replay, completed with the id of the topic that is sent to.

    Raises:
        ConfigurationError: the topic was deleted and created again since the resumed replay began.
    """
    now = target.topic_id()
    if state.target_id and now and now != state.target_id:
        raise ConfigurationError(
            f"Topic {target.topic} was deleted and created again since the replay began that is resumed: it does not hold the"
            f" {state.position:,} messages that were sent then.",
            remedy="Start again without --resume to send everything.",
        )
    return replace(state, target_id=now or state.target_id)


def _possible_times() -> tuple[int, int]:
    """The earliest and the latest possible time of an event (epoch milliseconds): since there are portals, until now."""
    latest = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    return int(_FIRST_PORTALS.timestamp() * 1000), int(latest.timestamp() * 1000)


def _topic_range(options: ReplayOptions, topic: Broker, state: State) -> tuple[FixedRange, State]:
    """The range with its offsets: fixed now, or as they were fixed when the resumed replay was started.

    Raises:
        RangeGoneError: the topic was created again since then, or lost the beginning of the range.
    """
    times = (_time(options.start, option="--from"), _time(options.end, option="--to", last=True))
    # Kafka's times begin in 1970; negative numbers have other meanings.
    first, last = (None if time is None else max(0, int(time.timestamp() * 1000)) for time in times)
    bounds = Bounds(options.from_offset, options.to_offset, first, last)
    whole = KafkaRange(topic.bootstrap, topic.topic, bounds, security=topic.security)
    if state.ranges is not None:
        fixed = FixedRange(whole, {int(number): offsets for number, offsets in state.ranges.items()}, state.topic_id)
        fixed.require_same_topic("the replay that is resumed")
        fixed.require_beginning(state.position)
        return fixed, state
    fixed = whole.resolved()
    ranges = {str(number): offsets for number, offsets in fixed.ranges.items()}
    return fixed, replace(state, ranges=ranges, topic_id=fixed.topic_id)


def file_source(options: ReplayOptions) -> FileSource:
    """The files of a replay, checked: they can be opened, and are recordings of events.

    Raises:
        ConfigurationError: a file or an option about files cannot be used.
    """
    try:
        wanted = None if options.format is None else Format(options.format.lower())
    except ValueError as error:
        raise ConfigurationError(
            f"There is no format {options.format!r}.", remedy=f"Choose one of: {', '.join(Format)}."
        ) from error
    delimiter = options.delimiter
    if delimiter is not None:
        delimiter = "\t" if delimiter.lower() in {"tab", "\\t"} else delimiter
        if len(delimiter) != 1 or delimiter in '"\r\n\0':
            raise ConfigurationError(f"--delimiter {delimiter!r} is not one character.", remedy="Write --delimiter ';' or tab.")
    source = FileSource(options.files, wanted, delimiter)
    more_than_once = options.times != 1 or options.processes > 1 or options.state is not None or options.prebuilt
    if more_than_once and not source.repeatable:
        raise ConfigurationError(f"{source.label} can be read once, by one process.", remedy="Write it to a file first.")
    source.check()
    return source


def _with_contents(files: FileSource, state: State) -> State:
    """The state, completed with size and digest of the files. Files may have grown since the replay began.

    Raises:
        ConfigurationError: a file has changed in any other way, so that the position in the state means other messages.
    """
    known = state.contents
    if known is not None and len(known) != len(files.names):
        raise ConfigurationError(
            f"The state that is resumed knows the contents of {len(known)} files, and {len(files.names)} are named.",
            remedy="Start again without --resume; events that are in the topic already change no figure.",
        )
    found = files.contents(None if known is None else [size for size, _ in known])
    for name, before, now in zip(files.names, found if known is None else known, found, strict=True):
        if before != now:
            raise ConfigurationError(
                f"{name} has changed since the replay began that is resumed.",
                remedy="Start again without --resume; events that are in the topic already change no figure.",
            )
    return state if known is not None else replace(state, contents=found)


def _table(options: ReplayOptions, http: str | None, service: Callable[[str], Service]) -> RawTable:
    first, last = _day(options.start, option="--from"), _day(options.end, option="--to")
    if first is None or last is None:
        raise ConfigurationError("--from-table needs --from and --to.", remedy="Write --from 2024-05-01 --to 2024-05-31.")
    if http is None:
        raise ConfigurationError(
            "No running process is known to read the events from.",
            remedy="Name it with --http or PORTALPULSE_HTTP__URL, or its stack with --data.",
        )
    return RawTable(http, first, last, options.agencies, service)


def _time(text: str | None, *, option: str, last: bool = False) -> dt.datetime | None:
    """The instant of a day (its start, or its end when ``last``) or of a time with an offset, as an option gives it."""
    if text is None:
        return None
    try:
        if len(text) == len("2024-05-01"):
            day = parse_day(text)
            try:
                return day_start(day + dt.timedelta(days=1 if last else 0))
            except OverflowError:  # the first or the last day of the calendar: no bound
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
    try:
        return None if text is None else parse_day(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{option} {text!r} is not a day; the table is read by whole days.", remedy=f"Write {option} 2024-05-01."
        ) from error
