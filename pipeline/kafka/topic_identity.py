"""Detects that the topic of a worker was deleted, created again or truncated.

A topic that was created again has other messages at the same offsets. Faust and aiokafka know a topic by its name only. If the
committed offsets lie beyond the end of the new log, they would silently skip every message below those offsets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from domain.errors import ConfigurationError, UnavailableError
from pipeline.kafka.daemon_thread import in_daemon_thread
from pipeline.kafka.security import SILENT_LIBRDKAFKA, librdkafka_options
from pipeline.logs import get_logger
from pipeline.settings import KafkaSettings

#: Seconds between two checks.
CHECK_SECONDS: Final = 5.0
#: A broker that just started may not know the topic or its end yet: require this many identical readings before believing them.
_READINGS: Final = 3
_RETRY_SECONDS: Final = 1.0
_ANSWER_SECONDS: Final = 10.0
_FIRST_READINGS: Final = 5
#: Identity of a topic whose brokers do not support identities.
_UNKNOWN: Final = "unknown"

log = get_logger("topic")


class TopicGoneError(ConfigurationError):
    """The topic was deleted, created again or truncated."""


@dataclass(frozen=True, slots=True)
class TopicSnapshot:
    """What the brokers say about the topic. ``topic_id`` is empty while they do not know it; offsets are by partition."""

    topic_id: str
    committed: Mapping[int, int]
    first: Mapping[int, int]
    ends: Mapping[int, int]

    def offset_beyond_end(self) -> tuple[int, int, int] | None:
        """(partition, committed offset, end) of a partition whose committed offset lies beyond its end."""
        for partition, offset in self.committed.items():
            if (end := self.ends.get(partition)) is not None and offset > end:
                return partition, offset, end
        return None


class TopicIdentity:
    """``begin`` before the first message is read, ``watch`` from then on."""

    def __init__(self, settings: KafkaSettings, *, checked: Callable[[TopicSnapshot], None] = lambda _: None) -> None:
        """``checked`` is called with every snapshot of ``watch`` that shows the same topic."""
        self._settings, self._checked = settings, checked
        options = _kafka_options(settings)
        self._admin = AdminClient(options)
        # A consumer without a subscription joins no group. The admin client's request for committed offsets crashes librdkafka
        # (an assertion, or a segmentation fault) when a coordinator is lost and answers after the time limit.
        self._group_offsets = Consumer(options | {"group.id": settings.group, "enable.auto.commit": False})
        self._topic_id = ""
        self._has_identities = True

    async def begin(self) -> None:
        """Remember the topic's identity, and check that the committed offsets lie within its log.

        Raises:
            TopicGoneError: a committed offset lies beyond the end of its partition, or the topic is gone.
            UnavailableError: the brokers do not answer.
        """
        for attempt in range(1, _FIRST_READINGS + 1):
            try:
                if not await in_daemon_thread(self._has_controller):
                    if attempt < _READINGS:
                        await asyncio.sleep(_RETRY_SECONDS)
                        continue
                    self._has_identities = False  # Kafka's brokers always name one; librdkafka's mock cluster never does
                    log.warning("topic_identity_unknown", reason="the brokers name no controller that could be asked for it")
                snapshot = await in_daemon_thread(self._ask)
            except (KafkaException, TimeoutError) as error:
                if attempt == _FIRST_READINGS:
                    raise UnavailableError(
                        f"Kafka did not describe the topic {self._settings.topic!r}: {error!r}.",
                        remedy="See the broker's log, then restart the worker.",
                    ) from error
            else:
                self._topic_id = snapshot.topic_id
                if snapshot.topic_id and snapshot.offset_beyond_end() is None:
                    return
                if attempt == _FIRST_READINGS:
                    raise self._problem(snapshot)
            await asyncio.sleep(_RETRY_SECONDS)

    @property
    def topic_id(self) -> str:
        """The identity that ``begin`` found."""
        return self._topic_id

    async def watch(self) -> NoReturn:
        """Check the topic until the worker stops.

        Raises:
            TopicGoneError: the topic was deleted or created again, or committed offsets lie beyond its end.
        """
        suspicious = 0
        while True:
            await asyncio.sleep(_RETRY_SECONDS if suspicious else CHECK_SECONDS)
            try:
                snapshot = await in_daemon_thread(self._ask)
            except (KafkaException, TimeoutError) as error:  # the watchdog ends a worker whose brokers do not answer
                log.info("topic_not_described", error=repr(error))
                continue
            suspicious = 0 if snapshot.topic_id and snapshot.offset_beyond_end() is None else suspicious + 1
            if suspicious == _READINGS or (snapshot.topic_id and snapshot.topic_id != self._topic_id):
                raise self._problem(snapshot)
            if not suspicious:
                self._checked(snapshot)

    def _problem(self, snapshot: TopicSnapshot) -> TopicGoneError:
        """What happened to the topic, and the remedy."""
        topic, group = self._settings.topic, self._settings.group
        beyond = snapshot.offset_beyond_end()
        if not snapshot.topic_id:
            return TopicGoneError(
                f"The topic {topic!r} was deleted.",
                remedy="Create it again, then start the worker with another PORTALPULSE_KAFKA__GROUP. Messages of the"
                " deleted topic that this group had not read must be sent again.",
            )
        if snapshot.topic_id != self._topic_id:
            problem = f"The topic {topic!r} was deleted and created again while this worker was reading it."
        else:
            assert beyond is not None
            partition, offset, end = beyond
            problem = (
                f"The consumer group {group!r} has read partition {partition} of {topic!r} up to offset {offset}, but it ends at"
                f" {end}: the topic was deleted and created again, or its brokers lost messages."
            )
        return TopicGoneError(
            problem,
            remedy="Start the worker with another PORTALPULSE_KAFKA__GROUP. It reads the topic from its beginning;"
            " events that are already counted are not counted twice.",
        )

    def _has_controller(self) -> bool:
        return _has_controller(self._admin)

    def _ask(self) -> TopicSnapshot:
        topic = self._settings.topic
        topic_id, partitions = _described(self._admin, topic) if self._has_identities else self._listed()
        if not topic_id or topic_id != (self._topic_id or topic_id):
            return TopicSnapshot(topic_id, {}, {}, {})  # offsets of another topic mean nothing and may be unavailable for a while
        found = self._group_offsets.committed([TopicPartition(topic, part) for part in partitions], timeout=_ANSWER_SECONDS)
        committed = {part.partition: part.offset for part in found if part.offset >= 0}
        # Ends are requested after the committed offsets: in the other order an offset could seem to lie beyond its end.
        ends = self._offsets(committed, OffsetSpec.latest())
        return TopicSnapshot(topic_id, committed, self._offsets(partitions, OffsetSpec.earliest()), ends)

    def _listed(self) -> tuple[str, list[int]]:
        """``_described`` for brokers that do not support identities."""
        found = self._admin.list_topics(timeout=_ANSWER_SECONDS).topics.get(self._settings.topic)
        return (_UNKNOWN, list(found.partitions)) if found is not None and found.error is None else ("", [])

    def _offsets(self, partitions: Collection[int], which: OffsetSpec) -> dict[int, int]:
        return _offsets_of(self._admin, self._settings.topic, partitions, which)


def topic_ends(settings: KafkaSettings, partitions: Collection[int]) -> tuple[str, dict[int, int]]:
    """The id of the topic of the settings, as ``TopicIdentity.topic_id`` gives it, and the ends of ``partitions``.

    The id is "" when the brokers do not tell it. It is requested first: when the topic is created again in between, the new ends
    are paired with the id of the old topic, and what is recorded under that id applies to no message.

    Raises:
        KafkaException, TimeoutError: the brokers do not tell the ends.
    """
    admin = AdminClient(_kafka_options(settings))
    try:
        topic_id = _described(admin, settings.topic)[0] if _has_controller(admin) else _UNKNOWN
    except (KafkaException, TimeoutError) as error:
        log.info("topic_not_described", error=repr(error))
        topic_id = ""
    return topic_id, _offsets_of(admin, settings.topic, partitions, OffsetSpec.latest())


def topic_identity(settings: KafkaSettings) -> str:
    """The id of the topic of the settings, which changes when it is deleted and created again; "" when brokers do not tell it."""
    try:
        admin = AdminClient(_kafka_options(settings))
        found = _described(admin, settings.topic)[0] if _has_controller(admin) else ""
    except (KafkaException, TimeoutError) as error:
        log.debug("topic_not_described", error=repr(error))
        return ""
    return found


def _kafka_options(settings: KafkaSettings) -> dict[str, Any]:
    return {
        **librdkafka_options(settings),
        "bootstrap.servers": ",".join(settings.bootstrap),
        "client.id": "portalpulse-topic",
        **SILENT_LIBRDKAFKA,  # the consumer's watchdog reports outages
    }


def _has_controller(admin: AdminClient) -> bool:
    found = admin.list_topics(timeout=_ANSWER_SECONDS)
    return found.controller_id in found.brokers


def _described(admin: AdminClient, topic: str) -> tuple[str, list[int]]:
    """Identity and partitions; empty for a topic that the brokers do not know."""
    asked = admin.describe_topics(TopicCollection([topic]), request_timeout=_ANSWER_SECONDS)[topic]
    try:
        description = asked.result(2 * _ANSWER_SECONDS)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return "", []
        raise
    return str(description.topic_id), [part.id for part in description.partitions]


def _offsets_of(admin: AdminClient, topic: str, partitions: Collection[int], which: OffsetSpec) -> dict[int, int]:
    if not partitions:
        return {}
    asked = admin.list_offsets({TopicPartition(topic, part): which for part in partitions}, request_timeout=_ANSWER_SECONDS)
    return {where.partition: future.result(2 * _ANSWER_SECONDS).offset for where, future in asked.items()}
