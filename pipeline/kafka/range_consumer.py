"""Reads messages of a partition for replays and audits with the code of the worker, so that they read every batch that it reads.

librdkafka cannot read every batch that Kafka accepts. It refuses some packings and aborts the process on others, waits without
end after a record with an odd length, and leaves out records whose stated offset is before the requested one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka import errors as aiokafka_errors
from confluent_kafka import KafkaError, KafkaException

from domain.errors import InvariantError
from pipeline.kafka import record_batches
from pipeline.kafka.false_broker import without_false
from pipeline.kafka.record_batches import RecordBatch
from pipeline.kafka.security import aiokafka_options
from pipeline.settings import KafkaSettings

_T = TypeVar("_T")
_STOP_SECONDS: Final = 5.0
#: Bytes of one fetch, and of the messages that are handed out at once.
_MAX_FETCH: Final = 4 << 20
_MAX_HELD: Final = 32 << 20
#: aiokafka's errors without a code of the protocol, as librdkafka calls them; in this order, the first that fits.
_CODES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (aiokafka_errors.OffsetOutOfRangeError, KafkaError._AUTO_OFFSET_RESET),  # noqa: SLF001 - public names with an underscore
    (aiokafka_errors.NoOffsetForPartitionError, KafkaError._AUTO_OFFSET_RESET),  # noqa: SLF001
    (aiokafka_errors.CorruptRecordException, KafkaError._BAD_MSG),  # noqa: SLF001
    (InvariantError, KafkaError._BAD_MSG),  # noqa: SLF001
    (aiokafka_errors.AuthenticationFailedError, KafkaError._AUTHENTICATION),  # noqa: SLF001
)


@dataclass(frozen=True, slots=True)
class RangeMessage:
    """A message, or the end of the log, with the methods of librdkafka's message. Its length is that of key and value (bytes).

    ``whole_size``: the size of a value of which only the beginning is held (bytes); 0: the whole value is held.
    """

    place: int
    packed_key: bytes | None = None
    packed_value: bytes | None = None
    written: int = -1
    whole_size: int = 0
    problem: Any = None

    def __len__(self) -> int:
        return len(self.packed_key or b"") + len(self.packed_value or b"")

    def __bool__(self) -> bool:
        return True

    def offset(self) -> int:
        """The offset of the message; for the end of the log, the offset of the next message."""
        return self.place

    def key(self) -> bytes | None:
        """The key of the message."""
        return self.packed_key

    def value(self) -> bytes | None:
        """The value of the message."""
        return self.packed_value

    def timestamp(self) -> tuple[int, int]:
        """The type of the timestamp, and when the message was written (epoch milliseconds)."""
        return 1, self.written

    def error(self) -> Any:
        """The error that marks the end of the log; None for a message."""
        return self.problem


class RangeConsumer:
    """A consumer of one partition without a group, with ``assign``, ``consume`` and ``close`` as librdkafka's consumer has them.

    Every method raises KafkaException when the brokers refuse a request or a batch cannot be read.
    """

    def __init__(self, settings: KafkaSettings, client_id: str) -> None:
        self._settings, self._client_id = settings, client_id
        self._loop = asyncio.new_event_loop()
        self._consumer: Any = None
        self._part: Any = None
        self._messages: Iterator[RangeMessage] = iter(())

    def assign(self, partitions: Sequence[Any]) -> None:
        """Start to read the partition at the offset that it has."""
        (part,) = partitions
        self._part = TopicPartition(part.topic, part.partition)
        record_batches.install(part.topic)
        self._run(self._started(part.offset))

    def consume(self, count: int, seconds: float) -> list[RangeMessage]:
        """At most ``count`` messages that arrive within ``seconds``, about 32 MiB; the end of the log when there is none."""
        until = time.monotonic() + seconds
        found: list[RangeMessage] = []
        held = 0
        while True:
            taken = self._take(found, count, _MAX_HELD - held)
            if taken is None:
                return found
            held += taken
            left = max(0.0, until - time.monotonic())
            if len(found) == count or held > _MAX_HELD or (found and (self._at_the_end() or not left)):
                return found
            batches = self._run(self._consumer.getmany(self._part, timeout_ms=int(left * 1_000)))
            if batches:
                self._messages = _messages_of([batch for some in batches.values() for batch in some])
            elif found:
                return found
            elif not self._at_the_end():
                self._raise_failed()
                return found
            else:
                return [RangeMessage(self._position(), problem=KafkaError(KafkaError._PARTITION_EOF))]  # noqa: SLF001

    def _take(self, found: list[RangeMessage], count: int, max_bytes: int) -> int | None:
        """Add fetched messages to ``found`` until it has ``count``, or more than ``max_bytes`` were added; return these bytes.

        None at an unreadable batch, whose error is raised by the next call.
        """
        size = 0
        try:
            while len(found) < count and size <= max_bytes:
                found.append(message := next(self._messages))
                size += len(message)
        except StopIteration:
            pass
        except InvariantError as error:
            if not found:
                raise _exception(error) from error
            self._messages = _failed(error)
            return None
        return size

    def _raise_failed(self) -> None:
        """Raise the error that ended aiokafka's fetching. aiokafka does not report it, and no message would arrive any more."""
        fetching = self._consumer._fetcher.error_future  # noqa: SLF001 - the release is pinned
        if fetching.done() and not fetching.cancelled() and (error := fetching.exception()):
            if isinstance(error.__cause__, MemoryError):
                raise error.__cause__
            raise _exception(error) from error

    def _at_the_end(self) -> bool:
        end = self._consumer.last_stable_offset(self._part)
        return end is not None and 0 <= end <= self._position()

    def _position(self) -> int:
        return int(self._run(self._consumer.position(self._part)))

    def close(self) -> None:
        """Close the connections."""
        try:
            if self._consumer is not None and not self._loop.is_closed():
                self._loop.run_until_complete(asyncio.wait_for(self._consumer.stop(), _STOP_SECONDS))
        except (aiokafka_errors.KafkaError, OSError, TimeoutError):
            pass  # what was read is complete
        finally:
            self._loop.close()

    async def _started(self, offset: int) -> None:
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=without_false(self._settings.bootstrap, self._settings),
            client_id=self._client_id,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",  # aborted transactions were never sent
            max_partition_fetch_bytes=_MAX_FETCH,
            **aiokafka_options(self._settings),
        )
        await self._consumer.start()
        self._consumer.assign([self._part])
        self._consumer.seek(self._part, offset)

    def _run(self, asked: Coroutine[Any, Any, _T]) -> _T:
        try:
            return self._loop.run_until_complete(asked)
        except (aiokafka_errors.KafkaError, OSError) as error:
            raise _exception(error) from error


def messages_and_end(found: Sequence[Any]) -> tuple[list[Any], int | None]:
    """The messages among what ``consume`` returned, and the end of the log when it came.

    Raises:
        KafkaException: an error came in the place of a message.
    """
    messages, log_end = [], None
    for message in found:
        error = message.error()
        if error is None:
            messages.append(message)
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - as above
            log_end = message.offset()
        else:
            raise KafkaException(error)
    return messages, log_end


def _messages_of(batches: Sequence[RecordBatch]) -> Iterator[RangeMessage]:
    for batch in batches:
        for piece in batch.pieces():
            for key, value, offset, written in piece.records():
                yield RangeMessage(offset, key, value, written, piece.whole_sizes.get(offset, 0))


def _failed(error: InvariantError) -> Iterator[RangeMessage]:
    """An iterator that raises ``error`` at once."""
    raise error
    yield


def _exception(error: Exception) -> KafkaException:
    """The KafkaException that librdkafka would raise for ``error``."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), 0)
    if not code:
        own = getattr(error, "errno", None) if isinstance(error, aiokafka_errors.BrokerResponseError) else None
        code = KafkaError._TRANSPORT if own is None else own  # noqa: SLF001 - as above
    text = error.problem if isinstance(error, InvariantError) else str(error)
    return KafkaException(KafkaError(code, text.rstrip(".")))
