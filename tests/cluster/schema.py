"""The tables of a cluster, made from the program's migrations: only the engine differs.

Every statement goes to every server, and may be repeated. ``ON CLUSTER`` is not needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sinks.clickhouse.migrate import packaged_migrations
from tests.clickhouse_cluster.cluster import Cluster
from tests.clickhouse_cluster.configuration import CLUSTER
from tests.cluster.databases import ALL, LOCAL

#: Where a message, claim or confirmation of a dossier is: all of a dossier in one shard. The low half of the number is a hash.
BY_DOSSIER = "toUInt64(dossier)"
#: Where everything is that is counted together: messages, corrections and tallies of an agency.
BY_AGENCY = "cityHash64(agency)"
_BY_OFFSET = "cityHash64(topic, partition, offset)"
#: Table -> how its rows find their shard. Every server has all rows of the tables that are not here.
SHARDING = {
    "dossier_messages": BY_AGENCY,
    "dossier_corrections": BY_AGENCY,
    "agency_minute": BY_AGENCY,
    "agency_day": BY_AGENCY,
    "agency_day_procedure": BY_AGENCY,
    "dossier_index": BY_DOSSIER,
    "dossiers": BY_DOSSIER,
    "dossier_changes": BY_DOSSIER,
    "dead_letters": _BY_OFFSET,
    "dead_letter_marks": _BY_OFFSET,
}
_CREATED = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)")
_ENGINE = re.compile(r"ENGINE = (\w*)MergeTree(?:\(([\w, ]+)\))?")


def local_statements() -> Iterator[str]:
    """The statements of all migrations, with replicated engines."""
    for migration in packaged_migrations():
        for statement in migration.statements:
            created = _CREATED.search(statement)
            yield _replicated(statement, created[1]) if created else statement


def _replicated(statement: str, table: str) -> str:
    path = f"/clickhouse/tables/{'{shard}' if table in SHARDING else 'all'}/{table}"

    def engine(match: re.Match[str]) -> str:
        options = "".join(f", {option}" for option in (match[2] or "").split(", ") if option)
        return f"ENGINE = Replicated{match[1]}MergeTree('{path}', '{{replica}}'{options})"

    return _ENGINE.sub(engine, statement)


def all_statements(tables: list[str]) -> Iterator[str]:
    """What readers use: the sharded tables over all shards, and views of the tables that every server has."""
    for table in tables:
        key = SHARDING.get(table)
        if key is None:
            yield f"CREATE VIEW IF NOT EXISTS {ALL}.{table} AS SELECT * FROM {LOCAL}.{table}"
        else:
            yield (
                f"CREATE TABLE IF NOT EXISTS {ALL}.{table} AS {LOCAL}.{table} "
                f"ENGINE = Distributed({CLUSTER}, {LOCAL}, {table}, {key})"
            )


def create_tables(cluster: Cluster) -> None:
    """Create all tables on all servers.

    The migrations run on one server. Every other one gets the tables as they are then: a replica cannot be created as a table was
    before a later ALTER.
    """
    first, *others = cluster.replicas
    for replica in cluster.replicas:
        for database in (LOCAL, ALL):
            replica.query(f"CREATE DATABASE IF NOT EXISTS {database}", database="default")
    for statement in local_statements():
        # Migration 0010 deletes by a subquery. On replicas that is refused, because they may see different rows.
        first.query(statement, allow_nondeterministic_mutations=1)
    tables = first.query("SHOW TABLES").splitlines()
    for table in tables:
        created = first.query(f"SHOW CREATE TABLE {table} FORMAT TSVRaw")
        for replica in others:
            replica.query(created)
    for statement in all_statements(tables):
        for replica in cluster.replicas:
            replica.query(statement)
