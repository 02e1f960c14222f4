"""Another number of shards, as docs/cluster.md describes it: a new database, a new group, the topic, and an export."""

from __future__ import annotations

import pytest
from confluent_kafka import TopicPartition

from bench.consumer_group import ConsumerGroup
from bench.february import await_truth, compare, reports, send_month
from deploy.native.processes import wait_until
from deploy.native.services.kafka_admin import admin_client
from deploy.native.services.portalpulse_process import PortalPulseProcess
from producers.portals.truth_comparison import shortened
from producers.sending.worker_processes import Broker
from tests.integration.cluster.conftest import ClusterChain
from tests.integration.worker.conftest import Chain


@pytest.fixture
def one_server(kafka, clickhouse_server, tmp_path, commands):
    """A chain with all rows on one server."""
    chain = Chain(kafka, clickhouse_server, tmp_path, commands)
    yield chain
    chain.close()


@pytest.fixture
def two_shards(one_server, clickhouse_cluster, clickhouse_database, tmp_path, commands):
    """A chain over the same topic, with another group and a new database on two shards."""
    chain = ClusterChain(one_server.kafka, clickhouse_cluster, clickhouse_database, tmp_path, commands, topic=one_server.topic)
    yield chain
    chain.close()


def awaited(chain, month):
    """Wait until every tally is the true one and every message is acknowledged."""
    group = ConsumerGroup(chain.kafka.bootstrap, group=chain.group, topic=chain.topic)
    await_truth(month, chain.server, chain.database, lag=group.lag, timeout=600)
    wait_until(chain.acknowledged, timeout=300, what="every message to be acknowledged")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_every_figure_is_the_same_on_another_number_of_shards(one_server, two_shards, tmp_path):
    """A new group reads the topic into the new database; what Kafka has deleted is replayed from the old installation."""
    one_server.worker()
    broker = Broker((one_server.kafka.bootstrap,), one_server.topic)
    month = send_month(events=6_000, seed=7, broker=broker)
    awaited(one_server, month)
    middle = [TopicPartition(one_server.topic, number, end // 2) for number, (_, end) in enumerate(one_server.offsets())]
    admin = admin_client(one_server.kafka.bootstrap)
    for deleted in admin.delete_records(middle).values():
        deleted.result(60)

    two_shards.worker()
    old = PortalPulseProcess("exporter", environment=one_server.environment, log_dir=tmp_path, name="old exporter")
    try:
        old.launch()
        old.await_ready()
        asked = ("replay", "--from-table", "--from", "2024-12-01", "--to", "2025-04-30")
        replayed = one_server.command(*asked, PORTALPULSE_HTTP__URL=old.url)
        assert replayed.returncode == 0, replayed.stderr
    finally:
        old.process.stop()
    awaited(two_shards, month)
    with reports(two_shards.environment, log_dir=tmp_path) as report:
        compared = compare(month, two_shards.server, two_shards.database, report=report)
    assert not compared.differences, "\n".join(shortened(compared.differences))
    assert compared.figures["agency_day"] > 0
    audit = two_shards.command("audit", "--kafka", "deep")
    assert audit.returncode == 0, audit.stdout
