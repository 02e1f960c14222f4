"""Audit and repair of dossiers on a cluster: damage is found through the Distributed tables, and repaired shard by shard."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from domain.tiers import Tier
from pipeline.audit.dossier_check import check_share
from pipeline.audit.dossier_repair import DossierRepair
from pipeline.audit.in_hand import InHand
from sinks.clickhouse.dossier_audit import ClickHouseDossierAudit
from sinks.clickhouse.repair import ClickHouseRepair
from sinks.clickhouse.store import ClickHouseStore
from sinks.contract.audit import HashShard
from sinks.contract.dossier_audit import DossierSelection
from sinks.contract.tallies import Days, Span
from tests.clickhouse_cluster.cluster import Cluster
from tests.cluster.databases import ALL, LOCAL
from tests.cluster.model import ClusterModel
from tests.cluster.sharded import LOOK_READS, RECOUNT_READS, ROLL_UP_READS, ShardedIndex, Shards, TunedClickHouse

_AUDITED = ("dossier_corrections", "dossier_index", "dossier_messages", "dossier_exclusions")
_EVERYTHING = DossierSelection(HashShard(0, 1))
_NOW = dt.timedelta(0)


@dataclass
class ShardedAudit:
    """A ``DossierAudit`` over shards: reads through the Distributed tables, deletes on the tables of each shard."""

    shards: Shards

    def stored_dossiers(self, selection: DossierSelection, **options: Any) -> Iterator[pa.RecordBatch]:
        return self._reader().stored_dossiers(selection, **options)

    def stored_messages(self, dossiers: Sequence[bytes]) -> pa.Table:
        return self._reader().stored_messages(dossiers)

    def codes(self, dossiers: Sequence[bytes]) -> Mapping[bytes, str]:
        return self._reader().codes(dossiers)

    def forget(self, dossiers: Sequence[bytes]) -> None:
        for shard in range(len(self.shards)):
            self.shards.run(
                shard, lambda client: ClickHouseDossierAudit(client).forget(dossiers), reads=(*LOOK_READS, "dossier_corrections")
            )

    def _reader(self) -> ClickHouseDossierAudit:
        """A Distributed table may ask any replica, so all of them must have everything."""
        for replica in self.shards.cluster.replicas:
            for table in _AUDITED:
                replica.query(f"SYSTEM SYNC REPLICA {LOCAL}.{table} LIGHTWEIGHT")
        return ClickHouseDossierAudit(TunedClickHouse(self.shards.cluster.replicas[-1].client(ALL).target, {}))


def repaired(cluster: Cluster, model: ClusterModel) -> Iterator[tuple[str, str, str, bool]]:
    """Damage the index, the corrections and the messages; audit; repair; compare with what is right."""
    shards = model.shards
    audit = ShardedAudit(shards)
    index = ShardedIndex(shards)

    def faults() -> dict[str, int]:
        found = check_share(audit, _EVERYTHING, settle=_NOW, in_hand=InHand())
        return {fault.value: count for fault, count in found.faults.items() if count}

    before = faults()
    yield "audit", "before any damage", str(before), not before
    # Rows of the index, corrections, and all messages of some dossiers, which the model then forgets, too.
    gone = sorted({message.dossier_code for message in model.messages})[::10]
    listed = ", ".join(f"'{code}'" for code in gone)
    for shard in cluster.shards:
        for table, condition in (
            ("dossier_index", "cityHash64(event_id) % 7 = 0"),
            ("dossier_corrections", "cityHash64(event_id) % 5 = 0"),
            ("dossier_messages", f"dossier_code IN ({listed})"),
        ):
            shard[0].query(f"ALTER TABLE {LOCAL}.{table} DELETE WHERE {condition}", mutations_sync=2)
    lost = [message for message in model.messages if message.dossier_code in gone]
    model.messages = [message for message in model.messages if message.dossier_code not in gone]
    damaged = faults()
    yield (
        "audit",
        f"after damage, {len(lost)} messages deleted",
        str(damaged),
        {"missing", "unindexed", "orphaned"} <= damaged.keys(),
    )
    done = DossierRepair(audit, index)(_EVERYTHING, settle=_NOW, in_hand=InHand())
    after = faults()
    yield "repair", f"{done.dossiers} dossiers, {len(done.days)} days", f"faults {after}", not after
    # The epoch is raised over all shards: the highest version may be in any of them.
    epochs = [
        shards.run(shard, lambda client: ClickHouseRepair(client).raise_epoch("repair"), reads=("agency_minute", "tally_epochs"))
        for shard in range(len(shards))
    ]
    for day in sorted({*done.days}):
        for shard in range(len(shards)):
            start = dt.datetime.combine(day, dt.time(), dt.timezone(dt.timedelta(hours=7)))
            span = Span(start.astimezone(dt.UTC), start.astimezone(dt.UTC) + dt.timedelta(days=1))
            shards.run(shard, lambda client, span=span: ClickHouseStore(client).recount_minutes(span), reads=RECOUNT_READS)
            for tier in Tier:
                shards.run(
                    shard,
                    lambda client, tier=tier, day=day: ClickHouseRepair(client).clear_orphans(tier, day),
                    reads=(*RECOUNT_READS, tier.value),
                )
            shards.run(shard, lambda client, day=day: ClickHouseStore(client).roll_up_days(Days((day,))), reads=ROLL_UP_READS)
            shards.run(
                shard, lambda client, day=day: ClickHouseStore(client).recount_procedures(Days((day,))), reads=RECOUNT_READS
            )
    wrong = model.wrong()
    yield "repair", f"epochs {epochs}, recounted", f"wrong tallies {wrong}", not sum(wrong.values())
