"""Reads the rows of a CSV in UTF-8 with a header line. The delimiter is the comma, semicolon or tab that finds most columns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import Final

from domain.catalogue import COLUMNS
from domain.errors import ConfigurationError
from pipeline.catalogue.faults import Faults
from pipeline.catalogue.rows import Row

NAME: Final = "name"
DELIMITERS: Final = (",", ";", "\t")
#: A field longer than this has an unclosed quote (characters).
_LONGEST_FIELD: Final = 1 << 16
#: A spreadsheet takes a text that begins so for a formula; behind an apostrophe it is a text.
_FORMULA: Final = re.compile(r"'*[=+@-]")
_FIX: Final = "Correct the line, or write the file again."


def guarded(text: str) -> str:
    """A name as a field of a CSV. An apostrophe is put before a name that a spreadsheet would take for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(text: str) -> str:
    """The reverse of ``guarded``: a name without the apostrophe."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def csv_rows(text: str, faults: Faults) -> tuple[Sequence[str], Iterator[Row]]:
    """The columns of a CSV, and its rows. A row with another number of fields than the header is noted as a fault.

    Raises:
        ConfigurationError: the CSV is not well-formed (also raised while rows are read); the error names the line.
    """
    lines = list(io.StringIO(text, newline=""))  # not splitlines, which also ends lines at signs within a field
    skipped = next((number for number, line in enumerate(lines) if line.strip() and not line.lower().startswith("sep=")), 0)
    header_line = lines[skipped] if lines else ""
    delimiter = max(DELIMITERS, key=lambda each: len(set(_fields(header_line, each)) & set(COLUMNS)))
    columns = _fields(header_line, delimiter)
    repeated = sorted({column for column in columns if column and columns.count(column) > 1})
    if repeated:
        raise ConfigurationError(
            f"{faults.source}, line {skipped + 1}, names the column {repeated[0]} twice.", remedy="Remove one of them."
        )
    return columns, _rows(lines[skipped + 1 :], columns, delimiter=delimiter, begin=skipped + 2, faults=faults)


def _fields(line: str, delimiter: str) -> list[str]:
    try:
        found = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []
    return [field.strip().casefold() for field in found]


def _rows(lines: list[str], columns: Sequence[str], *, delimiter: str, begin: int, faults: Faults) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        number = begin + reader.line_num
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise ConfigurationError(
                f"{faults.source}, line {number}, is not well-formed CSV: {_reason(error)}.", remedy=_FIX
            ) from error
        if fields is None:
            return
        while len(fields) > len(columns) and not fields[-1].strip():  # programs add delimiters at the end of a line
            fields.pop()
        if not any(field.strip() for field in fields):
            continue
        place = f"line {number}"
        if len(fields) == len(columns):
            found = dict(zip(columns, fields, strict=True))
            if NAME in found:
                found[NAME] = unguarded(found[NAME].strip())
            yield Row(place, found)
        else:
            faults.add_sentence(
                place,
                f"it has {len(fields)} fields, the header has {len(columns)}",
                f"write {len(columns)} fields between delimiters {delimiter!r}, with quotes around one that contains it",
            )


def _reason(error: csv.Error) -> str:
    if "unexpected end of data" in str(error) or "field larger" in str(error):
        return "a quote is opened and not closed"
    return str(error)
