"""Writes events to the shards of their dossiers, and recounts on each shard the events that are stored there."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pyarrow as pa

from domain.catalogue_levels import CatalogueLevels
from sinks.clickhouse.cluster.cluster import Cluster, joined
from sinks.clickhouse.dossier_index import ClickHouseDossierIndex
from sinks.clickhouse.store import ClickHouseStore
from sinks.contract.dead_letters import DeadLetter
from sinks.contract.events import UnreadRange
from sinks.contract.tallies import Days, Span


class ClusterStore:
    """Implements ``EventStore`` over all shards of a cluster. Several threads may use an object at once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._home = ClickHouseStore(cluster.home)
        self._shards = tuple(ClickHouseStore(shard) for shard in cluster.shards)

    def insert_events(self, rows: pa.Table) -> None:
        """Store events, each on the shard of its dossier; see ``EventStore.insert_events``."""
        self._cluster.split(rows, lambda number, part: self._shards[number].insert_events(part))

    def insert_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Store dead letters, which every node has; see ``EventStore.insert_dead_letters``."""
        self._home.insert_dead_letters(dead_letters)

    def insert_unread(self, ranges: Sequence[UnreadRange]) -> None:
        """Record offsets that were never read; see ``EventStore.insert_unread``."""
        self._home.insert_unread(ranges)

    def recount_minutes(self, span: Span) -> None:
        """Recount the minutes of ``span`` on each shard; see ``EventStore.recount_minutes``."""
        self._cluster.each(lambda number: self._shards[number].recount_minutes(span))

    def roll_up_days(self, days: Days) -> None:
        """Sum the minutes of each civil day on each shard; see ``EventStore.roll_up_days``."""
        self._cluster.each(lambda number: self._shards[number].roll_up_days(days))

    def recount_procedures(self, days: Days) -> None:
        """Recount each procedure of each civil day on each shard; see ``EventStore.recount_procedures``."""
        self._cluster.each(lambda number: self._shards[number].recount_procedures(days))

    def check_tables(self) -> None:
        """Check on each shard that no row policy and no TTL applies; see ``EventStore.check_tables``."""
        self._cluster.each(lambda number: self._shards[number].check_tables())


class ClusterDossierIndex:
    """Implements ``DossierIndex`` over all shards of a cluster. Several threads may use an object at once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._shards = tuple(ClickHouseDossierIndex(shard) for shard in cluster.shards)
        self._home = ClickHouseDossierIndex(cluster.home)

    def add(self, messages: pa.Table) -> None:
        """Index messages on the shards of their dossiers; see ``DossierIndex.add``."""
        self._cluster.split(messages, lambda number, part: self._shards[number].add(part))

    def suspects(self, codes: pa.Table) -> pa.Table:
        """The suspects among dossiers, shard by shard; see ``DossierIndex.suspects``."""
        return joined(self._cluster.split(codes, lambda number, part: self._shards[number].suspects(part)))

    def histories(self, suspects: pa.Table) -> pa.Table:
        """All messages and claims of the suspects; see ``DossierIndex.histories``."""
        return joined(self._cluster.split(suspects, lambda number, part: self._shards[number].histories(part)))

    def levels(self, agencies: Collection[str]) -> CatalogueLevels:
        """The levels of the service catalogue, which every node has; see ``DossierIndex.levels``."""
        return self._home.levels(agencies)

    def note(self, notes: pa.Table) -> None:
        """Write level notes; see ``DossierIndex.note``."""
        self._cluster.split(notes, lambda number, part: self._shards[number].note(part))

    def claim(self, claims: pa.Table) -> None:
        """Record claims; see ``DossierIndex.claim``."""
        self._cluster.split(claims, lambda number, part: self._shards[number].claim(part))

    def confirm(self, claims: pa.Table) -> None:
        """Confirm claims; see ``DossierIndex.confirm``."""
        self._cluster.split(claims, lambda number, part: self._shards[number].confirm(part))

    def correct(self, corrections: pa.Table) -> None:
        """Store corrections; see ``DossierIndex.correct``."""
        self._cluster.split(corrections, lambda number, part: self._shards[number].correct(part))
