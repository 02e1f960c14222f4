"""The table of dossiers and their histories over all shards."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import pyarrow as pa

from sinks.clickhouse.cluster.cluster import Cluster, Result, joined
from sinks.clickhouse.cluster.replicas import of_each
from sinks.clickhouse.cluster.routing import shard_of_number
from sinks.clickhouse.dossier_histories import ClickHouseDossierHistories
from sinks.clickhouse.dossier_statements import number as value_of
from sinks.clickhouse.dossier_table import COMPARED, MARKED, PAGE, ClickHouseDossierTable
from sinks.clickhouse.times import aware
from sinks.contract.dossier_table import CheckedPage, LongHistory, Noted, WaitingPage, WaitingTotal

#: The clocks of the nodes may differ by this much. Changes are noted by the clock of the node that stores them.
CLOCK_TOLERANCE: Final = dt.timedelta(seconds=1)


def earliest_clock(cluster: Cluster) -> dt.datetime:
    """A time that is over on every node, if their clocks differ by at most ``CLOCK_TOLERANCE``.

    Raises:
        SinkError: no node of a shard answers.
    """
    asked = "SELECT now64(3, 'UTC')"
    found = cluster.each(
        lambda shard: min(aware(at) for at in of_each(cluster.nodes[shard], lambda node: node.rows("server_time", asked)[0][0]))
    )
    return min(found) - CLOCK_TOLERANCE


class ClusterDossierTable:
    """Implements ``DossierTable`` over all shards of a cluster. Several threads may use an object at once.

    The sizes hold for each shard; see ``ClickHouseDossierTable``.
    """

    def __init__(self, cluster: Cluster, *, page: int = PAGE, compared: int = COMPARED, marked: int = MARKED) -> None:
        self._cluster = cluster
        shards = len(cluster.shards)
        self._shards = tuple(
            ClickHouseDossierTable(shard, page=page, compared=compared, marked=marked, shard=number, shards=shards)
            for number, shard in enumerate(cluster.shards)
        )

    def now(self) -> dt.datetime:
        """A time before which every noted change is visible; see ``DossierTable.now``."""
        return earliest_clock(self._cluster)

    def write(self, rows: pa.Table) -> None:
        """Store rows; see ``DossierTable.write``."""
        self._split(rows, lambda table, part: table.write(part))

    def forget(self, dossiers: pa.Table) -> None:
        """Delete the rows of dossiers; see ``DossierTable.forget``."""
        self._split(dossiers, lambda table, part: table.forget(part))

    def keep(self, dossiers: pa.Table) -> None:
        """Keep the rows of dossiers as they are; see ``DossierTable.keep``."""
        self._split(dossiers.select(["dossier"]), lambda table, part: table.keep(part))

    def rows(self, first: bytes, last: bytes) -> pa.Table:
        """The rows of dossiers; see ``DossierTable.rows``."""
        return _in_order(joined(self._each(lambda table: table.rows(first, last))))

    def note(self, dossiers: pa.Table) -> None:
        """Note a change of dossiers; see ``DossierTable.note``."""
        self._split(dossiers.select(["dossier"]), lambda table, part: table.note(part))

    def waiting(self, noted: Noted, *, after: bytes | None = None, until: bytes | None = None) -> WaitingPage:
        """The first dossiers that wait; see ``DossierTable.waiting``."""
        pages = self._each(lambda table: table.waiting(noted, after=after, until=until))
        last = _nearest([page.last for page in pages])
        return WaitingPage(_in_order(joined(_up_to(page.dossiers, last) for page in pages)), last)

    def waiting_total(self, noted: Noted) -> WaitingTotal:
        """All dossiers that wait; see ``DossierTable.waiting_total``."""
        totals = self._each(lambda table: table.waiting_total(noted))
        oldest = [total.oldest for total in totals if total.oldest is not None]
        marks = sorted((mark for total in totals for mark in total.marks), key=value_of)
        return WaitingTotal(sum(total.dossiers for total in totals), min(oldest, default=None), marks)

    def waiting_since(self, asked_at: dt.datetime) -> int:
        """How many dossiers wait; see ``DossierTable.waiting_since``."""
        return sum(self._each(lambda table: table.waiting_since(asked_at)))

    def periods_of_changes(self, before: dt.datetime) -> Sequence[Noted]:
        """The periods of changes that are over; see ``DossierTable.periods_of_changes``."""
        found = {period for periods in self._each(lambda table: table.periods_of_changes(before)) for period in periods}
        return sorted(found, key=lambda period: period.since or before)

    def drop_changes(self, period: Noted) -> None:
        """Delete the changes of a period; see ``DossierTable.drop_changes``."""
        self._each(lambda table: table.drop_changes(period))

    def compare_with_index(self, *, after: bytes | None = None) -> CheckedPage:
        """Compare rows with the index on each shard; see ``DossierTable.compare_with_index``."""
        pages = self._each(lambda table: table.compare_with_index(after=after))
        last = _nearest([page.last for page in pages])
        agreeing = _in_order(joined(_up_to(page.agreeing, last) for page in pages))
        return CheckedPage(agreeing, joined(_up_to(page.differing, last) for page in pages), last)

    def _each(self, action: Callable[[ClickHouseDossierTable], Result]) -> list[Result]:
        return self._cluster.each(lambda number: action(self._shards[number]))

    def _split(self, rows: pa.Table, action: Callable[[ClickHouseDossierTable, pa.Table], None]) -> None:
        self._cluster.split(rows, lambda number, part: action(self._shards[number], part))


class ClusterDossierHistories:
    """Implements ``DossierHistories`` over all shards of a cluster. Several threads may use an object at once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._shards = tuple(ClickHouseDossierHistories(shard) for shard in cluster.shards)

    def histories(self, dossiers: pa.Table) -> pa.Table:
        """The messages and decisions of dossiers, shard by shard; see ``DossierHistories.histories``."""
        chosen = dossiers.select(["dossier"])
        return joined(self._cluster.split(chosen, lambda number, part: self._shards[number].histories(part)))

    def long_history(self, dossier: bytes) -> LongHistory:
        """The messages and decisions of one dossier; see ``DossierHistories.long_history``."""
        return self._shards[shard_of_number(dossier, len(self._shards))].long_history(dossier)

    def codes(self, rows: pa.Table) -> Mapping[bytes, str]:
        """The codes of dossiers; see ``DossierHistories.codes``."""
        found: dict[bytes, str] = {}
        for part in self._cluster.split(rows, lambda number, part: self._shards[number].codes(part)):
            found.update(part)
        return found


def _nearest(ends: Sequence[bytes | None]) -> bytes | None:
    """The number up to which every shard was looked at; None: to the end."""
    return min((end for end in ends if end is not None), key=value_of, default=None)


def _up_to(rows: pa.Table, last: bytes | None) -> pa.Table:
    """The rows of dossiers up to a number, both as unsigned numbers."""
    if last is None:
        return rows
    end = value_of(last)
    return rows.filter(pa.array([value_of(dossier) <= end for dossier in rows.column("dossier").to_pylist()], pa.bool_()))


def _in_order(rows: pa.Table) -> pa.Table:
    """The rows in the order of the numbers of their dossiers."""
    values = [value_of(dossier) for dossier in rows.column("dossier").to_pylist()]
    return rows.take(pa.array(sorted(range(len(values)), key=values.__getitem__), pa.int64()))
