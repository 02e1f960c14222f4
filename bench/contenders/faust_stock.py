"""Stock Faust as its guide shows it: JSON values, ``take`` and a batch insert. Counts by a materialized view of increments.

Run as a program: ``python -m bench.contenders.faust_stock worker -l warn --without-web`` with BENCH_* in the environment.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from typing import Any

import clickhouse_connect
import faust

COLUMNS = ("event_id", "agency_code", "occurred_at", "status", "channel", "service_level")
SCHEMA = """
CREATE TABLE IF NOT EXISTS faust_events (
  event_id UUID, agency_code LowCardinality(String), occurred_at DateTime64(3, 'UTC'),
  status UInt8, channel UInt8, service_level LowCardinality(String)
) ENGINE = MergeTree ORDER BY (agency_code, occurred_at);
CREATE TABLE IF NOT EXISTS faust_tally (agency_code LowCardinality(String), minute DateTime('UTC'), events UInt64)
  ENGINE = SummingMergeTree ORDER BY (agency_code, minute);
CREATE MATERIALIZED VIEW IF NOT EXISTS faust_counting TO faust_tally AS
  SELECT agency_code, toStartOfMinute(occurred_at) AS minute, count() AS events FROM faust_events GROUP BY agency_code, minute
"""
#: What the measurement asks for: events counted so far.
COUNTED = "SELECT sum(events) FROM faust_tally"


def create_app() -> faust.App:
    """The app of the guide, with the settings that a single-purpose worker would use."""
    app = faust.App(
        os.environ["BENCH_GROUP"],
        broker=f"kafka://{os.environ['BENCH_KAFKA']}",
        store="memory://",
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        broker_max_poll_records=20_000,
        stream_wait_empty=False,
    )
    topic = app.topic(os.environ["BENCH_TOPIC"], value_serializer="json", key_serializer="raw", key_type=bytes)
    client = clickhouse_connect.get_client(
        host="127.0.0.1", port=int(os.environ["BENCH_CLICKHOUSE_PORT"]), autogenerate_session_id=False, database="bench"
    )
    for statement in SCHEMA.split(";\n"):
        client.command(statement)

    @app.agent(topic)
    async def count(stream: Any) -> None:
        async for batch in stream.take(20_000, within=0.5):
            rows = [[event[name] for name in COLUMNS] for event in batch]
            for row in rows:
                row[2] = dt.datetime.fromisoformat(row[2])
            await asyncio.to_thread(client.insert, "faust_events", rows, column_names=COLUMNS)

    return app


if __name__ == "__main__":
    create_app().main()
