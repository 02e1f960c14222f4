"""Reads events from Parquet files, whatever the types of their columns. A value that JSON cannot express is refused."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from domain.errors import ConfigurationError
from domain.periods import VIETNAM
from producers.messages import Message
from producers.replay.sources.columns import message_of_row, require_columns
from producers.replay.sources.position import SourcePosition

_ROWS_AT_ONCE: Final = 8_192
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECONDS: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}
#: Fields that are instants.
_TIMES: Final = ("occurred_at", "due_at")
_UNREADABLE: Final = (pa.ArrowException, OverflowError, ValueError, TypeError)


def opened_parquet(file: BinaryIO, name: str) -> pq.ParquetFile:
    """Open a Parquet file that has the columns of events.

    Raises:
        ConfigurationError: it is not a Parquet file, lacks a column, or has times without a time zone.
    """
    try:
        table = pq.ParquetFile(file, page_checksum_verification=True)  # most writers add them
        columns = table.schema_arrow.names
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ConfigurationError(
            f"{name} is not a Parquet file, or a damaged one: {_short(error)}.",
            remedy="Write it again; it may have been cut off.",
        ) from error
    require_columns(columns, name)
    _require_zones(table.schema_arrow, name)
    return table


def _require_zones(schema: Any, name: str) -> None:
    """Refuse times without a time zone. Most are local; read as UTC they would move to another hour, and often to another day.

    Raises:
        ConfigurationError: a column of instants has no time zone.
    """
    for column, kind in zip(schema.names, schema.types, strict=True):
        if column in _TIMES and pa.types.is_timestamp(kind) and kind.tz is None:
            raise ConfigurationError(
                f"{name}, column {column}: its times have no time zone, so the instants are not known.",
                remedy='Write it with one, for example with .dt.tz_localize("Asia/Ho_Chi_Minh") in pandas, '
                "or as TIMESTAMPTZ in DuckDB.",
            )


def read_parquet(table: pq.ParquetFile, position: SourcePosition) -> Iterator[Message]:
    """The messages of a Parquet file; ``position`` counts its rows.

    Raises:
        ConfigurationError: a value cannot be expressed, or the file is damaged; the error names the row.
    """
    batches = table.iter_batches(_ROWS_AT_ONCE)
    names = table.schema_arrow.names
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ConfigurationError(
                f"{position.name} is damaged after row {position.number:,}: {_short(error)}.", remedy="Write the file again."
            ) from error
        if batch is None:
            return
        # Column by column, so that a value that Python cannot hold is found with its row.
        columns = [_cells(batch.column(at), names[at], position) for at in range(batch.num_columns)]
        for cells in zip(*columns, strict=True):
            position.number += 1
            try:
                message = message_of_row(dict(zip(names, cells, strict=True)))
            except (ValueError, TypeError) as error:
                raise ConfigurationError(
                    f"{position} cannot be written as JSON: {_short(error)}.", remedy="Correct the row, or omit it."
                ) from error
            yield message


def _cells(column: Any, name: str, position: SourcePosition) -> list[Any]:
    """A column of a batch as Python values; times as texts."""
    convert = _times if pa.types.is_timestamp(column.type) else pa.Array.to_pylist
    try:
        return convert(column)
    except _UNREADABLE:
        pass
    cells: list[Any] = []
    for at in range(len(column)):
        try:
            cells += convert(column.slice(at, 1))
        except _UNREADABLE as error:
            raise ConfigurationError(
                f"{position.name}, row {position.number + at + 1:,}, column {name}: "
                f"the value cannot be expressed ({_short(error)}).",
                remedy="Correct the row, or omit it.",
            ) from error
    return cells


def _times(column: Any) -> list[str | None]:
    """Instants as texts; times without a zone as texts without an offset.

    Parquet keeps instants in UTC, so the name of a time zone, known here or not, changes nothing.
    """
    unit, expressed = column.type.unit, _local_time if column.type.tz is None else _instant
    return [None if value is None else expressed(_utc(value, unit)) for value in column.cast(pa.int64()).to_pylist()]


def _utc(value: int, unit: str) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=value // 1_000 if unit == "ns" else value * _MICROSECONDS[unit])


def _local_time(time: dt.datetime) -> str:
    return time.replace(tzinfo=None).isoformat(timespec="milliseconds")


def _instant(instant: dt.datetime) -> str:
    try:
        local = instant.astimezone(VIETNAM)
    except OverflowError:  # the last hours of the year 9999
        local = instant
    # Historical offsets have seconds, which RFC 3339 cannot express.
    whole = not (local.utcoffset() or dt.timedelta()) % dt.timedelta(minutes=1)
    return (local if whole else instant).isoformat(timespec="milliseconds")


def _short(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
