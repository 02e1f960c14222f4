"""Unread offsets are noticed, counted exactly and recorded, and no other offsets are."""

from __future__ import annotations

import json
import re

import httpx
import pytest
from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import NewTopic

from deploy.native.ports import free_port
from deploy.native.processes import wait_until
from deploy.native.services.kafka_admin import admin_client
from tests.exposition import samples
from tests.factories import a_message
from tests.proxies import Proxy

UNREAD = "portalpulse_worker_unread_offsets_total"


class Log:
    """Partition 0 of a topic, with the changes that tests make to it."""

    def __init__(self, chain):
        self.chain, self.admin = chain, admin_client(chain.kafka.bootstrap)
        self.sent = 0

    def send(self, count):
        """Send ``count`` different events."""
        producer = Producer({"bootstrap.servers": self.chain.kafka.bootstrap, "batch.num.messages": 50, "linger.ms": 0})
        for _ in range(count):
            producer.produce(self.chain.topic, a_message(), partition=0)
        assert producer.flush(60) == 0
        self.sent += count

    def delete_below(self, offset):
        """Remove messages, as retention does."""
        asked = self.admin.delete_records([TopicPartition(self.chain.topic, 0, offset)])
        for future in asked.values():
            future.result(60)

    def members(self):
        """Members of the workers' group."""
        return self.admin.describe_consumer_groups([self.chain.group])[self.chain.group].result(60).members

    def recreate(self):
        """Delete the topic and create it again, empty and with fewer partitions."""
        self.admin.delete_topics([self.chain.topic])[self.chain.topic].result(60)

        def created():
            try:
                self.admin.create_topics([NewTopic(self.chain.topic, 2, 1)])[self.chain.topic].result(60)
            except KafkaException:  # the old one is not gone yet
                return False
            return True

        wait_until(created, timeout=90, what="the topic to be created again")


def _unread(worker):
    """The worker's counter of unread offsets of partition 0."""
    return sum(sample.value for sample in samples(worker.url, UNREAD) if sample.labels["partition"] == "0")


def _noticed(worker):
    """The unread offsets in /readyz."""
    return httpx.get(f"{worker.url}/readyz", timeout=60, trust_env=False).json()["unread_offsets"]


def _audit(chain, *arguments):
    done = chain.command("audit", "--no-repeats", "--settle", "2", *arguments)
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode, done.stdout


def _kafka(chain):
    code, text = _audit(chain, "--format", "json", "--kafka", "offsets")
    return code, json.loads(text)


def _all_acknowledged(chain):
    """Whether everything in the log is acknowledged, and the group has an offset of every partition."""
    return all(committed == end for committed, end in chain.offsets())


def _start(chain, url, **changes):
    """A worker with a small memory budget that reaches ClickHouse at ``url``."""
    little = {
        "PORTALPULSE_CLICKHOUSE__URL": url,
        "PORTALPULSE_CLICKHOUSE__TIMEOUT_SECONDS": "2",
        "PORTALPULSE_INGEST__BATCH_ROWS": "200",
        "PORTALPULSE_INGEST__MAX_UNSTORED_ROWS": "400",
        "PORTALPULSE_KAFKA__FETCH_BYTES": "65536",
    }
    before = chain.environment
    chain.environment = before | little | changes
    try:
        return chain.worker()
    finally:
        chain.environment = before


@pytest.fixture
def log(chain):
    """Partition 0 of the chain's topic."""
    return Log(chain)


@pytest.fixture
def way(chain):
    """A proxy in front of ClickHouse."""
    proxy = Proxy(free_port(), int(chain.server.http_url.rpartition(":")[2]))
    proxy.url = chain.environment["PORTALPULSE_CLICKHOUSE__URL"].replace(
        chain.server.http_url.rpartition(":")[2], str(proxy.port)
    )
    yield proxy
    proxy.close()


@pytest.mark.long
def test_deleted_while_the_storage_is_away(chain, log, way):
    """Messages deleted during an outage of the storage are noticed during it, counted exactly, and reported after a restart."""
    worker = _start(chain, way.url)
    log.send(100)
    wait_until(lambda: chain.stored() == 100, timeout=150, what="the first events")
    assert _unread(worker) == _noticed(worker) == 0
    way.silent.set()
    log.send(5_000)
    wait_until(lambda: not worker.readiness()[0], timeout=150, what="the outage to be seen")
    log.delete_below(4_000)
    wait_until(lambda: _noticed(worker) > 0, timeout=150, what="the deletion to be noticed while the storage is away")
    way.silent.clear()
    wait_until(lambda: _all_acknowledged(chain), timeout=90, what="the rest to be counted")
    lost = log.sent - chain.stored()
    assert 0 < lost < 4_000
    assert _unread(worker) == _noticed(worker) == lost
    assert worker.readiness() == (True, "")
    worker.process.stop()
    restarted = _start(chain, way.url)
    assert _noticed(restarted) == 0
    code, found = _kafka(chain)
    assert code == 1
    (unread,) = found["unread"]["ranges"]
    assert (unread["partition"], unread["end"], unread["end"] - unread["first"], unread["kept"]) == (0, 4_000, lost, 0)
    words = f"Partition 0: offsets {unread['first']} to 3999 left the log before they were read: their messages may be lost."
    assert found["kafka"]["faults"] == [words]
    code, text = _audit(chain)
    assert code == 0
    assert words in " ".join(text.split())
    assert words in worker.process.log.read_text()


@pytest.mark.parametrize("fetch_is_open", [pytest.param(False, marks=pytest.mark.long), True])
def test_deleted_while_the_worker_is_frozen(chain, log, fetch_is_open):
    """A worker that was suspended while messages were deleted reports them when it continues; what it had fetched is kept."""
    worker = _start(chain, chain.environment["PORTALPULSE_CLICKHOUSE__URL"])
    log.send(100)
    wait_until(lambda: _all_acknowledged(chain), timeout=150, what="the first events")
    worker.process.suspend()
    if fetch_is_open:  # Kafka answers it with as many of the new messages as it has by then: 0 to 300
        log.send(300)
        log.delete_below(350)
    # A fetch waits for less time than the group waits for a member.
    wait_until(lambda: not log.members(), timeout=150, what="the group to go on without the worker")
    if not fetch_is_open:
        log.send(300)
        log.delete_below(350)
    worker.process.resume()
    wait_until(lambda: chain.stored() >= 150, timeout=150, what="the rest")
    wait_until(lambda: _all_acknowledged(chain), timeout=150, what="the rest to be acknowledged")
    ((first, end, kept),) = [(unread["first"], unread["end"], unread["kept"]) for unread in _kafka(chain)[1]["unread"]["ranges"]]
    assert end == 350
    assert end - first - kept == 400 - chain.stored()
    if not fetch_is_open:
        assert (first, chain.stored()) == (100, 150)
    assert _noticed(worker) == _unread(worker) == end - first
    text = worker.process.log.read_text()
    assert re.search(r"The process was suspended for \d+ s and rejoins the group\.", text)
    assert "keepalive" not in text
    assert "aiokafka" not in text


@pytest.mark.long
def test_deleted_while_no_worker_runs(chain, log):
    """The second worker reports offsets that left the log before it started, before it acknowledges later offsets."""
    first = _start(chain, chain.environment["PORTALPULSE_CLICKHOUSE__URL"])
    wait_until(lambda: _all_acknowledged(chain), timeout=150, what="the group to have offsets")
    first.process.stop()
    log.send(80)
    log.delete_below(50)
    second = _start(chain, chain.environment["PORTALPULSE_CLICKHOUSE__URL"])
    wait_until(lambda: chain.stored() == 30, timeout=150, what="the rest")
    assert _noticed(second) == 50
    assert [(unread["first"], unread["end"]) for unread in _kafka(chain)[1]["unread"]["ranges"]] == [(0, 50)]


def test_the_unread_offsets_of_a_recreated_topic_are_recorded(chain, log, way):
    """When a topic is recreated, its unacknowledged offsets are recorded up to the last known end."""
    worker = _start(chain, way.url)
    log.send(100)
    wait_until(lambda: _all_acknowledged(chain), timeout=150, what="the first events")
    way.silent.set()
    log.send(3_000)
    wait_until(lambda: not worker.readiness()[0], timeout=150, what="the outage to be seen")
    log.recreate()
    way.silent.clear()
    wait_until(lambda: not worker.process.running, timeout=150, what="the worker to end")
    assert "deleted and created again" in worker.process.log.read_text()
    lost = log.sent - chain.stored()
    ranges = _kafka(chain)[1]["unread"]["ranges"]
    assert 0 < sum(unread["end"] - unread["first"] - unread["kept"] for unread in ranges) <= lost


@pytest.mark.long
def test_ends_of_transactions_are_no_messages(chain, log):
    """Aborted messages and ends of transactions are acknowledged with the offsets before them and never reported as unread."""
    worker = _start(chain, chain.environment["PORTALPULSE_CLICKHOUSE__URL"])
    log.send(10)
    producer = Producer({"bootstrap.servers": chain.kafka.bootstrap, "transactional.id": chain.topic})
    producer.init_transactions(30)
    for partition in (0, 1):  # the other one holds nothing but what was taken back
        producer.begin_transaction()
        for _ in range(3):
            producer.produce(chain.topic, a_message(), partition=partition)
        producer.flush(30)
        producer.abort_transaction(30)
    wait_until(lambda: chain.stored() == 10 and _all_acknowledged(chain), timeout=150, what="nothing to wait")
    parts = {part["partition"]: part for part in _kafka(chain)[1]["kafka"]["partitions"]}
    assert (parts[0]["committed"], parts[1]["committed"]) == (14, 4)
    log.delete_below(14)
    worker.process.stop()
    second = _start(chain, chain.environment["PORTALPULSE_CLICKHOUSE__URL"])
    log.send(5)
    wait_until(lambda: chain.stored() == 15, timeout=150, what="what came afterwards")
    code, found = _kafka(chain)
    assert (code, found["unread"]["ranges"], found["kafka"]["faults"]) == (0, [], [])
    assert _noticed(second) == 0
