"""Kafka is killed, truncated, changed and replaced while events flow: lost 0, double 0, every agency exact in every tier."""

from __future__ import annotations

import pytest

#: An environment extends its limits on a slow machine (``Environment.limit``).
pytestmark = pytest.mark.timeout(900)


@pytest.mark.long
def test_a_segment_torn_by_a_power_cut(survives):
    """After kill -9 leaves half a batch at the end of the log, every acknowledged message is tallied."""
    survives("torn-segment")


@pytest.mark.long
def test_a_partition_is_added(survives):
    """A running worker reads the new partition without a restart, in less than half a minute."""
    survives("added-partition", within=30)


@pytest.mark.long
def test_a_recreated_topic_stops_the_worker(survives):
    """A worker ends and says that its topic was recreated; a worker with another group, as it advises, loses nothing."""
    survives("recreated-topic")


@pytest.mark.chaos
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_one_broker_of_three_is_lost(survives, seed):
    """The tallies catch up with the traffic before the broker is restarted."""
    survives("one-broker-of-three-lost", seed=seed)


@pytest.mark.chaos
def test_all_three_brokers_lose_power(survives):
    """When every replica ends in half a batch, messages that two of three had acknowledged are tallied."""
    survives("torn-segment", seed=2)
