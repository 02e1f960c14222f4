"""A file of record batches: a recording packed once, to be sent at wire speed any number of times.

Layout: ``MAGIC``, a JSON header with its length, then the batches, each behind its partition, records, events, distinct events,
first index and length. A file is written under another name and renamed when it is complete, so a partial one is never read.
"""

from __future__ import annotations

import errno
import mmap
import struct
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import msgspec

from domain.errors import ConfigurationError, UnavailableError
from pipeline.texts import expressible
from pipeline.whole_files import is_replaceable, whole_file
from producers.sending.record_batches import Batch

#: Opens every file; the digit is the version of the layout.
MAGIC: Final = b"portalpulse-batches-1\n"
ENDING: Final = ".batches"
_LENGTH: Final = struct.Struct(">I")
_ENTRY: Final = struct.Struct(">IIIIQI")


@dataclass(frozen=True, slots=True)
class Contents:
    """The header of a file of batches; a file whose ``origin`` differs from that of the present source is written again."""

    origin: str
    partitions: int
    records: int = 0
    distinct: int = 0


def origin_of(files: Iterable[str], *, variant: str = "") -> str:
    """A text that identifies the source of batches: names, sizes and modification times of the files, and the transformation."""
    parts = []
    for file in files:
        try:
            stat = Path(file).stat()
        except OSError as error:
            raise ConfigurationError(f"{file} cannot be read: {error.strerror}.", remedy="Name an existing file.") from error
        parts.append(f"{expressible(Path(file).name)} {stat.st_size} {stat.st_mtime_ns}")
    return "; ".join([*parts, variant])


def write(path: Path, batches: Iterable[Batch], *, origin: str, partitions: int) -> Contents:
    """Write all batches and return what they hold.

    Raises:
        UnavailableError: the file cannot be written.
    """
    records = distinct = 0
    try:
        if not is_replaceable(path):
            raise OSError(errno.EINVAL, "it is not a file")  # noqa: TRY301 - answered as what the system refuses
        with whole_file(path) as file:
            header = _header(Contents(origin, partitions))
            file.write(header)
            for batch in batches:
                file.write(_ENTRY.pack(*batch[:5], len(batch.data)))
                file.write(batch.data)
                records += batch.records
                distinct += batch.distinct
            contents = Contents(origin, partitions, records, distinct)
            file.seek(0)
            file.write(_header(contents))
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be written: {error.strerror}.", remedy="Free some space or omit --prebuilt."
        ) from error
    return contents


def read_contents(path: Path) -> Contents | None:
    """The header of a file; None when there is no file of this layout."""
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                return None
            (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
            return msgspec.json.decode(file.read(length).rstrip(), type=Contents)
    except (OSError, struct.error, msgspec.DecodeError, ValueError):  # ValueError: bytes that are not UTF-8
        return None


def read(path: Path) -> Iterator[Batch]:
    """The batches in their order, read from the memory-mapped file.

    Raises:
        ConfigurationError: the file cannot be read or ends too early.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            if mapped[: len(MAGIC)] != MAGIC:
                raise ConfigurationError(
                    f"{path} is not a file of record batches.", remedy="Delete it; the next replay writes it again."
                )
            at = len(MAGIC)
            at += _LENGTH.size + _LENGTH.unpack_from(mapped, at)[0]
            while at < len(mapped):
                partition, records, events, distinct, first, length = _ENTRY.unpack_from(mapped, at)
                at += _ENTRY.size
                if at + length > len(mapped):
                    raise ConfigurationError(f"{path} is cut off.", remedy="Delete it; the next replay writes it again.")
                yield Batch(partition, records, events, distinct, first, mapped[at : at + length])
                at += length
    except (OSError, ValueError, struct.error) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error}.", remedy="Delete it; the next replay writes it again."
        ) from error


def _header(contents: Contents) -> bytes:
    """The bytes of the header.

    Their length depends on the origin only, so that it can be overwritten when the counts are known.
    """
    text = msgspec.json.encode(asdict(contents)) + b"\n"
    text = text.ljust(len(contents.origin.encode()) * 6 + 256)
    return MAGIC + _LENGTH.pack(len(text)) + text
