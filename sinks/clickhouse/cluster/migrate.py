"""Brings every server of a cluster to the schema of this release: server by server, and each step can be repeated.

A server that lacks tables, such as a new replica, gets the tables that another server has, and ClickHouse fetches their rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any, Final

import stamina

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.cluster.cluster import Cluster
from sinks.clickhouse.cluster.positions import note_positions
from sinks.clickhouse.cluster.replicas import of_each
from sinks.clickhouse.cluster.schema import Where, reading_engine, replicated, where
from sinks.clickhouse.cluster.single_server import tables_with_rows, take_over_single_server
from sinks.clickhouse.driver_errors import code_of
from sinks.clickhouse.migrate import (
    TABLE_OF_MIGRATIONS,
    Migration,
    applied_migrations,
    packaged_migrations,
    pending,
    record,
)
from sinks.errors import Fatal, Retryable

_TABLES: Final = (
    "SELECT name, engine, create_table_query FROM system.tables "
    "WHERE database = currentDatabase() AND NOT is_temporary ORDER BY name"
)
_COLUMNS: Final = (
    "SELECT table, arrayStringConcat(groupArray(concat(name, ' ', type)), ', ') FROM (SELECT table, name, type "
    "FROM system.columns WHERE database = currentDatabase() ORDER BY table, position) GROUP BY table"
)
#: A statement that changes a replicated table returns when every replica has changed it.
_EVERYWHERE: Final[dict[str, Any]] = {"alter_sync": 2, "mutations_sync": 2}

#: Codes of a replica that has not applied what another worker changed.
_BUSY: Final = frozenset({517})

Step = Callable[[ClickHouse], None]


def migrate_cluster(cluster: Cluster, *, steps: Mapping[int, Step] | None = None) -> tuple[Migration, ...]:
    """Apply the missing migrations in order; returns the applied ones.

    When no migration is missing, servers that do not answer are skipped. Otherwise every server must answer.

    Args:
        cluster: the servers.
        steps: number of a migration -> what to do on each shard after its statements.

    Raises:
        Fatal: the database is newer than this program, an applied migration was edited, the shards of the settings are not those
            of the database, or a single server's rows would have to be divided among shards.
        Retryable: a server does not answer.
    """
    nodes = list(chain.from_iterable(cluster.nodes))
    of_each((*nodes, *cluster.wide), ClickHouse.create_database)
    applied = max(of_each(nodes, applied_migrations), key=len)
    missing = pending(applied, packaged_migrations())
    if applied:
        _complete(nodes)
    if missing:
        for node in nodes:
            node.command("migrate", replicated(TABLE_OF_MIGRATIONS, node.target.database))
        for migration in missing:
            _apply(cluster, migration, steps or {})
    take_over_single_server(cluster)
    note_positions(cluster)
    reading = dict(zip(nodes, cluster.wide, strict=True))
    of_each(nodes, lambda node: _read_all_shards(cluster.layout.name, node, reading[node]))
    return missing


def _apply(cluster: Cluster, migration: Migration, steps: Mapping[int, Step]) -> None:
    for statement in migration.statements:
        made = replicated(statement, cluster.nodes[0][0].target.database)
        places = {
            Where.EVERY_NODE: list(chain.from_iterable(cluster.nodes)),
            Where.EACH_SHARD: cluster.shards,
            Where.ONE_NODE: [cluster.home],
        }
        for clickhouse in places[where(statement)]:
            _run(clickhouse, made)
    if migration.number in steps:
        for shard in cluster.shards:
            steps[migration.number](shard)
    record(cluster.home, migration)


def _run(clickhouse: ClickHouse, statement: str) -> None:
    """Run a statement.

    While another worker's change is not on a replica yet, try again until the time limit of the connection.
    """
    for attempt in stamina.retry_context(on=_is_busy, attempts=None, timeout=clickhouse.target.timeout):
        with attempt:
            clickhouse.command("migrate", statement, None, **_EVERYWHERE)


def _is_busy(error: Exception) -> bool:
    return isinstance(error, Retryable) and code_of(error) in _BUSY


def _complete(nodes: list[ClickHouse]) -> None:
    """Create on each server the tables that it lacks and another server has. Their replicas fetch the rows."""
    tables = dict(of_each(nodes, lambda node: (node, node.rows("migrate", _TABLES))))
    complete = max(tables.values(), key=len)
    for node, known in tables.items():
        there = {str(name) for name, _, _ in known}
        for name, _, made in complete:
            if str(name) not in there:
                node.command("migrate", str(made).replace("CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ", 1))


def _read_all_shards(cluster: str, node: ClickHouse, wide: ClickHouse) -> None:
    """Create the tables of a server that read all shards, or replace those that have other columns.

    Raises:
        Fatal: one of these tables has rows of its own.
    """
    if with_rows := tables_with_rows(wide):
        raise Fatal(
            f"{wide.target.display_name}: the table {with_rows[0]} of the database {wide.target.database!r} has rows of its own, "
            "and one that reads all shards would replace it. Rename that database."
        )
    columns, there = ({str(table): str(found) for table, found in each.rows("migrate", _COLUMNS)} for each in (node, wide))
    database = node.target.database
    for name, engine, _ in node.rows("migrate", _TABLES):
        if "MergeTree" in str(engine) and columns[name] != there.get(name):
            reading = reading_engine(str(name), cluster, database)
            wide.command("migrate", f"CREATE OR REPLACE TABLE {name} AS {database}.{name} ENGINE = {reading}")
