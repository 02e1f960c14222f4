"""The audit's questions about the topic and the group."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from domain.errors import UnavailableError
from pipeline.kafka import topic_reader
from pipeline.kafka.topic_reader import KafkaTopicReader
from pipeline.settings import KafkaSettings

MOVING = KafkaException(KafkaError(KafkaError.NOT_COORDINATOR))
REFUSED = KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))


class Asked:
    """A consumer whose coordinator gives these answers about two partitions; the last one stays."""

    def __init__(self, *answers):
        self._answers = list(answers)

    def committed(self, parts, **_):
        """The next answer."""
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return [SimpleNamespace(partition=part.partition, offset=offset) for part, offset in zip(parts, answer, strict=True)]

    def get_watermark_offsets(self, _part, **_):
        """First offset and end."""
        return 3, 9

    def close(self):
        """Nothing to close."""


@pytest.fixture
def reader(monkeypatch):
    """``reader(*answers)``: reads of a topic with two partitions."""
    topic = SimpleNamespace(error=None, partitions={0: None, 1: None})
    monkeypatch.setattr(topic_reader, "topics_of", lambda *_, **__: {"events": topic})

    def reader(*answers):
        made = KafkaTopicReader(KafkaSettings(topic="events", group="g"), answer_seconds=0.5)
        asked = Asked(*answers)
        monkeypatch.setattr(made, "_consumer", lambda _group: asked)
        return made

    return reader


def test_a_coordinator_that_moves_is_asked_again(reader):
    """A coordinator that has just started says that it is none; a moment later it answers."""
    found = reader(MOVING, (5, -1001)).partitions()
    assert [(part.number, part.begin, part.end, part.committed) for part in found] == [(0, 3, 9, 5), (1, 3, 9, None)]


def test_a_coordinator_that_stays_away_is_not_ready(reader):
    """What would pass with time is not called a refusal."""
    with pytest.raises(UnavailableError, match=r"answers but is not ready: .*coordinator"):
        reader(MOVING).partitions()


def test_a_refusal_is_not_asked_again(reader):
    """A missing right does not pass."""
    with pytest.raises(UnavailableError, match="refuses access to topic events or group g"):
        reader(REFUSED, (5, 5)).partitions()
