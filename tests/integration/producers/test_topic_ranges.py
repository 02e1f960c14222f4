"""A replay reads a range of a topic with a real consumer: at once, completely, and past offsets that are not messages."""

from __future__ import annotations

import time
import uuid

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from deploy.native.processes import wait_until
from producers.replay.plan import ReplayOptions, plan_replay
from producers.replay.sources.kafka_range import Bounds, KafkaRange, RangeGoneError
from producers.sending.checkpoint import Checkpoint
from producers.sending.worker_processes import Broker

PARTITIONS = 16
#: What a single partition cost when a portion was waited for until it was full (seconds).
WAITED_BEFORE = 30


@pytest.fixture
def topic(kafka):
    """A topic of 16 partitions with a name of its own."""
    name = f"range-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(name, partitions=PARTITIONS)
    return name


def transaction(kafka, topic, values, *, commit):
    """Send the values in one transaction, each to the next partition."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": f"{topic}-{uuid.uuid4().hex[:6]}"})
    producer.init_transactions(30)
    producer.begin_transaction()
    for number, value in enumerate(values):
        producer.produce(topic, value, partition=number % PARTITIONS)
    producer.flush(30)
    (producer.commit_transaction if commit else producer.abort_transaction)(30)


def test_a_range_that_ends_in_markers_is_read_at_once(kafka, topic):
    """A few messages in 16 partitions are read without waiting, although the last offsets are markers and aborted messages."""
    sent = [b"%d" % number for number in range(40)]
    transaction(kafka, topic, sent, commit=True)
    transaction(kafka, topic, [b"taken back"] * PARTITIONS, commit=False)
    fixed = KafkaRange((kafka.bootstrap,), topic, Bounds()).resolved()
    assert fixed.total > len(sent)  # the markers have offsets
    began = time.monotonic()
    assert sorted(message.value for message in fixed()) == sorted(sent)
    assert time.monotonic() - began < WAITED_BEFORE


def test_a_range_that_ends_before_the_log_does_is_read_at_once(kafka, topic):
    """Messages behind the range are neither read nor awaited, even when the range ends in markers."""
    transaction(kafka, topic, [b"first"] * PARTITIONS, commit=True)
    fixed = KafkaRange((kafka.bootstrap,), topic, Bounds()).resolved()
    transaction(kafka, topic, [b"later"] * PARTITIONS, commit=True)
    began = time.monotonic()
    assert [message.value for message in fixed()] == [b"first"] * PARTITIONS
    assert time.monotonic() - began < WAITED_BEFORE


def test_a_range_that_is_gone_is_never_read_as_if_it_were_whole(kafka, topic, tmp_path):
    """Deleted messages, and another topic of the same name under a running or a resumed replay, end it with a sentence."""
    transaction(kafka, topic, [b"old"] * PARTITIONS * 3, commit=True)
    broker = Broker((kafka.bootstrap,), topic)
    options = ReplayOptions(from_topic=topic, state=tmp_path / "state", resume=False)
    begun, state = plan_replay(options, target="target", source_topic=broker, http=None)
    Checkpoint(options.state, state).begin()
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.delete_records([TopicPartition(topic, 7, 2)])[TopicPartition(topic, 7, 2)].result(30)
    with pytest.raises(RangeGoneError, match="partition 7 has no offset 0 now"):
        list(begun.source())

    admin.delete_topics([topic])[topic].result(30)
    wait_until(lambda: topic not in admin.list_topics(timeout=5).topics or None, timeout=30, what="the topic to go")
    kafka.create_topic(topic, partitions=PARTITIONS)
    transaction(kafka, topic, [b"new"] * PARTITIONS * 3, commit=True)
    with pytest.raises(RangeGoneError, match="deleted and created again since this replay began"):
        list(begun.source())
    resumed = ReplayOptions(from_topic=topic, state=tmp_path / "state", resume=True)
    with pytest.raises(RangeGoneError, match="deleted and created again since the replay that is resumed began"):
        plan_replay(resumed, target="target", source_topic=broker, http=None)
