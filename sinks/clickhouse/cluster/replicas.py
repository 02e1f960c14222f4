"""The replicas of a shard as one ClickHouse: if one does not answer, the next is asked; each read waits for acknowledged rows.

Replication is asynchronous. A block that one replica acknowledged may not be on another one yet, and a recount there would be too
low for ever. So before a statement reads a table, ``SYSTEM SYNC REPLICA .. LIGHTWEIGHT`` runs on the replica that answers. It
waits until that replica has every block that any replica acknowledged. When only a dead replica has a block, the statement waits
for that replica: it is late and never wrong. So a sync that takes too long does not show a fault of the replica that waits.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.driver_errors import code_of
from sinks.errors import Retryable

Result = TypeVar("Result")

#: What a statement reads, or changes in place.
_TABLES: Final = re.compile(r"\b(?:FROM|JOIN|OPTIMIZE TABLE)\s+(\w+)")
_READS: Final = ("SELECT", "WITH", "EXPLAIN")
#: Another replica may do better: the connection broke (no code), or this one reports the end of its own stream (32), a network
#: (198, 209, 210), a start (236), a missing session (225, 242, 999), or that it knows no living shard (279).
_ELSEWHERE: Final = frozenset({None, 32, 198, 209, 210, 225, 236, 242, 279, 999})
#: A server without coordination says so soon. A replica may run a deletion before it has the rows that the condition reads: such
#: rows are hidden without the deletion, too.
_WRITING: Final[dict[str, Any]] = {"insert_keeper_max_retries": 3, "allow_nondeterministic_mutations": 1}
#: A shard with as many replicas stores each block on most of them before an insert returns.
_QUORUM_FROM: Final = 3


class Replicas(ClickHouse):
    """Several nodes with the same rows, in the order of preference. Thread-safe; the owner of the nodes closes them.

    Args:
        nodes: the connections.
        replicated: the tables of which these nodes hold replicas; statements on others need no sync.
        sync_on: the connections on which a table is synchronised before it is read; empty: on the node that reads the table.
            A connection that does not answer is skipped.
        writers: how many nodes hold each row, for the quorum of inserts.
    """

    def __init__(  # a group of connections opens none of its own
        self,
        nodes: Sequence[ClickHouse],
        *,
        replicated: Collection[str],
        sync_on: Sequence[ClickHouse] = (),
        writers: int = 1,
    ) -> None:
        self.target = nodes[0].target
        self._nodes = tuple(nodes)
        self._replicated = frozenset(replicated)
        self._sync_on = sync_on
        self._writes: dict[str, Any] = dict(_WRITING)
        if writers >= _QUORUM_FROM:
            self._writes |= {"insert_quorum": "auto", "insert_quorum_timeout": round(self.target.timeout * 1000)}
        self._guard = threading.Lock()
        self._current = 0

    def create_database(self) -> None:
        """Create the database on every node."""
        for node in self._nodes:
            node.create_database()

    def close(self) -> None:
        """Do nothing: the owner of the nodes closes them."""

    def call(self, operation: str, action: Callable[[Any], Any], *, database: str | None = None, sql: str = "") -> Any:
        """Run ``action`` on the preferred node. If it only reads and a node does not answer, the next node is tried."""
        planned = sql.lstrip().startswith("EXPLAIN")  # reads no rows
        read = [] if planned else sorted(self._replicated.intersection(_TABLES.findall(sql)))
        attempts = len(self._nodes) if sql.lstrip().startswith(_READS) else 1
        while True:
            attempts -= 1
            with self._guard:
                number = self._current
            try:
                self._synchronise(self._nodes[number], read)
                return self._nodes[number].call(operation, action, database=database, sql=sql)
            except Retryable as error:
                if code_of(error) not in _ELSEWHERE:
                    raise
                with self._guard:
                    if self._current == number:
                        self._current = (number + 1) % len(self._nodes)
                if attempts <= 0:
                    raise

    def _synchronise(self, node: ClickHouse, tables: Sequence[str]) -> None:
        for table in tables:
            if self._sync_on:  # one that does not answer can give no rows either
                of_each(self._sync_on, partial(synchronise, table=table))
            else:
                synchronise(node, table)

    def call_settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The ClickHouse settings to send with one call, with the quorum of this shard."""
        found = self._nodes[0].call_settings(settings)
        return found | self._writes if found else found


def synchronise(node: ClickHouse, table: str) -> None:
    """Wait until a node has every block of a table that any replica acknowledged.

    Raises:
        Retryable: the wait exceeded the time limit of the connection.
    """
    node.command("sync_replica", f"SYSTEM SYNC REPLICA {table} LIGHTWEIGHT", receive_timeout=max(1, int(node.target.timeout) - 1))


def of_each(nodes: Sequence[ClickHouse], read: Callable[[ClickHouse], Result]) -> list[Result]:
    """Call ``read`` for each node, and return the results of the nodes that answer.

    Raises:
        Retryable: no node answers, or a node that answers is busy.
    """
    found: list[Result] = []
    silent: Retryable | None = None
    for node in nodes:
        try:
            found.append(read(node))
        except Retryable as error:
            if code_of(error) is not None:
                raise
            silent = error
    if silent is not None and not found:
        raise silent
    return found
