"""What single settings do on a cluster, and what happens without a replica."""

from __future__ import annotations

from collections.abc import Iterator

import httpx

from domain.errors import PortalPulseError
from sinks.clickhouse.dossier_index import DOSSIER
from sinks.clickhouse.store import ClickHouseStore
from tests.cluster.checks import ONE, Bench, Check, is_synced, rows_in, same
from tests.cluster.databases import ALL, LOCAL
from tests.cluster.sharded import TunedClickHouse
from tests.factories import rows_of


def settings(bench: Bench) -> Iterator[Check]:
    """What single settings do."""
    bench.everywhere()
    yield from _deduplication(bench)
    yield from _background_insert(bench)
    yield from _quorum(bench)
    yield from _key_in_two_shards(bench)
    yield from _new_replica(bench)
    yield from _dead_replica(bench)


def _deduplication(bench: Bench) -> Iterator[Check]:
    """A repair indexes again what was deleted, and ClickHouse must not take that for a repeated insert."""
    for deduplicate, right in ((1, 0), (0, 1)):
        events = bench.dossier(1)
        replica = bench.cluster.shards[0][0]
        insert = (
            "INSERT INTO dossier_index (dossier_code, occurred_at, event_id, agency, procedure_code, due_at, facts, flags) "
            f"VALUES ('{events[0].dossier_code}', '2024-01-01 00:00:00', '{events[0].event_id}', '{ONE}', '1', "
            "'1970-01-01 00:00:00', 1, 1)"
        )
        options = {"insert_deduplicate": deduplicate, "deduplicate_insert": ("disable", "enable")[deduplicate]}
        number = replica.query(f"SELECT {DOSSIER} FROM (SELECT '{events[0].dossier_code}' AS dossier_code)")
        replica.query(insert, **options)
        replica.query(f"DELETE FROM dossier_index WHERE dossier = toUInt128('{number}')", lightweight_deletes_sync=2)
        replica.query(insert, **options)
        found = int(replica.query(f"SELECT count() FROM dossier_index WHERE dossier = toUInt128('{number}')"))
        yield Check("setting", f"insert_deduplicate={deduplicate}: rows after insert, DELETE, insert", str(found), found == right)


def _background_insert(bench: Bench) -> Iterator[Check]:
    replica = bench.cluster.shards[0][0]
    for foreground in (1, 0):
        replica.query("SYSTEM STOP DISTRIBUTED SENDS portalpulse.dossier_messages")
        client = TunedClickHouse(
            replica.client(ALL).target, {"distributed_foreground_insert": foreground, "prefer_localhost_replica": 0}
        )
        bench.everywhere()
        before = rows_in(client, "dossier_messages")
        try:
            ClickHouseStore(client).insert_events(rows_of(bench.dossier(1, 2)))
            bench.everywhere()
            found = rows_in(client, "dossier_messages") - before
        finally:
            replica.query("SYSTEM START DISTRIBUTED SENDS portalpulse.dossier_messages")
        replica.query("SYSTEM FLUSH DISTRIBUTED portalpulse.dossier_messages")
        bench.everywhere()
        late = rows_in(client, "dossier_messages") - before
        yield Check(
            "setting",
            f"distributed_foreground_insert={foreground}",
            f"{found} of 2 rows when the insert returned, {late} after SYSTEM FLUSH DISTRIBUTED",
            found == 2 * foreground and late == 2,
        )


def _quorum(bench: Bench) -> Iterator[Check]:
    """An insert that waits for both replicas, while one does not fetch."""
    first, second = bench.cluster.shards[bench.first.shard_of(ONE)]
    insert = f"INSERT INTO agency_day (agency, day, version) VALUES ('{ONE}', '2001-01-01', 1)"
    second.query("SYSTEM STOP FETCHES")
    try:
        first.query(insert, insert_quorum=2, insert_quorum_timeout=1000, insert_deduplicate=0)
        text = "returned"
    except PortalPulseError as error:
        text = str(error)
    rows = first.query("SELECT count() FROM agency_day WHERE day = '2001-01-01'")
    second.query("SYSTEM START FETCHES")
    yield Check(
        "setting",
        "insert_quorum=2, the other replica does not fetch",
        f"{text[:150]}; {rows} row is there and can be read",
        "UNKNOWN_STATUS_OF_INSERT" in text and rows == "1",
    )
    before = int(first.query("SELECT count() FROM agency_day WHERE day = '2001-01-02'"))
    first.query(insert.replace("01-01'", "01-02'"), insert_quorum=2, insert_quorum_timeout=20000, insert_deduplicate=0)
    found = int(second.query("SELECT count() FROM agency_day WHERE day = '2001-01-02'")) - before
    yield Check("setting", "insert_quorum=2: rows on the other replica when the insert returned", *same(found, 1))
    second.query("SYSTEM STOP FETCHES")
    first.query(insert.replace("01-01'", "01-03'"), insert_deduplicate=0)
    seen = int(second.query("SELECT count() FROM agency_day WHERE day = '2001-01-03'", select_sequential_consistency=1))
    second.query("SYSTEM START FETCHES")
    yield Check("setting", "select_sequential_consistency=1 without a quorum: rows of 1", str(seen), seen == 0)
    for parallel in (0,):
        first.query(insert.replace("01-01'", "01-04'"), insert_quorum=2, insert_quorum_parallel=parallel, insert_deduplicate=0)
        seen = int(second.query("SELECT count() FROM agency_day WHERE day = '2001-01-04'", select_sequential_consistency=1))
        yield Check("setting", "select_sequential_consistency=1 with insert_quorum_parallel=0: rows", *same(seen, 1))
    first.query("ALTER TABLE agency_day DELETE WHERE day < '2002-01-01'", mutations_sync=2)


def _key_in_two_shards(bench: Bench) -> Iterator[Check]:
    """A row whose key another shard has: FINAL replaces within a shard only."""
    for shard in bench.cluster.shards:
        shard[0].query(f"INSERT INTO agency_day (agency, day, events, version) VALUES ('{ONE}', '2001-02-01', 5, 1)")
    bench.everywhere()
    found = int(
        bench.cluster.replicas[0].query("SELECT sum(events) FROM agency_day FINAL WHERE day = '2001-02-01'", database=ALL)
    )
    yield Check("setting", "one key in two shards, read with FINAL: 5 events count as", str(found), found == 10)
    for shard in bench.cluster.shards:
        shard[0].query("ALTER TABLE agency_day DELETE WHERE day < '2002-01-01'", mutations_sync=2)


def _new_replica(bench: Bench) -> Iterator[Check]:
    """A replica that is created as an early migration created the table, before a later one added columns."""
    replica = bench.cluster.replicas[0]
    created = replica.query("SHOW CREATE TABLE agency_day FORMAT TSVRaw")
    early = (
        created.replace("`given_back` UInt64,", "").replace("'{replica}'", "'new'").replace("agency_day\n", "agency_day_new\n", 1)
    )
    try:
        replica.query(early)
        text = "created"
    except PortalPulseError as error:
        text = str(error)
    yield Check("setting", "CREATE TABLE of a replica without a later column", text[:200], "INCOMPATIBLE_COLUMNS" in text)
    now = created.replace("'{replica}'", "'new'").replace("agency_day\n", "agency_day_new\n", 1)
    replica.query(now)
    replica.query("SYSTEM SYNC REPLICA agency_day_new")
    counts = [replica.query(f"SELECT count() FROM {table}") for table in ("agency_day", "agency_day_new")]
    replica.query("DROP TABLE agency_day_new SYNC")
    yield Check("setting", "CREATE TABLE of a replica by SHOW CREATE TABLE: rows", *same(int(counts[1]), int(counts[0])))


def _dead_replica(bench: Bench) -> Iterator[Check]:
    """A replica ends with a block that the other one has not fetched; a deletion while one is down."""
    first, second = bench.cluster.shards[bench.first.shard_of(ONE)]
    events = bench.dossier(1, 2)
    count = f"SELECT count() FROM dossier_messages WHERE dossier_code = '{events[0].dossier_code}'"
    second.query("SYSTEM STOP FETCHES")
    bench.store(bench.first, events)
    first.process.kill()
    second.query("SYSTEM START FETCHES")
    waited = is_synced(second, "dossier_messages")
    seen = second.query(count)
    try:
        second.query("DELETE FROM dossier_index WHERE dossier = 0", lightweight_deletes_sync=2, timeout=20.0)
        text = "returned"
    except PortalPulseError as error:
        text = str(error)
    except httpx.TimeoutException:
        text = "no answer within 20 s"
    first.start()
    second.query(f"SYSTEM SYNC REPLICA {LOCAL}.dossier_messages LIGHTWEIGHT")
    late = second.query(count)
    yield Check(
        "setting",
        "a replica ended with 2 rows that nobody else has",
        f"the wait on the other one {'ended' if waited else 'timed out'} ({seen} rows), and ended after its return ({late} rows)",
        not waited and seen == "0" and late == "2",
    )
    yield Check("setting", "DELETE with lightweight_deletes_sync=2, a replica is down", text[:230], text != "returned")
