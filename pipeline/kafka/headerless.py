"""Reads keys, values and offsets of a record batch that aiokafka cannot read, although Kafka accepted it.

aiokafka decodes the name of every header as UTF-8 and raises when it is not. Kafka and other clients take any bytes there, and
portalpulse does not look at headers. It also refuses compressed records that are followed by anything (``decompression``). This
reader is slow; it is used for such batches only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from aiokafka.record import default_records
from aiokafka.record.util import decode_varint

from domain.errors import InvariantError
from pipeline.kafka.decompression import decompress

_START: Final = struct.Struct(">qi")  # base offset, bytes behind these two fields


class _Batch(default_records._DefaultRecordBatchPy):  # type: ignore[misc]  # noqa: SLF001 - the release is pinned
    """aiokafka's batch; a record is (key, value, offset)."""

    _pos: int
    _buffer: bytearray
    _decompressed: bool

    def _maybe_uncompress(self) -> None:
        if not self._decompressed and self.compression_type:
            self._buffer = bytearray(decompress(self.compression_type, bytes(self._buffer[self._pos :])))
            self._pos = 0
        self._decompressed = True

    def _read_msg(self) -> tuple[bytes | None, bytes | None, int]:
        length, start = decode_varint(self._buffer, self._pos)
        _, at = decode_varint(self._buffer, start)  # attributes
        _, at = decode_varint(self._buffer, at)  # timestamp
        offset, at = decode_varint(self._buffer, at)
        key, at = self._bytes(at)
        value, _ = self._bytes(at)
        self._pos = start + length
        return key, value, self.base_offset + offset

    def _bytes(self, at: int) -> tuple[bytes | None, int]:
        length, at = decode_varint(self._buffer, at)
        return (None, at) if length < 0 else (bytes(self._buffer[at : at + length]), at + length)


def records_without_headers(response: bytes, base: int) -> Iterator[tuple[bytes | None, bytes | None, int]]:
    """Key, value and offset of every record in the batch whose base offset is ``base``.

    Args:
        response: record batches, one behind the other, as a broker answered.
        base: base offset of the batch wanted.

    Raises:
        InvariantError: the response holds no such batch.
        aiokafka.errors.CorruptRecordException: the batch is not what its lengths say.
    """
    at = 0
    while at + _START.size <= len(response):
        offset, length = _START.unpack_from(response, at)
        end = at + _START.size + length
        if offset == base:
            return iter(_Batch(memoryview(response)[at:end]))
        at = end
    raise InvariantError(f"The batch at offset {base} is not in its own response.")
