"""The lag of each partition and who reads it, as the brokers know it."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from domain.errors import UnavailableError
from pipeline.audit.topic_log import Partition
from pipeline.kafka.group_members import Group, Member
from pipeline.kafka.partition_lag import ROUND_SECONDS, PartitionWatch, partition_states
from pipeline.wiring.partitions import PartitionCollector

TOPIC = "events"


def member(name, *numbers, topic=TOPIC):
    """A worker and its partitions."""
    place = f"{name}-0f4a3c52-9d0e-4f6b-8a5e-2f1d3c4b5a69"
    return Member(place, "portalpulse-worker", "10.0.0.7", frozenset((topic, number) for number in numbers))


class Brokers:
    """What they answer; an error is raised."""

    def __init__(self, *parts, members=(), stable=True):
        self.parts, self.found = parts, Group(newer_protocol=False, stable=stable, members=tuple(members))

    def partitions(self):
        """The partitions."""
        if isinstance(self.parts, Exception):
            raise self.parts
        return self.parts

    def group(self):
        """The group."""
        return self.found


def told(brokers):
    """(topic, partition, lag, names of its workers) of each partition."""
    return [
        (part.topic, part.number, part.lag, None if part.readers is None else [reader.name for reader in part.readers])
        for part in partition_states(brokers, topic=TOPIC).partitions
    ]


def test_the_lag_is_what_is_not_acknowledged_and_still_there():
    """From the committed offset, or the beginning of the log where that is later or nothing is committed, to its end."""
    brokers = Brokers(Partition(0, 0, 50, 20), Partition(1, 30, 50, 20), Partition(2, 30, 50, None), Partition(3, 0, 5, 9))
    assert [lag for _, _, lag, _ in told(brokers)] == [30, 20, 20, 0]


def test_a_partition_that_nobody_reads_is_told():
    """Its lag is known, and that it has no worker, also when the group has no worker at all."""
    parts = Partition(0, 0, 50, 20), Partition(1, 0, 9, 9)
    assert told(Brokers(*parts, members=[member("worker-1", 0)])) == [(TOPIC, 0, 30, ["worker-1"]), (TOPIC, 1, 0, [])]
    assert told(Brokers(*parts, stable=False)) == [(TOPIC, 0, 30, []), (TOPIC, 1, 0, [])]


def test_while_partitions_are_given_out_nobody_is_said_to_read_none():
    """A group that is not at rest has no readers that are known: that is no partition without a worker."""
    brokers = Brokers(Partition(0, 0, 50, 20), members=[member("worker-1")], stable=False)
    assert told(brokers) == [(TOPIC, 0, 30, None)]


def test_topics_of_portals():
    """Each partition has the topic of its portal."""
    parts = Partition(0, 0, 5, 5, topic="dvc.portal.H17"), Partition(0, 0, 7, 5, topic="dvc.portal.H62")
    found = told(Brokers(*parts, members=[member("worker-1", 0, topic="dvc.portal.H62")]))
    assert found == [("dvc.portal.H17", 0, 0, []), ("dvc.portal.H62", 0, 2, ["worker-1"])]


def scraped(watch):
    """The samples of a scrape."""
    registry = CollectorRegistry()
    registry.register(PartitionCollector(lambda: watch.state))
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("error", [UnavailableError("Kafka is gone."), ValueError("odd")])
def test_old_figures_are_not_exported(error):
    """While the brokers do not answer there is no series; the next answer brings them back."""
    brokers = Brokers(Partition(3, 0, 50, 20), members=[member("worker-1", 0)])
    watch = PartitionWatch(brokers, topic=TOPIC)
    assert scraped(watch) == []
    assert watch.round() == ROUND_SECONDS
    first = scraped(watch)
    assert first == [
        'portalpulse_partition_lag_events{partition="3",topic="events"} 30.0',
        'portalpulse_partition_readers{partition="3",topic="events"} 0.0',
    ]
    parts, brokers.parts = brokers.parts, error
    watch.round()
    assert scraped(watch) == []
    brokers.parts = parts
    watch.round()
    assert scraped(watch) == first
