"""The committed offsets of a consumer group."""

from __future__ import annotations

import time

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from deploy.native.services.kafka_admin import admin_client
from domain.errors import UnavailableError

#: Clients keep a dead member of a group alive for up to a minute.
GROUP_SECONDS = 90.0


class ConsumerGroup:
    """The committed offsets of one consumer group in one topic."""

    def __init__(self, bootstrap: str, *, group: str, topic: str) -> None:
        self._admin: AdminClient = admin_client(bootstrap)
        # A consumer that never joins asks for committed offsets: the admin client's request aborts the process when a coordinator
        # is lost.
        options = {"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False, "log_level": 0}
        self._consumer = Consumer(options)
        self._group = group
        self._topic = topic

    def ends(self) -> dict[int, int]:
        """Partition -> the offset after its last message."""
        partitions = self._admin.list_topics(self._topic, timeout=10).topics[self._topic].partitions
        futures = self._admin.list_offsets({TopicPartition(self._topic, number): OffsetSpec.latest() for number in partitions})
        return {partition.partition: future.result(10).offset for partition, future in futures.items()}

    def committed(self) -> dict[int, int]:
        """Partition -> the committed offset; partitions without one are omitted."""
        try:
            partitions = self._admin.list_topics(self._topic, timeout=10).topics[self._topic].partitions
            found = self._consumer.committed([TopicPartition(self._topic, number) for number in partitions], timeout=10)
        except KafkaException:
            return {}
        return {each.partition: each.offset for each in found if each.offset >= 0}

    def lag(self) -> int:
        """Messages that are not committed."""
        committed = self.committed()
        return sum(end - committed.get(number, 0) for number, end in self.ends().items())

    def rewind(self, messages: int, *, timeout: float = GROUP_SECONDS) -> int:
        """Set every partition back by up to ``messages``; returns how many are redelivered. The group must have no member.

        Raises:
            UnavailableError: a member is still in the group after ``timeout`` seconds.
        """
        ends, committed = self.ends(), self.committed()
        targets = {number: max(0, min(end, committed.get(number, 0)) - messages) for number, end in ends.items()}
        partitions = [TopicPartition(self._topic, number, offset) for number, offset in targets.items()]
        deadline = time.monotonic() + timeout
        while True:
            futures = self._admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(self._group, partitions)])
            try:
                refused = [each.error for each in futures[self._group].result(10).topic_partitions if each.error]
            except KafkaException as error:
                refused = [error.args[0]]
            if not refused:
                return sum(ends[number] - offset for number, offset in targets.items())
            if time.monotonic() > deadline:
                raise UnavailableError(f"The offsets of {self._group} cannot be set back: {refused[0]}.")
            time.sleep(0.5)
