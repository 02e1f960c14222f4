"""Reads events from a range of a Kafka topic, by offsets or by times, always in the same order.

Partitions are merged by the time their messages were written, then by partition and offset, so that a stopped replay can resume.
No offset is committed.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import TopicMetadata

from domain.errors import ConfigurationError, UnavailableError
from pipeline.kafka.access import Reports, refusal, topics_of
from pipeline.kafka.false_broker import refuse_false_brokers
from pipeline.kafka.range_consumer import RangeConsumer, messages_and_end
from pipeline.kafka.security import PLAINTEXT, librdkafka_options
from pipeline.kafka.topic_identity import topic_identity
from pipeline.settings import KafkaSettings
from producers.messages import Kind, Message
from producers.replay.sources.fixed_range import FixedRange, RangeGoneError
from producers.replay.sources.lines import message_of

#: Of the command line: names the addresses.
_OPTION: Final = "--from-bootstrap"
_CLIENT: Final = "portalpulse-replay"
_ANSWER_SECONDS: Final = 10.0
#: Reading fails when no message of a range arrives for this long (seconds).
_STALL_SECONDS: Final = 30.0
_MESSAGES_AT_ONCE: Final = 2_000
#: ``consume`` returns fewer messages than asked for after this time (seconds).
_CONSUME_SECONDS: Final = 0.1
#: A new topic, or one whose broker failed, has no leaders for a moment: these errors are retried.
_ELECTION: Final = frozenset(
    {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART}
)


def _identity(bootstrap: tuple[str, ...], topic: str, security: KafkaSettings) -> str:
    refuse_false_brokers(bootstrap, security, option=_OPTION)
    return topic_identity(security.model_copy(update={"bootstrap": bootstrap, "topic": topic}))


def _reader(bootstrap: tuple[str, ...], security: KafkaSettings) -> RangeConsumer:
    return RangeConsumer(security.model_copy(update={"bootstrap": bootstrap}), _CLIENT)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where to begin and where to end, in every partition: offsets, or times in epoch milliseconds; the end is excluded.

    None as begin: the first message; None as end: the last message when the replay starts.
    """

    from_offset: int | None = None
    to_offset: int | None = None
    from_time: int | None = None
    to_time: int | None = None

    def __post_init__(self) -> None:
        by_offset = (self.from_offset, self.to_offset) != (None, None)
        if by_offset and (self.from_time, self.to_time) != (None, None):
            raise ConfigurationError("A range has offsets or times, not both.", remedy="Omit one kind of bounds.")


class _Read(NamedTuple):
    """A message, preceded by the values that order the merge."""

    written: int
    partition: int
    offset: int
    message: Message


@dataclass(frozen=True, slots=True)
class KafkaRange:
    """The messages of ``topic`` within ``bounds``; may be iterated several times; ``resolved`` fixes the range.

    Args:
        consumer: makes a consumer that is asked for offsets; a test passes its own.
        reader: makes a consumer that reads messages; a test passes its own.
        security: protocol, login and certificate authorities.
        topics: lists the visible topics; a test passes its own.
        identity: the id of a topic; a test passes its own.
    """

    bootstrap: tuple[str, ...]
    topic: str
    bounds: Bounds
    consumer: Callable[[dict[str, Any]], Any] = Consumer
    security: KafkaSettings = field(default_factory=lambda: PLAINTEXT)
    topics: Callable[..., dict[str, TopicMetadata]] = topics_of
    identity: Callable[[tuple[str, ...], str, KafkaSettings], str] = _identity
    reader: Callable[[tuple[str, ...], KafkaSettings], Any] = _reader

    @property
    def label(self) -> str:
        """The name of the range in the report."""
        return f"topic {self.topic}"

    def ranges(self) -> dict[int, tuple[int, int]]:
        """First offset and the offset after the last, by partition.

        Raises:
            UnavailableError: the broker does not answer or refuses access.
            ConfigurationError: the topic does not exist.
        """
        offsets_found, begins, ends = self._answered()
        ranges = {}
        for number, (low, high) in offsets_found.items():
            begin = self.bounds.from_offset if self.bounds.from_offset is not None else begins.get(number, low)
            end = self.bounds.to_offset if self.bounds.to_offset is not None else ends.get(number, high)
            begin = high if begin < 0 else max(begin, low)  # librdkafka answers -1 for a time after the last message
            end = high if end < 0 else min(end, high)
            ranges[number] = (begin, max(begin, end))
        return ranges

    def first_offsets(self) -> dict[int, int]:
        """The first offset of each partition that its log still has.

        Raises:
            UnavailableError: the broker does not answer or refuses access.
            ConfigurationError: the topic does not exist.
        """
        return {number: low for number, (low, _) in self._answered()[0].items()}

    def _answered(self) -> tuple[dict[int, tuple[int, int]], dict[int, int], dict[int, int]]:
        """The result of ``_offsets``, asked again until every partition has a leader."""
        partitions = self._partitions()
        with self._opened() as opened:
            until = time.monotonic() + _ANSWER_SECONDS
            while True:
                try:
                    return self._offsets(opened.consumer, partitions)
                except KafkaException as error:
                    if error.args[0].code() not in _ELECTION or time.monotonic() > until:
                        raise self._unavailable(error, opened.reports) from error
                    time.sleep(_CONSUME_SECONDS)

    def _offsets(
        self, consumer: Any, partitions: Sequence[int]
    ) -> tuple[dict[int, tuple[int, int]], dict[int, int], dict[int, int]]:
        """First offset and end of each partition; offsets at the times of the bounds."""
        offsets_found = {
            number: consumer.get_watermark_offsets(TopicPartition(self.topic, number), timeout=_ANSWER_SECONDS)
            for number in partitions
        }
        return (
            offsets_found,
            self._at_time(consumer, partitions, self.bounds.from_time),
            self._at_time(consumer, partitions, self.bounds.to_time),
        )

    def resolved(self) -> FixedRange:
        """The range with its offsets fixed now, so that every loop and every resumed run reads the same messages."""
        topic_id = self.topic_id()  # first: if the topic is created again in between, the ids differ later
        return FixedRange(self, self.ranges(), topic_id)

    def topic_id(self) -> str:
        """The id of the topic, which changes when it is deleted and created again; "" when the brokers do not tell it."""
        return self.identity(self.bootstrap, self.topic, self.security)

    def read(self, ranges: dict[int, tuple[int, int]]) -> Iterator[Message]:
        """The messages of the ranges, merged.

        Raises:
            RangeGoneError: part of the range was deleted from the log.
            UnavailableError: the broker does not answer or refuses access.
        """
        with ExitStack() as stack:
            # All are opened before the first is read, so that they fetch at the same time.
            parts = [
                self._partition(self._assigned(stack, number, begin), number, begin, end)
                for number, (begin, end) in sorted(ranges.items())
                if begin < end
            ]
            for read in heapq.merge(*parts):
                yield read.message

    def _assigned(self, stack: ExitStack, number: int, begin: int) -> _Opened:
        opened = stack.enter_context(_Opened(self.reader(self.bootstrap, self.security), Reports()))
        try:
            opened.consumer.assign([TopicPartition(self.topic, number, begin)])
        except KafkaException as error:
            raise self._unavailable(error, opened.reports, reading=True) from error
        return opened

    def _partition(self, opened: _Opened, number: int, begin: int, end: int) -> Iterator[_Read]:
        stalled_at = time.monotonic() + _STALL_SECONDS
        try:
            while begin < end:
                found, log_end = messages_and_end(opened.consumer.consume(min(_MESSAGES_AT_ONCE, end - begin), _CONSUME_SECONDS))
                for message in found:
                    if message.offset() >= end:
                        return
                    begin = message.offset() + 1
                    yield self._as_read(message, number)
                if log_end is not None and log_end >= end:
                    return  # the last offsets may be transaction markers, or aborted or compacted messages
                if found:
                    stalled_at = time.monotonic() + _STALL_SECONDS
                elif time.monotonic() > stalled_at:
                    if self.topic not in self.topics(self.bootstrap, self.security, used=self.topic, option=_OPTION):
                        raise RangeGoneError(
                            f"Topic {self.topic} was deleted meanwhile: partition {number} was read to offset {begin} of {end}.",
                            remedy="The rest can only come from another copy.",
                        )
                    raise UnavailableError(
                        f"Partition {number} of {self.topic} delivers no more messages: it stops at offset {begin} of {end}.",
                        remedy="See the broker's log.",
                    )
        except KafkaException as error:
            if error.args[0].code() != KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - the library's own name for it
                raise self._unavailable(error, opened.reports, reading=True) from error
            raise RangeGoneError(
                f"Part of the range was deleted from topic {self.topic} meanwhile: partition {number} has no offset {begin} now.",
                remedy="Start again without --resume to send what is left; --from or --from-offset choose where.",
            ) from error

    def _as_read(self, message: Any, number: int) -> _Read:
        if size := getattr(message, "whole_size", 0):
            at = message.offset()
            raise UnavailableError(
                f"The message at offset {at} of partition {number} of {self.topic} is too large for this command: {size} bytes.",
                remedy=f"Skip it: replay before it (--to-offset {at}) and behind it (--from-offset {at + 1}).",
            )
        written = message.timestamp()[1]
        value: bytes | None = message.value()
        read = message_of(value) if value is not None else Message(None, None, 0, Kind.RAW)
        # The key stays as it was, so that the message keeps its partition.
        return _Read(written, number, message.offset(), read._replace(key=message.key(), occurred_at=read.occurred_at or written))

    def _partitions(self) -> list[int]:
        known = self.topics(self.bootstrap, self.security, used=self.topic, option=_OPTION).get(self.topic)
        if known is None or known.error is not None or not known.partitions:
            raise ConfigurationError(f"The topic {self.topic!r} does not exist.", remedy="Name one with --from-topic.")
        return sorted(known.partitions)

    def _at_time(self, consumer: Any, partitions: Sequence[int], time: int | None) -> dict[int, int]:
        if time is None:
            return {}
        asked = [TopicPartition(self.topic, number, time) for number in partitions]
        return {found.partition: found.offset for found in consumer.offsets_for_times(asked, timeout=_ANSWER_SECONDS)}

    def _opened(self) -> _Opened:
        reports = Reports()
        config = {
            **librdkafka_options(self.security, self.bootstrap),
            "group.id": _CLIENT,  # required by the library, never joined
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "log_level": 2,
            "error_cb": reports.add,
        }
        return _Opened(self.consumer(config), reports)

    def _unavailable(self, error: KafkaException, reports: Reports, *, reading: bool = False) -> UnavailableError:
        reason: KafkaError = error.args[0]
        what = f"topic {self.topic}"
        return refusal(reason, self.bootstrap, self.security, reports=reports, what=what, reading=reading, option=_OPTION)


class _Opened:
    """A consumer and the errors that it reported, as a context manager."""

    def __init__(self, consumer: Any, reports: Reports) -> None:
        self.consumer = consumer
        self.reports = reports

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.consumer.close()
