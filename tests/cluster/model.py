"""Several workers that count dossiers on a cluster at the same time: ``dossier_model`` with all of its messages at once."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from domain.events import DossierEvent
from domain.periods import civil_day
from pipeline.ingest.dossier_resolver import DossierResolver
from sinks.clickhouse.store import ClickHouseStore
from sinks.contract.tallies import Days, Span
from sinks.errors import Retryable
from tests.cluster.databases import ALL, LOCAL
from tests.cluster.sharded import RECOUNT_READS, ROLL_UP_READS, ShardedIndex, Shards
from tests.contract.dossier_model import Model, PausingClickHouse, _differences, dossiers_of, expected, tallied
from tests.factories import rows_of

#: Some of each shard; a dossier has messages of up to two.
AGENCIES = ("H17", "H18", "H01", "G01", "G22", "H50")
TABLES = ("dossier_messages", "dossier_index", "dossier_corrections", "agency_minute", "agency_day", "agency_day_procedure")

#: Batches that are written at the same time, a step of one after a step of another.
_WORKERS = 3
#: Of the steps, the share at which a worker crashes or freezes; a batch takes about fifty.
_ENDED_SHARE = 0.005


def many_dossiers(source: random.Random, number: int) -> list[DossierEvent]:
    """About this many dossiers, each with messages of one agency or two."""
    messages: list[DossierEvent] = []
    codes: set[str] = set()
    while len(codes) < number:
        drawn = dossiers_of(source)
        units = dict(zip(("H17", "H18"), source.sample(AGENCIES, 2), strict=True))
        renamed = {
            code: f"000.00.00.{units['H17']}-240315-{len(codes) + place:05d}"
            for place, code in enumerate(sorted({message.dossier_code for message in drawn}))
        }
        codes |= set(renamed.values())
        messages += [
            _with(message, agency=units[message.agency], dossier_code=renamed[message.dossier_code]) for message in drawn
        ]
    return messages


def _with(message: DossierEvent, **changes: object) -> DossierEvent:
    return DossierEvent(**{name: getattr(message, name) for name in message.__slots__} | changes)


@dataclass
class ClusterModel(Model):
    """Runs one case on a cluster; ``shards``: its connections."""

    clickhouse: None = None  # type: ignore[assignment]
    shards: Shards = None  # type: ignore[assignment]
    batch: int = 60
    #: The probability, at each step, that a replica begins to lag behind the other one.
    lag: float = 0.0
    #: Called after each batch with the share of the messages that are acknowledged.
    on_acknowledged: Callable[[float], None] = lambda _share: None
    messages: list[DossierEvent] = field(default_factory=list)

    def run_many(self, source: random.Random, messages: list[DossierEvent]) -> None:
        """Write all messages."""
        self.messages, self.acknowledged = messages, set()
        self.numbers = {message: number for number, message in enumerate(messages)}
        batches = self._batches(source, messages)
        self.seen.update(messages=len(messages), batches=len(batches))
        self._interleave(source, batches)

    def wrong(self) -> dict[str, int]:
        """How many tallies are wrong, on each server through the Distributed tables and in its own shard."""
        right = expected(self.messages)
        found = {}
        for replica in self.shards.cluster.replicas:
            self.shards.catch_up(replica)
        for replica in self.shards.cluster.replicas:
            for table in TABLES:
                replica.query(f"SYSTEM SYNC REPLICA {LOCAL}.{table}")
        for replica in self.shards.cluster.replicas:
            for database in (ALL, LOCAL):
                client = replica.client(database)
                mine = right if database == ALL else self._of_shard(right, replica.shard)
                found[f"{replica.name} {database}"] = len(list(_differences(mine, tallied(client))))
                client.close()
        return found

    def _of_shard(self, right, shard):
        return {
            table: {key: row for key, row in rows.items() if self.shards.shard_of(key[0]) == shard}
            for table, rows in right.items()
        }

    def _batches(self, source: random.Random, messages: list[DossierEvent]) -> list[list[DossierEvent]]:
        order = messages[:]
        source.shuffle(order)
        batches = []
        while order:
            size = source.randint(1, 2 * self.batch)
            batches.append(order[:size])
            order = order[size:]
        for _ in range(len(batches) // 5):  # redelivered
            batches.insert(source.randrange(len(batches) + 1), source.sample(messages, self.batch))
        return batches

    def _interleave(self, source: random.Random, waiting: list[list[DossierEvent]]) -> None:
        running: list[tuple[Iterator[str], list[DossierEvent]]] = []
        frozen: list[Iterator[str]] = []
        while waiting or running or frozen:
            if frozen and source.random() < 0.05:
                steps = source.choice(frozen)
                if next(steps, None) is None:
                    frozen.remove(steps)
                continue
            if waiting and len(running) < _WORKERS:
                batch = waiting.pop(0)
                running.append((self._write(source, batch), batch))
            if not running:
                continue
            if self.lag:
                self.shards.lag(self.lag)
            steps, batch = current = source.choice(running)
            chance = source.random()
            if chance < _ENDED_SHARE:  # the batch is redelivered; a frozen worker continues later, a crashed one does not
                waiting.insert(source.randrange(len(waiting) + 1), batch)
                running.remove(current)
                is_frozen = chance < _ENDED_SHARE / 2
                self.seen["frozen" if is_frozen else "crashes"] += 1
                frozen += [steps] if is_frozen else []
            elif next(steps, None) is None:
                running.remove(current)
                self.acknowledged |= {self.numbers[message] for message in batch}
                self.on_acknowledged(len(self.acknowledged) / len(self.numbers))

    def _write(self, source: random.Random, batch: list[DossierEvent]) -> Iterator[str]:
        rows = pa.concat_tables(
            [rows_of([message], partition=self.numbers[message]) for message in batch], promote_options="none"
        ).unify_dictionaries()
        for shard, part in self.shards.by_agency(rows).items():
            self.shards.run(shard, lambda client, part=part: ClickHouseStore(client).insert_events(part))
            yield "stored"
        touched = {(message.agency, message.occurred_at) for message in batch}
        if source.random() < 0.3:
            yield from self._minutes(touched)
        resolver = DossierResolver(ShardedIndex(self.shards))
        indexed = resolver.add(rows)
        yield "indexed"
        corrected = yield from resolver.steps(indexed)
        self.seen["corrections"] += corrected.claims.num_rows
        instants = [dt.datetime.fromtimestamp(int(at) / 1000, dt.UTC) for at in corrected.instants]
        touched |= set(zip(corrected.agencies.cast(pa.string()).to_pylist(), instants, strict=True))
        yield from self._minutes(touched)
        days = tuple(sorted({civil_day(instant) for _, instant in touched}))
        for reads, recount in (
            (ROLL_UP_READS, ClickHouseStore.roll_up_days),
            (RECOUNT_READS, ClickHouseStore.recount_procedures),
        ):
            for shard, agencies in self._by_shard(touched).items():
                yield from self._recount(shard, reads, recount, Days(days, agencies))
        if corrected.claims.num_rows:
            resolver.confirm(corrected)
            yield "confirmed"

    def _minutes(self, touched: set[tuple[str, dt.datetime]]) -> Iterator[str]:
        hours: dict[dt.datetime, set[tuple[str, dt.datetime]]] = {}
        for agency, instant in touched:
            hours.setdefault(instant.replace(minute=0, second=0, microsecond=0), set()).add((agency, instant))
        for _, those in sorted(hours.items()):
            minutes = {instant.replace(second=0, microsecond=0) for _, instant in those}
            for shard, agencies in self._by_shard(those).items():
                span = Span(min(minutes), max(minutes) + dt.timedelta(minutes=1), agencies)
                yield from self._recount(shard, RECOUNT_READS, ClickHouseStore.recount_minutes, span)

    def _by_shard(self, touched: set[tuple[str, dt.datetime]]) -> dict[int, tuple[str, ...]]:
        found: dict[int, set[str]] = {}
        for agency, _ in touched:
            found.setdefault(self.shards.shard_of(agency), set()).add(agency)
        return {shard: tuple(sorted(agencies)) for shard, agencies in sorted(found.items())}

    def _recount(self, shard: int, reads, recount, what: object) -> Iterator[str]:
        """Read on one replica, let others act, then write what was read; after a failure from the beginning."""
        while True:
            try:
                pausing = PausingClickHouse(self.shards.ready(shard, reads))
                recount(ClickHouseStore(pausing), what)
                yield "read"
                pausing.write()
            except Retryable as error:
                self.shards.on_failure(str(error))
            else:
                yield "written"
                return
