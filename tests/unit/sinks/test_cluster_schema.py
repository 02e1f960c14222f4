"""The migrations for a cluster, and lists of servers that are not one."""

from __future__ import annotations

import pytest

from sinks.clickhouse.cluster.layout import SHARDED, parse_layout
from sinks.clickhouse.cluster.schema import Where, reading_engine, replicated, where
from sinks.clickhouse.migrate import packaged_migrations
from sinks.tables import DEAD_LETTERS, OTHER_TABLES, WHOLE_TABLES

STATEMENTS = [statement for migration in packaged_migrations() for statement in migration.statements]


@pytest.mark.parametrize("statement", STATEMENTS, ids=[" ".join(statement.split()[:6]) for statement in STATEMENTS])
def test_each_statement_of_the_migrations_has_its_place(statement):
    """A statement that creates a table runs on every server, with a replicated engine; others where their rows are."""
    made = replicated(statement, "counted_local")
    if statement.startswith("CREATE"):
        table = statement.split()[5]
        sharded = table in SHARDED or table == "dossier_events"
        path = f"/clickhouse/tables/{'{shard}' if sharded else 'all'}/counted_local/{table}"
        replica = "{replica}" if sharded else "{shard}-{replica}"
        assert f"MergeTree('{path}', '{replica}'" in made
        assert made.count("ENGINE = Replicated") == 1
        assert where(statement) is Where.EVERY_NODE
    else:
        assert made == statement
        assert where(statement) in Where


def test_a_statement_of_an_unknown_kind_is_refused():
    """A migration with a new kind of statement must say where it runs."""
    with pytest.raises(ValueError, match="nothing is known about statements as 'OPTIMIZE"):
        where("OPTIMIZE TABLE dossiers")


def test_every_table_lies_on_its_shard_or_on_every_server():
    """A table that is read over all shards has a key by the dossier, where it has one; the others are read on the spot."""
    for table in {*WHOLE_TABLES, *OTHER_TABLES}:
        engine = reading_engine(table, "portalpulse", "counted_local")
        assert engine.startswith("Distributed(" if table in SHARDED else "Merge(")
    assert reading_engine(DEAD_LETTERS, "c", "d") == "Merge('d', '^dead_letters$')"


@pytest.mark.parametrize(
    ("shards", "words"),
    [
        ([[]], "each shard needs at least one address"),
        ([["chdb:/tmp/x"]], "embedded engine cannot be part"),
        ([["http://a:1/x", "http://b:1/y"]], "the same database"),
        ([["http://a:1"], ["http://a:1"]], "listed twice"),
    ],
)
def test_lists_of_servers_that_are_no_cluster(shards, words):
    """A list that cannot be a cluster is refused with what is wrong with it."""
    with pytest.raises(ValueError, match=words):
        parse_layout(shards, "portalpulse", timeout=1)
