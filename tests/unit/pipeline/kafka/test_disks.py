"""The disks of brokers, asked in the background, and what of it is exported."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from pipeline.kafka.broker_state import LogDisk
from pipeline.kafka.disks import KafkaDisks
from pipeline.serving.kafka_disks import KafkaDiskCollector
from pipeline.settings import KafkaSettings


def exported(*answers):
    """The exposition after one round for each answer."""
    remaining = list(answers)

    def ask(_settings):
        answer = remaining.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    disks, registry = KafkaDisks(KafkaSettings(), ask=ask), CollectorRegistry()
    registry.register(KafkaDiskCollector(lambda: disks.free))
    for _ in answers:
        assert disks.round() == 60
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def test_the_fullest_disk_of_each_broker():
    """A broker has the share of its fullest disk, and 0 when a folder failed; a disk without a size says nothing."""
    disks = (
        LogDisk(1, "/a", 50, 100),
        LogDisk(1, "/b", 20, 100),
        LogDisk(2, "/c", -1, -1),
        LogDisk(3, "/d", 9, 10, "KafkaStorageError"),
    )
    assert exported(disks) == [
        'portalpulse_kafka_disk_free_ratio{broker="1"} 0.2',
        'portalpulse_kafka_disk_free_ratio{broker="3"} 0.0',
    ]


@pytest.mark.parametrize("answer", [None, (), RuntimeError("unforeseen")])
def test_no_answer_is_no_old_one(answer):
    """When brokers do not tell it any more, the series ends; an error ends no thread."""
    assert exported((LogDisk(1, "/a", 50, 100),), answer) == []
