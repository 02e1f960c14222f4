"""Packs messages into Kafka record batches (format 2, lz4), ready for the wire; each batch is for one partition.

A batch is built once and can be sent any number of times: its bytes do not depend on the topic. Only its time is set when it
is sent (``with_timestamp``), because a broker may refuse or delete old messages.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from aiokafka.codec import lz4_encode
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from producers.messages import Kind, Message
from producers.sending.partitions import partitions_of

#: Bytes of a batch before compression; below every broker's default limit (1 MiB) even when nothing can be compressed.
BATCH_BYTES: Final = 900_000
_NO_CODEC: Final = 0
_LZ4: Final = 3
#: The fast level takes an eighth of the time of aiokafka's level 9 for batches that are a quarter larger.
_FAST_LEVEL: Final = 1
_LENGTH_AT: Final = 8  # bytes after this field
_RECORDS_AT: Final = 61
_UNBOUNDED: Final = (1 << 31) - 1
_CRC_AT: Final = 17
_ATTRIBUTES_AT: Final = 21
_TIMES_AT: Final = 27  # first and newest timestamp, milliseconds


class Batch(NamedTuple):
    """Messages of one partition as one record batch.

    ``first_index``: index of its earliest message in the source (see ``checkpoint``). ``records``: all messages; ``events``:
    those that may be events (they have a key); ``distinct``: events that were not packed before. ``indexes``: those of all
    messages, where known. ``repeated`` and ``malformed``: messages that simulated traffic made so on purpose.
    """

    partition: int
    records: int
    events: int
    distinct: int
    first_index: int
    data: bytes
    indexes: Sequence[int] = ()
    repeated: int = 0
    malformed: int = 0


class Packer:
    """Fills one batch for each partition and yields a batch when it is full.

    Args:
        partitions: the number of partitions of the topic.
        batch_bytes: size of a batch before compression.
        fast: compress at the fast level, for messages that are made while they are sent.
    """

    def __init__(self, partitions: int, *, batch_bytes: int = BATCH_BYTES, fast: bool = False) -> None:
        self._partitions = partitions
        self._batch_bytes = batch_bytes
        self._fast = fast
        self._open: dict[int, _Open] = {}

    def add(
        self,
        messages: Sequence[Message],
        *,
        indexes: Sequence[int],
        distinct: Sequence[bool],
        partitions: Sequence[int] | None = None,
    ) -> Iterator[Batch]:
        """Pack the messages, whose indexes in the source are ``indexes``; yields the batches that became full.

        ``partitions``: the partition of each message; None: computed from the keys.
        """
        start = indexes[0] if indexes else 0
        chosen = partitions or partitions_of([message.key for message in messages], self._partitions, start=start)
        opened = self._open
        for message, index, partition, new in zip(messages, indexes, chosen, distinct, strict=True):
            batch = opened.get(partition)
            if batch is None:
                batch = opened[partition] = _Open(index, self._batch_bytes, fast=self._fast)
            if not batch.append(message, index, new=new):
                full = batch
                batch = opened[partition] = _Open(index, self._batch_bytes, fast=self._fast)
                batch.append(message, index, new=new)
                yield full.build(partition)

    def flush(self) -> Iterator[Batch]:
        """The batches that are not full; afterwards the packer is empty."""
        for partition in sorted(self._open):
            yield self._open.pop(partition).build(partition)

    @property
    def oldest(self) -> int | None:
        """Index of the earliest message that is packed and not yielded."""
        return min((batch.first_index for batch in self._open.values()), default=None)


class Distinct:
    """Finds the messages whose event was not seen before, by their event ids.

    Ids are kept as 64-bit hashes, about 100 bytes each: after ``limit`` ids every event counts as new.
    """

    def __init__(self, *, limit: int = 10_000_000) -> None:
        self._seen: set[int] = set()
        self._limit = limit

    def new(self, messages: Iterable[Message]) -> list[bool]:
        """For each message whether it is an event that was not seen before. A message without a key is not an event."""
        seen = self._seen
        answers = []
        for message in messages:
            if message.key is None or message.value is None:
                answers.append(False)
                continue
            identity = hash(_identity(message.value))
            fresh = identity not in seen
            if fresh and len(seen) < self._limit:
                seen.add(identity)
            answers.append(fresh)
        return answers


def with_timestamp(data: bytes | memoryview, milliseconds: int) -> bytearray:
    """The batch with its time set for all records (epoch milliseconds), and its checksum computed again."""
    copy = bytearray(data)
    struct.pack_into(">qq", copy, _TIMES_AT, milliseconds, milliseconds)
    struct.pack_into(">I", copy, _CRC_AT, calc_crc32c(bytes(memoryview(copy)[_ATTRIBUTES_AT:])))
    return copy


def records_of(data: bytes | memoryview) -> list[tuple[bytes | None, bytes | None]]:
    """Keys and values of a batch."""
    records = MemoryRecords(bytes(data))
    found: list[tuple[bytes | None, bytes | None]] = []
    while records.has_next():
        found += [(record.key, record.value) for record in records.next_batch()]
    return found


def split_in_half(batch: Batch) -> tuple[Batch, Batch]:
    """Divide a batch into two, in the order of its messages.

    Which of the messages are distinct is not known any more: their number is divided between the halves.
    """
    records = records_of(batch.data)
    half = len(records) // 2
    distinct = batch.distinct
    made = []
    for begin, end in ((0, half), (half, len(records))):
        indexes = batch.indexes[begin:end]
        part = _Open(indexes[0] if indexes else batch.first_index, _UNBOUNDED)
        for key, value in records[begin:end]:
            part.append(Message(key, value, 0, Kind.RAW), 0, new=key is not None and distinct > 0)
            distinct -= key is not None and distinct > 0
        made.append(part.build(batch.partition)._replace(indexes=indexes))
    return made[0], made[1]


def _identity(value: bytes) -> bytes:
    """The bytes of the event id, or the whole value when the id is not found."""
    start = value.find(b'"event_id":"')
    return value[start + 12 : start + 48].lower() if start >= 0 else value


class _Open:
    """A batch that is being filled."""

    __slots__ = ("_builder", "_distinct", "_events", "_fast", "_indexes", "_records", "first_index")

    def __init__(self, first_index: int, batch_bytes: int, *, fast: bool = False) -> None:
        self.first_index = first_index
        self._fast = fast
        self._records = 0
        self._events = 0
        self._distinct = 0
        self._indexes = array("q")
        self._builder: Any = DefaultRecordBatchBuilder(2, _NO_CODEC if fast else _LZ4, 0, -1, -1, -1, batch_bytes)

    def append(self, message: Message, index: int, *, new: bool) -> bool:
        # All records have the time 0: the time of the batch applies, which is set when it is sent.
        if self._builder.append(self._records, 0, message.key, message.value, []) is None:
            return False
        self._records += 1
        self._events += message.key is not None
        self._distinct += new
        self._indexes.append(index)
        return True

    def build(self, partition: int) -> Batch:
        data = bytes(self._builder.build())
        if self._fast:
            data = _compressed(data)
        return Batch(partition, self._records, self._events, self._distinct, self.first_index, data, self._indexes)


def _compressed(data: bytes) -> bytes:
    """An uncompressed batch with its records compressed at the fast level; unchanged when that is not smaller."""
    records = lz4_encode(data[_RECORDS_AT:], level=_FAST_LEVEL)
    if len(records) >= len(data) - _RECORDS_AT:
        return data
    batch = bytearray(data[:_RECORDS_AT] + records)
    struct.pack_into(">i", batch, _LENGTH_AT, len(batch) - _LENGTH_AT - 4)
    struct.pack_into(">h", batch, _ATTRIBUTES_AT, _LZ4)
    struct.pack_into(">I", batch, _CRC_AT, calc_crc32c(bytes(memoryview(batch)[_ATTRIBUTES_AT:])))
    return bytes(batch)
