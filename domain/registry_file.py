"""Reads the rows of a registry of agencies from CSV. A fault is one sentence that names file, line and column."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from domain.agency_rows import BLOCKS, Agency, first_fault
from domain.errors import ConfigurationError
from domain.periods import parse_day

#: The columns that a registry must have, in any order. It may have others, which are for people.
COLUMNS: Final = (
    "code", "name_vi", "name_en", "short_name_vi", "official_name_vi", "block", "valid_from", "valid_to", "successor_code",
    "reports_from",
)  # fmt: skip
_CODE: Final = re.compile(r"[A-Z][0-9]{2}", re.ASCII)
_SHOWN: Final = 40  # characters of a wrong value


def read_rows(content: bytes | str, *, name: str) -> tuple[Agency, ...]:
    """Read and check the rows of a registry of agencies.

    Args:
        content: CSV with commas and a first line that names the columns, as in ``data/agencies.csv``; bytes are UTF-8.
        name: the name of the file in errors.

    Raises:
        ConfigurationError: the content is not UTF-8 or CSV, lacks a column, or a row is malformed or contradicts another.
    """
    text = content if isinstance(content, str) else _decoded(content, name)
    lines = _lines(text, name)
    _, header = next(lines, (1, []))
    _check_header(header, name)
    rows, numbers = [], []
    for number, fields in lines:
        if len(fields) != len(header):
            raise _fault(
                name,
                number,
                f"it has {len(fields)} fields, the first line has {len(header)}",
                "Put a value that contains a comma into quotation marks.",
            )
        rows.append(_Line(name, number, dict(zip(header, fields, strict=True))).agency())
        numbers.append(number)
    if not rows:
        raise ConfigurationError(f"{name} has no agencies.", remedy="Compare it with domain/data/agencies.csv.")
    if fault := first_fault(rows):
        raise _fault(name, numbers[fault.row], fault.problem, fault.remedy, column=fault.column)
    return tuple(rows)


def _fault(name: str, line: int, problem: str, remedy: str, *, column: str = "") -> ConfigurationError:
    place = f"{name}, line {line}" + (f", column {column}" if column else "")
    return ConfigurationError(f"{place}: {problem}.", remedy=remedy)


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")  # spreadsheets write the mark
    except UnicodeDecodeError as error:
        wrong = error.object  # without the mark
        line = wrong[: error.start].count(b"\n") + 1
        raise _fault(name, line, f"the byte 0x{wrong[error.start]:02X} is not UTF-8", "Save the file as CSV in UTF-8.") from None


def _lines(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of the CSV that are not empty, each with the number of the line on which it begins."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begin = 1
    try:
        for fields in reader:
            if fields:
                yield begin, fields
            begin = reader.line_num + 1
    except csv.Error as error:
        raise _fault(name, begin, f"it is not CSV ({error})", "Close every quotation mark that is opened.") from error


def _check_header(header: list[str], name: str) -> None:
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise _fault(
            name,
            1,
            f"the column {missing[0]} is missing",
            f"The first line names the columns, separated by commas: {', '.join(COLUMNS)}.",
        )
    for column in header:
        if header.count(column) > 1:
            raise _fault(name, 1, "this column is there twice", "Remove one of the two.", column=column[:_SHOWN])


class _Line:
    """One line of a registry, as an ``Agency`` or an error that names line and column."""

    def __init__(self, name: str, number: int, fields: dict[str, str]) -> None:
        self._name, self._number = name, number
        # Some keyboards and file systems write a letter and its marks as several characters, which look the same.
        self._fields = {column: unicodedata.normalize("NFC", value) for column, value in fields.items()}

    def agency(self) -> Agency:
        successor = self._fields["successor_code"]
        return Agency(
            code=self._code("code"),
            name_vi=self._text("name_vi"),
            name_en=self._text("name_en"),
            short_name_vi=self._text("short_name_vi"),
            official_name_vi=self._text("official_name_vi"),
            block=self._block(),
            valid_from=self._day("valid_from"),
            valid_to=self._optional_day("valid_to"),
            successor_code=self._code("successor_code") if successor else None,
            reports_from=self._optional_day("reports_from"),
        )

    def _code(self, column: str) -> str:
        code = self._fields[column]
        if _CODE.fullmatch(code) is None:
            raise self._wrong(column, "is not a code", "A level-1 code is a letter and two digits, such as H17.")
        return code

    def _text(self, column: str) -> str:
        text = self._fields[column]
        if not text or text != text.strip() or not text.isprintable():
            raise self._wrong(column, "is not a name", "Write a name on one line, without spaces before or after it.")
        return text

    def _block(self) -> str:
        block = self._fields["block"]
        if block not in BLOCKS:
            raise self._wrong("block", "is not a block", f"Use one of {', '.join(BLOCKS)}.")
        return block

    def _optional_day(self, column: str) -> dt.date | None:
        return self._day(column) if self._fields[column] else None

    def _day(self, column: str) -> dt.date:
        try:
            return parse_day(self._fields[column])
        except ValueError:
            raise self._wrong(column, "is not a day", "A day is written as 2024-08-20.") from None

    def _wrong(self, column: str, problem: str, remedy: str) -> ConfigurationError:
        return _fault(self._name, self._number, f"{self._fields[column][:_SHOWN]!r} {problem}", remedy, column=column)
