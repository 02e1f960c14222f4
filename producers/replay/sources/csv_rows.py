"""Reads events from CSV: a header line, UTF-8 with or without byte order mark, fields between commas, semicolons, tabs or bars.

Malformed CSV is refused with its line: an unclosed quote would otherwise swallow the rows after it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO, Final

from domain.errors import ConfigurationError
from producers.messages import Message
from producers.replay.sources.columns import message_of_row, require_columns
from producers.replay.sources.formats import DELIMITERS, delimiter_of, header_line
from producers.replay.sources.packing import HEAD_BYTES
from producers.replay.sources.position import SourcePosition

#: A field longer than this has an unclosed quote (characters).
_LONGEST_FIELD: Final = 1 << 20
_MARK: Final = "\ufeff"
_FIX: Final = "Correct the line, or write the file again."


def read_csv(file: BinaryIO, position: SourcePosition, *, head: bytes, delimiter: str | None) -> Iterator[Message]:
    """The messages of a CSV file; ``position`` counts its lines.

    Args:
        file: the unpacked bytes.
        position: the line that was read last, for error messages.
        head: the first bytes, with the header.
        delimiter: between fields; None: the one that the header uses.

    Raises:
        ConfigurationError: the CSV is not well-formed; the message names line and reason.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    chosen = delimiter or delimiter_of(head) or DELIMITERS[0]
    text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="")
    try:
        lines = _Lines(text, position)
        rows = csv.reader(lines, delimiter=chosen, strict=True)
        yield from _messages(rows, lines, position, delimiter=chosen)
    finally:
        text.detach()  # the caller closes the file


def check_header(head: bytes, name: str, *, delimiter: str | None) -> None:
    """Check the header before anything is sent.

    Raises:
        ConfigurationError: a column that an event needs is missing.
    """
    line = header_line(head) or ""
    chosen = delimiter or delimiter_of(head)
    if line.lower().startswith("sep=") and chosen is not None:
        return  # the header is the next line
    if len(head) >= HEAD_BYTES and head.decode("utf-8", "replace").endswith(line):
        return  # the header is longer than what was examined; it is checked when it is read
    try:
        columns = next(csv.reader([line], delimiter=chosen or DELIMITERS[0]), [])
    except csv.Error:
        columns = []
    how = "" if chosen is None else f" between delimiters {chosen!r}"
    require_columns(columns, name, how=how)


def _messages(rows: Iterator[list[str]], lines: _Lines, position: SourcePosition, *, delimiter: str) -> Iterator[Message]:
    header: list[str] | None = None
    begin = 1  # first line of the next row
    while True:
        lines.begins_row = True
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise _refused(position, begin, _reason(str(error), position.number)) from error
        if row is None:
            return
        if not row or (header is None and row[0].lower().startswith("sep=")):
            pass
        elif header is None:
            header = row
            require_columns(header, position.name, how=f" between delimiters {delimiter!r}")
        elif len(row) != len(header):
            raise _refused(position, begin, f"it has {len(row)} fields, the header has {len(header)}")
        elif position.number > begin and _swallowed(row, delimiter, len(header)):
            raise _refused(position, begin, f"a quoted field goes on to line {position.number} and holds whole rows")
        else:
            yield message_of_row(dict(zip(header, row, strict=True)))
        begin = position.number + 1


class _Lines:
    """The lines of a CSV. A byte order mark at the beginning of a line is removed: joined files have one in the middle."""

    def __init__(self, text: io.TextIOWrapper, position: SourcePosition) -> None:
        self._text, self._position = text, position
        self.begins_row = True

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line, position = next(self._text), self._position
        position.number += 1
        if not line.isascii():
            try:
                line.encode("utf-8")  # an invalid byte was read as half of a surrogate pair
            except UnicodeEncodeError as error:
                raise _refused(position, position.number, "it is not UTF-8", remedy="Save the file as UTF-8.") from error
        if "\0" in line:
            raise _refused(position, position.number, "it holds a NUL character")
        if self.begins_row:
            line, self.begins_row = line.lstrip(_MARK), False
        return line


def _swallowed(row: list[str], delimiter: str, columns: int) -> bool:
    """Whether a field over several lines contains text that looks like a row."""
    return any(line.count(delimiter) >= columns - 1 for field in row if "\n" in field for line in field.splitlines())


def _reason(error: str, last: int) -> str:
    if "unexpected end of data" in error:
        return f"a quote is opened and not closed up to the last line, {last}"
    if "field larger" in error:
        return f"a field is longer than {_LONGEST_FIELD:,} characters; a quote may not be closed"
    return f"{error} (at line {last})"


def _refused(position: SourcePosition, line: int, reason: str, *, remedy: str = _FIX) -> ConfigurationError:
    return ConfigurationError(f"{position.name}, line {line}, is not well-formed CSV: {reason}.", remedy=remedy)
