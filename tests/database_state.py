"""Everything that a command could change in a database, to compare before and after a command that may change nothing."""

from __future__ import annotations


def state(server, database: str) -> str:
    """Name, rows, time of change and definition of each table; the merges of the tables stay stopped afterwards.

    A merge of ClickHouse joins rows of one key at any moment, so that fewer are there though no command wrote.
    """
    tables = f"FROM system.tables WHERE database = '{database}'"
    for name in server.query(f"SELECT name {tables} AND engine LIKE '%MergeTree'").split():
        server.query(f"SYSTEM STOP MERGES {database}.{name}")
    return server.query(f"SELECT name, total_rows, metadata_modification_time, create_table_query {tables} ORDER BY name")
