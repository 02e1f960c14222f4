"""The group gives out every partition that a topic has now, whatever its members had before."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from faust.assignor.client_assignment import ClientAssignment, ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.ingest.memory_budget import MemoryBudget
from pipeline.kafka.app import create_app
from pipeline.kafka.assignor import ExistingPartitionsAssignor
from pipeline.settings import KafkaSettings
from tests.budget import examples

TOPICS = ("events", "others")


def assignor(kind=ExistingPartitionsAssignor):
    """An assignor of an app without tables, with the replicas that Faust has by default."""
    app = SimpleNamespace(
        tables=SimpleNamespace(data={}, changelog_topics=set()),
        tracer=None,
        sensors=SimpleNamespace(
            on_assignment_start=lambda *_: None, on_assignment_completed=lambda *_: None, on_assignment_error=lambda *_: None
        ),
    )
    return kind(app, replicas=1)


def brokers(counts):
    """Metadata in which topics have so many partitions; no partition: the topic is missing."""
    return SimpleNamespace(partitions_for_topic=lambda topic: set(range(counts.get(topic, 0))) or None)


def member(actives, standbys=()):
    """What a member tells when it joins, with what it had: partitions by topic."""
    had = ClientAssignment(actives=dict(actives), standbys=dict(standbys))
    told = ClientMetadata(assignment=had, url="http://worker.invalid", changelog_distribution={})
    return ConsumerProtocolMemberMetadata(4, list(TOPICS), told.dumps())


def given_out(assignments):
    """Every (topic, partition) that the members are given, sorted."""
    decoded = [ConsumerProtocolMemberAssignment.decode(assignment.encode()) for assignment in assignments.values()]
    return sorted((topic, number) for one in decoded for topic, numbers in one.assignment for number in numbers)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ([[0, 1, 2, 3, 4]], 4),  # AssertionError() in Faust's own
        ([[2], [0], [1]], 1),  # a partition that does not exist is given out
        ([[0, 1, 2, 3, 4], []], 0),
    ],
)
def test_a_topic_that_has_fewer_partitions_than_before(before, now):
    """A topic that was created again with fewer partitions is given out; nothing else is, and nothing fails."""
    members = {f"m{index}": member({"events": had}) for index, had in enumerate(before)}
    assert given_out(assignor().assign(brokers({"events": now}), members)) == [("events", number) for number in range(now)]


def test_fausts_own_assignor_still_fails():
    """The day that Faust's assignor forgets such partitions by itself, ours is not needed any more."""
    with pytest.raises(AssertionError) as raised:
        assignor(PartitionAssignor).assign(brokers({"events": 4}), {"m": member({"events": [0, 1, 2, 3, 4]})})
    assert repr(raised.value) == "AssertionError()"


_PARTITIONS = st.lists(st.integers(0, 7), unique=True)
_OF_TOPICS = st.fixed_dictionaries({}, optional=dict.fromkeys(TOPICS, _PARTITIONS))


@settings(max_examples=examples(100), deadline=None)
@given(
    had=st.lists(st.tuples(_OF_TOPICS, _OF_TOPICS), min_size=1, max_size=4),
    counts=st.fixed_dictionaries(dict.fromkeys(TOPICS, st.integers(0, 6))),
)
def test_every_partition_has_one_reader_whatever_the_members_had(had, counts):
    """Each partition that a topic has is one member's, whatever was added, removed or held twice before."""
    members = {f"m{index}": member(*partitions) for index, partitions in enumerate(had)}
    expected = sorted((topic, number) for topic, count in counts.items() for number in range(count))
    assert given_out(assignor().assign(brokers(counts), members)) == expected


def test_members_keep_the_partitions_that_are_left():
    """Partitions that still exist stay with the members that had them: they are read on where they were."""
    members = {"a": member({"events": [0, 3]}), "b": member({"events": [1, 2]})}
    after = assignor().assign(brokers({"events": 3}), members)
    assert given_out({"b": after["b"]}) == [("events", 1), ("events", 2)]


async def test_the_worker_uses_it(tmp_path):
    """The group of our app is led with this assignor."""
    app = create_app(
        KafkaSettings(),
        topics=("events",),
        offer=print,
        fail=print,
        record_unread=print,
        budget=MemoryBudget(rows=1, size=1),
        data_dir=tmp_path,
        loop=asyncio.get_running_loop(),
    )
    assert isinstance(app.assignor, ExistingPartitionsAssignor)
    assert app.assignor.name == "faust"
