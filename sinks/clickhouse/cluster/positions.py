"""Checks that each database is the shard that the settings say. On another shard rows would be missing without an error."""

from __future__ import annotations

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.cluster.cluster import Cluster
from sinks.errors import Fatal
from sinks.tables import DOSSIER_MESSAGES, SHARD_POSITION


def check_positions(cluster: Cluster) -> None:
    """Check that the shards of the settings are those of the database. Only reads.

    Raises:
        Fatal: the settings list other shards than the databases note, or list them in another order.
    """
    for number, shard in enumerate(cluster.shards):
        is_noted(shard, number, len(cluster.shards))


def note_positions(cluster: Cluster) -> None:
    """Check the shards as ``check_positions``, and note the number of a shard that has no note yet.

    Raises:
        Fatal: as ``check_positions``, or there are several shards and one has messages and no note.
    """
    count = len(cluster.shards)
    for number, shard in enumerate(cluster.shards):
        if is_noted(shard, number, count):
            continue
        if count > 1 and int(shard.rows("migrate", f"SELECT count() FROM {DOSSIER_MESSAGES}")[0][0]):  # noqa: S608
            raise _other_shards(shard, "has messages and no note of its place", number, count)
        shard.command(
            "migrate",
            f"INSERT INTO {SHARD_POSITION} (number, shards) VALUES ({{number:UInt16}}, {{shards:UInt16}})",  # noqa: S608
            {"number": number, "shards": count},
        )


def check_single_server(clickhouse: ClickHouse) -> None:
    """Check that a server is not one of several shards. Only reads.

    Raises:
        Fatal: the server is one of several shards.
    """
    rows = clickhouse.rows("migrate", f"SELECT max(shards) FROM {SHARD_POSITION}")  # noqa: S608
    if int(rows[0][0]) > 1:
        raise Fatal(
            f"{clickhouse.target.display_name} has one of {rows[0][0]} shards of a cluster. List all of them in "
            "PORTALPULSE_CLICKHOUSE__SHARDS."
        )


def is_noted(shard: ClickHouse, number: int, count: int) -> bool:
    """Whether a shard has a note that it is shard ``number`` (from 0) of ``count``; False: it has no note. Only reads.

    Raises:
        Fatal: the note names another shard or another number of shards.
    """
    rows = shard.rows("migrate", f"SELECT DISTINCT number, shards FROM {SHARD_POSITION} ORDER BY ALL")  # noqa: S608
    found = [(int(known), int(of)) for known, of in rows]
    if found and found != [(number, count)]:
        what = " and ".join(f"shard {known + 1} of {of}" for known, of in found)
        raise _other_shards(shard, f"is {what}", number, count)
    return bool(found)


def _other_shards(shard: ClickHouse, what: str, number: int, count: int) -> Fatal:
    return Fatal(
        f"{shard.target.display_name} {what}, and PORTALPULSE_CLICKHOUSE__SHARDS lists it as shard {number + 1} of {count}. "
        "List the shards in their order. docs/cluster.md shows how to change their number."
    )
