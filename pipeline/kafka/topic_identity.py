"""Detects that a topic of a worker was deleted, created again or truncated.

A topic that was created again has other messages at the same offsets. Faust and aiokafka know a topic by its name only. They
would read a new log from the committed offsets of the old one, and silently skip every message below these offsets.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from domain.errors import ConfigurationError, UnavailableError
from pipeline.kafka.daemon_thread import in_daemon_thread
from pipeline.kafka.security import SILENT_LIBRDKAFKA, librdkafka_options
from pipeline.kafka.topic_requests import (
    ANSWER_SECONDS,
    all_described,
    described,
    has_controller,
    of_topic,
    offsets_of,
    positions_of,
)
from pipeline.logs import get_logger
from pipeline.settings import KafkaSettings

#: Seconds between two checks.
CHECK_SECONDS: Final = 5.0
#: A broker that just started may not know the topic or its end yet: require this many identical readings before believing them.
_READINGS: Final = 3
_RETRY_SECONDS: Final = 1.0
_FIRST_READINGS: Final = 5
#: Identity of a topic whose brokers do not support identities.
_UNKNOWN: Final = "unknown"

log = get_logger("topic")


class TopicGoneError(ConfigurationError):
    """The topic named ``topic`` was deleted, created again or truncated."""

    def __init__(self, topic: str, problem: str, *, remedy: str) -> None:
        super().__init__(problem, remedy=remedy)
        self.topic = topic


@dataclass(frozen=True, slots=True)
class TopicSnapshot:
    """What the brokers say about a topic. ``topic_id``: empty while they do not know it; the others: partition -> offset."""

    topic_id: str
    committed: Mapping[int, int]
    first: Mapping[int, int]
    ends: Mapping[int, int]

    def offset_beyond_end(self) -> tuple[int, int, int] | None:
        """(partition, committed offset, end) of a partition whose committed offset is beyond its end; None: there is none."""
        for partition, offset in self.committed.items():
            if (end := self.ends.get(partition)) is not None and offset > end:
                return partition, offset, end
        return None


class TopicIdentity:
    """Checks the identity of a worker's topics: call ``begin`` before the first message is read, then run ``watch``.

    If there is only one topic, it must exist. Of several topics of portals each may be created later.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        topics: Sequence[str] = (),
        checked: Callable[[Mapping[str, TopicSnapshot]], None] = lambda _: None,
    ) -> None:
        """``topics``: the topics to read; empty: that of the settings. ``checked``: called with the snapshots of each check."""
        self._settings, self._checked = settings, checked
        self._topics = tuple(topics) or (settings.topic,)
        options = topic_kafka_options(settings)
        self._admin = AdminClient(options)
        # A consumer without a subscription joins no group. The admin client's request for committed offsets crashes librdkafka
        # (an assertion, or a segmentation fault) when a coordinator is lost and answers after the time limit.
        self._group_offsets = Consumer(options | {"group.id": settings.group, "enable.auto.commit": False})
        self._ids: dict[str, str] = {}
        self._strays: set[str] = set()
        self._has_identities = True

    async def begin(self) -> None:
        """Remember the identities of the topics, and check that no committed offset is beyond the end of its log.

        Raises:
            TopicGoneError: a committed offset is beyond the end of its log, or the only topic does not exist.
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
                snapshots = await in_daemon_thread(self._ask)
            except (KafkaException, TimeoutError) as error:
                if attempt == _FIRST_READINGS:
                    raise UnavailableError(
                        f"Kafka did not describe {self._shown}: {error!r}.",
                        remedy="See the broker's log, then restart the worker.",
                    ) from error
            else:
                self._ids = {topic: snapshot.topic_id for topic, snapshot in snapshots.items() if snapshot.topic_id}
                wrong = [topic for topic in self._topics if not self._is_sound(topic, snapshots[topic])]
                if not wrong:
                    return
                if attempt == _FIRST_READINGS:
                    raise self._problem(wrong[0], snapshots[wrong[0]])
            await asyncio.sleep(_RETRY_SECONDS)

    @property
    def topic_ids(self) -> Mapping[str, str]:
        """Existing topic -> its identity, as ``begin`` found it, or ``watch`` for a topic that was created later."""
        return self._ids

    async def watch(self) -> NoReturn:
        """Check the topics until the worker stops.

        Raises:
            TopicGoneError: a topic was deleted or created again, or a committed offset is beyond the end of its log.
        """
        suspicious: Counter[str] = Counter()
        while True:
            # A reading that looks wrong is repeated soon: offsets of a topic that was created again get used quickly.
            await asyncio.sleep(_RETRY_SECONDS if suspicious else CHECK_SECONDS)
            if (sound := await self._examined(suspicious)) is not None:
                self._checked(sound)

    async def confirm(self) -> None:
        """Check the topics once, when the consumer has ended by itself, perhaps because a topic is gone. Raises as ``watch``."""
        suspicious: Counter[str] = Counter()
        for _ in range(_READINGS):
            if await self._examined(suspicious) is None or not suspicious:
                return
            await asyncio.sleep(_RETRY_SECONDS)

    async def _examined(self, suspicious: Counter[str]) -> dict[str, TopicSnapshot] | None:
        """The topics that are the same as before; None: no answer. ``suspicious``: how often another one looked different."""
        try:
            snapshots = await in_daemon_thread(self._ask)
        except (KafkaException, TimeoutError) as error:  # the watchdog ends a worker whose brokers do not answer
            log.info("topic_not_described", error=repr(error))
            return None
        sound = {}
        for topic, snapshot in snapshots.items():
            if self._is_sound(topic, snapshot):
                sound[topic] = snapshot
                del suspicious[topic]
                self._note(topic, snapshot)
                continue
            suspicious[topic] += 1
            replaced = snapshot.topic_id and snapshot.topic_id != self._ids.get(topic, snapshot.topic_id)
            if suspicious[topic] == _READINGS or replaced:
                raise self._problem(topic, snapshot)
        return sound

    @property
    def _shown(self) -> str:
        """The topics as words of a sentence."""
        if len(self._topics) == 1:
            return f"the topic {self._topics[0]!r}"
        return f"the topics of portals ({self._settings.portal_prefix}CODE)"

    def _is_sound(self, topic: str, snapshot: TopicSnapshot) -> bool:
        """Whether a topic is the same as before, or does not exist yet although that is allowed."""
        known = self._ids.get(topic, "")
        if not snapshot.topic_id:
            return not known and len(self._topics) > 1
        return snapshot.topic_id == (known or snapshot.topic_id) and snapshot.offset_beyond_end() is None

    def _note(self, topic: str, snapshot: TopicSnapshot) -> None:
        """Remember the identity of a topic that was created after the worker started."""
        if snapshot.topic_id and topic not in self._ids:
            self._ids[topic] = snapshot.topic_id
            log.info("topic_of_portal_created", topic=topic)

    def _problem(self, topic: str, snapshot: TopicSnapshot) -> TopicGoneError:
        """The error about what happened to a topic, with a remedy."""
        group, known = self._settings.group, self._ids.get(topic, "")
        beyond = snapshot.offset_beyond_end()
        if not snapshot.topic_id:
            return TopicGoneError(
                topic,
                f"The topic {topic!r} was deleted.",
                remedy="Create it again, then start the worker with another PORTALPULSE_KAFKA__GROUP. Messages of the"
                " deleted topic that this group had not read must be sent again."
                if len(self._topics) == 1
                else "Start the worker again: the other portals go on. Messages of the deleted topic that this group had not read"
                " must be sent again.",
            )
        if snapshot.topic_id != (known or snapshot.topic_id):
            problem = f"The topic {topic!r} was deleted and created again while this worker was reading it."
        else:
            assert beyond is not None
            partition, offset, end = beyond
            problem = (
                f"The consumer group {group!r} has read partition {partition} of {topic!r} up to offset {offset}, but it ends at"
                f" {end}: the topic was deleted and created again, or its brokers lost messages."
            )
        return TopicGoneError(
            topic,
            problem,
            remedy="Start the worker with another PORTALPULSE_KAFKA__GROUP. It reads the topic from its beginning;"
            " events that are already counted are not counted twice.",
        )

    def _has_controller(self) -> bool:
        return has_controller(self._admin)

    def _ask(self) -> dict[str, TopicSnapshot]:
        found = all_described(self._admin, self._topics) if self._has_identities else self._listed()
        if len(self._topics) > 1:
            self._look_for_strays()
        # Offsets of another topic of the same name mean nothing, and may be unavailable for a while.
        same = {
            topic: partitions
            for topic, (topic_id, partitions) in found.items()
            if topic_id and topic_id == (self._ids.get(topic) or topic_id)
        }
        every = [TopicPartition(topic, part) for topic, partitions in same.items() for part in partitions]
        read = self._group_offsets.committed(every, timeout=ANSWER_SECONDS) if every else []
        committed = {(part.topic, part.partition): part.offset for part in read if part.offset >= 0}
        # Ends are requested after the committed offsets: in the other order an offset could seem to lie beyond its end.
        ends = positions_of(self._admin, committed, OffsetSpec.latest())
        firsts = positions_of(self._admin, [(part.topic, part.partition) for part in every], OffsetSpec.earliest())
        return {
            topic: TopicSnapshot(topic_id, of_topic(committed, topic), of_topic(firsts, topic), of_topic(ends, topic))
            for topic, (topic_id, _) in found.items()
        }

    def _look_for_strays(self) -> None:
        """Log, once for each, topics with the prefix of portals whose agency is not in the registry: no worker reads them."""
        prefix = self._settings.portal_prefix
        for topic in self._admin.list_topics(timeout=ANSWER_SECONDS).topics:
            if topic.startswith(prefix) and topic not in self._topics and topic not in self._strays:
                self._strays.add(topic)
                reason = "the rest of its name is the code of no agency of the registry"
                log.error("topic_is_not_read", topic=topic, reason=reason, remedy="Add the agency, or send to another topic.")

    def _listed(self) -> dict[str, tuple[str, list[int]]]:
        """The result of ``all_described`` for brokers that do not support identities."""
        known = self._admin.list_topics(timeout=ANSWER_SECONDS).topics
        found = {topic: known[topic] for topic in self._topics if topic in known and known[topic].error is None}
        return {topic: (_UNKNOWN, list(found[topic].partitions)) if topic in found else ("", []) for topic in self._topics}


def topic_ends(settings: KafkaSettings, partitions: Collection[int]) -> tuple[str, dict[int, int]]:
    """The identity of the topic of the settings ("": the brokers do not tell it), and partition -> end of its log.

    The identity is requested first: if the topic is created again between both requests, the ends of the new topic come with the
    identity of the old one, and what is recorded under that identity applies to no message.

    Raises:
        KafkaException, TimeoutError: the brokers do not tell the ends.
    """
    admin = AdminClient(topic_kafka_options(settings))
    try:
        topic_id = described(admin, settings.topic)[0] if has_controller(admin) else _UNKNOWN
    except (KafkaException, TimeoutError) as error:
        log.info("topic_not_described", error=repr(error))
        topic_id = ""
    return topic_id, offsets_of(admin, settings.topic, partitions, OffsetSpec.latest())


def topic_identity(settings: KafkaSettings) -> str:
    """The identity of the topic of the settings, which changes when the topic is created again; "": brokers do not tell it."""
    try:
        admin = AdminClient(topic_kafka_options(settings))
        found = described(admin, settings.topic)[0] if has_controller(admin) else ""
    except (KafkaException, TimeoutError) as error:
        log.debug("topic_not_described", error=repr(error))
        return ""
    return found


def topic_kafka_options(settings: KafkaSettings) -> dict[str, Any]:
    """The options of a librdkafka client that asks about topics."""
    return {
        **librdkafka_options(settings),
        "client.id": "portalpulse-topic",
        **SILENT_LIBRDKAFKA,  # the consumer's watchdog reports outages
    }
