"""Every message that fits the topic arrives, in batches that fit or are split, and a message that is too large is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from types import SimpleNamespace

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import NewTopic

from deploy.native.services.kafka_admin import admin_client
from domain.errors import UnavailableError
from pipeline.kafka.resend import Resender
from pipeline.settings import KafkaSettings
from producers.messages import Kind, Message
from producers.replay.task import Replay
from producers.replay.transforms.spacing import Spacing
from producers.sending.message_stream import MessageStream
from producers.sending.refusals import TooLarge
from producers.sending.worker_processes import Broker, run_task
from tests.sending import Recorded

LIMIT = 100_000
MESSAGES = 8_000


def a_message(number, size=480):
    """A message of random bytes, which compression does not make smaller."""
    key = f"H26-{number:06d}"
    filler = os.urandom(size).hex()[: size - 80]
    value = json.dumps({"event_id": str(uuid.UUID(int=number)), "dossier_code": key, "x": filler})
    return Message(key.encode(), value.encode(), 0, Kind.RAW)


@pytest.fixture
def topic(kafka):
    """A topic of two partitions that accepts batches of up to 100,000 bytes."""
    name = f"sizes-{uuid.uuid4().hex[:8]}"
    config = {"max.message.bytes": str(LIMIT)}
    admin = admin_client(kafka.bootstrap)  # its answers end with it
    admin.create_topics([NewTopic(name, 2, 1, config=config)])[name].result(60)
    return name


def held(kafka, topic):
    """The values of all messages in the topic."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "sizes"})
    parts = [TopicPartition(topic, number, 0) for number in range(2)]
    ends = {part.partition: consumer.get_watermark_offsets(part, timeout=30)[1] for part in parts}
    consumer.assign(parts)
    values = []
    while len(values) < sum(ends.values()):
        values += [message.value() for message in consumer.consume(1_000, 1.0) if message.error() is None]
    consumer.close()
    return sorted(values)


@pytest.fixture(params=["limit known", "limit not known"])
def known(request, monkeypatch):
    """Whether the sender may read the topic's limit."""
    if request.param == "limit not known":
        monkeypatch.setattr("producers.sending.batch_sender.max_message_bytes", lambda *_: None)
    return request.param == "limit known"


def test_batches_fit_the_topic_or_are_split(kafka, topic, known):
    """At full speed every message that the topic accepts arrives once, and the two that it refuses are named."""
    messages = [a_message(number, size=150_000 if number in {17, 4_000} else 480) for number in range(MESSAGES)]
    sent = run_task(
        Replay(Recorded(messages), Spacing()), broker=Broker((kafka.bootstrap,), topic), processes=1, on_progress=lambda _: None
    )
    large = [messages[17], messages[4_000]]
    assert (sent.sent, sent.acknowledged, sent.failed) == (MESSAGES, MESSAGES - 2, 2)
    assert sorted(sent.too_large) == [
        TooLarge(place, message.key, len(message.key) + len(message.value))
        for place, message in zip((17, 4_000), large, strict=True)
    ]
    assert "raise its max.message.bytes" in sent.problem
    assert (f"({LIMIT:,} bytes)" in sent.problem) is known
    assert held(kafka, topic) == sorted(message.value for message in messages if message not in large)
    assert (sent.distinct, sent.position) == (MESSAGES - 2, 17)


def test_simulated_traffic_fits_the_topic(kafka, topic, known):
    """Simulated traffic that fits arrives once, and the error names the message that is too large."""
    messages = [a_message(number, size=150_000 if number == 17 else 480) for number in range(MESSAGES)]
    stream = MessageStream("simulated", messages)
    sent = run_task(stream, broker=Broker((kafka.bootstrap,), topic), processes=1, on_progress=lambda _: None)
    assert (sent.sent, sent.acknowledged, sent.failed) == (MESSAGES, MESSAGES - 1, 1)
    assert f"key 'H26-000017' has {len(messages[17].value) + 10:,} bytes, more than the topic {topic}" in sent.problem
    assert held(kafka, topic) == sorted(message.value for number, message in enumerate(messages) if number != 17)


def test_the_command_names_the_line(kafka, topic, tmp_path):
    """The report of a replay names file, line, size and key of a message that is too large, the limit and what to do."""
    file = tmp_path / "events.ndjson"
    file.write_bytes(
        b"\n" + b"".join(a_message(number, size=150_000 if number == 2 else 480).value + b"\n" for number in range(9))
    )
    ended = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "replay", file, "--bootstrap", kafka.bootstrap, "--topic", topic],
        env={"PATH": "/usr/bin:/bin", "PORTALPULSE_DATA_DIR": str(tmp_path / "none")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    assert f"{file}, line 4: " in ended.stdout
    assert "bytes, key 'H26-000002'" in ended.stdout
    assert f"takes ({LIMIT:,} bytes): raise its max.message.bytes" in ended.stdout
    assert len(held(kafka, topic)) == 8


def test_dead_letters_that_are_sent_again_fit_the_topic(kafka, topic):
    """Dead letters that are too large for one batch are sent one by one, and one that is too large is named with the remedy."""
    resender = Resender(KafkaSettings(bootstrap=(kafka.bootstrap,), topic=topic))
    letters = [SimpleNamespace(topic=topic, key=b"k", partition=0, offset=number) for number in range(4)]
    values = [a_message(number, size=60_000).value for number in range(4)]
    resender.send(letters, values)
    assert held(kafka, topic) == sorted(values)
    with pytest.raises(UnavailableError, match=r"a message of .* bytes: .*too large.* Raise max.message.bytes"):
        resender.send(letters[:1], [a_message(9, size=2_000_000).value])
