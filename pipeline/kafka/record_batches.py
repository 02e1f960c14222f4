"""Makes aiokafka return whole record batches for chosen topics, instead of one Python object for each message.

One method of one class is replaced (``PartitionRecords._unpack_records``), for the topics registered here only; the rest of
the fetcher (positions, CRC checks, aborted transactions) is aiokafka's own. ``MemoryRecords`` is extended to keep its bytes,
because batches are unpacked later, in pieces of bounded size (``record_pieces``). With an object for every message a worker has
only a third of its speed. ``check_versions`` refuses releases with which the replacements were not tested.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Final

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords

from domain.errors import ConfigurationError, InvariantError
from pipeline.kafka.record_pieces import RecordPiece, pieces_of

#: Releases that the replaced places (here and in ``transport``) are tested with.
TESTED: Final = {"aiokafka": ("0.14.0",), "faust-streaming": ("0.15.3",)}

#: Head of a record batch: base offset, length of what follows, and where the last offset stands, relative to the base.
_BASE_AND_LENGTH: Final = struct.Struct(">qi")
_LAST_DELTA: Final = struct.Struct(">i")
_LAST_DELTA_AT: Final = 23
_HEAD_SIZE: Final = 61

#: Topics whose messages come as ``RecordBatch``; filled by the transport before the consumer starts.
BATCH_TOPICS: set[str] = set()


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Consecutive messages of one partition as the producer packed them, still compressed.

    ``first``: offset of the first message wanted if it is after ``base``, the first offset of the batch, because the fetch began
    in the middle of the batch.
    """

    first: int
    base: int
    end: int  # offset after the last message
    timestamp: int  # of the newest message, milliseconds
    size: int  # bytes as fetched; the the first batch of a response holds all of it, the others 0
    response: bytes  # what the batch was read from
    at: int  # where it stands there
    place: str  # topic and partition, for errors

    @property
    def first_offset(self) -> int:
        """Offset of the first message that is wanted."""
        return max(self.first, self.base)

    @property
    def messages(self) -> int:
        """Number of messages that are wanted, or more when compaction left gaps in the offsets."""
        return self.end - self.first_offset

    def pieces(self) -> Iterator[RecordPiece]:
        """The messages, unpacked in pieces of bounded size. A piece may be without wanted messages.

        Raises:
            InvariantError: the batch cannot be read; the error names its offsets.
        """
        _, length = _BASE_AND_LENGTH.unpack_from(self.response, self.at)
        return pieces_of(self.response[self.at : self.at + _BASE_AND_LENGTH.size + length], self.first, self._unreadable)

    def _unreadable(self, error: CorruptRecordException) -> InvariantError:
        return InvariantError(
            f"The record batch at the offsets {self.base} to {self.end - 1} of {self.place} cannot be read: {error.args[0]}.",
            remedy=unreadable_remedy(self.end),
        )


class KeptRecords(MemoryRecords):  # type: ignore[misc]
    """aiokafka's records of one response, which keep the bytes of the response in ``data``."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


class BatchPartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """Gives a ``RecordBatch`` for each batch of ``BATCH_TOPICS``, and aiokafka's records for other topics."""

    def _unpack_records(self) -> Iterator[Any]:
        if self._tp.topic not in BATCH_TOPICS:
            yield from super()._unpack_records()
            return
        size, following = self._records.size_in_bytes(), 0
        while self._records.has_next():
            packed, at = self._records.next_batch(), following
            following = at + _BASE_AND_LENGTH.size + _BASE_AND_LENGTH.unpack_from(self._records.data, at)[1]
            if self._check_crcs and not packed.validate_crc():
                raise DamagedBatchError(packed.base_offset, packed.next_offset, _place(self._tp))
            if self._aborted(packed) or packed.is_control_batch:
                self.next_fetch_offset = packed.next_offset
                continue
            batch = RecordBatch(
                self.next_fetch_offset,
                packed.base_offset,
                packed.next_offset,
                packed.max_timestamp or 0,
                size,
                self._records.data,
                at,
                _place(self._tp),
            )
            size = 0
            self.next_fetch_offset = packed.next_offset
            yield batch

    def _aborted(self, packed: Any) -> bool:
        """Whether the batch belongs to an aborted transaction. Updates the list of these transactions as aiokafka does."""
        if self._isolation_level != fetcher.READ_COMMITTED or packed.producer_id is None:
            return False
        self._consume_aborted_up_to(packed.base_offset)
        if packed.is_control_batch and self._contains_abort_marker(packed):
            self._aborted_producers.discard(packed.producer_id)
        return bool(packed.is_transactional and packed.producer_id in self._aborted_producers)


class DamagedBatchError(CorruptRecordException):  # type: ignore[misc]
    """The checksum of a record batch is wrong: it was damaged on the disk of the broker or on the way.

    Args:
        first: offset of the batch's first record.
        end: offset after the batch's last record.
        place: topic and partition of the batch.
    """

    def __init__(self, first: int, end: int, place: str) -> None:
        super().__init__(f"the checksum of the record batch at the offsets {first} to {end - 1} of {place} is wrong")
        self.remedy = (
            "Restart the worker. When that does not help, the log on the broker is damaged: make another replica the leader."
            f" {unreadable_remedy(end)}"
        )


def unreadable_remedy(end: int) -> str:
    """The remedy for a batch that cannot be read: how to skip it. ``end``: the offset after the batch."""
    return (
        f"To go on without these messages, stop the workers and set the group's offset of the partition to {end}"
        f" (kafka-consumer-groups.sh --reset-offsets --to-offset {end}); ask the sender to send them again."
    )


def _place(tp: Any) -> str:
    return f"partition {tp.partition} of {tp.topic!r}"


def end_of(response: bytes) -> int:
    """Offset after the last record of a response's complete batches (format 2); 0: it has no complete batch.

    The last batch of a response may be cut off: the next fetch brings the whole batch.
    """
    end = at = 0
    while at + _HEAD_SIZE <= len(response):
        base, length = _BASE_AND_LENGTH.unpack_from(response, at)
        following = at + _BASE_AND_LENGTH.size + length
        if following > len(response):
            break
        end = base + _LAST_DELTA.unpack_from(response, at + _LAST_DELTA_AT)[0] + 1
        at = following
    return int(end)


def install(*topics: str) -> None:
    """Make aiokafka return record batches for ``topics`` from now on in this process.

    Raises:
        ConfigurationError: this module was not tested with the installed aiokafka or faust-streaming.
    """
    check_versions()
    BATCH_TOPICS.update(topics)
    fetcher.PartitionRecords = BatchPartitionRecords
    fetcher.MemoryRecords = KeptRecords


def check_versions() -> None:
    """Refuse releases of libraries with which the replaced methods were not tested.

    Raises:
        ConfigurationError: a release is not tested; the error names package, release and tested releases.
    """
    for package, releases in TESTED.items():
        found = metadata.version(package)
        if found not in releases:
            raise ConfigurationError(
                f"{package} {found} was not tested with the record-batch transport.",
                remedy=f"Install {package} {' or '.join(releases)}, as the lock file does.",
            )
