"""Requests of an admin client about topics: whether they exist, their identities, partitions and offsets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

#: Longest wait for an answer of a broker (seconds).
ANSWER_SECONDS: Final = 10.0


def has_controller(admin: AdminClient) -> bool:
    """Whether the brokers name a controller, which can be asked for identities of topics."""
    found = admin.list_topics(timeout=ANSWER_SECONDS)
    return found.controller_id in found.brokers


def described(admin: AdminClient, topic: str) -> tuple[str, list[int]]:
    """Identity and partitions of a topic; both empty: the brokers do not know the topic."""
    return all_described(admin, [topic])[topic]


def all_described(admin: AdminClient, topics: Sequence[str]) -> dict[str, tuple[str, list[int]]]:
    """Topic -> identity and partitions; both empty: the brokers do not know the topic."""
    found = {}
    for topic, asked in admin.describe_topics(TopicCollection(list(topics)), request_timeout=ANSWER_SECONDS).items():
        try:
            description = asked.result(2 * ANSWER_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
            found[topic] = ("", list[int]())
        else:
            found[topic] = (str(description.topic_id), [part.id for part in description.partitions])
    return found


def offsets_of(admin: AdminClient, topic: str, partitions: Collection[int], which: OffsetSpec) -> dict[int, int]:
    """Partition -> first offset or end, as ``which`` says, for partitions of one topic."""
    return of_topic(positions_of(admin, [(topic, part) for part in partitions], which), topic)


def positions_of(admin: AdminClient, parts: Collection[tuple[str, int]], which: OffsetSpec) -> dict[tuple[str, int], int]:
    """(topic, partition) -> first offset or end, as ``which`` says."""
    if not parts:
        return {}
    asked = admin.list_offsets({TopicPartition(*part): which for part in parts}, request_timeout=ANSWER_SECONDS)
    return {(where.topic, where.partition): future.result(2 * ANSWER_SECONDS).offset for where, future in asked.items()}


def of_topic(positions: Mapping[tuple[str, int], int], topic: str) -> dict[int, int]:
    """Partition -> offset, for the partitions of one topic in ``positions``."""
    return {partition: offset for (name, partition), offset in positions.items() if name == topic}
