"""The storage over a real cluster: what is read is whole, and a single server or a new replica becomes part of it."""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager
from dataclasses import replace

import pytest

from deploy.native.processes import wait_until
from deploy.native.services.clickhouse_server import ClickHouseServer
from domain.periods import civil_day
from pipeline.ingest.dossier_resolver import DossierResolver
from pipeline.ingest.dossier_rows import RESOLVED_COLUMNS
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.cluster.cluster import Cluster
from sinks.clickhouse.cluster.layout import Layout, parse_layout
from sinks.clickhouse.cluster.migrate import migrate_cluster
from sinks.clickhouse.cluster.positions import check_positions, check_single_server
from sinks.clickhouse.cluster.replicas import synchronise
from sinks.clickhouse.cluster.storage import ClusterStorage
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.storage import ClickHouseStorage
from sinks.clickhouse.target import Target
from sinks.contract.tallies import Days, Span
from sinks.errors import Fatal, Retryable
from sinks.tables import AGENCY_DAY, AGENCY_DAY_PROCEDURE, AGENCY_MINUTE, DOSSIER_MESSAGES
from tests.clickhouse_cluster.cluster import Cluster as Nodes
from tests.factories import MORNING, an_event, rows_of

pytestmark = pytest.mark.integration

DAY = civil_day(MORNING)
SPAN, DAYS = Span(MORNING, MORNING + dt.timedelta(minutes=1)), Days((DAY,))


def layout(urls, database, *, timeout=30.0) -> Layout:
    """The layout of a database on the servers of the tests."""
    return parse_layout([[f"{url}/{database}" for url in shard] for shard in urls], "portalpulse", timeout=timeout)


@contextmanager
def opened(found: Layout, *, migrated=True):
    """A storage over a layout."""
    cluster = Cluster(found)
    try:
        if migrated:
            migrate_cluster(cluster)
        yield ClusterStorage(cluster)
    finally:
        cluster.close()


def events(number, *, start=0):
    """Events of as many dossiers, in one minute."""
    return [
        an_event(dossier_code=f"000.00.12.H17-240610-{start + at:06d}", occurred_at=MORNING + dt.timedelta(milliseconds=at))
        for at in range(number)
    ]


def recount(store):
    """Recount the minute, the day and its procedures."""
    store.recount_minutes(SPAN)
    store.roll_up_days(DAYS)
    store.recount_procedures(DAYS)


def counted(storage):
    """Events by the minute tallies and by the day tallies."""
    tallies = storage.tallies()
    found = (tallies.counts_between(SPAN.start, SPAN.end), tallies.counts_of_days(DAY, DAY))
    return [counts["H17"].events if counts else 0 for counts in found]


def test_a_recount_waits_for_rows_that_its_replica_lacks(clickhouse_cluster, clickhouse_database):
    """Another worker's rows that only one replica has are counted or make a recount late; no tally is short.

    The replicas of the other worker are in another order. Its own replica fetches nothing for a while.
    """
    first = layout(clickhouse_cluster.urls, clickhouse_database)
    hasty = layout(clickhouse_cluster.urls, clickhouse_database, timeout=2.0)
    other = replace(hasty, shards=tuple(shard[::-1] for shard in hasty.shards))
    with opened(first) as one, opened(other, migrated=False) as two:
        check_positions(two.cluster)
        behind = [shard[1] for shard in clickhouse_cluster.shards]
        for replica in behind:
            replica.query("SYSTEM STOP FETCHES", database=f"{clickhouse_database}_local")
        one.events().insert_events(rows_of(events(40)))
        two.events().insert_events(rows_of(events(20, start=40), offset=100))
        with pytest.raises(Retryable, match="TIMEOUT_EXCEEDED"):
            recount(two.events())
        assert counted(one) == [0, 0]
        for replica in behind:
            replica.query("SYSTEM START FETCHES", database=f"{clickhouse_database}_local")
        recount(two.events())
        assert counted(one) == counted(two) == [60, 60]


def test_a_dead_replica_stops_neither_writers_nor_readers(clickhouse_cluster, clickhouse_database):
    """With the first replica of each shard dead, writing, counting and reading go on; later both replicas agree."""
    with opened(layout(clickhouse_cluster.urls, clickhouse_database)) as storage:
        sent = events(20)
        storage.events().insert_events(rows_of(sent[:10]))
        recount(storage.events())  # the second replicas have everything now or fetch it
        for shard in storage.cluster.nodes:
            for table in (DOSSIER_MESSAGES, AGENCY_MINUTE, AGENCY_DAY, AGENCY_DAY_PROCEDURE):
                synchronise(shard[1], table)
        for shard in clickhouse_cluster.shards:
            shard[0].kill()
        index = DossierResolver(storage.dossier_index())

        def go_on():
            try:
                rows = rows_of(sent, offset=100)
                storage.events().insert_events(rows)
                index.resolve(index.add(rows.select(RESOLVED_COLUMNS)))
                recount(storage.events())
                return counted(storage) == [20, 20]
            except Retryable:
                return False

        wait_until(go_on, timeout=60, what="the second replicas to take over")
        with opened(layout(clickhouse_cluster.urls, clickhouse_database), migrated=False) as reader:
            assert counted(reader) == [20, 20], "a process that starts now"
        clickhouse_cluster.start()
        tallied = "SELECT sum(events) FROM agency_minute FINAL"
        for shard in clickhouse_cluster.shards:
            for replica in shard:
                replica.query("SYSTEM SYNC REPLICA agency_minute", database=f"{clickhouse_database}_local")
            assert len({replica.query(tallied, database=f"{clickhouse_database}_local") for replica in shard}) == 1


def test_shards_that_are_others_than_before_are_refused(clickhouse_cluster, clickhouse_database):
    """Another order or number of shards, or one shard as a single server, is refused before anything is read or written."""
    found = layout(clickhouse_cluster.urls, clickhouse_database)
    with opened(found):
        pass
    swapped, fewer = replace(found, shards=found.shards[::-1]), replace(found, shards=found.shards[:1])
    listed = "PORTALPULSE_CLICKHOUSE__SHARDS lists it as shard 1 of"
    with opened(swapped, migrated=False) as storage, pytest.raises(Fatal, match=f"is shard 2 of 2, and {listed} 2"):
        migrate_cluster(storage.cluster)
    with opened(fewer, migrated=False) as storage, pytest.raises(Fatal, match=f"is shard 1 of 2, and {listed} 1"):
        check_positions(storage.cluster)
    single = ClickHouse(replace(found.shards[0][0], database=f"{clickhouse_database}_local"))
    try:
        with pytest.raises(Fatal, match="has one of 2 shards"):
            check_single_server(single)
    finally:
        single.close()


@pytest.mark.long
def test_a_single_server_and_then_a_new_replica_join_a_cluster(tmp_path):
    """A server with data becomes the only replica of a cluster with every figure, and a second replica gets them all."""
    server = ClickHouseServer(data_dir=tmp_path / "single", log_dir=tmp_path)
    server.start()
    clickhouse = ClickHouse(Target.parse(server.url("portalpulse"), timeout=60))
    try:
        migrate(clickhouse)
        alone = ClickHouseStorage(clickhouse)
        alone.events().insert_events(rows_of(events(30)))
        recount(alone.events())
        before = alone.tallies().counts_by_day(DAY, DAY)
    finally:
        clickhouse.close()
        server.stop()
    with Nodes(tmp_path / "cluster", shards=1, adopted={(0, 0): server}) as nodes:
        ((first, second),) = nodes.urls
        with opened(layout([[first]], "portalpulse")) as storage:
            assert storage.tallies().counts_by_day(DAY, DAY) == before
            recount(storage.events())
            assert counted(storage) == [30, 30]
        with opened(layout([[second, first]], "portalpulse")) as storage:
            assert storage.tallies().counts_by_day(DAY, DAY) == before
            storage.events().insert_events(rows_of(events(5, start=30), offset=100))
            recount(storage.events())
            assert counted(storage) == [35, 35]
        kept = nodes.replica(0, 0).query("SELECT count() FROM dossier_messages", database="portalpulse_before_cluster")
        assert int(kept) == 30
