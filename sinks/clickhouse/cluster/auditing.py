"""The audit and the repair over all shards.

Each shard is compared with itself, so that differences cannot cancel each other out.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import pyarrow as pa

from domain.catalogue_levels import CatalogueLevels
from domain.tiers import Tier
from sinks.clickhouse.audit import ClickHouseAudit
from sinks.clickhouse.cluster.cluster import Cluster, Result, joined
from sinks.clickhouse.cluster.dossiers import earliest_clock
from sinks.clickhouse.dossier_audit import ClickHouseDossierAudit
from sinks.clickhouse.repair import ClickHouseRepair
from sinks.contract.audit import Acknowledged, Comparison, HashShard, Repeats
from sinks.contract.dossier_audit import DossierSelection
from sinks.contract.events import UnreadRange


class ClusterAudit:
    """Implements ``TallyAudit`` over all shards of a cluster. Several threads may use an object at once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._shards = tuple(ClickHouseAudit(shard) for shard in cluster.shards)
        self._home, self._whole = ClickHouseAudit(cluster.home), ClickHouseAudit(cluster.whole)

    def civil_days(self, first: dt.date | None = None, last: dt.date | None = None) -> Mapping[dt.date, int]:
        """Every civil day with events or tallies on a shard; see ``TallyAudit.civil_days``."""
        found: Counter[dt.date] = Counter()
        for days in self._cluster.each(lambda number: self._shards[number].civil_days(first, last)):
            found.update(days)
        return dict(sorted(found.items()))

    def recently_stored_days(self, within: dt.timedelta) -> Sequence[dt.date]:
        """Civil days of events that were stored recently; see ``TallyAudit.recently_stored_days``."""
        found = self._cluster.each(lambda number: self._shards[number].recently_stored_days(within))
        return sorted({day for days in found for day in days})

    def now(self) -> dt.datetime:
        """The earliest clock of all nodes, less the tolerance for clocks that differ; see ``TallyAudit.now``."""
        return earliest_clock(self._cluster)

    def compare(
        self, tier: Tier, day: dt.date, *, settle: dt.timedelta, limit: int, acknowledged: Acknowledged | None = None
    ) -> Comparison:
        """Compare one tier of a day on each shard; see ``TallyAudit.compare``."""
        found = self._cluster.each(
            lambda number: self._shards[number].compare(tier, day, settle=settle, limit=limit, acknowledged=acknowledged)
        )
        differences = sorted(
            (difference for each in found for difference in each.differences),
            key=lambda difference: (str(difference.bucket), difference.agency, difference.procedure),
        )
        return Comparison(
            buckets=sum(each.buckets for each in found),
            differing=sum(each.differing for each in found),
            drift=sum(each.drift for each in found),
            stuck=sum(each.stuck for each in found),
            differences=tuple(differences[:limit]),
            late=sum(each.late for each in found),
            in_hand=sum(each.in_hand for each in found),
        )

    def contradictions(self, day: dt.date, *, limit: int) -> Repeats:
        """Events with different contents; see ``TallyAudit.contradictions``. All messages of an event lie on one shard."""
        found = self._cluster.each(lambda number: self._shards[number].contradictions(day, limit=limit))
        examples = {name: events for each in found for name, events in each.examples.items()}
        return Repeats(sum(each.count for each in found), dict(sorted(examples.items())[:limit]))

    def reused_event_ids(self, days: tuple[dt.date, dt.date] | None, shard: HashShard, *, limit: int) -> Repeats:
        """Event ids in several dossiers, which may lie on different shards; see ``TallyAudit.reused_event_ids``."""
        return self._whole.reused_event_ids(days, shard, limit=limit)

    def newest_positions(self, topic: str) -> Mapping[int, int]:
        """The highest kept offset of each partition; see ``TallyAudit.newest_positions``."""
        return self._whole.newest_positions(topic)

    def unread(self, topic: str) -> Sequence[UnreadRange]:
        """Recorded ranges of offsets that were never read; see ``TallyAudit.unread``."""
        return self._home.unread(topic)

    def kept_within(self, topic: str, ranges: Sequence[tuple[int, int, int]]) -> Sequence[int]:
        """For each range, how many distinct offsets are accounted for; see ``TallyAudit.kept_within``."""
        return self._whole.kept_within(topic, ranges)

    def missing(self, messages: pa.Table) -> Sequence[tuple[int, int]]:
        """Messages that are not kept in any form; see ``TallyAudit.missing``."""
        return self._whole.missing(messages)


class ClusterRepair:
    """Implements ``TallyRepair`` over all shards of a cluster. Several threads may use an object at once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._shards = tuple(ClickHouseRepair(shard) for shard in cluster.shards)
        self._home = ClickHouseRepair(cluster.home)

    def raise_epoch(self, reason: str) -> int:
        """Make later recounts win on every shard; see ``TallyRepair.raise_epoch``.

        Raises:
            Fatal: a tally's version is so high that no epoch beats it.
        """
        return self._home.write_epoch(1 + max(self._cluster.each(lambda number: self._shards[number].highest_epoch())), reason)

    def clear_orphans(self, tier: Tier, day: dt.date) -> None:
        """Write zeros on each shard over its tallies without events; see ``TallyRepair.clear_orphans``."""
        self._cluster.each(lambda number: self._shards[number].clear_orphans(tier, day))

    def purge_superseded(self, tier: Tier, days: Sequence[dt.date]) -> None:
        """Merge the partitions of these days on each shard; see ``TallyRepair.purge_superseded``."""
        self._cluster.each(lambda number: self._shards[number].purge_superseded(tier, days))


class ClusterDossierAudit:
    """Implements ``DossierAudit`` over all shards of a cluster. Several threads may use an object at once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._shards = tuple(ClickHouseDossierAudit(shard) for shard in cluster.shards)
        self._home = ClickHouseDossierAudit(cluster.home)

    def stored_dossiers(
        self, selection: DossierSelection, *, settle: dt.timedelta, acknowledged: Acknowledged | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Everything about the selected dossiers, shard by shard; see ``DossierAudit.stored_dossiers``.

        A decision is stored on every node. Its dossier is looked at only on the shard that it belongs to.
        """
        for number, shard in enumerate(self._shards):
            for batch in shard.stored_dossiers(selection, settle=settle, acknowledged=acknowledged):
                yield self._cluster.of_shard(batch, number)

    def levels(self, agencies: Collection[str]) -> CatalogueLevels:
        """The levels of the service catalogue; see ``DossierAudit.levels``."""
        return self._home.levels(agencies)

    def stored_messages(self, dossiers: Sequence[bytes]) -> pa.Table:
        """The distinct stored messages of dossiers; see ``DossierAudit.stored_messages``."""
        return joined(self._split(dossiers, lambda audit, part: audit.stored_messages(part)))

    def codes(self, dossiers: Sequence[bytes]) -> Mapping[bytes, str]:
        """The codes of dossiers; see ``DossierAudit.codes``."""
        found = self._split(dossiers, lambda audit, part: audit.codes(part))
        return {dossier: code for each in found for dossier, code in each.items()}

    def forget(self, dossiers: Sequence[bytes]) -> None:
        """Delete dossiers from the index, the corrections and the table of dossiers; see ``DossierAudit.forget``."""
        self._split(dossiers, lambda audit, part: audit.forget(part))

    def _split(self, dossiers: Sequence[bytes], action: Callable[[ClickHouseDossierAudit, list[bytes]], Result]) -> list[Result]:
        listed = pa.table({"dossier": pa.array(dossiers, pa.binary(16))})
        return self._cluster.split(listed, lambda number, part: action(self._shards[number], part.column("dossier").to_pylist()))
