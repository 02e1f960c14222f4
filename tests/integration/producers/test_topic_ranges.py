"""A replay reads a range of a topic with a real consumer: at once, completely, and past offsets that are not messages."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from deploy.native.processes import wait_until
from domain.errors import ConfigurationError
from producers.replay.plan import ReplayOptions, plan_replay, with_target
from producers.replay.sources import fixed_range
from producers.replay.sources.fixed_range import RangeGoneError
from producers.replay.sources.kafka_range import Bounds, KafkaRange
from producers.sending.checkpoint import Checkpoint
from producers.sending.worker_processes import Broker, run_task

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


@pytest.mark.long
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
    resumed = replace(options, resume=True)
    with pytest.raises(
        RangeGoneError, match=r"it began at offset 0 of partition 7 .* begins at offset 2 now.*choose the start with --from"
    ):
        plan_replay(resumed, target="target", source_topic=broker, http=None)

    created_again(kafka, topic)
    transaction(kafka, topic, [b"new"] * PARTITIONS * 3, commit=True)
    with pytest.raises(RangeGoneError, match="deleted and created again since this replay began"):
        list(begun.source())
    with pytest.raises(RangeGoneError, match="deleted and created again since the replay that is resumed began"):
        plan_replay(resumed, target="target", source_topic=broker, http=None)


def test_a_source_that_is_created_again_is_noticed_while_it_is_read(kafka, topic, monkeypatch):
    """A replay that is slower than the check ends at it, not at the end of the range: the other topic's messages are not sent."""
    monkeypatch.setattr(fixed_range, "_IDENTITY_SECONDS", 0.0)
    transaction(kafka, topic, [b"old"] * PARTITIONS * 3, commit=True)
    messages = KafkaRange((kafka.bootstrap,), topic, Bounds()).resolved()()
    assert next(messages).value == b"old"
    created_again(kafka, topic)
    transaction(kafka, topic, [b"new"] * PARTITIONS * 3, commit=True)
    with pytest.raises(RangeGoneError, match="deleted and created again since this replay began"):
        next(messages)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_target_that_is_created_again_makes_a_replay_incomplete(kafka, topic, tmp_path, processes):
    """What was acknowledged before is not in the new topic, in whatever partition: no run calls itself complete."""
    path = tmp_path / "events.ndjson"
    path.write_text("{}\n" * 40)
    broker = Broker((kafka.bootstrap,), topic)
    options = ReplayOptions(files=(str(path),), state=tmp_path / "state", processes=processes)
    planned, state = plan_replay(options, target=topic, source_topic=None, http=None)
    begun = Checkpoint(options.state, with_target(state, broker))
    begun.begin()

    def report(progress):
        """Create the topic again when everything is acknowledged."""
        if progress.acknowledged == 40 and progress.position == 40 and not done:
            done.append(True)
            begun.reached(40)
            created_again(kafka, topic)

    done = []
    sent = run_task(planned, broker=broker, processes=processes, on_progress=report)
    assert done
    assert (sent.acknowledged, sent.failed, sent.complete) == (40, 0, False)
    assert f"the topic {topic} has lost messages that it had acknowledged" in sent.problem
    begun.close(finished=False)
    _, state = plan_replay(replace(options, resume=True), target=topic, source_topic=None, http=None)
    with pytest.raises(
        ConfigurationError, match=r"does not hold the 40 messages that were sent then\. Start again without --resume"
    ):
        with_target(state, broker)


def created_again(kafka, topic):
    """Delete a topic, and create another one of its name."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.delete_topics([topic])[topic].result(30)
    wait_until(lambda: topic not in admin.list_topics(timeout=5).topics or None, timeout=30, what="the topic to go")
    kafka.create_topic(topic, partitions=PARTITIONS)
