"""Reads the events that were stored before dossiers were counted; see the migrations 0012 and 0013."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

import pyarrow as pa

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.row_policies import refuse_hidden_rows, whole
from sinks.tables import COPIED_MONTHS, OLD_EVENTS


class OldEvents:
    """The old table of events, month by month."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def months(self) -> Sequence[tuple[int, int, bool]]:
        """Every month (202502) with its number of rows, and whether it is copied; the newest first."""
        exists = self._clickhouse.rows(
            "migrate",
            "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = {name:String}",
            {"name": OLD_EVENTS},
        )
        if not int(exists[0][0]):
            return ()
        rows = self._clickhouse.rows(
            "migrate",
            f"SELECT toYYYYMM(occurred_at) AS month, count(), month IN (SELECT month FROM {COPIED_MONTHS}) "  # noqa: S608 - constants
            f"FROM {OLD_EVENTS} GROUP BY month ORDER BY month DESC",
        )
        refuse_hidden_rows(self._clickhouse, (OLD_EVENTS, COPIED_MONTHS))
        return [(int(month), int(count), bool(copied)) for month, count, copied in rows]

    def messages(self, month: int) -> Iterator[pa.RecordBatch]:
        """The old events of a month, in the columns of ``dossier_messages`` except ``due_at`` and ``named_by_code``."""
        found = self._clickhouse.batches(
            "migrate",
            "SELECT agency, occurred_at, toString(event_id) AS event_id, dossier_code, "  # noqa: S608 - names are constants
            "toString(procedure_code) AS procedure_code, status, channel, "
            "toString(service_level) AS service_level, legacy_level, toString(returned_by) AS returned_by, "
            f"toString(portal_id) AS portal_id, topic, partition, offset FROM {OLD_EVENTS} FINAL "
            "PREWHERE occurred_at >= toDateTime64({start:String}, 3, 'UTC') "
            "AND occurred_at < toDateTime64({end:String}, 3, 'UTC')",
            {"start": f"{month_start(month):%Y-%m-%d 00:00:00}", "end": f"{month_end(month):%Y-%m-%d 00:00:00}"},
        )
        return whole(found, self._clickhouse, (OLD_EVENTS,))

    def copied(self, month: int, messages: int) -> None:
        """Record that a month of the old table is copied and its dossiers are resolved."""
        self._clickhouse.command(
            "migrate",
            f"INSERT INTO {COPIED_MONTHS} (month, messages) VALUES ({{month:UInt32}}, {{messages:UInt64}})",  # noqa: S608
            {"month": month, "messages": messages},
        )


def month_start(month: int) -> dt.datetime:
    """The first instant (UTC) of a month that is written as 202502."""
    return dt.datetime(month // 100, month % 100, 1, tzinfo=dt.UTC)


def month_end(month: int) -> dt.datetime:
    """The first instant (UTC) after a month that is written as 202502."""
    return month_start(month + 1 if month % 100 < 12 else (month // 100 + 1) * 100 + 1)
