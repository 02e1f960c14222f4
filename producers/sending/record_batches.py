"""Packs messages into Kafka record batches (format 2, lz4), ready for the wire, one partition each.

A batch is built once and can be sent any number of times: its bytes do not depend on the topic. Only the time it carries is
set anew when it goes out (``dated``), for a broker may refuse or delete what looks old.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from producers.messages import Kind, Message
from producers.sending.partitions import partitions_of

#: Bytes of a batch before compression; below every broker's default limit (1 MiB) even when nothing can be compressed.
BATCH_BYTES: Final = 900_000
_LZ4: Final = 3
_UNBOUNDED: Final = (1 << 31) - 1
_CRC_AT: Final = 17
_ATTRIBUTES_AT: Final = 21
_TIMES_AT: Final = 27  # first and newest timestamp, milliseconds


class Batch(NamedTuple):
    """Messages of one partition as one record batch.

    ``first`` is the place of its earliest message in the source (see ``checkpoint``). Of its ``records``, ``events``
    may be events (they have a key), ``distinct`` of them were not packed before. ``places`` are those of all, where known.
    """

    partition: int
    records: int
    events: int
    distinct: int
    first: int
    data: bytes
    places: Sequence[int] = ()


class Packer:
    """Fills one batch for each partition and hands it out when it is full.

    Args:
        partitions: partitions of the topic.
        batch_bytes: size of a batch before compression.
    """

    def __init__(self, partitions: int, *, batch_bytes: int = BATCH_BYTES) -> None:
        self._partitions = partitions
        self._batch_bytes = batch_bytes
        self._open: dict[int, _Open] = {}

    def add(
        self,
        messages: Sequence[Message],
        *,
        places: Sequence[int],
        distinct: Sequence[bool],
        partitions: Sequence[int] | None = None,
    ) -> Iterator[Batch]:
        """Pack the messages, which stand at ``places`` of the source; yields the batches that became full.

        ``partitions`` are those of the keys when the caller knows them already.
        """
        turn = places[0] if places else 0
        chosen = partitions or partitions_of([message.key for message in messages], self._partitions, turn=turn)
        opened = self._open
        for message, place, partition, new in zip(messages, places, chosen, distinct, strict=True):
            batch = opened.get(partition)
            if batch is None:
                batch = opened[partition] = _Open(place, self._batch_bytes)
            if not batch.append(message, place, new=new):
                full = batch
                batch = opened[partition] = _Open(place, self._batch_bytes)
                batch.append(message, place, new=new)
                yield full.sealed(partition)

    def rest(self) -> Iterator[Batch]:
        """What is packed and not full; afterwards nothing is."""
        for partition in sorted(self._open):
            yield self._open.pop(partition).sealed(partition)

    @property
    def oldest(self) -> int | None:
        """Place of the earliest message that is packed and not handed out."""
        return min((batch.first for batch in self._open.values()), default=None)


class Distinct:
    """Tells which messages are events that did not come before, by their event ids.

    Ids are kept as 64-bit hashes, about 100 bytes each: after ``most`` of them everything passes as new.
    """

    def __init__(self, *, most: int = 10_000_000) -> None:
        self._seen: set[int] = set()
        self._most = most

    @property
    def exact(self) -> bool:
        """Whether every message could be compared with all before it."""
        return len(self._seen) < self._most

    def new(self, messages: Iterable[Message]) -> list[bool]:
        """For each message whether it is an event that is new. A message without a key is no event."""
        seen = self._seen
        answers = []
        for message in messages:
            if message.key is None or message.value is None:
                answers.append(False)
                continue
            identity = hash(_identity(message.value))
            fresh = identity not in seen
            if fresh and len(seen) < self._most:
                seen.add(identity)
            answers.append(fresh)
        return answers


def dated(data: bytes | memoryview, milliseconds: int) -> bytearray:
    """The batch with all its records at the same time, checksum included."""
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


def halved(batch: Batch) -> tuple[Batch, Batch]:
    """The same messages as two batches, in their order.

    Which of the messages are distinct is not kept: the halves share the number, as far as they hold events.
    """
    records = records_of(batch.data)
    half = len(records) // 2
    distinct = batch.distinct
    made = []
    for begin, end in ((0, half), (half, len(records))):
        places = batch.places[begin:end]
        part = _Open(places[0] if places else batch.first, _UNBOUNDED)
        for key, value in records[begin:end]:
            part.append(Message(key, value, 0, Kind.RAW), 0, new=key is not None and distinct > 0)
            distinct -= key is not None and distinct > 0
        made.append(part.sealed(batch.partition)._replace(places=places))
    return made[0], made[1]


def _identity(value: bytes) -> bytes:
    """The bytes of the event id, or the whole value when it is not where it is expected."""
    start = value.find(b'"event_id":"')
    return value[start + 12 : start + 48].lower() if start >= 0 else value


class _Open:
    """A batch that still takes messages."""

    __slots__ = ("_builder", "_distinct", "_events", "_places", "_records", "first")

    def __init__(self, first: int, batch_bytes: int) -> None:
        self.first = first
        self._records = 0
        self._events = 0
        self._distinct = 0
        self._places = array("q")
        self._builder: Any = DefaultRecordBatchBuilder(2, _LZ4, 0, -1, -1, -1, batch_bytes)

    def append(self, message: Message, place: int, *, new: bool) -> bool:
        # All records carry the time 0: their time is the batch's, which is set when it goes out.
        if self._builder.append(self._records, 0, message.key, message.value, []) is None:
            return False
        self._records += 1
        self._events += message.key is not None
        self._distinct += new
        self._places.append(place)
        return True

    def sealed(self, partition: int) -> Batch:
        return Batch(
            partition, self._records, self._events, self._distinct, self.first, bytes(self._builder.build()), self._places
        )
