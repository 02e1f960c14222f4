"""Turns a single server into the first replica of a cluster with one shard: its data parts are linked, not copied."""

from __future__ import annotations

from typing import Final

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.cluster.cluster import Cluster
from sinks.clickhouse.cluster.replicas import of_each
from sinks.clickhouse.migrate import applied_migrations, packaged_migrations
from sinks.errors import Fatal
from sinks.tables import SCHEMA_MIGRATIONS, SHARD_POSITION

#: Engines of the tables that read all shards; they have no rows of their own.
_WITH_ROWS: Final = (
    "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine NOT IN ('Distributed', 'Merge') ORDER BY name"
)
_TABLES: Final = "SELECT name FROM system.tables WHERE database = currentDatabase()"
#: What the database of the single server is called after its rows were taken over.
_BEFORE: Final = "_before_cluster"


def take_over_single_server(cluster: Cluster) -> None:
    """Link the parts of a single server's tables into the replicated ones, if its database is there. No worker may run.

    Raises:
        Fatal: there are several shards, the replicated tables are in use already, the single server has another schema, or rows
            are missing afterwards.
    """
    found = dict(of_each(cluster.wide, lambda wide: (wide, tables_with_rows(wide))))
    servers = [wide for wide, tables in found.items() if tables]
    if not servers:
        return
    wide, node = servers[0], cluster.nodes[0][0]
    database = wide.target.database
    if len(cluster.shards) > 1 or len(servers) > 1 or wide is not cluster.wide[0]:
        raise Fatal(
            f"{wide.target.display_name}: the database {database!r} has the tables of a single server. Such a server becomes the "
            "first replica of a cluster with one shard. Set PORTALPULSE_CLICKHOUSE__SHARDS to one shard that begins with it, run "
            "`portalpulse migrate`, and change the number of shards afterwards as docs/cluster.md shows."
        )
    if applied_migrations(wide) != {migration.number: migration.sha256 for migration in packaged_migrations()}:
        raise Fatal(
            f"{wide.target.display_name}: the tables of the single server have another schema than this release. Run "
            "`portalpulse migrate` of this release without PORTALPULSE_CLICKHOUSE__SHARDS first."
        )
    if node.rows("migrate", f"SELECT 1 FROM {SHARD_POSITION} LIMIT 1"):  # noqa: S608
        raise Fatal(
            f"{wide.target.display_name}: a cluster uses the database {node.target.database!r}, and {database!r} has the tables "
            "of a single server. Rename the one that is not wanted."
        )
    replicated = {str(name) for (name,) in node.rows("migrate", _TABLES)}
    for table in found[wide]:
        if table in replicated and table != SCHEMA_MIGRATIONS:
            _link(node, database, table)
    wide.command("migrate", f"RENAME DATABASE {database} TO {database}{_BEFORE}")
    wide.create_database()


def tables_with_rows(wide: ClickHouse) -> list[str]:
    """The tables in the database for reading all shards that hold rows themselves, as the tables of a single server do."""
    return [str(name) for (name,) in wide.rows("migrate", _WITH_ROWS)]


def _link(node: ClickHouse, database: str, table: str) -> None:
    node.command("migrate", f"TRUNCATE TABLE {table}")  # rows of an attempt that was interrupted
    partitions = node.rows(
        "migrate",
        "SELECT DISTINCT partition_id FROM system.parts WHERE active AND database = {database:String} AND table = {table:String}",
        {"database": database, "table": table},
    )
    for (partition,) in partitions:
        node.command("migrate", f"ALTER TABLE {table} ATTACH PARTITION ID '{partition}' FROM {database}.{table}")
    there, here = (
        int(node.rows("migrate", f"SELECT count() FROM {name}")[0][0])  # noqa: S608 - names are of tables
        for name in (f"{database}.{table}", table)
    )
    if there != here:
        raise Fatal(f"{node.target.display_name}: {here} of {there} rows of {table} were taken over. Run the command again.")
