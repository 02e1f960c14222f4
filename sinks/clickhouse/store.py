"""Writes events, dead letters and tallies. Tallies are recounted inside ClickHouse; no count crosses the wire."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.days import held
from sinks.clickhouse.dead_letter_tallies import recount_dead_letters
from sinks.clickhouse.expiring_rows import refuse_expiring_rows
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.contract.dead_letters import DeadLetter
from sinks.contract.events import UnreadRange
from sinks.contract.tallies import Days, Span
from sinks.tables import (
    AGENCY_DAY,
    AGENCY_DAY_PROCEDURE,
    AGENCY_MINUTE,
    COUNT_CONDITIONS,
    DEAD_LETTERS,
    DOSSIER_EVENTS,
    EPOCH,
    TALLY_EPOCHS,
    UNREAD_OFFSETS,
)

#: Do not merge a block with itself before it is written: halves the insert, and FINAL removes repeats anyway.
#: An insert may touch any number of months: a backfill is one.
_INSERT: dict[str, Any] = {"optimize_on_insert": 0, "max_partitions_per_insert_block": 0}
#: Rows of one result block may spread over many months when a backfill is recounted.
_RECOUNT: dict[str, Any] = {"max_partitions_per_insert_block": 0, "optimize_on_insert": 0}
#: Days and procedures are scanned beside live traffic: one thread, and behind everything else that wants the processor.
_BACKGROUND: dict[str, Any] = _RECOUNT | {"max_threads": 1, "os_thread_priority": 10}
#: Recounting a civil day needs whole days of Viet Nam, which begin at 17:00 UTC.
CIVIL_DAY = "toDate({column}, 'Asia/Ho_Chi_Minh')"
#: Read by the recount itself: an epoch that was raised holds for every recount that sees an event stored later.
VERSION = f"assumeNotNull((SELECT max(epoch) FROM {TALLY_EPOCHS})) * {EPOCH}"  # noqa: S608 - names are constants


class ClickHouseStore:
    """An ``EventStore``. Several threads may use it at once."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def insert_events(self, rows: pa.Table) -> None:
        """Store events; see the contract."""
        self._clickhouse.insert("insert_events", DOSSIER_EVENTS, rows.column_names, arrow_stream(rows), "ArrowStream", **_INSERT)

    def insert_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Store messages set aside and count them; see the contract."""
        table = pa.table(
            {
                "topic": pa.array([letter.topic for letter in letters], pa.string()),
                "partition": pa.array([letter.partition for letter in letters], pa.int32()),
                "offset": pa.array([letter.offset for letter in letters], pa.int64()),
                "key": pa.array([letter.key or b"" for letter in letters], pa.binary()),
                "value": pa.array([letter.value or b"" for letter in letters], pa.binary()),
                "has_value": pa.array([letter.value is not None for letter in letters], pa.bool_()),
                "reason": pa.array([letter.reason for letter in letters], pa.string()),
                "error": pa.array([letter.error for letter in letters], pa.string()),
            }
        )
        self._clickhouse.insert(
            "insert_dead_letters", DEAD_LETTERS, table.column_names, arrow_stream(table), "ArrowStream", **_INSERT
        )
        positions = [(letter.topic, letter.partition, letter.offset) for letter in letters]
        recount_dead_letters(self._clickhouse, positions, _RECOUNT)

    def insert_unread(self, ranges: Sequence[UnreadRange]) -> None:
        """Record offsets that nobody read; see the contract."""
        table = pa.table(
            {
                "topic": pa.array([unread.topic for unread in ranges], pa.string()),
                "partition": pa.array([unread.partition for unread in ranges], pa.int32()),
                "first_offset": pa.array([unread.first for unread in ranges], pa.int64()),
                "end_offset": pa.array([unread.end for unread in ranges], pa.int64()),
                "consumer_group": pa.array([unread.group for unread in ranges], pa.string()),
                "cause": pa.array([unread.cause.value for unread in ranges], pa.string()),
            }
        )
        self._clickhouse.insert(
            "insert_unread", UNREAD_OFFSETS, table.column_names, arrow_stream(table), "ArrowStream", **_INSERT
        )

    def recount_minutes(self, span: Span) -> None:
        """Recount the minutes of ``span`` from the distinct events; see the contract."""
        self._clickhouse.command(
            "recount_minutes",
            f"INSERT INTO {AGENCY_MINUTE} (agency, minute, {_NAMES}) "  # noqa: S608 - names are constants
            f"SELECT agency, toStartOfMinute(occurred_at) AS minute, {_COUNTED}, max(occurred_at), {VERSION} + count() "
            f"FROM {DOSSIER_EVENTS} FINAL "
            "PREWHERE occurred_at >= toDateTime64({start:String}, 3, 'UTC') "
            "AND occurred_at < toDateTime64({end:String}, 3, 'UTC') "
            f"WHERE {_agencies(span.agencies)} GROUP BY agency, minute",
            {"start": f"{span.start:%Y-%m-%d %H:%M:%S}", "end": f"{span.end:%Y-%m-%d %H:%M:%S}"} | _parameters(span.agencies),
            **_RECOUNT,
        )
        refuse_hidden_rows(self._clickhouse, (DOSSIER_EVENTS, TALLY_EPOCHS))
        refuse_expiring_rows(self._clickhouse, _COUNTED_TABLES)  # every event passes here before it is acknowledged

    def roll_up_days(self, days: Days) -> None:
        """Sum the minutes of each civil day; see the contract."""
        self._clickhouse.command(
            "roll_up_days",
            f"INSERT INTO {AGENCY_DAY} (agency, day, {_NAMES}) "  # noqa: S608
            f"SELECT agency, {CIVIL_DAY.format(column='minute')} AS day, "
            f"{', '.join(f'sum({name})' for name in ('events', *COUNT_CONDITIONS))}, max(last_event_at), {VERSION} + sum(events) "
            f"FROM {AGENCY_MINUTE} FINAL WHERE {days_condition('minute', days)} AND {_agencies(days.agencies)} "
            "GROUP BY agency, day",
            _parameters(days.agencies),
            **_BACKGROUND,
        )
        refuse_hidden_rows(self._clickhouse, (AGENCY_MINUTE, TALLY_EPOCHS))

    def recount_procedures(self, days: Days) -> None:
        """Recount each procedure of each civil day from the distinct events; see the contract."""
        self._clickhouse.command(
            "recount_procedures",
            f"INSERT INTO {AGENCY_DAY_PROCEDURE} (agency, day, procedure_code, {_NAMES}) "  # noqa: S608
            f"SELECT agency, {CIVIL_DAY.format(column='occurred_at')} AS day, procedure_code, {_COUNTED}, max(occurred_at), "
            f"{VERSION} + count() FROM {DOSSIER_EVENTS} FINAL "
            f"WHERE {days_condition('occurred_at', days)} AND {_agencies(days.agencies)} GROUP BY agency, day, procedure_code",
            _parameters(days.agencies),
            **_BACKGROUND,
        )
        refuse_hidden_rows(self._clickhouse, (DOSSIER_EVENTS, TALLY_EPOCHS))


_COUNTED_TABLES = (DOSSIER_EVENTS, AGENCY_MINUTE, AGENCY_DAY, AGENCY_DAY_PROCEDURE, TALLY_EPOCHS)
_NAMES = ", ".join(("events", *COUNT_CONDITIONS, "last_event_at", "version"))
_COUNTED = ", ".join(("count()", *(f"countIf({condition})" for condition in COUNT_CONDITIONS.values())))


def _agencies(agencies: tuple[str, ...] | None) -> str:
    return "1" if agencies is None else "agency IN {agencies:Array(String)}"


def _parameters(agencies: tuple[str, ...] | None) -> dict[str, Any]:
    return {} if agencies is None else {"agencies": list(agencies)}


def days_condition(column: str, days: Days) -> str:
    """The days as ranges of instants, neighbouring days joined, so that the primary key can skip the rest.

    Days that no table can hold are left out.
    """
    ranges: list[list[int]] = []
    for day in days.days:
        if held(day, day) is None:
            continue
        number = day.toordinal()
        if ranges and ranges[-1][1] == number:
            ranges[-1][1] = number + 1
        else:
            ranges.append([number, number + 1])
    if not ranges:
        return "0"
    return "(" + " OR ".join(f"({column} >= {_midnight(low)} AND {column} < {_midnight(high)})" for low, high in ranges) + ")"


def _midnight(ordinal: int) -> str:
    """Local midnight as an instant: 17:00 UTC of the day before."""
    return f"toDateTime64('{dt.date.fromordinal(ordinal - 1).isoformat()} 17:00:00', 3, 'UTC')"


def arrow_stream(table: pa.Table) -> Iterator[bytes]:
    """A table as the body of an ArrowStream insert, piece by piece: a second copy of it never exists whole."""
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, table.schema) as writer:
        for batch in table.to_batches():
            writer.write_batch(batch)
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()
