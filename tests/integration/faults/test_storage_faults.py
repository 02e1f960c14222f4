"""ClickHouse is killed, hangs, is slow, cut off, full or read-only: lost 0, double 0, every agency exact in every tier.

Each fault checks by itself that nothing is committed while nothing can be stored, that workers keep their partitions, stay below
their memory limit and report since when (``bench.chaos.outage``).
"""

from __future__ import annotations

import pyarrow as pa
import pytest

from bench.chaos.disk_faults import fill_disk, move_to_large_disk, move_to_small_disk
from bench.chaos.environment import Environment
from bench.chaos.outage import await_commit, max_unstored, run_for
from bench.chaos.workers import Worker
from bench.consumer_group import ConsumerGroup
from deploy.native.processes import wait_until
from deploy.native.services.clickhouse_server import ClickHouseServer
from sinks.clickhouse.client import ClickHouse, ExternalTable
from sinks.clickhouse.target import Target
from tests.factories import a_message
from tests.sending import send

#: An environment extends its limits on a slow machine (``Environment.limit``).
pytestmark = pytest.mark.timeout(900)


@pytest.mark.long
def test_killed_in_the_middle_of_an_insert(survives):
    """When ClickHouse is killed during an insert, workers wait, acknowledge nothing and continue after its restart."""
    survives("clickhouse-killed", within=30)


@pytest.mark.long
def test_answers_that_break_off(survives):
    """Workers retry after an answer that ends anywhere in its headers or body."""
    survives("clickhouse-half-answers")


@pytest.mark.long
def test_a_read_only_table_stops_the_worker(survives):
    """The worker ends with status 1 and names the cause; once the table is writable again, nothing is missing."""
    survives("clickhouse-read-only")


@pytest.mark.long
def test_a_full_disk(survives):
    """Workers wait while the disk is full; once there is space, everything is counted without a restart."""
    survives("clickhouse-disk-full")


def test_answers_are_whole_while_the_disk_is_full(tmp_path):
    """Every way of reading returns all rows of small and large answers, or an error: a full disk shortens nothing."""
    server = ClickHouseServer(data_dir=tmp_path / "data", log_dir=tmp_path / "logs")
    server.start()
    clickhouse = ClickHouse(Target.parse(server.url("default"), timeout=60))
    server.stop()
    move_to_small_disk(server.folder)
    try:
        server.start()
        fill_disk(server.folder)
        one = ExternalTable("one", "text String", pa.table({"text": ["a"]}))
        for rows in (1, 1_000, 3_000_000):
            sql = f"SELECT number AS n FROM numbers({rows})"
            assert len(clickhouse.rows("test", sql)) == rows
            assert clickhouse.table("test", sql).num_rows == rows
            assert clickhouse.table("test", f"{sql} WHERE toString(n) NOT IN (SELECT text FROM one)", one).num_rows == rows
            assert sum(batch.num_rows for batch in clickhouse.batches("test", sql)) == rows
            assert b"".join(clickhouse.stream("test", sql, None, "TSV")).count(b"\n") == rows
    finally:
        clickhouse.close()
        server.stop()
        move_to_large_disk(server.folder)


@pytest.mark.chaos
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    "name",
    [
        "clickhouse-refuses",
        "clickhouse-hangs",
        "clickhouse-slow",
        "clickhouse-half-answers",
        "clickhouse-half-requests",
        "clickhouse-too-many-parts",
    ],
)
def test_the_connection_to_clickhouse_misbehaves(survives, name, seed):
    """Processing resumes by itself after ClickHouse was refusing, hanging, slow, cut off or overloaded."""
    survives(name, seed=seed)


@pytest.mark.long
def test_a_hanging_storage_costs_no_memory():
    """While ClickHouse hangs, a worker times out its calls, stays below its limits, and leaves the rest in Kafka."""
    settings = {
        "PORTALPULSE_CLICKHOUSE__TIMEOUT_SECONDS": "3",
        "PORTALPULSE_INGEST__MAX_UNSTORED_ROWS": "10000",
        "PORTALPULSE_INGEST__BATCH_ROWS": "5000",
        "PORTALPULSE_KAFKA__FETCH_BYTES": "1000000",
    }
    with Environment(settings=settings) as env:
        await_commit(env)
        env.mark_injected()
        env.proxy.hang()
        env.traffic.burst(60_000)
        observed = run_for(env, 12.0)
        assert observed.committed > 0
        assert 0 < observed.unstored <= max_unstored(env, message_bytes=300)
        assert observed.behind > 20_000
        assert observed.reason
        env.proxy.open()
        env.await_exact()
        assert env.compare().exact
        assert not env.check()


USERS = """
<clickhouse>
  <profiles><default/></profiles><quotas><default/></quotas>
  <users>
    <default><password/><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default>
    <pulse><password>{password}</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
      <grants><query>GRANT {rights} ON pulse.*</query><query>GRANT TABLE ENGINE ON *</query></grants></pulse>
  </users>
</clickhouse>
"""
#: What a worker needs, as its own message names it.
RIGHTS = "SELECT, INSERT, ALTER, CREATE, DROP"


@pytest.mark.parametrize(
    ("changed", "name", "remedy"),
    [
        pytest.param({"password": "other"}, "AUTHENTICATION_FAILED", "Correct the user and the password", marks=pytest.mark.long),
        ({"rights": "SELECT"}, "ACCESS_DENIED", "A worker needs SELECT, INSERT, ALTER, CREATE and DROP on the database"),
    ],
)
def test_access_taken_away_at_run_time_stops_the_worker(kafka, tmp_path, changed, name, remedy):
    """A changed password or a revoked right ends a running worker with one sentence; after the correction nothing is missing."""
    topic = f"access-{name.lower()}"
    kafka.create_topic(topic, partitions=4)
    users, config = tmp_path / "users.xml", tmp_path / "config.xml"
    config.write_text(f"<clickhouse><users_config>{users}</users_config></clickhouse>")
    usual = {"password": "one", "rights": RIGHTS}
    users.write_text(USERS.format(**usual))
    server = ClickHouseServer(data_dir=tmp_path / "data", log_dir=tmp_path, options=[f"--config-file={config}"])
    server.start()
    worker = Worker(
        "worker",
        {
            "PORTALPULSE_KAFKA__BOOTSTRAP": kafka.bootstrap,
            "PORTALPULSE_KAFKA__TOPIC": topic,
            "PORTALPULSE_KAFKA__GROUP": topic,
            "PORTALPULSE_KAFKA__SESSION_TIMEOUT_SECONDS": "6",
            "PORTALPULSE_CLICKHOUSE__URL": server.url("pulse").replace("default:", "pulse:one"),
        },
        folder=tmp_path / "work",
        log_dir=tmp_path,
    )

    def send_events(count):
        assert send(kafka.bootstrap, topic, ((None, a_message()) for _ in range(count))).complete

    def tallied():
        return int(server.query("SELECT sum(events) FROM pulse.agency_minute FINAL"))

    try:
        worker.launch()
        worker.await_ready()
        send_events(100)
        wait_until(lambda: tallied() == 100, timeout=150, what="a hundred events")
        server.kill()
        users.write_text(USERS.format(**usual | changed))
        server.start()
        send_events(50)
        said = worker.await_end(frozenset({1}), timeout=60)
        assert name in said
        assert remedy in said
        assert "one" not in said.partition("http")[2]
        assert not worker.faults
        committed = ConsumerGroup(kafka.bootstrap, group=topic, topic=topic).committed()
        assert sum(committed.values()) <= 100
        server.stop()
        users.write_text(USERS.format(**usual))
        server.start()
        worker.launch()
        wait_until(lambda: tallied() == 150, timeout=150, what="every event")
        worker.stop()
        assert not worker.faults
    finally:
        worker.process.stop()
        server.stop()
