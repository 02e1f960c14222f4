"""Decompresses the records of a batch in chunks, and accepts every batch that a broker accepts.

A broker unpacks every compressed batch before it accepts it, but only up to the last record. What follows the last record (a
checksum, more bytes, another frame) may be wrong. Workers must be able to read such a batch: otherwise one sender would stop all
workers permanently. A megabyte may unpack to gigabytes of records, so nothing here needs memory for all of them.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Final

from aiokafka import codec
from aiokafka.errors import CorruptRecordException

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: The library of aiokafka's codecs.
cramjam: Final = codec.cramjam

UNCOMPRESSED, GZIP, SNAPPY, LZ4, ZSTD = 0, 1, 2, 3, 4

#: Largest chunk (bytes). A block of Snappy is one chunk: it holds at most 22 times its compressed size.
CHUNK: Final = 4 << 20

_RAW_DEFLATE: Final = -15  # zlib's number for data without a head and a checksum
_GZIP_HEAD: Final = struct.Struct("<3sBIBB")
_GZIP_MAGIC: Final = b"\x1f\x8b\x08"
#: Checksum and length behind a member.
_GZIP_TAIL: Final = 8
#: Flags of a member: which optional fields its head has. Kafka ignores all other flags; zlib would refuse them.
_GZIP_HEAD_CHECKSUM, _GZIP_EXTRA, _GZIP_NAME, _GZIP_COMMENT = 0x02, 0x04, 0x08, 0x10
_GZIP_EXTRA_SIZE: Final = struct.Struct("<H")

#: Head of a stream of snappy-java: this, and two version numbers, which Kafka does not compare with its own.
_XERIAL_MAGIC: Final = b"\x82SNAPPY\x00"
_XERIAL_HEAD: Final = 16
_BLOCK: Final = struct.Struct(">i")

_LZ4_HEAD: Final = struct.Struct("<IBB")
_LZ4_MAGIC: Final = 0x184D2204
_LZ4_BLOCK: Final = struct.Struct("<I")
_LZ4_UNCOMPRESSED: Final = 0x8000_0000
#: Flags of a frame: whether blocks have checksums, and which optional fields its head has.
_LZ4_BLOCK_CHECKSUMS, _LZ4_CONTENT_SIZE, _LZ4_DICTIONARY = 0x10, 0x08, 0x01


def decompressed(compression: int, data: bytes) -> Iterator[bytes]:
    """The decompressed records of a batch, in chunks of bytes.

    Args:
        compression: number of the codec in the attributes of the batch, 0 to 4.
        data: the bytes of the batch after its head.

    Raises:
        CorruptRecordException: the next chunk cannot be decompressed.
    """
    try:
        yield from _DECOMPRESS[compression](data)
    except (KeyError, ValueError, struct.error, zlib.error, zstd.ZstdError, cramjam.DecompressionError) as error:
        raise CorruptRecordException(f"The records cannot be decompressed (codec {compression}): {error!r}") from error


def _uncompressed(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), CHUNK):
        yield data[at : at + CHUNK]


def _gzip(data: bytes) -> Iterator[bytes]:
    """Decompress all gzip members. Bytes after them that are not a member are ignored. The broker has compared the checksums."""
    first = True
    while data:
        try:
            data = data[_gzip_head(data) :]
        except (ValueError, struct.error):
            if first:
                raise
            return
        member = zlib.decompressobj(_RAW_DEFLATE)
        try:
            while not member.eof:
                chunk = member.decompress(data, CHUNK)
                if not chunk and not member.eof:
                    return  # the data ends too early; the reader of the records notices if it needs more
                yield chunk
                data = member.unconsumed_tail
        except zlib.error:
            if first:
                raise
            return
        data, first = member.unused_data[_GZIP_TAIL:], False


def _gzip_head(data: bytes) -> int:
    """Size of the head of the member that ``data`` begins with."""
    magic, flags, *_ = _GZIP_HEAD.unpack_from(data)
    if magic != _GZIP_MAGIC:
        raise ValueError("not a member of gzip")
    at = _GZIP_HEAD.size
    if flags & _GZIP_EXTRA:
        at += _GZIP_EXTRA_SIZE.size + _GZIP_EXTRA_SIZE.unpack_from(data, at)[0]
    for text in (_GZIP_NAME, _GZIP_COMMENT):
        if flags & text:
            at = data.index(b"\x00", at) + 1
    return at + (2 if flags & _GZIP_HEAD_CHECKSUM else 0)


def _snappy(data: bytes) -> Iterator[bytes]:
    """Decompress one Snappy block, or the blocks of snappy-java's streams. Bytes after the last whole block are ignored."""
    if not data.startswith(_XERIAL_MAGIC):
        yield bytes(cramjam.snappy.decompress_raw(data))
        return
    at = _XERIAL_HEAD
    while at + _BLOCK.size <= len(data):
        if data.startswith(_XERIAL_MAGIC, at):  # another stream: snappy-java reads on
            at += _XERIAL_HEAD
            continue
        (size,) = _BLOCK.unpack_from(data, at)
        at += _BLOCK.size
        if size < 0 or at + size > len(data):
            return
        yield bytes(cramjam.snappy.decompress_raw(data[at : at + size]))
        at += size


def _lz4(data: bytes) -> Iterator[bytes]:
    """Decompress the first LZ4 frame, without checking its checksum. In Kafka blocks do not depend on each other."""
    magic, flags, sizes = _LZ4_HEAD.unpack_from(data)
    if magic != _LZ4_MAGIC:
        raise ValueError("not a frame of LZ4")
    at = _LZ4_HEAD.size + 1 + (8 if flags & _LZ4_CONTENT_SIZE else 0) + (4 if flags & _LZ4_DICTIONARY else 0)
    block = bytearray(1 << (8 + 2 * (sizes >> 4 & 7)))  # 64 KiB to 4 MiB
    view = memoryview(block)
    while True:
        (size,) = _LZ4_BLOCK.unpack_from(data, at)
        at += _LZ4_BLOCK.size
        length = size & ~_LZ4_UNCOMPRESSED
        if length == 0:  # Kafka takes an uncompressed block without bytes as the end, too
            return
        if at + length > len(data):
            raise ValueError("the data ends too early")
        body = data[at : at + length]
        if size & _LZ4_UNCOMPRESSED:
            yield body
        else:
            yield bytes(view[: cramjam.lz4.decompress_block_into(body, block, output_len=len(block))])
        at += length + (_LZ4_BLOCK.size if flags & _LZ4_BLOCK_CHECKSUMS else 0)


def _zstd(data: bytes) -> Iterator[bytes]:
    """Decompress all zstd frames. Bytes after them that are not a frame are ignored."""
    first = True
    while data:
        frame = zstd.ZstdDecompressor()
        try:
            yield frame.decompress(data, CHUNK)
            while not frame.eof:
                if frame.needs_input:
                    return  # as above
                yield frame.decompress(b"", CHUNK)
        except zstd.ZstdError:
            if first:
                raise
            return
        data, first = frame.unused_data, False


_DECOMPRESS: Final[dict[int, Callable[[bytes], Iterator[bytes]]]] = {
    UNCOMPRESSED: _uncompressed,
    GZIP: _gzip,
    SNAPPY: _snappy,
    LZ4: _lz4,
    ZSTD: _zstd,
}
