"""Reads the rows of an Excel workbook (.xlsx). Only this module uses openpyxl.

A workbook is a ZIP of XML from a stranger. Before it is parsed, these are checked: its unpacked size, that it defines no XML
entities (with which a small file could grow to gigabytes), and that its XML is UTF-8, so that entities can be found.
``zipfile`` reads no more of a part than its declared size.
"""

from __future__ import annotations

import io
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, Final

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from domain.errors import ConfigurationError
from pipeline.catalogue.faults import Faults
from pipeline.catalogue.opening import MAX_UNPACKED_BYTES
from pipeline.catalogue.rows import Row

#: Largest part that is not a sheet (bytes): texts are objects in memory, several times as large.
_MAX_PART_BYTES: Final = 64 << 20
_MAX_PARTS: Final = 1_000
#: Rows and columns that are looked at: all that Excel has, and more than a catalogue has.
_MAX_SHEET_ROWS: Final = 1 << 20
_MAX_COLUMNS: Final = 100
_BLOCK: Final = 1 << 20
_ENTITY: Final = b"<!ENTITY"
#: What openpyxl and zipfile raise for a damaged workbook; they check little.
_DAMAGED: Final = (
    InvalidFileException,
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    SyntaxError,  # of the XML
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    NotImplementedError,
)


class Workbook:
    """The first sheet of a workbook; close it when done.

    Attributes:
        columns: the texts of the first row that is not empty.
        size: number of rows that the sheet itself declares, for progress; 0: it declares none.
        other_sheets: names of the sheets that are not read.

    Raises:
        ConfigurationError: the workbook is damaged, empty, too large, or defines XML entities.
    """

    def __init__(self, content: bytes, faults: Faults) -> None:
        self._faults = faults
        _judge_parts(content, faults.source)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of styles and extensions that are not read
                self._book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, keep_links=False)
                sheets = self._book.worksheets
                if not sheets:
                    raise _damaged(faults.source)
                self.other_sheets = tuple(str(sheet.title) for sheet in sheets[1:])
                self.size = min(int(sheets[0].max_row or 0), _MAX_SHEET_ROWS)
                self._cells = self._numbered(sheets[0])
                header = next(self._cells, None)
        except _DAMAGED as error:
            raise _damaged(faults.source) from error
        if header is None:
            raise ConfigurationError(
                f"The first sheet of {faults.source} is empty.", remedy="Move the catalogue to the first sheet."
            )
        self._header_row, cells = header
        self.columns: Sequence[str] = tuple(_header(cell) for cell in cells)
        repeated = sorted({column for column in self.columns if column and self.columns.count(column) > 1})
        if repeated:
            raise ConfigurationError(
                f"{faults.source}, row {self._header_row}, names the column {repeated[0]} twice.", remedy="Remove one of them."
            )

    def rows(self) -> Iterator[Row]:
        """The rows below the header. A cell with a formula or an error is noted as a fault, and its row is not returned.

        Raises:
            ConfigurationError: the sheet is damaged.
        """
        while True:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found = next(self._cells, None)
            except _DAMAGED as error:
                raise _damaged(self._faults.source) from error
            if found is None:
                return
            number, cells = found
            known = self._faults.total
            place = f"row {number}"
            fields = {
                column: self._value(place, column, cell) for column, cell in zip(self.columns, cells, strict=False) if column
            }
            if self._faults.total == known:
                yield Row(place, fields)

    def close(self) -> None:
        """Close the workbook and release its memory."""
        self._book.close()

    def _value(self, place: str, column: str, cell: Any) -> object:
        value = cell.value
        if cell.data_type in ("f", "e"):
            shown = str(getattr(value, "text", value))[:60]
            what = "is a formula" if cell.data_type == "f" else "is an error of the sheet"
            self._faults.add_sentence(f"{place}, column {column}", f"'{shown}' {what}", "write the value itself")
        return value

    @staticmethod
    def _numbered(sheet: Any) -> Iterator[tuple[int, Sequence[Any]]]:
        """The rows that are not empty, with their numbers.

        Rows and columns are limited by constants, because a sheet may declare another size than it has.
        """
        cells = sheet.iter_rows(max_row=_MAX_SHEET_ROWS, max_col=_MAX_COLUMNS)
        with closing(cells):
            for number, row in enumerate(cells, 1):
                if any(cell.value is not None and str(cell.value).strip() for cell in row):
                    yield number, row


def _header(cell: Any) -> str:
    return "" if cell.value is None else str(cell.value).strip().casefold()


def _judge_parts(content: bytes, name: str) -> None:
    """Refuse a workbook that unpacks to too much, or whose XML defines entities.

    Raises:
        ConfigurationError: the workbook is refused.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
            others = (part.file_size for part in parts if not part.filename.startswith("xl/worksheets/"))
            if (
                len(parts) > _MAX_PARTS
                or sum(part.file_size for part in parts) > MAX_UNPACKED_BYTES
                or max(others, default=0) > _MAX_PART_BYTES
            ):
                raise ConfigurationError(
                    f"{name} unpacks to more than a catalogue can be.",
                    remedy="Save the sheet alone, as CSV UTF-8, or divide it: a file may hold some agencies only.",
                )
            for part in parts:
                if part.filename.endswith((".xml", ".rels", ".vml")):
                    with archive.open(part) as file:
                        _judge_xml(file, name)
    except _DAMAGED as error:
        raise _damaged(name) from error


def _judge_xml(file: Any, name: str) -> None:
    tail = b""
    while block := file.read(_BLOCK):
        if not tail and b"\0" in block[:4]:
            raise ConfigurationError(f"{name} holds XML that is not UTF-8.", remedy="Save it again with Excel or LibreOffice.")
        if _ENTITY in tail + block:
            raise ConfigurationError(
                f"{name} defines XML entities, as no spreadsheet program does.", remedy="Save it again, or as CSV UTF-8."
            )
        tail = block[-len(_ENTITY) :]


def _damaged(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"{name} is a damaged workbook.", remedy="Open it and save it again, or save the sheet as CSV UTF-8."
    )
