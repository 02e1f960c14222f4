"""Recorded events from files: NDJSON, CSV or Parquet, each plain, ``.gz`` or ``.zst``; ``-`` is standard input (NDJSON).

The name says what a file is: ``events.csv.zst`` is a packed CSV, whatever is no CSV and no Parquet is NDJSON. CSV and Parquet
have the fields of the event contract as columns; an empty cell is a field that was not sent.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import msgspec

from pipeline.core.errors import ConfigurationError
from pipeline.core.periods import VIETNAM
from producers.messages import Message
from producers.sources.lines import message_of, read_messages

STDIN: Final = "-"
#: Fields that are numbers in an event.
_NUMBERS: Final = frozenset({"status", "channel", "legacy_level"})
_ROWS_AT_ONCE: Final = 8_192


@dataclass(frozen=True, slots=True)
class FileSource:
    """The events of some files, one after the other; may be iterated as often as wanted (standard input once)."""

    names: tuple[str, ...]

    @property
    def label(self) -> str:
        """What the summary calls it."""
        return self.names[0] if len(self.names) == 1 else f"{self.names[0]} and {len(self.names) - 1} more"

    @property
    def repeatable(self) -> bool:
        """Whether it can be read again from the start."""
        return STDIN not in self.names

    def __call__(self) -> Iterator[Message]:
        """The messages, in the order of the files.

        Raises:
            ConfigurationError: a file cannot be read or is not what its name says.
        """
        for name in self.names:
            yield from _messages(name)


@contextmanager
def opened(source: str) -> Iterator[BinaryIO]:
    """The bytes of a file by its name (``.gz`` and ``.zst`` are unpacked), or of standard input for ``-``.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    with ExitStack() as stack:
        try:
            if source == STDIN:
                yield sys.stdin.buffer
                return
            path = Path(source)
            if path.suffix == ".gz":
                yield cast("BinaryIO", stack.enter_context(gzip.open(path)))
            elif path.suffix in {".zst", ".zstd"}:
                import pyarrow as pa  # noqa: PLC0415 - costs a third of a second that other files need not pay

                yield stack.enter_context(io.BufferedReader(pa.input_stream(str(path), compression="zstd"), 1 << 20))
            else:
                yield stack.enter_context(path.open("rb", buffering=1 << 20))
        except (OSError, EOFError) as error:
            raise ConfigurationError(
                f"{source} cannot be read: {error}.",
                remedy="Give an NDJSON, CSV or Parquet file (plain, .gz or .zst), or - for standard input.",
            ) from error


def _messages(name: str) -> Iterator[Message]:
    kind = Path(name.removesuffix(".gz").removesuffix(".zst").removesuffix(".zstd")).suffix.lower()
    with opened(name) as file:
        if kind == ".csv":
            yield from _csv(file, name)
        elif kind in {".parquet", ".pq"}:
            yield from _parquet(file, name)
        else:
            yield from read_messages(file)


def _csv(file: BinaryIO, name: str) -> Iterator[Message]:
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        rows = csv.DictReader(text)
        _require_columns(rows.fieldnames or (), name)
        for row in rows:
            yield _event({field: text for field, text in row.items() if field is not None})
    except (csv.Error, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{name} is no CSV: {error}.", remedy="Save it as UTF-8 with a header line.") from error
    finally:
        text.detach()  # the file is closed by whoever opened it


def _parquet(file: BinaryIO, name: str) -> Iterator[Message]:
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.parquet as pq  # noqa: PLC0415

    with ExitStack() as stack:
        if not file.seekable() or Path(name).suffix.lower() not in {".parquet", ".pq"}:  # Parquet is read from its end
            whole = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(file, whole, 1 << 20)
            file = cast("BinaryIO", whole)
        try:
            table = pq.ParquetFile(file)
            _require_columns(table.schema_arrow.names, name)
            for batch in table.iter_batches(_ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    yield _event(row)
        except pa.ArrowException as error:
            raise ConfigurationError(f"{name} is no Parquet file: {error}.", remedy="Give a file its right ending.") from error


def _require_columns(found: Sequence[str], name: str) -> None:
    if missing := {"event_id", "dossier_code", "occurred_at"} - set(found):
        raise ConfigurationError(
            f"{name} has no column {', '.join(sorted(missing))}.", remedy="Columns are named as the fields of the event contract."
        )


def _event(row: dict[str, Any]) -> Message:
    """A row as the JSON object that a portal would have sent."""
    fields: dict[str, Any] = {}
    for name, cell in row.items():
        if cell is None or cell == "":
            continue
        if isinstance(cell, dt.datetime):
            instant = cell if cell.tzinfo is not None else cell.replace(tzinfo=dt.UTC)
            fields[name] = instant.astimezone(VIETNAM).isoformat(timespec="milliseconds")
        elif isinstance(cell, str) and name in _NUMBERS and cell.strip().isdigit():
            fields[name] = int(cell)
        else:
            fields[name] = cell if isinstance(cell, int | float) else str(cell)
    return message_of(msgspec.json.encode(fields))
