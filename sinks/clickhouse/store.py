"""Writes events, dead letters and tallies. ClickHouse recounts tallies from its own rows; no count is sent to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from sinks.clickhouse.arrow import arrow_stream
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.dead_letter_tallies import recount_dead_letters
from sinks.clickhouse.expiring_rows import refuse_expiring_rows
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.clickhouse.tally_sql import BACKGROUND, CIVIL_DAY, COUNT_NAMES, VERSION, days_condition, extent_condition, recount_sql
from sinks.contract.dead_letters import DeadLetter
from sinks.contract.events import UnreadRange
from sinks.contract.tallies import Days, Span
from sinks.tables import (
    AGENCY_DAY,
    AGENCY_DAY_PROCEDURE,
    AGENCY_MINUTE,
    DEAD_LETTERS,
    DOSSIER_MESSAGES,
    EPOCH,
    EXPIRATION_RUNS,
    UNREAD_OFFSETS,
    WHOLE_TABLES,
)

#: Do not merge a block with itself before it is written. This halves the time of an insert, and FINAL removes repeats anyway.
#: An insert, or the result of a recount, may contain any number of months, for example in a backfill.
_WRITE: Final[dict[str, Any]] = {"optimize_on_insert": 0, "max_partitions_per_insert_block": 0}
#: Recounts of days and procedures scan more than those of minutes, and nobody watches them to the second. But messages are
#: acknowledged only after them, so they do not wait for everything else as an audit does.
_RECOUNT: Final = _WRITE | BACKGROUND | {"os_thread_priority": 5}
#: A recount knows whether a run of the retention began at least this long ago (seconds); one deletes nothing for longer.
_LOOK_AGAIN: Final = 3.0
_COLUMNS: Final = ", ".join((*COUNT_NAMES, "last_event_at", "version"))


class ClickHouseStore:
    """Implements ``EventStore`` with one ClickHouse. Several threads may use an object at once.

    Recounts do not read the expired messages as long as no run of the retention ever began. ``check_tables`` asks whether one
    began since, and if so repeats the recounts since the check before that did not read them.

    Args:
        clickhouse: the storage.
        expiring: whether the tables of expired messages exist; False while migration 0013 counts the stored dossiers.
    """

    def __init__(self, clickhouse: ClickHouse, *, expiring: bool = True) -> None:
        self._clickhouse, self._expiring = clickhouse, expiring
        self._guard = threading.Lock()
        self._any_run = False
        self._looked_at = -_LOOK_AGAIN
        self._without_look: set[tuple[str, Span | Days]] = set()

    def insert_events(self, rows: pa.Table) -> None:
        """Store events; see ``EventStore.insert_events``."""
        self._clickhouse.insert("insert_events", DOSSIER_MESSAGES, rows.column_names, arrow_stream(rows), "ArrowStream", **_WRITE)

    def insert_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Store dead letters and count them; see ``EventStore.insert_dead_letters``."""
        table = pa.table(
            {
                "topic": pa.array([letter.topic for letter in dead_letters], pa.string()),
                "partition": pa.array([letter.partition for letter in dead_letters], pa.int32()),
                "offset": pa.array([letter.offset for letter in dead_letters], pa.int64()),
                "content_hash": pa.array([letter.content_hash for letter in dead_letters], pa.uint64()),
                "key": pa.array([letter.key or b"" for letter in dead_letters], pa.binary()),
                "value": pa.array([letter.value or b"" for letter in dead_letters], pa.binary()),
                "has_value": pa.array([letter.value is not None for letter in dead_letters], pa.bool_()),
                "reason": pa.array([letter.reason for letter in dead_letters], pa.string()),
                "error": pa.array([letter.error for letter in dead_letters], pa.string()),
                "kept": pa.array([str(letter.kept) for letter in dead_letters], pa.string()),
            }
        )
        self._clickhouse.insert(
            "insert_dead_letters", DEAD_LETTERS, table.column_names, arrow_stream(table), "ArrowStream", **_WRITE
        )
        recount_dead_letters(self._clickhouse, [letter.position for letter in dead_letters], _WRITE)

    def insert_unread(self, ranges: Sequence[UnreadRange]) -> None:
        """Record offsets that were never read; see ``EventStore.insert_unread``."""
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
        self._clickhouse.insert("insert_unread", UNREAD_OFFSETS, table.column_names, arrow_stream(table), "ArrowStream", **_WRITE)

    def recount_minutes(self, span: Span) -> None:
        """Recount the minutes of ``span`` from the distinct events; see ``EventStore.recount_minutes``."""
        looking = self._looks_for_expired()
        self._clickhouse.command(
            "recount_minutes",
            f"INSERT INTO {AGENCY_MINUTE} (agency, minute, {_COLUMNS}) "
            + recount_sql(
                {"agency": "agency", "minute": "toStartOfMinute(occurred_at)"},
                "occurred_at >= toDateTime64({start:String}, 3, 'UTC') AND occurred_at < toDateTime64({end:String}, 3, 'UTC')",
                _agencies(span.agencies),
                expiring=looking,
            ),
            {"start": f"{span.start:%Y-%m-%d %H:%M:%S}", "end": f"{span.end:%Y-%m-%d %H:%M:%S}"} | _parameters(span.agencies),
            **_WRITE,
        )
        self._counted("recount_minutes", span, looking=looking)

    def roll_up_days(self, days: Days) -> None:
        """Sum the minutes of each civil day; see ``EventStore.roll_up_days``."""
        looking = self._looks_for_expired()  # the minutes may be recounted again
        self._clickhouse.command(
            "roll_up_days",
            f"INSERT INTO {AGENCY_DAY} (agency, day, {_COLUMNS}) "  # noqa: S608
            f"SELECT agency, {CIVIL_DAY.format(column='minute')} AS day, "
            f"{', '.join(f'sum({name})' for name in COUNT_NAMES)}, max(last_event_at), {VERSION} + sum(version % {EPOCH}) "
            f"FROM {AGENCY_MINUTE} FINAL WHERE {days_condition('minute', days)} AND {_agencies(days.agencies)} "
            "GROUP BY agency, day",
            _parameters(days.agencies),
            **_RECOUNT,
        )
        self._counted("roll_up_days", days, looking=looking)

    def recount_procedures(self, days: Days) -> None:
        """Recount each procedure of each civil day from the distinct events; see ``EventStore.recount_procedures``."""
        looking = self._looks_for_expired()
        self._clickhouse.command(
            "recount_procedures",
            f"INSERT INTO {AGENCY_DAY_PROCEDURE} (agency, day, procedure_code, {_COLUMNS}) "
            + recount_sql(
                {"agency": "agency", "day": CIVIL_DAY.format(column="occurred_at"), "procedure_code": "procedure_code"},
                days_condition("occurred_at", days),
                _agencies(days.agencies),
                within=extent_condition("occurred_at", days),
                expiring=looking,
            ),
            _parameters(days.agencies),
            **_RECOUNT,
        )
        self._counted("recount_procedures", days, looking=looking)

    def check_tables(self) -> None:
        """Check that no row policy and no TTL applies; see ``EventStore.check_tables``. Makes three requests."""
        self._look_again()
        refuse_hidden_rows(self._clickhouse, WHOLE_TABLES)
        refuse_expiring_rows(self._clickhouse, WHOLE_TABLES)

    def _looks_for_expired(self) -> bool:
        """Whether a recount must read the expired messages, because a run of the retention ever began."""
        if self._expiring and not self._any_run and time.monotonic() - self._looked_at >= _LOOK_AGAIN:
            self._look()
        return self._any_run

    def _counted(self, recount: str, what: Span | Days, *, looking: bool) -> None:
        if self._expiring and not looking:
            with self._guard:
                self._without_look.add((recount, what))

    def _look_again(self) -> None:
        """Repeat the recounts that did not read the expired messages, if a run of the retention began meanwhile.

        If no run has begun by now, they were right: messages are skipped, and deleted, only some time after a run began.
        """
        if not self._expiring:
            return
        with self._guard:
            ended = set(self._without_look)
        if not self._any_run:
            self._look()
        if self._any_run:
            for name in ("recount_minutes", "roll_up_days", "recount_procedures"):  # each reads what the one before wrote
                for recount, what in ended:
                    if recount == name:
                        getattr(self, name)(what)
        with self._guard:
            self._without_look -= ended

    def _look(self) -> None:
        began = time.monotonic()
        rows = self._clickhouse.rows("look_for_expiry", f"SELECT count() FROM {EXPIRATION_RUNS}")  # noqa: S608
        self._any_run, self._looked_at = bool(int(rows[0][0])), began


def _agencies(agencies: tuple[str, ...] | None) -> str:
    return "1" if agencies is None else "agency IN {agencies:Array(String)}"


def _parameters(agencies: tuple[str, ...] | None) -> dict[str, Any]:
    return {} if agencies is None else {"agencies": list(agencies)}
