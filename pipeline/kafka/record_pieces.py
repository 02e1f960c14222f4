"""Cuts the records of a batch into pieces of bounded size, so that a batch of any size is read with bounded memory.

A compressed batch of a megabyte may hold gigabytes: one record, or millions. Its records are decompressed chunk by chunk and cut
between records. Each piece becomes an uncompressed batch of its own, which aiokafka reads. Of a record that is larger than a
piece, its key and value are kept up to ``MAX_KEPT`` bytes each; its headers are skipped. Such a value is far larger than an event
may be (``MAX_MESSAGE_BYTES``), so the part of it that is kept is rejected as ``too_large`` like the whole.

A record states its offset relative to the base offset of the batch. Kafka does not check these numbers in an uncompressed batch:
two may be equal, or negative. So the records of a batch that has one record for each of its offsets are numbered in their order.
Only in a batch with holes, which compaction leaves, the stated offsets are used.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.util import decode_varint

from domain.errors import InvariantError
from pipeline.kafka.decompression import UNCOMPRESSED, decompressed
from pipeline.kafka.headerless import ATTRIBUTES, HeaderlessRecord, records_without_headers

#: Records of a piece end at this size, and it holds at most this many.
MAX_PIECE: Final = 8 << 20
MAX_RECORDS: Final = 100_000
#: Largest part of a key or value that is kept of a record above ``MAX_PIECE`` (bytes).
MAX_KEPT: Final = 64 << 20

_HEAD_SIZE: Final = 61
_BASE: Final = struct.Struct(">q")
_ATTRIBUTES: Final = struct.Struct(">h")
_ATTRIBUTES_AT: Final = 21
_CODEC_MASK: Final = 7
_COUNT: Final = struct.Struct(">i")
_LAST_DELTA_AT: Final = 23
_COUNT_AT: Final = 57
_LONGEST_VARINT: Final = 10
#: Makes the error that names a batch from the reason why it cannot be read.
Unreadable = Callable[[CorruptRecordException], InvariantError]


@dataclass(frozen=True, slots=True)
class RecordPiece:
    """Consecutive messages of a batch, unpacked.

    Records before the offset ``first`` are not wanted: the fetch began in the middle of the piece.
    """

    first: int
    first_offset: int  # of the first message wanted
    data: bytes  # an uncompressed record batch
    unreadable: Unreadable
    #: Offset of the first record when each record is one offset behind the one before; None: records say their offsets.
    numbered: int | None = None
    #: Offset -> whole size of a value of which only the beginning is kept.
    whole_sizes: Mapping[int, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of the unpacked messages in memory."""
        return len(self.data)

    def values(self) -> list[bytes | None]:
        """The values of the wanted messages. Record objects are not kept: 100,000 of them in memory halve a worker's speed.

        Raises:
            InvariantError: the records do not fit their lengths.
        """
        try:
            packed = DefaultRecordBatch(self.data)
            if self.numbered is not None or self._all_wanted:
                return [record.value for record in packed][self._unwanted :]
            return [record.value for record in packed if record.offset >= self.first]
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - the name of a header, see ``headerless``
            return [value for _, value, _, _ in self._wanted(self._slowly())]

    def keys_and_offsets(self) -> list[tuple[bytes | None, int]]:
        """Key and offset of every message of ``values``, in the same order.

        Raises:
            InvariantError: as ``values``.
        """
        return [(key, offset) for key, _, offset, _ in self.records()]

    def records(self) -> list[HeaderlessRecord]:
        """Key, value, offset and timestamp (epoch milliseconds) of every message of ``values``, in its order.

        Raises:
            InvariantError: as ``values``.
        """
        try:
            packed = DefaultRecordBatch(self.data)
            return self._wanted([(record.key, record.value, record.offset, record.timestamp) for record in packed])
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - as above
            return self._wanted(self._slowly())

    @property
    def _all_wanted(self) -> bool:
        return self.first <= int(_BASE.unpack_from(self.data)[0])

    @property
    def _unwanted(self) -> int:
        """How many records of a numbered piece are before the first message wanted."""
        return 0 if self.numbered is None else max(0, self.first - self.numbered)

    def _wanted(self, records: list[HeaderlessRecord]) -> list[HeaderlessRecord]:
        """The records that are wanted, with their offsets."""
        if self.numbered is not None:
            numbered = enumerate(records, self.numbered)
            return [(key, value, offset, at) for offset, (key, value, _, at) in numbered][self._unwanted :]
        return records if self._all_wanted else [record for record in records if record[2] >= self.first]

    def _slowly(self) -> list[HeaderlessRecord]:
        try:
            return list(records_without_headers(self.data))
        except CorruptRecordException as error:
            raise self.unreadable(error) from error


def pieces_of(batch: bytes, first: int, unreadable: Unreadable) -> Iterator[RecordPiece]:
    """The records of a batch in order, as pieces of bounded size.

    Args:
        batch: a record batch of format 2, as fetched.
        first: offset of the first record wanted; pieces may begin and end earlier.
        unreadable: makes the error to raise.

    Raises:
        InvariantError: the next records cannot be read.
    """
    try:
        yield from _pieces(batch, first, unreadable)
    except CorruptRecordException as error:
        raise unreadable(error) from error


def _pieces(batch: bytes, first: int, unreadable: Unreadable) -> Iterator[RecordPiece]:
    (base,) = _BASE.unpack_from(batch)
    (attributes,) = _ATTRIBUTES.unpack_from(batch, _ATTRIBUTES_AT)
    (count,) = _COUNT.unpack_from(batch, _COUNT_AT)
    codec = attributes & _CODEC_MASK
    few = count <= MAX_RECORDS
    numbered = base if count == _COUNT.unpack_from(batch, _LAST_DELTA_AT)[0] + 1 else None
    if codec == UNCOMPRESSED and len(batch) <= MAX_PIECE and few:
        yield RecordPiece(first, max(first, base), batch, unreadable, numbered)
        return
    head = bytearray(batch[:_HEAD_SIZE])
    _ATTRIBUTES.pack_into(head, _ATTRIBUTES_AT, attributes & ~_CODEC_MASK)
    chunks = decompressed(codec, batch[_HEAD_SIZE:])
    begun: list[bytes] = []
    for chunk in chunks:
        begun.append(chunk)
        if not few or sum(map(len, begun)) > MAX_PIECE:
            break
    else:
        yield RecordPiece(first, max(first, base), b"".join((head, *begun)), unreadable, numbered)
        return
    stream = _Stream(chain(begun, chunks))
    del begun, chunk
    while count > 0:
        taken, records = stream.take_records(count)
        if taken:
            _COUNT.pack_into(head, _COUNT_AT, taken)
            begin = base + _offset_of(records) if numbered is None else numbered
            yield RecordPiece(first, max(first, begin), b"".join((head, records)), unreadable, numbered)
        else:
            taken = 1
            offset, size, made = _cut_record(stream)
            begin = base + offset if numbered is None else numbered
            _BASE.pack_into(made, 0, begin)
            whole_sizes = {begin: size} if size > MAX_KEPT else {}
            yield RecordPiece(first, max(first, begin), bytes(made), unreadable, begin, whole_sizes)
        count -= taken
        numbered = None if numbered is None else numbered + taken


class _Stream:
    """Reads records from bytes that come in chunks. Keeps at most the bytes that are asked for and two chunks in memory.

    Raises (every method):
        CorruptRecordException: the chunks end before the records do.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._buffer = bytearray()
        self._at = 0
        self._passed = 0  # bytes dropped from the buffer

    @property
    def position(self) -> int:
        """Number of bytes read so far."""
        return self._passed + self._at

    def take_records(self, count: int) -> tuple[int, bytes]:
        """Read at most ``count`` records that together fit a piece; return their number (0: the next is too large) and bytes."""
        self._drop()
        taken = at = 0
        while taken < min(count, MAX_RECORDS):
            self._fill(at + _LONGEST_VARINT, minimum=at + 1)
            length, behind = _varint(self._buffer, at)
            if length < 0:
                raise CorruptRecordException(f"A record has the length {length}.")
            if behind + length > MAX_PIECE:
                break
            self._fill(behind + length)
            at, taken = behind + length, taken + 1
        self._at = at
        return taken, bytes(memoryview(self._buffer)[:at])

    def varint(self) -> int:
        """Read the next number of variable length."""
        self._fill(self._at + _LONGEST_VARINT, minimum=self._at + 1)
        number, self._at = _varint(self._buffer, self._at)
        return number

    def text(self, size: int) -> bytes | None:
        """Read ``size`` bytes; return the first ``MAX_KEPT`` of them, or None when ``size`` is negative."""
        if size < 0:
            return None
        kept = min(size, MAX_KEPT)
        self._drop()
        self._fill(kept)
        found = bytes(memoryview(self._buffer)[:kept])
        self.skip_to(self.position + size)
        return found

    def skip_to(self, position: int) -> None:
        """Skip all bytes before ``position``."""
        while self.position < position:
            step = min(position - self.position, len(self._buffer) - self._at)
            self._at += step
            if not step:
                self._drop()
                self._fill(1)

    def _drop(self) -> None:
        del self._buffer[: self._at]
        self._passed += self._at
        self._at = 0

    def _fill(self, size: int, *, minimum: int | None = None) -> None:
        """Fill the buffer up to ``size`` bytes; if the chunks end before, ``minimum`` bytes are enough."""
        while len(self._buffer) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                if minimum is not None and len(self._buffer) >= minimum:
                    return
                raise CorruptRecordException("The records end too early.")
            self._buffer += chunk


def _varint(buffer: bytes | bytearray, at: int) -> tuple[int, int]:
    try:
        number, behind = decode_varint(buffer, at)
    except (ValueError, IndexError) as error:
        raise CorruptRecordException(f"The records cannot be read: {error!r}.") from error
    return int(number), int(behind)


def _offset_of(records: bytes) -> int:
    """Offset of the first record in ``records``, relative to the base offset of the batch."""
    _, at = _varint(records, 0)  # length
    _, at = _varint(records, at + ATTRIBUTES)  # timestamp
    return _varint(records, at)[0]


def _cut_record(stream: _Stream) -> tuple[int, int, bytearray]:
    """Read the next record of the stream, which is too large for a piece, and cut its key and value.

    Returns:
        Its stated offset relative to the base, the whole size of its value, and a batch with the cut record without headers.
    """
    length = stream.varint()
    end = stream.position + length
    stream.skip_to(stream.position + ATTRIBUTES)
    stream.varint()  # timestamp
    offset = stream.varint()
    key = stream.text(stream.varint())
    size = stream.varint()
    value = stream.text(size)
    stream.skip_to(end)
    builder: Any = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 30)
    builder.append(0, timestamp=0, key=key, value=value, headers=[])
    return offset, size, bytearray(builder.build())
