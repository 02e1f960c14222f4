"""Reads from the topic for the audit: its offsets, those of the group, and ranges of messages. Joins no group.

The worker reads with aiokafka inside Faust. The audit asks for offsets rarely and outside of any event loop, so it uses
librdkafka for them. The description of the group comes from aiokafka (group_members), and messages are read as workers read them
(range_consumer).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Final

import stamina
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from domain.errors import ConfigurationError, UnavailableError
from pipeline.audit.topic_log import Partition
from pipeline.kafka import errors as kafka_errors
from pipeline.kafka.access import refusal, topics_of
from pipeline.kafka.access_errors import missing_portals
from pipeline.kafka.group_members import REQUEST_ERRORS, Group, admin_client, describe_group
from pipeline.kafka.range_consumer import RangeConsumer, messages_and_end
from pipeline.kafka.security import librdkafka_options
from pipeline.kafka.topic_identity import topic_ends, topic_kafka_options
from pipeline.kafka.topic_requests import all_described, has_controller, positions_of
from pipeline.settings import KafkaSettings

_CLIENT: Final = "portalpulse-audit"
_ANSWER_SECONDS: Final = 20.0
#: Longest wait for the next messages of a range (seconds).
_STALL_SECONDS: Final = 30.0
#: Longest wait for a portion to fill (seconds).
_PORTION_SECONDS: Final = 1.0
#: Messages in memory at once.
_PORTION: Final = 50_000


class KafkaTopicReader:
    """A ``pipeline.audit.topic_log.TopicReader`` for the topics and the group of the settings.

    ``topics``: topics of portals, of which at least one must exist; empty: the topic of the settings.
    """

    def __init__(self, settings: KafkaSettings, *, topics: Sequence[str] = (), answer_seconds: float = _ANSWER_SECONDS) -> None:
        self._settings, self._answer_seconds = settings, answer_seconds
        self._topics = tuple(topics) or (settings.topic,)

    def partitions(self) -> Sequence[Partition]:
        """First offset, end and committed offset of every partition.

        Raises:
            UnavailableError: no broker answers.
            ConfigurationError: the topic does not exist.
        """
        asked = [TopicPartition(topic, number) for topic, numbers in self._numbers().items() for number in numbers]
        with closing(self._consumer(self._settings.group)) as consumer:
            try:
                for attempt in stamina.retry_context(on=_is_retryable, attempts=None, timeout=self._answer_seconds, wait_max=1.0):
                    with attempt:
                        # Committed first: what is committed now was written before the ends are asked for.
                        found = consumer.committed(asked, timeout=self._answer_seconds)
                        marks = self._marks(consumer, asked)
            except KafkaException as error:
                raise self._unavailable(error) from error
        several = len(self._topics) > 1
        unknown = {OFFSET_INVALID, -1}
        return [
            Partition(
                where.partition,
                low,
                high,
                None if part.offset in unknown else part.offset,
                where.topic if several else "",
            )
            for where, part, (low, high) in zip(asked, found, marks, strict=True)
        ]

    def _marks(self, consumer: Any, asked: Sequence[TopicPartition]) -> list[tuple[int, int]]:
        """First offset and end of each partition. For several topics there is only one request to each leader."""
        if len(self._topics) == 1:
            return [consumer.get_watermark_offsets(where, timeout=self._answer_seconds) for where in asked]
        admin = AdminClient(topic_kafka_options(self._settings))
        wanted = [(where.topic, where.partition) for where in asked]
        lows, highs = (positions_of(admin, wanted, which) for which in (OffsetSpec.earliest(), OffsetSpec.latest()))
        return [(lows[where], highs[where]) for where in wanted]

    def ends(self) -> tuple[str, dict[int, int]]:
        """The topic's identity ("": the brokers do not tell it), and partition -> end of its log. Needs no right on the group.

        Raises:
            UnavailableError: no broker answers.
            ConfigurationError: the topic does not exist.
        """
        try:
            return topic_ends(self._settings, self._numbers()[self._settings.topic])
        except KafkaException as error:
            raise self._unavailable(error) from error
        except TimeoutError as error:
            raise UnavailableError(
                f"Kafka does not tell where the partitions of {self._settings.topic} end.", remedy="See the broker's log."
            ) from error

    def _numbers(self) -> Mapping[str, Sequence[int]]:
        """Existing topic -> the numbers of its partitions."""
        known = topics_of(self._settings.bootstrap, self._settings, used=self._topics[0], timeout=self._answer_seconds)
        found = {topic: known[topic] for topic in self._topics if topic in known}
        numbers = {topic: sorted(each.partitions) for topic, each in found.items() if each.error is None and each.partitions}
        if not numbers and len(self._topics) > 1:
            raise missing_portals(self._settings)
        if not numbers:
            raise ConfigurationError(f"The topic {self._topics[0]!r} does not exist.", remedy="Set PORTALPULSE_KAFKA__TOPIC.")
        return numbers

    def members(self) -> int:
        """How many members of the group read a topic, or may read it when the group is being rebalanced.

        Raises:
            UnavailableError: the brokers do not describe the group.
        """
        return self.group().readers(self._topics)

    def group(self) -> Group:
        """The consumer group: its members and their partitions.

        Raises:
            UnavailableError: the brokers do not describe the group.
        """
        try:
            return asyncio.run(self._described())
        except REQUEST_ERRORS as error:
            raise UnavailableError(
                f"Kafka does not describe the consumer group {self._settings.group!r}: {error!r}.",
                remedy=kafka_errors.remedy(error) or "See the broker's log.",
            ) from error

    async def _described(self) -> Group:
        async for attempt in stamina.retry_context(
            on=kafka_errors.is_retryable, attempts=None, timeout=self._answer_seconds, wait_max=1.0
        ):
            with attempt:
                async with admin_client(self._settings, _CLIENT) as client:
                    return await describe_group(client, self._settings.group)
        raise AssertionError  # the loop ends by returning or raising

    def messages(self, partition: int, begin: int, end: int, *, topic: str = "") -> Iterator[Sequence[tuple[int, bytes | None]]]:
        """Messages from the offset ``begin`` up to, not including, ``end``, in portions of (offset, value).

        Raises:
            UnavailableError: the broker does not answer, or a part of the range left the log.
        """
        topic = topic or self._settings.topic
        if begin >= end:
            return
        with closing(RangeConsumer(self._settings, _CLIENT)) as consumer:
            try:
                consumer.assign([TopicPartition(topic, partition, begin)])
                stalled = 0.0
                while begin < end:
                    found, log_end = messages_and_end(consumer.consume(min(_PORTION, end - begin), _PORTION_SECONDS))
                    if found:
                        begin, stalled = found[-1].offset() + 1, 0.0
                        yield [(message.offset(), message.value()) for message in found if message.offset() < end]
                    if log_end is not None:
                        return  # the last offsets may belong to markers of transactions, which are not messages
                    stalled += 0.0 if found else _PORTION_SECONDS
                    if stalled >= _STALL_SECONDS:
                        raise UnavailableError(
                            f"No message of {topic}, partition {partition}, came for {_STALL_SECONDS:g} s; "
                            f"reading stopped at offset {begin}, before {end}.",
                            remedy="Check the broker, then audit again.",
                        )
            except KafkaException as error:
                raise self._unavailable(error, reading=True) from error

    def topic_ids(self) -> Mapping[str, str]:
        """Existing topic -> its identity, which changes when the topic is created again; "": the brokers do not tell it.

        Raises:
            UnavailableError: no broker answers.
            ConfigurationError: the topic does not exist.
        """
        topics = list(self._numbers())
        try:
            admin = AdminClient(topic_kafka_options(self._settings))
            found = all_described(admin, topics) if has_controller(admin) else {}
        except KafkaException as error:
            raise self._unavailable(error) from error
        return {topic: found[topic][0] if topic in found else "" for topic in topics}

    def commit(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Commit offsets, by topic and partition, for the group, which must have no members. For a restore; no audit commits.

        Raises:
            UnavailableError: the brokers do not accept the offsets.
        """
        asked = [TopicPartition(*where, offset) for where, offset in offsets.items()]
        with closing(self._consumer(self._settings.group)) as consumer:
            try:
                for attempt in stamina.retry_context(on=_is_retryable, attempts=None, timeout=self._answer_seconds, wait_max=1.0):
                    with attempt:
                        _raise_refused(consumer.commit(offsets=asked, asynchronous=False))
            except KafkaException as error:
                raise self._unavailable(error) from error

    def _consumer(self, group: str) -> Any:
        return Consumer(
            {
                **librdkafka_options(self._settings),
                "client.id": _CLIENT,
                "log_level": 2,
                "group.id": group,  # asked about, never joined
                "enable.auto.commit": False,
                "isolation.level": "read_committed",  # the end of the log is before open transactions
            }
        )

    def _unavailable(self, error: KafkaException, *, reading: bool = False) -> UnavailableError:
        topics = f"topic {self._topics[0]}" if len(self._topics) == 1 else f"topics {self._settings.portal_prefix}CODE"
        what = f"{topics} or group {self._settings.group}"
        return refusal(error.args[0], self._settings.bootstrap, self._settings, what=what, reading=reading)


def _raise_refused(parts: Sequence[TopicPartition]) -> None:
    for part in parts:
        if part.error is not None:
            raise KafkaException(part.error)


def _is_retryable(error: Exception) -> bool:
    return isinstance(error, KafkaException) and kafka_errors.is_retryable(error.args[0])
