"""Events from a range of a Kafka topic, by offsets or by times, in one order that is the same every time.

Partitions are merged by the time their messages were written, then by partition and offset: a replay that stopped finds its place
again. Nothing is committed; the topic does not notice that it was read.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

from pipeline.core.errors import ConfigurationError, UnavailableError
from producers.messages import Kind, Message
from producers.sources.lines import message_of

_ANSWER_SECONDS: Final = 10.0
#: A range whose next messages do not come for this long is given up (seconds).
_STALL_SECONDS: Final = 30.0
_MESSAGES_AT_ONCE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where to begin and where to end, in every partition: offsets, or times in epoch milliseconds; the end is excluded.

    None: the first and the last message there is when the replay starts.
    """

    from_offset: int | None = None
    to_offset: int | None = None
    from_time: int | None = None
    to_time: int | None = None

    def __post_init__(self) -> None:
        by_offset = (self.from_offset, self.to_offset) != (None, None)
        if by_offset and (self.from_time, self.to_time) != (None, None):
            raise ConfigurationError("A range has offsets or times, not both.", remedy="Leave one kind of bounds out.")


class _Read(NamedTuple):
    """What orders the merge, then the message."""

    written: int
    partition: int
    offset: int
    message: Message


@dataclass(frozen=True, slots=True)
class KafkaRange:
    """The messages of ``topic`` within ``bounds``; may be iterated as often as wanted, the range is fixed by ``resolved``.

    Args:
        consumer: makes a consumer; a test passes its own.
    """

    bootstrap: tuple[str, ...]
    topic: str
    bounds: Bounds
    consumer: Callable[[dict[str, Any]], Any] = Consumer

    @property
    def label(self) -> str:
        """What the summary calls it."""
        return f"topic {self.topic}"

    repeatable = True

    def ranges(self) -> dict[int, tuple[int, int]]:
        """First offset and the offset after the last, by partition.

        Raises:
            UnavailableError: the broker does not answer.
            ConfigurationError: the topic does not exist.
        """
        with self._opened() as consumer:
            try:
                partitions = self._partitions(consumer)
                marks = {
                    number: consumer.get_watermark_offsets(TopicPartition(self.topic, number), timeout=_ANSWER_SECONDS)
                    for number in partitions
                }
                begins = self._at_time(consumer, partitions, self.bounds.from_time)
                ends = self._at_time(consumer, partitions, self.bounds.to_time)
            except KafkaException as error:
                raise self._unavailable(error) from error
        ranges = {}
        for number, (low, high) in marks.items():
            begin = self.bounds.from_offset if self.bounds.from_offset is not None else begins.get(number, low)
            end = self.bounds.to_offset if self.bounds.to_offset is not None else ends.get(number, high)
            # librdkafka answers -1 for a time after the last message.
            begin = high if begin < 0 else max(begin, low)
            end = high if end < 0 else min(end, high)
            ranges[number] = (begin, max(begin, end))
        return ranges

    def resolved(self) -> FixedRange:
        """The range with its offsets fixed now, so that every loop and every resumed run reads the same messages."""
        return FixedRange(self, self.ranges())

    def read(self, ranges: dict[int, tuple[int, int]]) -> Iterator[Message]:
        """The messages of the ranges, merged."""
        with ExitStack() as stack:
            parts = [
                self._partition(stack.enter_context(self._opened()), number, begin, end)
                for number, (begin, end) in sorted(ranges.items())
                if begin < end
            ]
            for read in heapq.merge(*parts):
                yield read.message

    def _partition(self, consumer: Any, number: int, begin: int, end: int) -> Iterator[_Read]:
        try:
            consumer.assign([TopicPartition(self.topic, number, begin)])
            while begin < end:
                found = consumer.consume(_MESSAGES_AT_ONCE, _STALL_SECONDS)
                if not found:
                    # The last offsets of a partition may belong to markers of transactions, which are no messages.
                    position = consumer.position([TopicPartition(self.topic, number)])[0].offset
                    if position >= end:
                        return
                    raise UnavailableError(
                        f"No more messages of {self.topic} come: partition {number} stops at {begin} of {end}.",
                        remedy="Look after the broker and start again with --resume.",
                    )
                for message in found:
                    _require_message(message)
                    if message.offset() >= end:
                        return
                    begin = message.offset() + 1
                    yield self._as_read(message, number)
        except KafkaException as error:
            raise self._unavailable(error) from error

    @staticmethod
    def _as_read(message: Any, number: int) -> _Read:
        written = message.timestamp()[1]
        value: bytes | None = message.value()
        read = message_of(value) if value is not None else Message(None, None, 0, Kind.RAW)
        # The key goes on as it was: it has decided the partition once and decides it again.
        return _Read(written, number, message.offset(), read._replace(key=message.key(), occurred_at=read.occurred_at or written))

    def _partitions(self, consumer: Any) -> list[int]:
        """Lists all topics, for asking for one by name may create it."""
        known = consumer.list_topics(timeout=_ANSWER_SECONDS).topics.get(self.topic)
        if known is None or known.error is not None or not known.partitions:
            raise ConfigurationError(f"The topic {self.topic!r} does not exist.", remedy="Name one with --from-topic.")
        return sorted(known.partitions)

    def _at_time(self, consumer: Any, partitions: Sequence[int], time: int | None) -> dict[int, int]:
        if time is None:
            return {}
        asked = [TopicPartition(self.topic, number, time) for number in partitions]
        return {found.partition: found.offset for found in consumer.offsets_for_times(asked, timeout=_ANSWER_SECONDS)}

    def _opened(self) -> _Closing:
        return _Closing(
            self.consumer(
                {
                    "bootstrap.servers": ",".join(self.bootstrap),
                    "group.id": "portalpulse-replay",  # asked for by the library, never joined
                    "enable.auto.commit": False,
                    "enable.auto.offset.store": False,
                    "auto.offset.reset": "error",
                    "isolation.level": "read_committed",
                    "queued.max.messages.kbytes": 16_384,
                    "log_level": 2,
                }
            )
        )

    def _unavailable(self, error: KafkaException) -> UnavailableError:
        return UnavailableError(
            f"Topic {self.topic} at {','.join(self.bootstrap)} cannot be read: {error.args[0].str()}.",
            remedy="Start the local stack with `portalpulse up`, or name the broker with --from-bootstrap.",
        )


@dataclass(frozen=True, slots=True)
class FixedRange:
    """A range with known offsets: a source that can be counted and read again."""

    source: KafkaRange
    ranges: dict[int, tuple[int, int]]
    repeatable = True

    @property
    def label(self) -> str:
        """What the summary calls it."""
        return self.source.label

    @property
    def total(self) -> int:
        """Offsets in the range; a compacted or transactional topic holds fewer messages."""
        return sum(end - begin for begin, end in self.ranges.values())

    def __call__(self) -> Iterator[Message]:
        """The messages, merged by time of writing."""
        return self.source.read(self.ranges)


def _require_message(message: Any) -> None:
    if message.error() is not None:
        raise KafkaException(message.error())


class _Closing:
    """A consumer as a context manager."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def __enter__(self) -> Any:
        return self._consumer

    def __exit__(self, *_: object) -> None:
        self._consumer.close()
