"""Reads keys, values, offsets and timestamps of a record batch that aiokafka cannot read, although Kafka accepted it.

aiokafka decodes the name of every header as UTF-8 and raises an error when it is not UTF-8. Kafka and other clients accept any
bytes, and portalpulse does not use headers. aiokafka also misreads some attributes of a record, which portalpulse does not use
either. This reader is slow, and used for such batches only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from aiokafka.record import default_records
from aiokafka.record.util import decode_varint

#: Size (bytes) of a record's attributes, which have no meaning yet. Kafka accepts any; aiokafka reads them as a number of
#: variable size and misses the fields behind them when their highest bit is set.
ATTRIBUTES: Final = 1
#: Key, value, the offset that the record claims, and its timestamp (epoch milliseconds).
HeaderlessRecord = tuple[bytes | None, bytes | None, int, int]


class _Batch(default_records._DefaultRecordBatchPy):  # type: ignore[misc]  # noqa: SLF001 - the release is pinned
    """aiokafka's record batch, which gives a record as (key, value, offset, timestamp) and skips its headers."""

    _pos: int
    _buffer: bytearray

    def _read_msg(self) -> HeaderlessRecord:
        length, start = decode_varint(self._buffer, self._pos)
        later, at = decode_varint(self._buffer, start + ATTRIBUTES)
        offset, at = decode_varint(self._buffer, at)
        key, at = self._bytes(at)
        value, _ = self._bytes(at)
        self._pos = start + length
        written = self.max_timestamp if self.timestamp_type else self.first_timestamp + later
        return key, value, self.base_offset + offset, written

    def _bytes(self, at: int) -> tuple[bytes | None, int]:
        length, at = decode_varint(self._buffer, at)
        return (None, at) if length < 0 else (bytes(self._buffer[at : at + length]), at + length)


def records_without_headers(batch: bytes) -> Iterator[HeaderlessRecord]:
    """Key, value, offset and timestamp of every record of a batch.

    Args:
        batch: an uncompressed record batch.

    Raises (while it is read):
        aiokafka.errors.CorruptRecordException: the content of the batch does not fit its lengths.
    """
    return iter(_Batch(batch))
