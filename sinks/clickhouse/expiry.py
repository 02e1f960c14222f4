"""Lets the messages of finished dossiers expire; see ``sinks.contract.expiry`` for the steps."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa

from sinks.clickhouse.arrow import arrow_stream
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.dossier_audit import is_finished, selected_dossiers
from sinks.clickhouse.dossier_statements import WRITE
from sinks.clickhouse.dossier_table import keep_sql
from sinks.clickhouse.expired_sql import EVENT_OF, IN_FORCE, RUNS, WITH_BOUND
from sinks.clickhouse.expiry_runs import ExpiryRuns, RunState
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.clickhouse.tally_sql import BACKGROUND, BACKGROUND_SPILLING
from sinks.clickhouse.times import aware, to_milliseconds
from sinks.contract.dossier_audit import DossierSelection, Finished
from sinks.contract.dossiers import CLAIM
from sinks.contract.expiry import FOR_EVER, TOMBSTONE, TOMBSTONE_FACT, BusyError, ExpiredTotal, Runs, TableSize, Waiting
from sinks.contract.level_notes import LEVEL_NOTE_FACT
from sinks.errors import Fatal
from sinks.tables import (
    AGENCY_DAY,
    AGENCY_DAY_PROCEDURE,
    AGENCY_MINUTE,
    DEAD_LETTERS,
    DOSSIER_CORRECTIONS,
    DOSSIER_INDEX,
    DOSSIER_MESSAGES,
    DOSSIERS,
    EXPIRATION_RUNS,
    EXPIRED_DOSSIERS,
    EXPIRED_MESSAGES,
)

#: An insert is visible, and a statement that began has taken its snapshots, within this (seconds).
_GRACE: Final = 2.0
#: Messages that one deletion looks up: about a hundred bytes of memory each.
_AT_ONCE: Final = 5_000_000
_DELETING: Final[dict[str, Any]] = {"mutations_sync": 0, "allow_nondeterministic_mutations": 1}
#: How long to wait for a deletion; it goes on afterwards (seconds).
_PATIENCE: Final = 600.0
#: Between two looks at whether a deletion is done (seconds).
_POLL: Final = 0.2
_FOR_EVER: Final = f"toDateTime64('{to_milliseconds(FOR_EVER)}', 3, 'UTC')"
_TABLES: Final = (
    *(DOSSIER_MESSAGES, DOSSIER_INDEX, DOSSIER_CORRECTIONS, EXPIRED_MESSAGES, EXPIRED_DOSSIERS, DOSSIERS),
    *(AGENCY_MINUTE, AGENCY_DAY, AGENCY_DAY_PROCEDURE, DEAD_LETTERS),
)
_OF_RUN: Final = f"dossier IN (SELECT dossier FROM {EXPIRED_DOSSIERS} WHERE generation = {{run:UInt32}})"  # noqa: S608
_IS_MESSAGE: Final = "claim = 0 AND bitAnd(facts, 15) != 0"


class ClickHouseMessageExpiry:
    """Implements ``MessageExpiry`` with one ClickHouse.

    Args:
        clickhouse: one server, or one shard.
        grace: seconds to wait before and after a switch, see ``_GRACE``.
        patience: how long to wait for a deletion (seconds).
        wait: sleeps for some seconds.
    """

    def __init__(
        self,
        clickhouse: ClickHouse,
        *,
        grace: float = _GRACE,
        patience: float = _PATIENCE,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clickhouse, self._grace, self._patience, self._wait = clickhouse, grace, patience, wait
        self._runs = ExpiryRuns(clickhouse)

    def begin(self, older_than: dt.datetime) -> int:
        """Begin a run; see ``MessageExpiry.begin``."""
        rows = self._clickhouse.rows("begin_expiry", f"SELECT max(generation) FROM {EXPIRATION_RUNS}")  # noqa: S608
        refuse_hidden_rows(self._clickhouse, (EXPIRATION_RUNS,))
        run = int(rows[0][0]) + 1
        self._runs.note(run, "begun", older_than)
        return run

    def waiting(self, finished: Finished) -> Waiting:
        """All finished dossiers; see ``MessageExpiry.waiting``."""
        rows = self._clickhouse.rows(
            "find_finished",
            f"SELECT count(), sum(length(times)) FROM {DOSSIERS} FINAL WHERE {is_finished(finished)}",  # noqa: S608
            **BACKGROUND_SPILLING,
        )
        refuse_hidden_rows(self._clickhouse, (DOSSIERS,))
        return Waiting(int(rows[0][0]), int(rows[0][1]))

    def candidates(self, selection: DossierSelection) -> pa.Table:
        """Finished dossiers; see ``MessageExpiry.candidates``."""
        assert selection.finished is not None
        chosen = f"{selected_dossiers('dossier', replace(selection, finished=None))} AND {is_finished(selection.finished)}"
        found = self._clickhouse.table(
            "find_finished",
            f"{WITH_BOUND} SELECT dossier, seen FROM {DOSSIERS} FINAL WHERE {chosen}",  # noqa: S608
            **BACKGROUND_SPILLING,
        )
        refuse_hidden_rows(self._clickhouse, (DOSSIERS, EXPIRED_DOSSIERS, EXPIRATION_RUNS))
        return found

    def record(self, run: int, messages: pa.Table, dossiers: pa.Table) -> None:
        """Store what messages count as; see ``MessageExpiry.record``."""
        for table, rows in ((EXPIRED_MESSAGES, messages), (EXPIRED_DOSSIERS, dossiers)):
            numbered = rows.append_column("generation", pa.array([run] * rows.num_rows, pa.uint32()))
            self._clickhouse.insert("record_expiry", table, numbered.column_names, arrow_stream(numbered), "ArrowStream", **WRITE)

    def switch(self, run: int) -> None:
        """Put a run in force; see ``MessageExpiry.switch``."""
        self._wait(self._grace)
        known = self._runs.states()
        mine = known.get(run, RunState())
        rivals = sorted(other for other, state in known.items() if state.is_begun and other < run)
        if not mine.is_begun or mine.writers != 1 or rivals:
            self._runs.note(run, "void")
            raise _busy()
        self._runs.note(run, "switched", mine.older_than)
        self._wait(self._grace)
        if self._runs.states()[run].out:
            raise _busy()

    def entomb(self, run: int) -> None:
        """Write tombstones, and keep the rows of dossiers; see ``MessageExpiry.entomb``."""
        self._clickhouse.command(
            "entomb_dossiers",
            f"INSERT INTO {DOSSIER_INDEX} (dossier, occurred_at, event_id, agency, procedure_code, due_at, facts, flags) "  # noqa: S608
            f"SELECT dossier, {_FOR_EVER}, toUUID('00000000-0000-0000-0000-000000000000'), '', '', toDateTime64(0, 3, 'UTC'), "
            f"{TOMBSTONE}, {CLAIM} FROM {EXPIRED_DOSSIERS} WHERE generation = {{run:UInt32}}",
            {"run": run},
            **WRITE,
        )
        self._clickhouse.command("keep_dossiers", keep_sql(_OF_RUN), {"run": run}, **WRITE)
        refuse_hidden_rows(self._clickhouse, (EXPIRED_DOSSIERS, DOSSIERS))

    def late(self, run: int) -> pa.Array:
        """Dossiers of which more is indexed than was recorded; see ``MessageExpiry.late``."""
        found = self._clickhouse.table(
            "find_late_messages",
            "SELECT dossier FROM (SELECT dossier, uniqExact(occurred_at, event_id, agency, procedure_code, due_at, facts) AS now "  # noqa: S608
            f"FROM {DOSSIER_INDEX} WHERE dossier IN (SELECT dossier FROM {EXPIRED_DOSSIERS} WHERE generation = {run:d}) "
            f"AND claim = 0 AND bitAnd(facts, {TOMBSTONE_FACT}) = 0 GROUP BY dossier) AS indexed "
            f"INNER JOIN (SELECT dossier, seen FROM {EXPIRED_DOSSIERS} WHERE generation = {run:d}) AS recorded USING dossier "
            "WHERE now > seen",
            **BACKGROUND_SPILLING,
        )
        refuse_hidden_rows(self._clickhouse, (DOSSIER_INDEX, EXPIRED_DOSSIERS))
        return found.column("dossier").combine_chunks()

    def remove(self, runs: Sequence[int]) -> None:
        """Delete the messages of runs, and in the same months those of other runs that came again.

        See ``MessageExpiry.remove``.
        """
        numbers = ", ".join(f"{run:d}" for run in runs)
        if not numbers:
            return
        self._wait_for_older_statements()
        months = self._clickhouse.rows(
            "remove_expired",
            f"{WITH_BOUND} SELECT toYYYYMM(occurred_at) AS month, count(), countIf(generation IN ({numbers})) AS due "  # noqa: S608
            f"FROM {EXPIRED_MESSAGES} WHERE {IN_FORCE} GROUP BY month HAVING due > 0 ORDER BY month",
            **BACKGROUND,
        )
        for month, messages, _ in months:
            parts = -(-int(messages) // _AT_ONCE)
            for part in range(parts):
                of_part = f"toYYYYMM(occurred_at) = {month:d} AND {IN_FORCE} AND modulo(cityHash64(event), {parts}) = {part}"
                for table in (DOSSIER_MESSAGES, DOSSIER_CORRECTIONS):
                    expired = f"{WITH_BOUND} SELECT event FROM {EXPIRED_MESSAGES} WHERE {of_part}"  # noqa: S608
                    self._delete(table, f"IN PARTITION {month:d} WHERE {EVENT_OF[table]} IN ({expired})")
        for run in runs:
            expired = f"SELECT event FROM {EXPIRED_MESSAGES} WHERE generation = {run:d}"  # noqa: S608
            self._delete(
                DOSSIER_INDEX,
                f"WHERE dossier IN (SELECT dossier FROM {EXPIRED_DOSSIERS} WHERE generation = {run:d}) "  # noqa: S608
                f"AND bitAnd(facts, {TOMBSTONE_FACT}) = 0 "
                f"AND (bitAnd(facts, {LEVEL_NOTE_FACT}) != 0 OR {EVENT_OF[DOSSIER_INDEX]} IN ({expired}))",
            )
        refuse_hidden_rows(
            self._clickhouse,
            (*(DOSSIER_MESSAGES, DOSSIER_CORRECTIONS, DOSSIER_INDEX), EXPIRED_MESSAGES, EXPIRED_DOSSIERS, EXPIRATION_RUNS),
        )

    def finish(self, run: int) -> None:
        """Record that a run is finished; see ``MessageExpiry.finish``."""
        self._runs.note(run, "finished")

    def runs(self) -> Runs:
        """The runs that need something; see ``MessageExpiry.runs``."""
        states = sorted(self._runs.states().items())
        return Runs(
            tuple(run for run, state in states if not state.out and not state.finished),
            tuple((run, state.seconds) for run, state in states if state.is_begun),
        )

    def give_up(self, run: int) -> None:
        """Give up a run; see ``MessageExpiry.give_up``. Its rows are deleted only when the run can never be in force."""
        self._runs.note(run, "void")
        self._wait(self._grace)
        if not self._runs.states()[run].out:
            return  # it was switched on first
        for table in (EXPIRED_MESSAGES, EXPIRED_DOSSIERS):
            self._delete(table, f"WHERE generation = {run:d}")
        refuse_hidden_rows(self._clickhouse, (EXPIRED_MESSAGES, EXPIRED_DOSSIERS))

    def total(self) -> ExpiredTotal:
        """What expired so far; see ``MessageExpiry.total``."""
        of_expired = f"dossier IN (SELECT dossier FROM {EXPIRED_DOSSIERS} WHERE {IN_FORCE})"  # noqa: S608
        left = f"FROM {DOSSIER_INDEX} WHERE {of_expired} AND {_IS_MESSAGE}"
        event = EVENT_OF[DOSSIER_INDEX]
        again = f"SELECT event FROM {EXPIRED_MESSAGES} WHERE {IN_FORCE} AND event IN (SELECT {event} {left})"  # noqa: S608
        rows = self._clickhouse.rows(
            "read_expired",
            f"{WITH_BOUND} SELECT (SELECT count() FROM {EXPIRED_MESSAGES} FINAL WHERE {IN_FORCE}), "  # noqa: S608
            f"(SELECT uniqExact(dossier) FROM {EXPIRED_DOSSIERS} WHERE {IN_FORCE}), "
            f"(SELECT max(older_than) FROM ({RUNS}) WHERE NOT out), "
            f"(SELECT count() {left} AND {event} NOT IN ({again}))",
            **BACKGROUND_SPILLING,
        )
        refuse_hidden_rows(self._clickhouse, (EXPIRED_MESSAGES, EXPIRED_DOSSIERS, EXPIRATION_RUNS, DOSSIER_INDEX))
        messages, dossiers, older_than, late = rows[0]
        if not dossiers:
            return ExpiredTotal()
        return ExpiredTotal(int(messages), int(dossiers), aware(older_than), int(late))

    def sizes(self) -> Sequence[TableSize]:
        """The sizes of tables; see ``MessageExpiry.sizes``."""
        rows = self._clickhouse.rows(
            "read_sizes",
            "SELECT name, sum(rows), sum(bytes_on_disk), min(partition) FROM (SELECT arrayJoin({tables:Array(String)}) AS name) "
            "AS wanted LEFT JOIN (SELECT table, rows, bytes_on_disk, partition FROM system.parts "
            "WHERE active AND database = currentDatabase()) AS parts ON parts.table = wanted.name GROUP BY name",
            {"tables": list(_TABLES)},
        )
        found = {str(name): TableSize(str(name), int(count), int(size), str(first)) for name, count, size, first in rows}
        return [found[table] for table in _TABLES]

    def _delete(self, table: str, what: str) -> None:
        """Start the deletion of the expired rows ``what`` of ``table``, and wait at most ``patience`` seconds for its end.

        A deletion that takes longer goes on in the server. Nothing counts the rows meanwhile: every statement skips expired rows.
        """
        self._clickhouse.command("remove_expired", f"ALTER TABLE {table} DELETE {what}", None, **_DELETING)
        asked = (
            "SELECT count() FROM system.mutations WHERE database = currentDatabase() AND table = {table:String} AND NOT is_done"
        )
        began = time.monotonic()
        try:
            while int(self._clickhouse.rows("remove_expired", asked, {"table": table})[0][0]):
                if time.monotonic() - began >= self._patience:
                    return
                self._wait(_POLL)
        except Fatal:  # this user may not look
            return

    def _wait_for_older_statements(self) -> None:
        """Wait until every statement has ended that may have read the bound before the last switch and not its tables yet."""
        began = time.monotonic()
        asked = "SELECT count() FROM system.processes WHERE elapsed > {seconds:Float64} AND query_id != queryID()"
        try:
            while self._grace and time.monotonic() - began < self._clickhouse.target.timeout:
                since = self._grace + time.monotonic() - began
                if not int(self._clickhouse.rows("remove_expired", asked, {"seconds": since})[0][0]):
                    return
                self._wait(_POLL)
        except Fatal:  # this user may not look
            self._wait(self._grace)


def _busy() -> BusyError:
    return BusyError(
        "Another `portalpulse retention apply` began or took over. What this run recorded is given up; nothing has changed.",
        remedy="Let the other one end. Running the command again is harmless.",
    )
