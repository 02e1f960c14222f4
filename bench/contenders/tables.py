"""Shared by every peer with incremental counts: the tables, the fields, the minimal validation.

The events go into one table, a materialized view adds each inserted block to the tally per agency and minute: as in
ClickHouse's own guides. All peers insert whole columns, the fastest way of clickhouse-connect here.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from typing import Any

import clickhouse_connect

#: As ``domain.events.REQUIRED_FIELDS``. The peers run in a Python environment of their own, without portalpulse.
COLUMNS = (
    "event_id",
    "dossier_code",
    "agency_code",
    "procedure_code",
    "status",
    "channel",
    "service_level",
    "occurred_at",
)
FIELDS = """
    event_id UUID, dossier_code String, agency_code LowCardinality(String), procedure_code LowCardinality(String),
    status UInt8, channel UInt8, service_level LowCardinality(String), occurred_at DateTime64(3, 'UTC')"""
SCHEMA = (
    "CREATE DATABASE {database}",
    f"CREATE TABLE {{database}}.events ({FIELDS}) ENGINE = ReplacingMergeTree ORDER BY (agency_code, occurred_at, event_id)",
    """CREATE TABLE {database}.tally (agency_code LowCardinality(String), minute DateTime('UTC'), events UInt64)
       ENGINE = SummingMergeTree ORDER BY (agency_code, minute)""",
    """CREATE MATERIALIZED VIEW {database}.counting TO {database}.tally AS
       SELECT agency_code, toStartOfMinute(occurred_at) AS minute, count() AS events
       FROM {database}.events GROUP BY agency_code, minute""",
)

_OCCURRED_AT = COLUMNS.index("occurred_at")


def valid(event: Any) -> bool:
    """The checks that a careful user would write: an object with known numbers. Missing fields fail later, in ``columns``."""
    return isinstance(event, dict) and 1 <= event.get("status", 0) <= 10 and 1 <= event.get("channel", 0) <= 3


def columns(events: Sequence[dict[str, Any]]) -> list[list[Any]]:
    """Events as the columns of the table, in the order of ``COLUMNS``.

    Raises:
        KeyError, ValueError: a field is missing or a time cannot be read.
    """
    found = [[event[name] for event in events] for name in COLUMNS]
    found[_OCCURRED_AT] = [dt.datetime.fromisoformat(text) for text in found[_OCCURRED_AT]]
    return found


class Writer:
    """Inserts events; BENCH_CLICKHOUSE_PORT and BENCH_DATABASE say where."""

    def __init__(self) -> None:
        self._client = clickhouse_connect.get_client(
            host="127.0.0.1",
            port=int(os.environ["BENCH_CLICKHOUSE_PORT"]),
            database=os.environ["BENCH_DATABASE"],
            autogenerate_session_id=False,
            settings={"async_insert": 0},
        )

    def write(self, events: Sequence[dict[str, Any]]) -> None:
        """Insert and wait for the answer of the server."""
        if events:
            self._client.insert("events", columns(events), column_names=COLUMNS, column_oriented=True)
