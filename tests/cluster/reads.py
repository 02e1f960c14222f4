"""The reads of the protocol while a block is on its way to the replica that they run on, and after a wait for it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from domain.events import DossierEvent
from domain.periods import civil_day
from domain.tiers import Tier
from pipeline.audit.dossier_check import check_share
from pipeline.audit.in_hand import InHand
from pipeline.ingest.dossier_resolver import DossierResolver
from sinks.clickhouse.dossier_audit import ClickHouseDossierAudit
from sinks.clickhouse.repair import ClickHouseRepair
from sinks.contract.audit import HashShard
from sinks.contract.dossier_audit import DossierSelection
from tests.cluster.checks import ONE, Bench, Check, is_synced
from tests.cluster.databases import ALL, LOCAL
from tests.cluster.sharded import ShardedIndex, Shards, TunedClickHouse
from tests.factories import rows_of

_NOTHING_IN_HAND = InHand()


@dataclass(frozen=True)
class _Read:
    """A read on the second replica of a table that was written on the first one."""

    name: str
    table: str
    write: Callable[[], None]
    read: Callable[[], int]
    right: int


def reads(bench: Bench) -> Iterator[Check]:
    """Each read of the protocol, while a block is on its way to the replica that it runs on, and after a wait for it."""
    for make in (
        *(_suspects, _messages, _claims, _minutes_of_messages, _minutes_of_corrections, _days_of_minutes),
        *(_procedures_of_messages, _epoch, _highest_version, _orphans, _audited),
    ):
        bench.everywhere()
        read = make(bench)
        for replica in bench.cluster.replicas:
            if replica.number == 1:
                replica.query(f"SYSTEM STOP FETCHES {LOCAL}.{read.table}")
        read.write()
        early = read.read()
        behind = [replica for replica in bench.cluster.replicas if replica.number == 1 and not is_synced(replica, read.table)]
        bench.everywhere()
        late = read.read()
        yield Check(
            "read",
            f"{read.name} ({read.table})",
            f"{early} before the wait, {late} after it, right {read.right}",
            early != read.right and late == read.right and bool(behind),
        )


def _suspects(bench: Bench) -> _Read:
    events = bench.dossier(1, 10)
    codes = pa.table({"dossier_code": [events[0].dossier_code]})
    return _Read(
        "suspects",
        "dossier_index",
        lambda: _add(bench, events),
        lambda: ShardedIndex(bench.second).suspects(codes).num_rows,
        1,
    )


def _add(bench: Bench, events: list[DossierEvent]) -> None:
    DossierResolver(ShardedIndex(bench.first)).add(rows_of(events))


def _history(bench: Bench, events: list[DossierEvent], count: Callable[[pa.Table], int]) -> Callable[[], int]:
    index = ShardedIndex(bench.second)
    suspects = ShardedIndex(bench.first).suspects(pa.table({"dossier_code": [events[0].dossier_code]}))
    return lambda: count(index.histories(suspects))


def _messages(bench: Bench) -> _Read:
    events = bench.dossier(1, 10, 9)
    _add(bench, events[:2])
    bench.everywhere()
    return _Read(
        "histories: messages",
        "dossier_index",
        lambda: _add(bench, events[2:]),
        _history(bench, events, lambda found: len(set(found.column("event_id").to_pylist()))),
        3,
    )


def _claims(bench: Bench) -> _Read:
    events = bench.dossier(1, 10)
    resolver = DossierResolver(ShardedIndex(bench.first))
    indexed = resolver.add(rows_of(events))
    bench.everywhere()
    steps = resolver.steps(indexed)

    def claim() -> None:
        while next(steps) != "claimed":
            pass

    return _Read(
        "histories: claims",
        "dossier_index",
        claim,
        _history(bench, events, lambda found: len({claim for claim in found.column("claim").to_pylist() if claim})),
        1,
    )


def _minutes_of_messages(bench: Bench) -> _Read:
    events = bench.dossier(1, 2, 9)

    def read() -> int:
        bench.recount(bench.second, events[0])
        return bench.counted(bench.second, events[0], Tier.MINUTE)

    return _Read("recount of minutes", "dossier_messages", lambda: [bench.store(bench.first, events)], read, 3)


def _minutes_of_corrections(bench: Bench) -> _Read:
    events = bench.dossier(1, 10)
    rows = bench.store(bench.first, events)
    bench.everywhere()

    def correct() -> None:
        resolver = DossierResolver(ShardedIndex(bench.first))
        resolver.resolve(resolver.add(rows))

    def read() -> int:
        bench.recount(bench.second, events[0])
        return bench.counted(bench.second, events[0], Tier.MINUTE, "sum(settled)")

    return _Read("recount of minutes", "dossier_corrections", correct, read, 1)


def _days_of_minutes(bench: Bench) -> _Read:
    events = bench.dossier(1, 2, 9)
    bench.store(bench.first, events)
    bench.everywhere()

    def read() -> int:
        bench.recount(bench.second, events[0], Tier.DAY)
        return bench.counted(bench.second, events[0], Tier.DAY)

    return _Read("sum of days", "agency_minute", lambda: bench.recount(bench.first, events[0]), read, 3)


def _procedures_of_messages(bench: Bench) -> _Read:
    events = bench.dossier(1, 2, 9)

    def read() -> int:
        bench.recount(bench.second, events[0], Tier.PROCEDURE)
        return bench.counted(bench.second, events[0], Tier.PROCEDURE)

    return _Read("recount of procedures", "dossier_messages", lambda: [bench.store(bench.first, events)], read, 3)


def _raise_epoch(bench: Bench, shards: Shards) -> int:
    return shards.run(shards.shard_of(ONE), lambda client: ClickHouseRepair(client).raise_epoch("check"))


def _epoch(bench: Bench) -> _Read:
    events = bench.dossier(1, 2, 9)
    bench.store(bench.first, events)
    bench.everywhere()
    known = bench.first.run(0, lambda client: client.rows("epoch", "SELECT max(epoch) FROM tally_epochs"))[0][0]

    def read() -> int:
        bench.recount(bench.second, events[0])
        return bench.counted(bench.second, events[0], Tier.MINUTE, "max(intDiv(version, 1099511627776))")

    return _Read("recount: epoch", "tally_epochs", lambda: [_raise_epoch(bench, bench.first)], read, int(known) + 1)


def _highest_version(bench: Bench) -> _Read:
    """A tally with a version of a far epoch, as a faulty program may leave it."""
    events = bench.dossier(1)
    known = bench.first.run(0, lambda client: client.rows("epoch", "SELECT max(epoch) FROM tally_epochs"))[0][0]
    high = int(known) + 50
    columns = "agency, minute, events, last_event_at, version"
    sql = (
        f"INSERT INTO agency_minute ({columns}) VALUES ('{ONE}', '2024-01-01 00:00:00', 9, now64(3), {high + 1} * 1099511627776)"
    )

    def write() -> None:
        bench.first.run(bench.first.shard_of(ONE), lambda client: client.command("test", sql))

    # Only reads what raise_epoch reads: an epoch that is raised too little would change the second answer.
    ask = f"SELECT intDiv(max(version), 1099511627776) FROM agency_minute WHERE agency = '{events[0].agency}'"
    return _Read(
        "raising the epoch: highest version",
        "agency_minute",
        write,
        lambda: int(bench.second.run(bench.second.shard_of(ONE), lambda client: client.rows("test", ask))[0][0]),
        high + 1,
    )


def _orphans(bench: Bench) -> _Read:
    events = bench.dossier(1, 2, 9)

    def write() -> None:
        bench.store(bench.first, events)
        bench.recount(bench.first, events[0])
        bench.second.run(
            bench.second.shard_of(ONE), lambda client: client.command("sync", f"SYSTEM SYNC REPLICA {LOCAL}.agency_minute")
        )

    def read() -> int:
        bench.recount(bench.second, events[0])
        _raise_epoch(bench, bench.second)
        bench.second.run(
            bench.second.shard_of(ONE),
            lambda client: ClickHouseRepair(client).clear_orphans(Tier.MINUTE, civil_day(events[0].occurred_at)),
        )
        return bench.counted(bench.second, events[0], Tier.MINUTE)

    return _Read("clearing of tallies without messages", "dossier_messages", write, read, 3)


def _audited(bench: Bench) -> _Read:
    events = bench.dossier(1, 10)

    def write() -> None:
        rows = bench.store(bench.first, events)
        resolver = DossierResolver(ShardedIndex(bench.first))
        resolver.resolve(resolver.add(rows))

    day = civil_day(events[0].occurred_at)
    client = _reader(bench, 0)
    other = _reader(bench, 1)

    def read() -> int:
        selection = DossierSelection(HashShard(0, 1), (day, day))
        return max(
            check_share(ClickHouseDossierAudit(each), selection, settle=dt.timedelta(0), in_hand=_NOTHING_IN_HAND).total
            for each in (client, other)
        )

    return _Read("audit: faults", "dossier_index", write, read, 0)


def _reader(bench: Bench, shard: int) -> TunedClickHouse:
    """A connection to the Distributed tables of a second replica, which uses its own rows where it can."""
    return TunedClickHouse(bench.cluster.shards[shard][1].client(ALL).target, {"distributed_product_mode": "allow"})
