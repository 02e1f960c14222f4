"""Every statement of the protocol on the Distributed tables, as it is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import cast

import pyarrow as pa

from domain.errors import PortalPulseError
from domain.events import DossierEvent
from domain.periods import civil_day
from domain.tiers import Tier
from pipeline.ingest.dossier_resolver import Corrected, DossierResolver
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.dossier_audit import ClickHouseDossierAudit
from sinks.clickhouse.dossier_index import ClickHouseDossierIndex
from sinks.clickhouse.dossier_reader import ClickHouseDossierReader
from sinks.clickhouse.repair import ClickHouseRepair
from sinks.clickhouse.store import ClickHouseStore
from sinks.contract.audit import HashShard
from sinks.contract.dossier_audit import DossierSelection
from sinks.contract.tallies import Days, Span
from sinks.errors import SinkError
from tests.clickhouse_cluster.replica import Replica
from tests.cluster.checks import DAY, MINUTE, ONE, OTHER, TABLES, Bench, Check, rows_in, same
from tests.cluster.databases import ALL, LOCAL
from tests.cluster.sharded import TunedClickHouse
from tests.contract.dossier_model import expected, tallied
from tests.factories import an_event, rows_of

#: One correction for each dossier: a 10 that settles, or a 9 that does not.
_CORRECTED = 28


def statements(bench: Bench) -> Iterator[Check]:
    """Store, resolve and count dossiers, audit and repair them."""
    bench.everywhere()
    replica = bench.cluster.shards[1][0]
    client = TunedClickHouse(replica.client(ALL).target, {"distributed_foreground_insert": 1})
    events = _dossiers(bench)
    yield from _written(bench, client, events)
    yield from _audited(replica, client, events)


def _dossiers(bench: Bench) -> list[DossierEvent]:
    events = [event for place in range(20) for event in bench.dossier(1, 2, 10, agency=(ONE, OTHER)[place % 2], day=300)]
    # Of two agencies, whose tallies are in different shards; settled again on a later day.
    for _ in range(8):
        moved = bench.dossier(1, 2, 9, day=300)
        again = {"dossier_code": moved[0].dossier_code, "status": 9, "occurred_at": moved[2].occurred_at + DAY}
        events += [*moved, an_event(agency=OTHER, named_by_code=False, **again)]
    return events


def _written(bench: Bench, client: ClickHouse, events: list[DossierEvent]) -> Iterator[Check]:
    store, index = ClickHouseStore(client), ClickHouseDossierIndex(client)
    messages, indexed_before = (rows_in(client, table) for table in ("dossier_messages", "dossier_index"))
    rows = rows_of(events)
    yield from _run("insert_events", lambda: store.insert_events(rows))
    _wait(bench)
    yield Check("statement", "insert_events: rows", *same(rows_in(client, "dossier_messages") - messages, len(events)))
    resolver = DossierResolver(index)
    indexed = resolver.add(rows)
    _wait(bench)
    added = rows_in(client, "dossier_index") - indexed_before
    yield Check("statement", "index_messages (EPHEMERAL code): rows", *same(added, len(events)))
    misplaced = sum(
        int(shard[0].query(f"SELECT count() FROM dossier_index WHERE toUInt64(dossier) % 2 != {place}"))
        for place, shard in enumerate(bench.cluster.shards)
    )
    yield Check("statement", "index_messages: rows in a wrong shard", *same(misplaced, 0))
    found = index.suspects(pa.table({"dossier_code": indexed.codes}))
    yield Check("statement", "find_suspects (table sent with the query)", *same(found.num_rows, _CORRECTED))
    histories = set(index.histories(found).column("event_id").to_pylist())
    yield Check("statement", "read_histories (table sent with the query)", *same(len(histories), len(events)))
    steps = resolver.steps(indexed)
    while True:
        _wait(bench)
        try:
            next(steps)
        except StopIteration as end:
            corrected = cast("Corrected", end.value)
            break
    yield Check("statement", "claim_corrections, insert_corrections", *same(corrected.claims.num_rows, _CORRECTED))
    start, day = events[0].occurred_at, civil_day(events[0].occurred_at)
    days = Days((day, day + DAY))
    yield from _run("recount_minutes", lambda: store.recount_minutes(Span(start, start + DAY + 10 * MINUTE)))
    _wait(bench)
    yield from _run("roll_up_days", lambda: store.roll_up_days(days))
    yield from _run("recount_procedures", lambda: store.recount_procedures(days))
    yield from _run("confirm_corrections", lambda: resolver.confirm(corrected))
    _wait(bench)
    right, stored = expected(events), tallied(client)
    wrong = sum(stored[table].get(key) != row for table, rows_ in right.items() for key, row in rows_.items())
    yield Check("statement", "tallies that are wrong", *same(wrong, 0))
    read = ClickHouseDossierReader(client).messages(events[-1].dossier_code)
    yield Check("statement", "read_dossier: messages", *same(len(read), 4))
    yield from _run("check_tables", store.check_tables)


def _audited(replica: Replica, client: ClickHouse, events: list[DossierEvent]) -> Iterator[Check]:
    audit, repair = ClickHouseDossierAudit(client), ClickHouseRepair(client)
    day = civil_day(events[0].occurred_at)
    for mode in ("deny", "local", "allow", "global", "GLOBAL IN"):
        yield from _audit_by_day(replica, mode, day, len(events))
    codes = pa.table({"dossier_code": pa.array([event.dossier_code for event in events]).unique()})
    numbers = ClickHouseDossierIndex(client).suspects(codes).column("dossier").to_pylist()
    yield Check("statement", "audit_messages", *same(audit.stored_messages(numbers).num_rows, len(events)))
    yield Check("statement", "audit_codes", *same(len(audit.codes(numbers)), _CORRECTED))
    yield from _run("repair_dossiers (DELETE)", lambda: audit.forget(numbers[:1]), "DELETE query is not supported")
    yield from _run("repair_epoch", lambda: repair.raise_epoch("check"), "NOT_IMPLEMENTED")
    yield from _run("repair_orphans", lambda: repair.clear_orphans(Tier.MINUTE, day))
    yield from _run("repair_merge (OPTIMIZE)", lambda: repair.purge_superseded(Tier.DAY, [day]), "NOT_IMPLEMENTED")


def _wait(bench: Bench) -> None:
    for replica in bench.cluster.replicas:
        for table in ("tally_epochs", *TABLES):
            replica.query(f"SYSTEM SYNC REPLICA {LOCAL}.{table}")


def _run(name: str, action: Callable[[], object], fails: str = "") -> Iterator[Check]:
    try:
        action()
    except (SinkError, PortalPulseError) as error:
        yield Check("statement", name, str(error)[:230], bool(fails) and fails in str(error))
    else:
        yield Check("statement", name, "runs", not fails)


def _audit_by_day(replica: Replica, mode: str, day: dt.date, messages: int) -> Iterator[Check]:
    """The audit chooses dossiers by what three tables have on a day, and these are sharded differently."""
    client: ClickHouse
    if mode == "GLOBAL IN":
        client, name = GlobalInClickHouse(replica.client(ALL).target), "audit_dossiers of a day, GLOBAL IN"
    else:
        client = TunedClickHouse(replica.client(ALL).target, {"distributed_product_mode": mode})
        name = f"audit_dossiers of a day, distributed_product_mode={mode}"
    try:
        batches = list(
            ClickHouseDossierAudit(client).stored_dossiers(
                DossierSelection(HashShard(0, 1), (day, day)), settle=dt.timedelta(0), acknowledged=None
            )
        )
    except SinkError as error:
        yield Check("statement", name, str(error)[:230], mode in ("deny", "global"))
        return
    rows = pa.Table.from_batches(batches) if batches else None
    counts = [sum(rows.column(column).to_pylist()) if rows else 0 for column in ("stored", "indexed", "corrected")]
    yield Check(
        "statement",
        name,
        f"stored, indexed, corrected: {counts}, right [{messages}, {messages}, {_CORRECTED}]",
        (counts == [messages, messages, _CORRECTED]) == (mode != "local"),
    )


class GlobalInClickHouse(ClickHouse):
    """Evaluates each subquery after IN once, over all shards, and sends its result to the shards."""

    def stream(self, operation, sql, parameters, form, **settings):
        return super().stream(operation, sql.replace(" IN (SELECT", " GLOBAL IN (SELECT"), parameters, form, **settings)
