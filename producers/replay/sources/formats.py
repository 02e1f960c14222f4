"""Detects by its first bytes whether a recording is NDJSON, CSV or Parquet. Anything else is refused before the first message.

The content decides; the name of a file only helps to describe a problem. Lines are NDJSON when one of the first is a JSON
object; the others are sent all the same, because the worker validates messages.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final

from domain.errors import ConfigurationError
from producers.replay.sources.documents import begins_with_whole_object, conversion, fault_of, is_a_document, is_object
from producers.replay.sources.packing import ENDINGS, HEAD_BYTES

BOM: Final = b"\xef\xbb\xbf"
REQUIRED: Final = frozenset({"event_id", "dossier_code", "occurred_at"})
DELIMITERS: Final = (",", ";", "\t", "|")
#: The line that Excel writes before the header to name the delimiter.
_SEP: Final = "sep="
_LINES_EXAMINED: Final = 1_000
_SHOWN: Final = 40
_GIVE: Final = "Give NDJSON (a JSON object a line), CSV or Parquet, plain or packed with gzip, zstd, xz or bzip2."
_AS_THEY_ARE: Final = "With --format ndjson its lines are sent as they are."
_UTF8: Final = "Convert it to UTF-8 first, for example with `iconv -f UTF-16 -t UTF-8`."
_UNPACK: Final = "Unpack it and give the files in it."

#: First bytes of other formats, their names, and what to do.
_OTHERS: Final = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook", "Unpack it and give the files in it, or save the sheet as CSV."),
    (b"PK\x05\x06", "a ZIP archive without files", "Pack it again, or give the files themselves."),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"\x04\x22\x4d\x18", "packed with lz4", "Unpack it first."),
    (b"\xff\x06\x00\x00sNaPpY", "packed with snappy", "Unpack it first."),
    (b"\x1f\x9d", "packed with compress", "Unpack it first."),
    (b"\x5d\x00\x00", "packed with lzma", "Unpack it first, for example with `xz -d --format=lzma`."),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "Save the sheet as CSV."),
    (b"ARROW1", "an Arrow (Feather) file", "Write it as Parquet."),
    (b"FEA1", "an old Feather file", "Write it as Parquet."),
    (b"PARE", "an encrypted Parquet file", "Write it without encryption."),
    (b"ORC", "an ORC file", "Write it as Parquet."),
    (b"Obj\x01", "an Avro file", "Write it as Parquet."),
    (b"SQLite format 3", "an SQLite database", "Export the table as CSV."),
    (b"%PDF", "a PDF", _GIVE),
    (b"\x89PNG", "a PNG image", _GIVE),
    (b"\xff\xd8\xff", "a JPEG image", _GIVE),
    (b"GIF8", "a GIF image", _GIVE),
    (b"\x7fELF", "a program", _GIVE),
    (b"portalpulse-batches-", "a file of record batches", "Name the recording it was made of, with --prebuilt."),
)
_LINE_END: Final = re.compile(r"\r\n?|\n")
_TAR_HEADER: Final = 512
#: Where the sum of all header bytes is, in octal digits; in the sum, these bytes count as spaces.
_TAR_CHECKSUM: Final = slice(148, 156)
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


class Format(StrEnum):
    """How the events of a recording are written."""

    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"


def format_of(head: bytes, name: str, *, wanted: Format | None = None) -> Format:
    """The format of a recording.

    Args:
        head: its first bytes, unpacked; all of them when they are fewer than ``HEAD_BYTES``.
        name: of the file, for the message.
        wanted: the format that the user names; None: the content decides.

    Raises:
        ConfigurationError: the recording has none of the formats.
    """
    ending = _ending(name)
    if head.startswith(b"PAR1"):
        found: Format | None = Format.PARQUET
    elif wanted is not None:
        found = wanted
    else:
        _refuse_other_things(head, name)
        found = _of_text(without_marks(head), ending)
    if found is None or (wanted is not None and wanted is not found):
        raise _refused(without_marks(head), name, ending, wanted)
    return found


def without_marks(line: bytes) -> bytes:
    """A line without byte order marks at its beginning; there can be several, since tools add one to a file that has one."""
    while line.startswith(BOM):
        line = line.removeprefix(BOM)
    return line


def delimiter_of(head: bytes) -> str | None:
    """The delimiter by which the header has every column that an event needs; None: there is none."""
    line = header_line(head)
    if line is None:
        return None
    if line.lower().startswith(_SEP) and len(line) == len(_SEP) + 1:
        return line[-1]
    for delimiter in DELIMITERS:
        try:
            columns = next(csv.reader([line], delimiter=delimiter), [])
        except csv.Error:  # a line that is not CSV
            continue
        if set(columns) >= REQUIRED:
            return delimiter
    return None


def header_line(head: bytes) -> str | None:
    """The first line that is not blank; None when there is none."""
    text = without_marks(head).decode("utf-8", "replace")
    # Not splitlines: the reader of CSV ends lines at these alone, so other line separators are part of a name.
    return next((line for line in _LINE_END.split(text) if line.strip()), None)


def _of_text(head: bytes, ending: str) -> Format | None:
    lines = list(_lines(head))
    if any(map(is_object, lines)):
        return None if is_a_document(lines) else Format.NDJSON
    if len(lines) == 1 and len(head) >= HEAD_BYTES and lines[0].startswith(b"{"):
        # One object that is longer than the examined bytes; not several objects without a line end between them.
        return None if begins_with_whole_object(lines[0]) else Format.NDJSON
    if ending in {".csv", ".tsv"} or delimiter_of(head) is not None:
        return Format.CSV
    if not lines and ending not in {".parquet", ".pq"}:
        return Format.NDJSON  # nothing but blank lines: no messages
    return None


def _lines(head: bytes) -> Iterator[bytes]:
    """The lines that are not blank; the last one only when it ends with a line feed, or is the only one."""
    lines = head.split(b"\n")
    if len(head) >= HEAD_BYTES and len(lines) > 1:
        del lines[-1]
    count = 0
    for line in lines:
        if line.strip():
            count += 1
            yield line.strip()
        if count == _LINES_EXAMINED:
            return


def _refuse_other_things(head: bytes, name: str) -> None:
    for magic, what, remedy in _OTHERS:
        if head.startswith(magic):
            raise ConfigurationError(f"{name} is {what}, not a recording of events.", remedy=remedy)
    if head[257:262] == b"ustar" or _begins_with_tar_header(head):
        raise ConfigurationError(f"{name} is a tar archive, not a recording of events.", remedy=_UNPACK)
    if len(head) >= _TAR_HEADER and not head[:_TAR_HEADER].strip(b"\0"):
        raise ConfigurationError(
            f"{name} begins with zero bytes: it is an empty tar archive, or was not copied completely.",
            remedy="Copy or download it again.",
        )
    if head.startswith(_UTF16) or b"\x00" in head[:4]:
        raise ConfigurationError(f"{name} is written in UTF-16 or UTF-32, or is not text.", remedy=_UTF8)


def _begins_with_tar_header(head: bytes) -> bool:
    """Whether the checksum of a tar header is right. The oldest form of tar, v7, has no other mark."""
    header = head[:_TAR_HEADER]
    stored = header[_TAR_CHECKSUM].strip(b" \0")
    if len(header) < _TAR_HEADER or not stored or stored.strip(b"01234567"):
        return False
    return int(stored, 8) == sum(header) - sum(header[_TAR_CHECKSUM]) + 8 * ord(" ")


def _refused(head: bytes, name: str, ending: str, wanted: Format | None) -> ConfigurationError:
    text = head.lstrip()
    packed = ENDINGS.get(Path(name).suffix.lower())
    if wanted is not None:
        problem, remedy = f"{name} is a Parquet file, not {wanted.upper()}.", "Omit --format."
    elif ending in {".parquet", ".pq"}:
        problem, remedy = f"{name} is not a Parquet file.", "Write it again, or give a file its right ending."
    elif b"\r" in text.strip() and b"\n" not in text:
        problem, remedy = f"The lines of {name} end with a carriage return alone.", "Convert it with `tr '\\r' '\\n'`."
    elif text.startswith(b"["):
        problem, remedy = f"{name} is a JSON array, not an object a line.", "Convert it with `jq -c '.[]'`."
    elif fault := next(filter(None, map(fault_of, _lines(head))), None):
        problem, remedy = f"No line of {name} is a JSON object: {fault[0]}.", f"{fault[1]} {_AS_THEY_ARE}"
    elif text.startswith(b"{"):
        problem, remedy = f"{name} holds no JSON object on one line.", conversion(text)
    elif text.startswith(b"<"):
        problem, remedy = f"{name} is HTML or XML.", "It may be an error page or a login page: download the recording again."
    else:
        shown = text.splitlines()[0][:_SHOWN].decode("utf-8", "backslashreplace") if text else ""
        named = f"; its name says {packed}, and it is not packed" if packed else ""
        problem = f"{name} is not a recording of events: it begins with {shown!r}{named}."
        remedy = f"{_GIVE} {_AS_THEY_ARE}"
    return ConfigurationError(problem, remedy=remedy)


def _ending(name: str) -> str:
    path = Path(name)
    return Path(path.stem).suffix.lower() if path.suffix.lower() in ENDINGS else path.suffix.lower()
