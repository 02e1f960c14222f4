"""Every sender names the topic that refuses its messages, the reason and the remedy."""

from __future__ import annotations

import time
import uuid
from functools import partial

import pytest
from confluent_kafka.admin import NewTopic

from deploy.native.processes import wait_until
from deploy.native.services.kafka_admin import admin_client, ensure_topic
from producers.messages import Kind, Message
from producers.replay.task import Replay
from producers.replay.transforms.spacing import Spacing
from producers.sending import batch_sender
from producers.sending.batch_sender import BatchSender
from producers.sending.message_stream import MessageStream
from producers.sending.record_batches import Packer
from producers.sending.worker_processes import Broker, run_task
from tests.sending import Recorded


def topic_with(kafka, **config):
    """A new topic of one partition."""
    name = f"refusals-{uuid.uuid4().hex[:8]}"
    admin = admin_client(kafka.bootstrap)
    admin.create_topics([NewTopic(name, 1, 1, config=config)])[name].result(30)
    return name


def problem_of(task, kafka, topic):
    """Why the first message failed."""
    return run_task(task, broker=Broker((kafka.bootstrap,), topic), processes=1, on_progress=lambda _: None).problem


def replayed(kafka, topic, messages):
    """The problem of a replay."""
    return problem_of(Replay(Recorded(messages), Spacing()), kafka, topic)


def produced(kafka, topic, messages):
    """The problem of simulated traffic."""
    return problem_of(MessageStream("simulated", messages), kafka, topic)


@pytest.mark.parametrize("send", [replayed, produced])
def test_a_compacted_topic_wants_keys(kafka, send):
    """A compacted topic that refuses a message without a key is reported with that reason, not with a code."""
    topic = topic_with(kafka, **{"cleanup.policy": "compact"})
    problem = send(kafka, topic, [Message(None, b"{}", 0, Kind.RAW)])
    assert f"the topic {topic} refuses a message" in problem
    assert "cleanup.policy=compact every message needs a key" in problem


@pytest.mark.parametrize("send", [replayed, produced])
def test_a_topic_that_bounds_times(kafka, monkeypatch, send):
    """A clock that the topic does not accept is reported with the settings of the topic that bound it."""
    topic = topic_with(kafka, **{"message.timestamp.before.max.ms": "0"})
    behind = partial(BatchSender, now=lambda: time.time() - 60)
    monkeypatch.setattr(Broker, "sender", lambda broker: behind(bootstrap=broker.bootstrap, topic=broker.topic))
    problem = send(kafka, topic, [Message(b"k", b"{}", 0, Kind.RAW)])
    assert f"the topic {topic} refuses" in problem
    assert "message.timestamp.before.max.ms" in problem


@pytest.mark.long
def test_a_topic_that_is_deleted_while_a_replay_sends(kafka, monkeypatch):
    """A deleted topic is reported as deleted, not as a missing leader."""
    topic = topic_with(kafka)
    admin = admin_client(kafka.bootstrap)
    monkeypatch.setattr(batch_sender, "_DELIVERY_SECONDS", 3.0)

    def messages():
        yield Message(b"k", b"{}", 0, Kind.RAW)
        admin.delete_topics([topic])[topic].result(30)
        yield Message(b"k", b"{}", 0, Kind.RAW)

    problem = replayed(kafka, topic, messages())
    assert f"the topic {topic} is not there any more: it was deleted" in problem


def test_a_topic_that_is_created_again_while_messages_are_sent(kafka):
    """What was acknowledged before is not in the new topic: sending ends incomplete and says so."""
    topic = topic_with(kafka)
    admin = admin_client(kafka.bootstrap)

    def send(sender, messages):
        packer = Packer(1)
        for batch in [*packer.add(messages, indexes=range(3), distinct=[True] * 3), *packer.flush()]:
            sender.submit(batch)
        sender.flush()

    with BatchSender(bootstrap=[kafka.bootstrap], topic=topic) as sender:
        send(sender, [Message(b"k", b"{}", 0, Kind.RAW)] * 3)
        admin.delete_topics([topic])[topic].result(30)
        wait_until(lambda: topic not in admin.list_topics(timeout=5).topics or None, timeout=30, what="the topic to go")
        ensure_topic(kafka.bootstrap, topic, partitions=1)
        send(sender, [Message(b"k", b"{}", 0, Kind.RAW)] * 3)
        assert (sender.acknowledged, sender.failed) == (3, 3)
        assert f"the topic {topic} has lost messages that it had acknowledged" in sender.problem
