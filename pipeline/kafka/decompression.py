"""Decompresses record batches as far as a broker does, for batches that aiokafka's codecs refuse.

A broker unpacks every compressed batch before it accepts it, but it reads no further than the last record. What follows it - a
checksum, further bytes, a further frame - may be wrong. A batch that Kafka accepted must be readable: otherwise one sender stops
every worker permanently. Slow; used only for batches that aiokafka could not read.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Final

from aiokafka import codec
from aiokafka.errors import CorruptRecordException

#: The library of aiokafka's codecs.
cramjam: Final = codec.cramjam

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4

_GZIP_MEMBER: Final = 31  # zlib's number for data with the head and the checksum of gzip
_XERIAL_HEAD: Final = 16
_BLOCK: Final = struct.Struct(">i")

_LZ4_HEAD: Final = struct.Struct("<IBB")
_LZ4_MAGIC: Final = 0x184D2204
_LZ4_BLOCK: Final = struct.Struct("<I")
_LZ4_UNCOMPRESSED: Final = 0x8000_0000
#: Flags of a frame: whether blocks have checksums, and which optional fields its head has.
_LZ4_BLOCK_CHECKSUMS, _LZ4_CONTENT_SIZE, _LZ4_DICTIONARY = 0x10, 0x08, 0x01


def decompress(compression: int, data: bytes) -> bytes:
    """The records of a batch.

    Args:
        compression: number of the codec in the attributes of the batch, 1 to 4.
        data: the batch without its head.

    Raises:
        CorruptRecordException: it cannot be decompressed.
    """
    try:
        return _DECOMPRESS[compression](data)
    except (KeyError, ValueError, struct.error, zlib.error, cramjam.DecompressionError) as error:
        raise CorruptRecordException(f"The records cannot be decompressed (codec {compression}): {error!r}") from error


def _gzip(data: bytes) -> bytes:
    """All members; bytes after them that are not a member are ignored."""
    parts: list[bytes] = []
    while data:
        member = zlib.decompressobj(_GZIP_MEMBER)
        try:
            parts.append(member.decompress(data))
        except zlib.error:
            if not parts:
                raise
            break
        if not member.eof:
            if not parts[1:]:
                raise ValueError("the data ends too early")
            del parts[-1]
            break
        data = member.unused_data
    return b"".join(parts)


def _snappy(data: bytes) -> bytes:
    """One block, or the blocks of a stream as snappy-java writes it; bytes behind the last whole block are ignored."""
    if not codec._detect_xerial_stream(data):  # noqa: SLF001 - the release is pinned
        return bytes(cramjam.snappy.decompress_raw(data))
    parts: list[bytes] = []
    at = _XERIAL_HEAD
    while at + _BLOCK.size <= len(data):
        (size,) = _BLOCK.unpack_from(data, at)
        at += _BLOCK.size
        if size < 0 or at + size > len(data):
            break
        parts.append(bytes(cramjam.snappy.decompress_raw(data[at : at + size])))
        at += size
    return b"".join(parts)


def _lz4(data: bytes) -> bytes:
    """The first frame, without its checksum; blocks do not depend on each other in Kafka."""
    magic, flags, sizes = _LZ4_HEAD.unpack_from(data)
    if magic != _LZ4_MAGIC:
        raise ValueError("not a frame of LZ4")
    at = _LZ4_HEAD.size + 1 + (8 if flags & _LZ4_CONTENT_SIZE else 0) + (4 if flags & _LZ4_DICTIONARY else 0)
    block = bytearray(1 << (8 + 2 * (sizes >> 4 & 7)))  # 64 KiB to 4 MiB
    parts: list[bytes] = []
    while True:
        (size,) = _LZ4_BLOCK.unpack_from(data, at)
        at += _LZ4_BLOCK.size
        if size == 0:
            return b"".join(parts)
        length = size & ~_LZ4_UNCOMPRESSED
        if at + length > len(data):
            raise ValueError("the data ends too early")
        body = data[at : at + length]
        if size & _LZ4_UNCOMPRESSED:
            parts.append(body)
        else:
            parts.append(bytes(block[: cramjam.lz4.decompress_block_into(body, block, output_len=len(block))]))
        at += length + (_LZ4_BLOCK.size if flags & _LZ4_BLOCK_CHECKSUMS else 0)


def _zstd(data: bytes) -> bytes:
    return bytes(codec.zstd_decode(data))


_DECOMPRESS: Final[dict[int, Callable[[bytes], bytes]]] = {GZIP: _gzip, SNAPPY: _snappy, LZ4: _lz4, ZSTD: _zstd}
