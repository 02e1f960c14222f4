"""What an admin client asks the brokers about topics: whether they exist, their identities and partitions, and offsets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

#: Longest wait for an answer of a broker (seconds).
ANSWER_SECONDS: Final = 10.0


def has_controller(admin: AdminClient) -> bool:
    """Whether the brokers name one that could be asked for identities."""
    found = admin.list_topics(timeout=ANSWER_SECONDS)
    return found.controller_id in found.brokers


def described(admin: AdminClient, topic: str) -> tuple[str, list[int]]:
    """Identity and partitions; empty for a topic that the brokers do not know."""
    return all_described(admin, [topic])[topic]


def all_described(admin: AdminClient, topics: Sequence[str]) -> dict[str, tuple[str, list[int]]]:
    """Identity and partitions of each; empty for a topic that the brokers do not know."""
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
    """First offsets or ends of partitions of one topic, by partition."""
    return of_topic(positions_of(admin, [(topic, part) for part in partitions], which), topic)


def positions_of(admin: AdminClient, parts: Collection[tuple[str, int]], which: OffsetSpec) -> dict[tuple[str, int], int]:
    """First offsets or ends of partitions, by topic and partition."""
    if not parts:
        return {}
    asked = admin.list_offsets({TopicPartition(*part): which for part in parts}, request_timeout=ANSWER_SECONDS)
    return {(where.topic, where.partition): future.result(2 * ANSWER_SECONDS).offset for where, future in asked.items()}


def of_topic(positions: Mapping[tuple[str, int], int], topic: str) -> dict[int, int]:
    """What is known of one topic, by partition."""
    return {partition: offset for (name, partition), offset in positions.items() if name == topic}
