"""The doctor over TLS and SASL: brokers, rights, the group, what is kept and for how long, disks, and the controller's clock."""

from __future__ import annotations

import json
import time

import httpx
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from deploy.native.processes import wait_until
from tests.factories import a_message

HOUR = 3_600_000


@pytest.fixture
def doctor(site, commands, tmp_path):
    """Runs the doctor with password and TLS and the rights of a worker; returns its findings by part."""
    site.through("tls")

    def run(**changes):
        ended = commands("doctor", "--format", "json", environment=site.environment | changes, folder=tmp_path, timeout=200)
        assert "Traceback" not in ended.stdout + ended.stderr
        found = json.loads(ended.stdout)
        assert ended.returncode == (0 if found["healthy"] else 2)
        return {finding["part"]: finding for finding in found["findings"]}

    return run


def of_kafka(found):
    """The states of the parts of Kafka."""
    parts = ("Broker", "Broker: certificate", "Partitions", "Group", "Retention", "Broker: disks")
    return {part: found[part]["state"] for part in parts if part in found}


def test_the_rights_of_a_worker_are_enough(site, doctor):
    """With READ alone nothing is called wrong; what these rights do not tell is said to be unknown."""
    site.send(3)
    found = doctor()
    assert of_kafka(found) == {
        **dict.fromkeys(("Broker", "Broker: certificate", "Partitions", "Retention"), "ok"),
        "Group": "note",
        "Broker: disks": "idle",
    }
    assert found["Group"]["says"] == f"no worker is in the group {site.group}; 3 messages wait"
    assert "not known: this user lacks DESCRIBE_CONFIGS" in found["Retention"]["says"]
    assert "2040-01-01" in found["Broker: certificate"]["says"]
    assert "Kafka's controller" not in found["Clocks"]["says"]


def test_more_rights_tell_more(site, doctor):
    """With DESCRIBE on the cluster and DESCRIBE_CONFIGS on the topic disks, clock and retention are known."""
    site.kafka.allow(site.user, "BROKER", "kafka-cluster", "DESCRIBE")
    site.kafka.allow(site.user, "TOPIC", site.topic, "DESCRIBE_CONFIGS")
    found = doctor()
    assert found["Broker: disks"]["state"] == "ok"
    assert "broker 1: " in found["Broker: disks"]["says"]
    assert "topics keep messages for" in found["Retention"]["says"]
    assert "Kafka's controller 1" in found["Clocks"]["says"]
    assert found["Clocks"]["state"] == "ok"


@pytest.mark.long
def test_a_worker_in_the_group(site, doctor):
    """A running worker is counted, and so is what waits for the group after it has gone."""
    site.send(2)
    worker = site.worker()
    site.await_messages(2)
    read = f"1 worker is in the group {site.group}; 0 messages wait"
    wait_until(lambda: doctor()["Group"]["says"] == read, timeout=120, what="a group that has read everything")
    worker.terminate()
    site.send(4)
    found = doctor()["Group"]
    assert (found["state"], found["remedy"]) == ("wrong", "Start a worker.")
    assert f"no worker is in the group {site.group}, and 4 messages wait" in found["says"]


def test_messages_that_were_deleted_before_they_were_read(site, doctor):
    """Offsets that left the log before the group read them are counted; a remedy says who has to send them again."""
    site.send(10)
    site.await_messages(10)
    options = {"bootstrap.servers": site.kafka.bootstrap, "group.id": site.group}
    consumer = Consumer(options)
    consumer.commit(offsets=[TopicPartition(site.topic, number, 0) for number in range(2)], asynchronous=False)
    consumer.close()
    deleted = site.kafka.admin.delete_records([TopicPartition(site.topic, number, 2) for number in range(2)])
    for future in deleted.values():
        future.result(60)
    found = doctor()["Retention"]
    assert found["state"] == "wrong"
    assert found["says"].startswith("4 offsets were deleted before the group read them")
    assert "Portals must send the messages again" in found["remedy"]


def test_messages_that_will_be_deleted_soon(site, doctor):
    """Unread messages that are older than half of what the topic keeps are told before Kafka deletes them."""
    site.kafka.allow(site.user, "TOPIC", site.topic, "DESCRIBE_CONFIGS")
    entry = ConfigEntry("retention.ms", str(24 * HOUR), incremental_operation=AlterConfigOpType.SET)
    changed = site.kafka.admin.incremental_alter_configs(
        [ConfigResource(ConfigResource.Type.TOPIC, site.topic, incremental_configs=[entry])]
    )
    for future in changed.values():
        future.result(60)
    producer, now = Producer({"bootstrap.servers": site.kafka.bootstrap}), int(time.time() * 1000)
    for hours in (13, 13, 11, 1):
        producer.produce(site.topic, a_message(), partition=0, timestamp=now - hours * HOUR)
    assert producer.flush(60) == 0
    found = doctor()["Retention"]
    assert (found["state"], found["says"]) == (
        "wrong",
        "2 unread messages are older than half of the time for which they are kept",
    )
    assert "retention.ms" in found["remedy"]


def test_a_compacted_topic(site, doctor):
    """A topic that is compacted loses events of dossiers: a fault with the setting to change."""
    site.kafka.allow(site.user, "TOPIC", site.topic, "DESCRIBE_CONFIGS")
    entry = ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.SET)
    changed = site.kafka.admin.incremental_alter_configs(
        [ConfigResource(ConfigResource.Type.TOPIC, site.topic, incremental_configs=[entry])]
    )
    for future in changed.values():
        future.result(60)
    found = doctor()["Retention"]
    assert (found["state"], "cleanup.policy=delete" in found["remedy"]) == ("wrong", True)


def test_a_broker_that_hangs(site, doctor):
    """Brokers that answer nothing are told within the bound, and the other parts all the same."""
    site.kafka.process.suspend()
    try:
        found = doctor()
    finally:
        site.kafka.process.resume()
    assert found["Broker"]["state"] == "wrong"
    assert found["ClickHouse"]["state"] == "ok"


@pytest.mark.long
def test_the_exporter_tells_the_disks_of_brokers(site, commands, tmp_path):
    """An exporter whose user may ask exports the free share of each broker's disk; one whose user may not exports none."""
    migrated = commands("migrate", environment=site.environment, folder=tmp_path)
    assert migrated.returncode == 0, migrated.stderr
    series = 'portalpulse_kafka_disk_free_ratio{broker="1"}'
    allowed = site.start("exporter")
    wait_until(lambda: series in metrics_of(allowed), timeout=60, what="the free share")
    assert 0 < allowed.gauge(series) < 1
    site.through("tls")
    refused = site.start("exporter")
    wait_until(lambda: "portalpulse_kafka_up 1.0" in metrics_of(refused), timeout=60, what="an answer of Kafka")
    assert series not in metrics_of(refused)


def metrics_of(process):
    """The exposition of a process."""
    return httpx.get(f"{process.url}/metrics", timeout=60, trust_env=False).text
