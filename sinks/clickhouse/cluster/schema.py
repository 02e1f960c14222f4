"""Adapts the statements of the migrations to a cluster: replicated tables, and on which servers each statement runs."""

from __future__ import annotations

import enum
import re
from typing import Final

from sinks.clickhouse.cluster.layout import BY_CODE, BY_NUMBER, SHARDED
from sinks.clickhouse.cluster.routing import OF_CODE, OF_NUMBER

#: Names that tables had before a migration renamed them.
_FORMER: Final = frozenset({"dossier_events"})
_CREATED: Final = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)")
_ENGINE: Final = re.compile(r"\bENGINE = (\w*MergeTree)(?:\(([^)]*)\))?")
#: What replicas do not tell each other.
_OF_A_NODE: Final = re.compile(r"^(?:CREATE|DROP|RENAME)\b|^ALTER TABLE \w+ MODIFY SETTING\b")
_CHANGED: Final = re.compile(r"^(?:ALTER TABLE|INSERT INTO|DELETE FROM) (\w+)")


class Where(enum.Enum):
    """On which servers a statement runs."""

    EVERY_NODE = enum.auto()
    EACH_SHARD = enum.auto()  # its replicas take over what one of them does
    ONE_NODE = enum.auto()


def is_sharded(table: str) -> bool:
    """Whether each shard stores its own rows of a table; otherwise every node stores all rows."""
    return table in SHARDED or table in _FORMER


def where(statement: str) -> Where:
    """On which servers a statement of a migration runs.

    Raises:
        ValueError: no rule is known for a statement of this kind.
    """
    if _OF_A_NODE.search(statement):
        return Where.EVERY_NODE
    changed = _CHANGED.search(statement)
    if changed is None:
        raise ValueError(f"nothing is known about statements as {statement[:60]!r}; see {__name__}")
    return Where.EACH_SHARD if is_sharded(changed[1]) else Where.ONE_NODE


def replicated(statement: str, database: str) -> str:
    """A statement with replicated engines. The macros ``shard`` and ``replica`` come from the configuration of each server."""
    created = _CREATED.search(statement)
    if created is None:
        return statement
    path, replica = path_of(created[1], database)

    def engine(found: re.Match[str]) -> str:
        arguments = ", ".join(filter(None, (f"'{path}'", f"'{replica}'", found[2])))
        return f"ENGINE = Replicated{found[1]}({arguments})"

    return _ENGINE.sub(engine, statement, count=1)


def path_of(table: str, database: str) -> tuple[str, str]:
    """The path of a replicated table in the coordination service, and the name of its replica, both with macros."""
    if is_sharded(table):
        return f"/clickhouse/tables/{{shard}}/{database}/{table}", "{replica}"
    return f"/clickhouse/tables/all/{database}/{table}", "{shard}-{replica}"


def reading_engine(table: str, cluster: str, database: str) -> str:
    """The engine of the table through which a node reads all shards, or its own rows where every node has all rows."""
    if not is_sharded(table):
        return f"Merge('{database}', '^{table}$')"
    key = f", {OF_CODE}" if table in BY_CODE else f", {OF_NUMBER}" if table in BY_NUMBER else ""
    return f"Distributed('{cluster}', '{database}', '{table}'{key})"
