"""Reads a file of a catalogue: CSV, JSON or an Excel workbook. The whole file is checked, and all faults are told at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from domain.agencies import AgencyRegistry
from domain.catalogue import COLUMNS, CatalogueEntry, level_of
from domain.errors import ConfigurationError
from pipeline.catalogue.csv_rows import csv_rows
from pipeline.catalogue.faults import Faults
from pipeline.catalogue.json_rows import json_rows
from pipeline.catalogue.opening import MAX_ROWS, Format, opened, text_of
from pipeline.catalogue.rows import Row, RowChecker
from pipeline.catalogue.values import require_columns
from pipeline.catalogue.workbook import Workbook

#: Rows between two reports of progress.
_STEP: Final = 1_000


class ReadProgress(Protocol):
    """Receives the progress of reading a file."""

    def begin(self, stage: str, total: int) -> None:
        """A stage of about ``total`` steps begins."""
        ...

    def advance(self, steps: int) -> None:
        """``steps`` more steps of the stage are done."""
        ...


@dataclass(frozen=True, slots=True)
class CatalogueFile:
    """A catalogue file without a fault: its entries in the order of its rows, and sentences about what is unusual."""

    name: str
    entries: tuple[CatalogueEntry, ...]
    warnings: tuple[str, ...] = ()


def read_catalogue(path: Path, registry: AgencyRegistry, progress: ReadProgress | None = None) -> CatalogueFile:
    """Read and check a file of a catalogue.

    Args:
        path: a CSV or JSON file, plain or packed with gzip, or an Excel workbook.
        registry: the registry of agencies.
        progress: receives the progress of reading.

    Raises:
        CatalogueFaultsError: rows are wrong; the error's ``faults`` has a sentence for each of the first faults.
        ConfigurationError: the file cannot be read, or is not a catalogue.
    """
    source = str(path)
    content, kind = opened(path)
    faults = Faults(source)
    warnings: list[str] = []
    if kind is Format.XLSX:
        book = Workbook(content, faults)
        try:
            if book.other_sheets:
                warnings.append(f"{source}: only the first sheet is read, not {', '.join(book.other_sheets)}.")
            require_columns(set(book.columns), source)
            columns = set(book.columns)
            checker = _checked(_reported(book.rows(), progress, book.size), registry, faults)
        finally:
            book.close()
    else:
        text = text_of(content, source)
        if kind is Format.CSV:
            names, rows = csv_rows(text, faults)
            require_columns(set(names), source)
            columns = set(names)
            checker = _checked(_reported(rows, progress, text.count("\n")), registry, faults)
        else:
            columns = set()
            checker = _checked(_reported(_with_columns(json_rows(text, faults), columns), progress, 0), registry, faults)
    checker.finish()
    faults.refuse()
    if not checker.entries:
        raise ConfigurationError(f"{source} has no rows below its columns.", remedy="Write a row for each service.")
    return CatalogueFile(
        source, checker.entries, (*warnings, *_unknown(columns, source), *_without_level(checker.entries, source))
    )


def _checked(rows: Iterable[Row], registry: AgencyRegistry, faults: Faults) -> RowChecker:
    checker = RowChecker(registry, faults)
    for number, row in enumerate(rows, 1):
        if number > MAX_ROWS:
            raise ConfigurationError(
                f"{faults.source} has more than {MAX_ROWS:,} rows.", remedy="Divide the file: it need not have every agency."
            )
        checker.add(row)
    return checker


def _reported(rows: Iterable[Row], progress: ReadProgress | None, total: int) -> Iterator[Row]:
    if progress is not None:
        progress.begin("checking rows", max(total, 1))
    for number, row in enumerate(rows, 1):
        yield row
        if progress is not None and number % _STEP == 0:
            progress.advance(_STEP)


def _with_columns(rows: Iterable[Row], columns: set[str]) -> Iterator[Row]:
    """Yield the rows and add the names of their columns to ``columns``."""
    for row in rows:
        columns.update(row.fields)
        yield row


def _unknown(columns: Iterable[str], source: str) -> Iterator[str]:
    for column in sorted(set(columns) - set(COLUMNS) - {""}):
        near = difflib.get_close_matches(column, COLUMNS, n=1)
        meant = f" Was {near[0]} meant?" if near else ""
        yield f"{source}: the column {column[:40]!r} is not known, and is ignored.{meant}"


def _without_level(entries: Iterable[CatalogueEntry], source: str) -> Iterator[str]:
    number = sum(not level_of(entry) for entry in entries)
    if number:
        yield f"{source}: {number:,} rows have neither a service level nor a legacy level, so they count as not online."
