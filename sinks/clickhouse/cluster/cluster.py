"""The connections to a cluster: one for each shard, one for the tables that every node has in full, one that reads all shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa

from sinks.clickhouse.client import ClickHouse, Observer
from sinks.clickhouse.cluster.layout import SHARDED, Layout, local
from sinks.clickhouse.cluster.replicas import Replicas
from sinks.clickhouse.cluster.routing import shard_of_codes, shard_of_numbers
from sinks.errors import Fatal, RefusedRows, Retryable
from sinks.tables import OTHER_TABLES, WHOLE_TABLES

Result = TypeVar("Result")
#: Calls to each shard at once. A worker has this many threads that count, read and write, about.
_CALLS: Final = 8
#: Of errors of several shards the one that is raised: what repeating cannot help comes first.
_GRAVEST: Final = (Fatal, RefusedRows, Retryable)


class Cluster:
    """The connections to a cluster. Several threads may use it at once; close it when done.

    Attributes:
        shards: the tables of each shard, on a replica that has every acknowledged row.
        home: the tables that every node has in full.
        whole: reads all shards at once, through their Distributed tables.
        nodes: every node of each shard, for migrations and clocks.
    """

    def __init__(self, layout: Layout, *, observer: Observer | None = None) -> None:
        watched = {} if observer is None else {"observer": observer}
        self.layout = layout
        self.nodes = tuple(tuple(ClickHouse(local(target), **watched) for target in shard) for shard in layout.shards)
        self.wide = tuple(ClickHouse(target, **watched) for shard in layout.shards for target in shard)
        everywhere = {*WHOLE_TABLES, *OTHER_TABLES} - SHARDED
        every = [node for shard in self.nodes for node in shard]
        shared = everywhere if len(every) > 1 else frozenset()
        self.shards = tuple(
            Replicas(shard, replicated=shared | (SHARDED if len(shard) > 1 else frozenset()), writers=len(shard))
            for shard in self.nodes
        )
        self.home = Replicas(every, replicated=shared, writers=len(every))
        self.whole = Replicas(self.wide, replicated=shared | SHARDED, sync_on=every)
        self._pool = ThreadPoolExecutor(_CALLS * len(self.shards), thread_name_prefix="shard")

    def each(self, action: Callable[[int], Result]) -> list[Result]:
        """Call ``action`` for the number of each shard, all at once; returns the results in the order of the shards.

        Raises:
            SinkError: the call for a shard raised it. All calls have ended by then.
        """
        return self._collected([self._pool.submit(action, number) for number in range(len(self.shards))])

    def split(self, rows: pa.Table, action: Callable[[int, pa.Table], Result]) -> list[Result]:
        """Call ``action`` for each shard with its rows, which ``dossier`` or else ``dossier_code`` tells; returns the results.

        A shard without rows is not called, except one when there are no rows at all.

        Raises:
            SinkError: the call for a shard raised it. All calls have ended by then.
        """
        count = len(self.shards)
        if not rows.num_rows or count == 1:
            return [action(0, rows)]
        if "dossier" in rows.column_names:
            found = shard_of_numbers(rows.column("dossier"), count)
        else:
            found = shard_of_codes(rows.column("dossier_code"), count)
        parts = ((number, np.flatnonzero(found == number)) for number in range(count))
        return self._collected(
            [self._pool.submit(action, number, rows.take(pa.array(chosen))) for number, chosen in parts if len(chosen)]
        )

    def of_shard(self, rows: pa.RecordBatch, number: int) -> pa.RecordBatch:
        """Those of the rows (column ``dossier``) whose dossiers belong to the shard ``number``."""
        return rows.filter(pa.array(shard_of_numbers(rows.column("dossier"), len(self.shards)) == number))

    def _collected(self, futures: Sequence[Future[Result]]) -> list[Result]:
        errors = [error for future in futures if (error := future.exception()) is not None]
        if errors:
            raise min(errors, key=_gravity)
        return [future.result() for future in futures]

    def close(self) -> None:
        """Close every connection."""
        self._pool.shutdown()
        for node in (*(node for shard in self.nodes for node in shard), *self.wide):
            node.close()


def _gravity(error: BaseException) -> int:
    return next((number for number, kind in enumerate(_GRAVEST) if isinstance(error, kind)), -1)


def joined(tables: Iterable[pa.Table]) -> pa.Table:
    """One table with the rows of several tables of one schema; dictionary columns get one common dictionary."""
    return pa.concat_tables(tables, promote_options="permissive").unify_dictionaries()
