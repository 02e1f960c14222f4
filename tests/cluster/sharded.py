"""The program's writers over shards: each statement runs on the tables of one shard, and a read first waits for replication.

``Shards`` splits rows by shard. ``ClickHouseStore`` and ``ClickHouseDossierIndex`` run as they are, on any replica of a shard.
docs/cluster.md says why each read waits for what it waits.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from domain.catalogue_levels import NO_CATALOGUE, CatalogueLevels
from sinks.clickhouse.client import ClickHouse, ExternalTable, Observer
from sinks.clickhouse.dossier_index import DOSSIER, ClickHouseDossierIndex
from sinks.clickhouse.target import Target
from sinks.errors import Retryable
from tests.clickhouse_cluster.cluster import Cluster
from tests.clickhouse_cluster.replica import Replica
from tests.cluster.databases import LOCAL

T = TypeVar("T")

#: What a read of each kind must see, of the tables of its shard.
LOOK_READS = ("dossier_index",)
RECOUNT_READS = ("dossier_messages", "dossier_corrections", "tally_epochs")
ROLL_UP_READS = ("agency_minute", "tally_epochs")
#: Seconds until a wait for replication is given up, and repeated on another replica.
_SYNC_SECONDS = 5


class TunedClickHouse(ClickHouse):
    """A connection that sends further settings with every statement."""

    def __init__(self, target: Target, settings: Mapping[str, Any], observer: Observer | None = None) -> None:
        super().__init__(target, **({"observer": observer} if observer else {}))
        self._extra = settings

    def _call_settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        return super()._call_settings({**settings, **self._extra})


@dataclass
class Shards:
    """Connections to all replicas. Every statement goes to a replica drawn by chance: any worker may use any of them.

    Args:
        sync: whether a read waits for replication.
        settings: sent with every statement.
        on_failure: called when a replica does not answer, or does not get what another one committed.
        only: the number of the replica of each shard that is used, instead of a drawn one.
    """

    cluster: Cluster
    source: random.Random
    sync: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    on_failure: Callable[[str], None] = lambda _: None
    only: int | None = None
    observer: Observer | None = None
    #: Replicas that get nothing from others at the moment. A wait for replication ends that, as time would.
    lagging: set[str] = field(default_factory=set)
    _clients: dict[str, ClickHouse] = field(default_factory=dict)
    _agencies: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.cluster.shards)

    def client(self, replica: Replica) -> ClickHouse:
        """The connection to a replica."""
        if replica.name not in self._clients:
            target = replica.client(LOCAL, timeout=30.0).target
            self._clients[replica.name] = TunedClickHouse(target, self.settings, self.observer)
        return self._clients[replica.name]

    def run(self, shard: int, action: Callable[[ClickHouse], T], *, reads: Sequence[str] = ()) -> T:
        """Run an action on a replica of a shard, when that replica has all that was committed to the tables that it reads.

        After a failure the whole action is repeated, the wait included, maybe on another replica.
        """
        while True:
            try:
                client = self.ready(shard, reads)
                return action(client)
            except Retryable as error:
                self.on_failure(str(error))

    def ready(self, shard: int, reads: Sequence[str]) -> ClickHouse:
        """A replica that has all that was committed to these tables."""
        replicas = self.cluster.shards[shard]
        replica = self.source.choice(replicas) if self.only is None else replicas[self.only]
        client = self.client(replica)
        if self.sync:
            if replica.name in self.lagging:
                self.lagging.discard(replica.name)
                client.command("lag", "SYSTEM START FETCHES")
            for table in reads:
                client.command("sync", f"SYSTEM SYNC REPLICA {LOCAL}.{table} LIGHTWEIGHT", receive_timeout=_SYNC_SECONDS)
        return client

    def lag(self, share: float) -> None:
        """Let replicas lag, each with a probability, and others catch up."""
        for replica in self.cluster.replicas:
            if not replica.process.running:
                self.lagging.discard(replica.name)  # it starts without
            elif replica.name in self.lagging:
                if self.source.random() < share / 2:
                    self.catch_up(replica)
            elif self.source.random() < share:
                self.lagging.add(replica.name)
                replica.query("SYSTEM STOP FETCHES")

    def catch_up(self, replica: Replica) -> None:
        """Let a replica fetch again."""
        self.lagging.discard(replica.name)
        replica.query("SYSTEM START FETCHES")

    def by_agency(self, rows: pa.Table) -> dict[int, pa.Table]:
        """The rows of each shard."""
        column = rows.column("agency").cast(pa.string())
        self._learn(column.unique().to_pylist())
        return self._split(rows, np.array([self._agencies[agency] for agency in column.to_pylist()]))

    def shard_of(self, agency: str) -> int:
        """The shard of an agency. The server is asked once for each."""
        self._learn([agency])
        return self._agencies[agency]

    def by_dossier(self, rows: pa.Table) -> dict[int, pa.Table]:
        """The rows of each shard. A server is asked for the numbers of dossiers that are named by their codes."""
        if "dossier" in rows.column_names:
            halves = np.array([int.from_bytes(number[:8], "little") for number in rows.column("dossier").to_pylist()], np.uint64)
            return self._split(rows, (halves % np.uint64(len(self))).astype(np.int64))
        codes = rows.column("dossier_code")
        found = self.run(
            0,
            lambda client: client.table(
                "find_shards",
                f"SELECT dossier_code, toUInt8(toUInt64({DOSSIER}) % {len(self)}) AS shard FROM codes",
                ExternalTable("codes", "dossier_code String", pa.table({"dossier_code": codes.unique()})),
            ),
        )
        shards = dict(zip(found.column(0).to_pylist(), found.column(1).to_pylist(), strict=True))
        return self._split(rows, np.array([shards[code] for code in codes.to_pylist()]))

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def _learn(self, agencies: Sequence[str]) -> None:
        for agency in set(agencies) - self._agencies.keys():
            sql = f"SELECT cityHash64(toLowCardinality('{agency}')) % {len(self)}"
            self._agencies[agency] = int(self.run(0, lambda client, sql=sql: client.rows("find_shard", sql))[0][0])

    def _split(self, rows: pa.Table, shard: np.ndarray) -> dict[int, pa.Table]:
        return {number: rows.filter(pa.array(shard == number)) for number in range(len(self)) if (shard == number).any()}


@dataclass
class ShardedIndex:
    """A ``DossierIndex`` over shards."""

    shards: Shards

    def add(self, messages: pa.Table) -> None:
        self._write(self.shards.by_dossier(messages), ClickHouseDossierIndex.add)

    def suspects(self, codes: pa.Table) -> pa.Table:
        return self._read(codes, ClickHouseDossierIndex.suspects)

    def histories(self, suspects: pa.Table) -> pa.Table:
        return self._read(suspects, ClickHouseDossierIndex.histories)

    def levels(self, agencies: Collection[str]) -> CatalogueLevels:  # noqa: ARG002
        return NO_CATALOGUE  # the catalogue is not sharded

    def note(self, notes: pa.Table) -> None:
        self._write(self.shards.by_dossier(notes), ClickHouseDossierIndex.note)

    def claim(self, claims: pa.Table) -> None:
        self._write(self.shards.by_dossier(claims), ClickHouseDossierIndex.claim)

    def confirm(self, claims: pa.Table) -> None:
        self._write(self.shards.by_dossier(claims), ClickHouseDossierIndex.confirm)

    def correct(self, corrections: pa.Table) -> None:
        self._write(self.shards.by_agency(corrections), ClickHouseDossierIndex.correct)

    def _write(self, parts: dict[int, pa.Table], write: Callable[[ClickHouseDossierIndex, pa.Table], None]) -> None:
        for shard, rows in parts.items():
            self.shards.run(shard, lambda client, rows=rows: write(ClickHouseDossierIndex(client), rows))

    def _read(self, rows: pa.Table, read: Callable[[ClickHouseDossierIndex, pa.Table], pa.Table]) -> pa.Table:
        found = [
            self.shards.run(shard, lambda client, part=part: read(ClickHouseDossierIndex(client), part), reads=LOOK_READS)
            for shard, part in self.shards.by_dossier(rows).items()
        ]
        return pa.concat_tables(found).unify_dictionaries()
