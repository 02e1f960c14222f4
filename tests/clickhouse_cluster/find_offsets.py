"""Finds the constants of ``replica_child`` in another build of the engine library.

    python -m tests.clickhouse_cluster.find_offsets .cache/clickhouse-server/VERSION/libchdb.so

It looks for the code that refers to two texts and reads the offsets of fields from the instructions there; about half a minute.
Put what it prints into replica_child.py and run tests/integration/cluster. When it finds nothing, or the tests fail, the compiler
made other code: compare with a disassembly.
"""

from __future__ import annotations

import mmap
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

_NO_ADDRESS = b"Parameter 'interserver_http(s)_port' required"
#: Another text of the same function follows, or nothing.
_FACTORY_NAMES = (b"HTTPHandler-factory\0enabled", b"HTTPHandler-factory\0")
#: Instructions that read a field of the object in a register; its offset follows.
_READ_HOST = bytes.fromhex("49 0f be 8e")  # movsx rcx, byte [r14 + host + 0x17]
_READ_CREDENTIALS = bytes.fromhex("4d 8b b7")  # mov r14, [r15 + credentials]
_CALL = b"\xe8"
#: The last byte of a string object holds its length.
_LENGTH = 0x17
#: Bytes of code that are looked at in one piece.
_PIECE = 1 << 26


@dataclass(frozen=True)
class _Segment:
    """A part of the file that is loaded."""

    executable: bool
    offset: int
    address: int
    size: int


class Library:
    """The code of a library by its virtual addresses."""

    def __init__(self, data: mmap.mmap | bytes) -> None:
        self._data = data
        self._segments = list(_segments(data))
        self._code = next(segment for segment in self._segments if segment.executable)

    @classmethod
    def of(cls, path: Path) -> Self:
        """The library of a file."""
        with path.open("rb") as file:
            return cls(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))

    def code(self, address: int, size: int) -> bytes:
        """The bytes at an address of the code."""
        start = address - self._code.address + self._code.offset
        return self._data[start : start + size]

    def beginning(self, address: int) -> int:
        """Where the function begins: at a multiple of 64, behind a byte that is never run."""
        address &= ~63
        while self.code(address - 1, 1) != b"\xcc":
            address -= 64
        return address

    def references(self, text: bytes) -> list[int]:
        """Addresses of displacements that lead to a text."""
        targets = list(self._places(text))
        found: set[int] = set()
        for begin in range(0, self._code.size, _PIECE):
            size = min(_PIECE + 8, self._code.size - begin)
            piece = np.frombuffer(self._data, np.uint8, size, self._code.offset + begin)
            for shift in range(4):
                displacements = piece[shift : shift + (size - shift) // 4 * 4].view("<i4").astype(np.int64)
                addresses = self._code.address + begin + shift + np.arange(len(displacements), dtype=np.int64) * 4
                for target in targets:
                    found.update(addresses[addresses + 4 + displacements == target].tolist())
        return sorted(found)

    def _places(self, text: bytes) -> Iterator[int]:
        position = self._data.find(text)
        while position >= 0:
            yield next(
                part.address + position - part.offset
                for part in self._segments
                if part.offset <= position < part.offset + part.size
            )
            position = self._data.find(text, position + 1)


def _segments(data: mmap.mmap | bytes) -> Iterator[_Segment]:
    (start,) = struct.unpack_from("<Q", data, 32)
    size, number = struct.unpack_from("<HH", data, 54)
    for index in range(number):
        kind, flags, offset, address, _, length = struct.unpack_from("<IIQQQQ", data, start + index * size)
        if kind == 1:  # loaded
            yield _Segment(bool(flags & 1), offset, address, length)


def constants(library: Library) -> dict[str, int | bytes]:
    """The constants of ``replica_child`` by their names.

    Raises:
        ValueError: the code is not of the known form.
    """
    (reference,) = library.references(_NO_ADDRESS)
    address = library.beginning(reference)
    body = library.code(address, 18)
    if _READ_HOST not in body:
        raise ValueError(f"the function at {address:#x} does not begin as expected: {body.hex(' ')}")
    scheme = struct.unpack_from("<I", library.code(address + 0x100, 10), 5)[0] - _LENGTH
    before = library.code(library.beginning(address - 64), 64)
    credentials = struct.unpack_from("<I", before, before.index(_READ_CREDENTIALS) + len(_READ_CREDENTIALS))[0]
    factory = _factory(library)
    return {
        "_GET_ADDRESS": address,
        "_GET_ADDRESS_CODE": body,
        "_FACTORY": factory,
        "_FACTORY_CODE": library.code(factory, 17),
        "_SCHEME": scheme,
        "_CREDENTIALS": credentials,
    }


def _factory(library: Library) -> int:
    """The function that is called with the name."""
    for reference in library.references(_FACTORY_NAMES[0]) or library.references(_FACTORY_NAMES[1]):
        after = library.code(reference, 200)
        if b"tory" in after[:40]:  # the end of the name as an operand
            call = after.index(_CALL, 20)
            return reference + call + 5 + struct.unpack_from("<i", after, call + 1)[0]
    raise ValueError("no code makes a handler by its name")


def main(arguments: list[str]) -> int:
    """Print the constants of a library."""
    (path,) = arguments
    for name, value in constants(Library.of(Path(path))).items():
        text = f'bytes.fromhex("{value.hex(" ")}")' if isinstance(value, bytes) else f"{value:#x}"
        sys.stdout.write(f"{name} = {text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
