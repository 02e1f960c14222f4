"""Fills the events table with rows that ClickHouse generates itself, before a measurement."""

from __future__ import annotations

from collections.abc import Callable

from deploy.native.services.clickhouse_server import ClickHouseServer

#: Rows of one statement.
_STEP = 5_000_000
#: A hundred million rows take a while.
TIMEOUT_SECONDS = 900.0
_INSERT = """
INSERT INTO {database}.dossier_messages (agency, occurred_at, event_id, dossier_code, procedure_code, status, channel,
  service_level, legacy_level, returned_by, portal_id, topic, partition, offset)
SELECT {agency}, {occurred_at},
  generateUUIDv4(), concat('000.00.10.H01-250101-', leftPad(toString(number % 9999), 4, '0')),
  concat('1.', leftPad(toString({procedure}), 6, '0')), arrayElement([1, 2, 4, 9, 10], 1 + rand(2) % 5), 1 + rand(3) % 3,
  'toan_trinh', 0, '', '', '{topic}', 0, number
FROM numbers({first}, {count})
SETTINGS max_partitions_per_insert_block = 0, optimize_on_insert = 0
"""


def preload(
    server: ClickHouseServer,
    database: str,
    *,
    rows: int,
    agency: str,
    occurred_at: str,
    procedure: str,
    topic: str,
    on_step: Callable[[int], None] = lambda _rows: None,
) -> None:
    """Insert generated events; the tables must exist.

    Args:
        server: where.
        database: its tables are filled.
        rows: how many.
        agency: SQL expression of the agency's code; ``number`` counts the rows from 0.
        occurred_at: SQL expression of the event's time.
        procedure: SQL expression of the procedure's number.
        topic: what the rows have in the column ``topic``.
        on_step: called with the number of rows inserted so far.
    """
    for first in range(0, rows, _STEP):
        count = min(_STEP, rows - first)
        statement = _INSERT.format(
            database=database,
            agency=agency,
            occurred_at=occurred_at,
            procedure=procedure,
            topic=topic,
            first=first,
            count=count,
        )
        server.query(statement, timeout=TIMEOUT_SECONDS)
        on_step(first + count)
