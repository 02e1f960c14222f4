"""Every real service starts, answers, stops and restarts with its data."""

from __future__ import annotations

import httpx
import psutil
import pytest
from confluent_kafka import Consumer, Producer

from deploy.native.processes import wait_until
from deploy.native.services.alertmanager import AlertmanagerServer
from deploy.native.services.clickhouse_server import ClickHouseServer
from deploy.native.services.kafka import KafkaNode
from deploy.native.services.kafka_admin import admin_client, ensure_topic
from deploy.native.services.mock_kafka import MemoryBroker
from deploy.native.services.prometheus import DEMO, PrometheusServer
from deploy.native.services.receiver import NotificationReceiver
from domain.errors import ConfigurationError, UnavailableError

RULES = """\
groups:
  - name: always
    rules:
      - alert: Always
        expr: vector(1) > 0
        labels: {agency: H17, severity: critical}
        annotations: {summary: "luôn luôn"}
"""
ROUTES = """\
route: {{receiver: here, group_wait: 0s, group_interval: 1s, group_by: ["..."]}}
receivers:
  - name: here
    webhook_configs: [{{url: "{url}"}}]
"""


def produce(bootstrap, topic, values):
    """Send ``values`` and wait for every acknowledgement."""
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True})
    for value in values:
        producer.produce(topic, value=value)
    assert producer.flush(30) == 0


def consume(bootstrap, topic, count):
    """The first ``count`` messages of the topic, read by a consumer group."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": f"reader-{topic}", "auto.offset.reset": "earliest", "log_level": 0}
    )
    consumer.subscribe([topic])
    found = []

    def all_there():
        found.extend(message.value() for message in consumer.consume(100, timeout=0.5) if message.error() is None)
        return len(found) >= count

    wait_until(all_there, timeout=150, what=f"{count} messages")
    consumer.close()
    return found


@pytest.mark.long
def test_kafka_keeps_its_messages_and_address_over_kill_and_restart(tmp_path):
    """A killed node restarts on the same address with every acknowledged message and the same cluster id."""
    node = KafkaNode(data_dir=tmp_path / "kafka", log_dir=tmp_path / "logs", heap="256m")
    try:
        node.start()
        address, cluster = node.bootstrap, node.cluster_id
        node.create_topic("kept", partitions=2)
        produce(address, "kept", [b"one", b"two"])
        pid = node.process.pid
        node.kill()
        assert not psutil.pid_exists(pid)
        node.restart()
        assert node.bootstrap == address
        assert admin_client(address).list_topics(timeout=10).cluster_id == cluster
        assert sorted(consume(address, "kept", 2)) == [b"one", b"two"]
    finally:
        node.stop()
    assert node.process.pid is None


@pytest.mark.long
def test_kafka_folder_moves_to_new_ports(tmp_path):
    """A folder can be used again on other ports and keeps its cluster id, which may begin with a hyphen."""
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "cluster-id").write_text("-kLm3nOpQrStUvWxYz0123")
    first = KafkaNode(data_dir=tmp_path / "kafka", log_dir=tmp_path / "logs", heap="256m")
    try:
        first.start()
        first.create_topic("kept", partitions=1)
        produce(first.bootstrap, "kept", [b"one"])
    finally:
        first.stop()
    second = KafkaNode(data_dir=tmp_path / "kafka", log_dir=tmp_path / "logs", heap="256m")
    try:
        second.start()
        assert second.bootstrap != first.bootstrap
        assert second.cluster_id == "-kLm3nOpQrStUvWxYz0123"
        assert consume(second.bootstrap, "kept", 1) == [b"one"]
    finally:
        second.stop()


def test_a_topic_with_other_partitions_is_reported(kafka):
    """A topic with another number of partitions is an error that names both numbers."""
    kafka.create_topic("narrow", partitions=2)
    kafka.create_topic("narrow", partitions=2)
    with pytest.raises(ConfigurationError, match="has 2 partitions, not 4"):
        ensure_topic(kafka.bootstrap, "narrow", partitions=4)


def test_kafka_writes_a_log(kafka, parts_dir):
    """Kafka's own log exists, so that its failures can be read."""
    assert "started" in (parts_dir / "logs" / "kafka.log").read_text(encoding="utf-8")


def test_the_memory_broker_serves_producers_and_groups(tmp_path):
    """The in-memory broker accepts idempotent producers and consumer groups, and says that it always has four partitions."""
    broker = MemoryBroker(data_dir=tmp_path / "memory", log_dir=tmp_path / "logs")
    try:
        broker.start()
        broker.create_topic("events")
        produce(broker.bootstrap, "events", [b"a", b"b", b"c"])
        assert sorted(consume(broker.bootstrap, "events", 3)) == [b"a", b"b", b"c"]
        with pytest.raises(ConfigurationError, match="4 partitions"):
            broker.create_topic("wide", partitions=8)
    finally:
        broker.stop()


@pytest.mark.parametrize("name", ["clickhouse", "q?x=1#c%20 [1]*{a,b} ${HOME}\\t'\",;: dữ liệu"])
def test_clickhouse_keeps_its_rows_over_kill_and_restart(tmp_path, name):
    """Confirmed rows exist after kill -9 and restart, on the same address, in a folder of any name."""
    server = ClickHouseServer(data_dir=tmp_path / name, log_dir=tmp_path / "logs")
    try:
        server.start()
        url = server.http_url
        server.query("CREATE DATABASE kept")
        server.query("CREATE TABLE kept.t (a UInt32) ENGINE = MergeTree ORDER BY a")
        server.query("INSERT INTO kept.t SELECT number FROM numbers(1000)")
        server.kill()
        server.restart()
        assert server.http_url == url
        assert server.query("SELECT count(), sum(a) FROM kept.t") == "1000\t499500"
        assert (tmp_path / name / "store").is_dir()
        assert {path.name for path in tmp_path.iterdir()} == {name, "logs"}
    finally:
        server.stop()


def test_a_rejected_statement_is_an_unavailable_error(clickhouse_server):
    """The error contains the message of ClickHouse."""
    with pytest.raises(UnavailableError, match="UNKNOWN_TABLE"):
        clickhouse_server.query("SELECT * FROM nowhere")


@pytest.mark.long
def test_an_alert_travels_from_prometheus_to_the_receiver(tmp_path, prometheus_program, alertmanager_program):
    """A firing rule reaches the receiver's file through Alertmanager, with labels and annotations."""
    receiver = NotificationReceiver(tmp_path / "notifications.ndjson")
    receiver.start()
    alertmanager = AlertmanagerServer(data_dir=tmp_path / "am", log_dir=tmp_path / "logs", binary=alertmanager_program)
    prometheus = PrometheusServer(data_dir=tmp_path / "prom", log_dir=tmp_path / "logs", binary=prometheus_program)
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES, encoding="utf-8")
    alertmanager.config.parent.mkdir()
    alertmanager.config.write_text(ROUTES.format(url=receiver.url), encoding="utf-8")
    prometheus.configure(
        targets={"prometheus": [prometheus.address]}, rules=[rules], alertmanager=alertmanager.address, pace=DEMO
    )
    try:
        alertmanager.start()
        prometheus.start()
        wait_until(lambda: receiver.notifications.agencies("Always"), timeout=150, what="the delivery")
        (entry, *_) = receiver.notifications.read()
        assert (entry.alert, entry.agency, entry.annotations["summary"]) == ("Always", "H17", "luôn luôn")
        answer = httpx.get(f"{prometheus.url}/api/v1/query", params={"query": "up"}, trust_env=False).json()
        assert answer["status"] == "success"
    finally:
        prometheus.stop()
        alertmanager.stop()
        receiver.stop()


@pytest.mark.parametrize("lost", ["the file", "a rule"])
def test_rules_that_are_not_loaded_fail_the_start(tmp_path, prometheus_program, lost):
    """The start fails when Prometheus has not loaded every rule, because it would raise no alert without saying so."""
    prometheus = PrometheusServer(data_dir=tmp_path / "prom", log_dir=tmp_path / "logs", binary=prometheus_program)
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES, encoding="utf-8")
    prometheus.configure(targets={}, rules=[rules], alertmanager="127.0.0.1:1", pace=DEMO)
    text = prometheus.config.read_text(encoding="utf-8")
    if lost == "the file":
        prometheus.config.write_text(text.replace("rules.yml", "rule[s.yml]"), encoding="utf-8")
    else:
        other = tmp_path / "other.yml"
        other.write_text(RULES.replace("Always", "Never"), encoding="utf-8")
        prometheus.config.write_text(text.replace("rules.yml", "other.yml"), encoding="utf-8")
    prometheus.launch()
    try:
        with pytest.raises(UnavailableError, match="has not loaded 1 of its rules, among them Always"):
            prometheus.await_ready()
    finally:
        prometheus.stop()


def test_a_wrong_configuration_is_reported_with_its_message(tmp_path, prometheus_program):
    """A Prometheus that rejects its configuration ends the wait at once, with its message."""
    prometheus = PrometheusServer(data_dir=tmp_path / "prom", log_dir=tmp_path / "logs", binary=prometheus_program)
    prometheus.config.parent.mkdir()
    prometheus.config.write_text("scrape_configs: {}\n", encoding="utf-8")
    prometheus.launch()
    with pytest.raises(UnavailableError, match="cannot unmarshal"):
        prometheus.await_ready()
