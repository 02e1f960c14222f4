"""Decompresses gzip, zstd, xz and bzip2 of one or several members. The first bytes tell the compression, not the file's name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from typing import BinaryIO, Final, NamedTuple, Protocol, cast

#: Errors of decompression when the data are cut off or damaged.
UNPACKING_ERRORS: Final = (OSError, EOFError, zlib.error, lzma.LZMAError)
#: Bytes that are examined before the first message is sent, of the file and of its decompressed content.
HEAD_BYTES: Final = 1 << 16
_BLOCK_BYTES: Final = 1 << 16


class Packing(NamedTuple):
    """A compression: the first bytes of its files, the endings of their names, and the function that opens its stream."""

    name: str
    magic: bytes
    endings: tuple[str, ...]
    opened: Callable[[BinaryIO], BinaryIO]


def _gzip(file: BinaryIO) -> BinaryIO:
    return cast("BinaryIO", gzip.GzipFile(fileobj=file, mode="rb"))


def _zstd(file: BinaryIO) -> BinaryIO:
    import pyarrow as pa  # noqa: PLC0415 - takes a third of a second that other files do not need

    return cast("BinaryIO", pa.input_stream(file, compression="zstd"))


def _xz(file: BinaryIO) -> BinaryIO:
    return cast("BinaryIO", _Members(file, lzma.LZMADecompressor))


def _bzip2(file: BinaryIO) -> BinaryIO:
    return cast("BinaryIO", _Members(file, bz2.BZ2Decompressor))


PACKINGS: Final = (
    Packing("gzip", b"\x1f\x8b", (".gz",), _gzip),
    Packing("zstd", b"\x28\xb5\x2f\xfd", (".zst", ".zstd"), _zstd),
    *(
        Packing("zstd", bytes([0x50 + number, 0x2A, 0x4D, 0x18]), (), _zstd) for number in range(16)
    ),  # begins with a skipped frame
    Packing("xz", b"\xfd7zXZ\x00", (".xz",), _xz),
    *(Packing("bzip2", b"BZh%d1AY&SY" % level, (".bz2",) if level == 9 else (), _bzip2) for level in range(1, 10)),
    *(Packing("bzip2", b"BZh%d\x17\x72\x45\x38\x50\x90" % level, (), _bzip2) for level in range(1, 10)),  # of no bytes
)
ENDINGS: Final = {ending: packing.name for packing in PACKINGS for ending in packing.endings}


def packing_of(head: bytes) -> Packing | None:
    """The compression of data that begin with ``head``; None: uncompressed, or unknown."""
    return next((packing for packing in PACKINGS if head.startswith(packing.magic)), None)


def unpacked(file: BinaryIO, packing: Packing) -> BinaryIO:
    """The unpacked bytes as a stream; closing it leaves ``file`` open."""
    return io.BufferedReader(cast("io.RawIOBase", packing.opened(file)), _BLOCK_BYTES)


def peeked(file: BinaryIO) -> tuple[bytes, BinaryIO]:
    """The first bytes of a stream, and a stream that begins with these bytes again.

    Returns after a whole line, ``HEAD_BYTES`` or the end, so that a pipe whose writer pauses does not block it.

    Raises:
        OSError, EOFError, zlib.error, lzma.LZMAError: it cannot be read.
    """
    head = b""
    while len(head) < HEAD_BYTES and (b"\n" not in head or _may_become_packed(head)):
        block = _read_some(file)
        if not block:
            break
        head += block
    return head, io.BufferedReader(_Prefixed(head, file), 1 << 20)


def _may_become_packed(head: bytes) -> bool:
    return any(len(head) < len(packing.magic) and packing.magic.startswith(head) for packing in PACKINGS)


def _read_some(file: BinaryIO) -> bytes:
    """The available bytes, without waiting for a full block."""
    read = getattr(file, "read1", file.read)
    return cast("bytes", read(_BLOCK_BYTES))


class _Decompressor(Protocol):
    """Decompresses one member."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Members(io.RawIOBase):
    """The unpacked bytes of all members of a packed file.

    The readers of the standard library ignore data after a member that do not begin another member, and so drop the rest of a
    damaged file. Here only zero bytes count as padding, as xz and tapes write them; any other data raise an error.
    """

    def __init__(self, file: BinaryIO, start: Callable[[], _Decompressor]) -> None:
        self._file, self._start = file, start
        self._member: _Decompressor | None = None
        self._packed = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # the stub wants any buffer
        data = self._unpacked(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _unpacked(self, max_bytes: int) -> bytes:
        """The next unpacked bytes; empty at the end."""
        while True:
            if self._member is None:
                if not self._next_member():
                    return b""
                self._member = self._start()
            if self._member.needs_input and not self._packed:
                self._packed = _read_some(self._file)
                if not self._packed:
                    raise EOFError("The packed data ended before their end mark.")
            data = self._member.decompress(self._packed, max_bytes)
            self._packed = b""
            if self._member.eof:
                self._packed, self._member = self._member.unused_data, None
            if data:
                return data

    def _next_member(self) -> bool:
        """Skip the padding; returns whether another member follows."""
        while not (packed := self._packed.lstrip(b"\0")):
            self._packed = _read_some(self._file)
            if not self._packed:
                return False
        self._packed = packed
        return True


class _Prefixed(io.RawIOBase):
    """A stream with some bytes put before it."""

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        self._head, self._file = memoryview(head), file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # the stub wants any buffer
        if self._head:
            count = min(len(self._head), len(buffer))
            buffer[:count] = self._head[:count]
            self._head = self._head[count:]
            return count
        read = getattr(self._file, "readinto1", None) or self._file.readinto  # type: ignore[attr-defined]
        return cast("int", read(buffer))
