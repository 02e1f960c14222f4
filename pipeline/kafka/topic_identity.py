"""Holds a worker to the topic it began with: one that was deleted and created again has other messages at the same offsets.

Faust and aiokafka know a topic by its name only. Where the group's offsets lie beyond the end of the new log, they would start at
its beginning and drop every message below those offsets, without a word.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NoReturn, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from domain.errors import ConfigurationError, UnavailableError
from pipeline.kafka.security import librdkafka_options
from pipeline.logs import get_logger
from pipeline.settings import KafkaSettings

T = TypeVar("T")

#: Seconds between two looks.
LOOK_SECONDS: Final = 5.0
#: A broker that just started may not know the topic or its end yet: what so many looks in a row say is so.
_LOOKS: Final = 3
_QUICK_LOOK_SECONDS: Final = 1.0
_ANSWER_SECONDS: Final = 10.0
_FIRST_LOOKS: Final = 5
#: Identity of a topic whose brokers have none to tell.
_UNKNOWN: Final = "unknown"

log = get_logger("topic")


class TopicGoneError(ConfigurationError):
    """The topic is not the one that was read, or has lost messages."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the brokers say. ``topic_id`` is empty while they know no such topic; offsets by partition."""

    topic_id: str
    committed: Mapping[int, int]
    first: Mapping[int, int]
    ends: Mapping[int, int]

    def beyond(self) -> tuple[int, int, int] | None:
        """(partition, committed offset, end) of a partition whose committed offset lies beyond its end."""
        for partition, offset in self.committed.items():
            if (end := self.ends.get(partition)) is not None and offset > end:
                return partition, offset, end
        return None


class TopicIdentity:
    """``begin`` before the first message is read, ``watch`` from then on."""

    def __init__(self, settings: KafkaSettings, *, looked: Callable[[Look], None] = lambda _: None) -> None:
        """``looked`` is told what every look of ``watch`` found, as long as it is the same topic."""
        self._settings, self._looked = settings, looked
        options = {
            **librdkafka_options(settings),
            "bootstrap.servers": ",".join(settings.bootstrap),
            "client.id": "portalpulse-topic",
            "log_level": 0,  # who speaks to the brokers all the time reports their silence
            "error_cb": _ignore,
        }
        self._admin = AdminClient(options)
        # It subscribes to nothing and so joins no group. The admin client's request for committed offsets ends the process in
        # librdkafka (an assertion, or a segmentation fault) when a coordinator is lost and answers after the time limit.
        self._group_offsets = Consumer(options | {"group.id": settings.group, "enable.auto.commit": False})
        self._topic_id = ""
        self._told = True  # whether the brokers tell identities

    async def begin(self) -> None:
        """Remember which topic it is, and check that the group's offsets lie in it.

        Raises:
            ConfigurationError: an offset lies beyond the end of its partition.
            UnavailableError: the brokers do not answer.
        """
        for attempt in range(1, _FIRST_LOOKS + 1):
            try:
                if not await in_thread(self._has_controller):
                    if attempt < _LOOKS:
                        await asyncio.sleep(_QUICK_LOOK_SECONDS)
                        continue
                    self._told = False  # Kafka's own brokers always name one; librdkafka's mock cluster never does
                    log.warning("topic_identity_unknown", reason="the brokers name no controller to ask for it")
                look = await in_thread(self._ask)
            except (KafkaException, TimeoutError) as error:
                if attempt == _FIRST_LOOKS:
                    raise UnavailableError(
                        f"Kafka does not say what the topic {self._settings.topic!r} is: {error!r}.",
                        remedy="See the broker's log, then start the worker again.",
                    ) from error
            else:
                self._topic_id = look.topic_id
                if look.topic_id and look.beyond() is None:
                    return
                if attempt == _FIRST_LOOKS:
                    raise self._problem(look)
            await asyncio.sleep(_QUICK_LOOK_SECONDS)

    async def watch(self) -> NoReturn:
        """Look again and again.

        Raises:
            ConfigurationError: the topic was deleted or created again, or the group's offsets lie beyond its end.
        """
        doubtful = 0
        while True:
            await asyncio.sleep(_QUICK_LOOK_SECONDS if doubtful else LOOK_SECONDS)
            try:
                look = await in_thread(self._ask)
            except (KafkaException, TimeoutError) as error:  # the watchdog ends a worker whose brokers are silent
                log.info("topic_not_described", error=repr(error))
                continue
            doubtful = 0 if look.topic_id and look.beyond() is None else doubtful + 1
            if doubtful == _LOOKS or (look.topic_id and look.topic_id != self._topic_id):
                raise self._problem(look)
            if not doubtful:
                self._looked(look)

    def _problem(self, look: Look) -> TopicGoneError:
        """What is wrong, in one sentence, and the remedy."""
        topic, group = self._settings.topic, self._settings.group
        beyond = look.beyond()
        if not look.topic_id:
            problem = f"The topic {topic!r} was deleted."
        elif look.topic_id != self._topic_id:
            problem = f"The topic {topic!r} was deleted and created again while this worker read it."
        else:
            assert beyond is not None
            partition, offset, end = beyond
            problem = (
                f"The consumer group {group!r} has read partition {partition} of {topic!r} up to offset {offset}, but it ends at"
                f" {end}: the topic was deleted and created again, or its brokers lost messages."
            )
        return TopicGoneError(
            problem,
            remedy="Start the worker with another PORTALPULSE_KAFKA__GROUP, which reads the topic from its beginning; what is"
            " counted stays counted, and nothing counts twice.",
        )

    def _has_controller(self) -> bool:
        found = self._admin.list_topics(timeout=_ANSWER_SECONDS)
        return found.controller_id in found.brokers

    def _ask(self) -> Look:
        topic = self._settings.topic
        topic_id, partitions = self._described() if self._told else self._listed()
        if not topic_id or topic_id != (self._topic_id or topic_id):
            return Look(topic_id, {}, {}, {})  # offsets of another topic mean nothing, and may not be told for a while
        found = self._group_offsets.committed([TopicPartition(topic, part) for part in partitions], timeout=_ANSWER_SECONDS)
        committed = {part.partition: part.offset for part in found if part.offset >= 0}
        # The ends are asked after the committed offsets, which follow them: never the other way round.
        ends = self._offsets(committed, OffsetSpec.latest())
        return Look(topic_id, committed, self._offsets(partitions, OffsetSpec.earliest()), ends)

    def _described(self) -> tuple[str, list[int]]:
        """Identity and partitions; nothing of a topic that the brokers do not know."""
        topic = self._settings.topic
        asked = self._admin.describe_topics(TopicCollection([topic]), request_timeout=_ANSWER_SECONDS)[topic]
        try:
            description = asked.result(2 * _ANSWER_SECONDS)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return "", []
            raise
        return str(description.topic_id), [part.id for part in description.partitions]

    def _listed(self) -> tuple[str, list[int]]:
        """The same of brokers that tell no identity."""
        found = self._admin.list_topics(timeout=_ANSWER_SECONDS).topics.get(self._settings.topic)
        return (_UNKNOWN, list(found.partitions)) if found is not None and found.error is None else ("", [])

    def _offsets(self, partitions: Collection[int], which: OffsetSpec) -> dict[int, int]:
        if not partitions:
            return {}
        asked = self._admin.list_offsets(
            {TopicPartition(self._settings.topic, part): which for part in partitions}, request_timeout=_ANSWER_SECONDS
        )
        return {where.partition: future.result(2 * _ANSWER_SECONDS).offset for where, future in asked.items()}


async def in_thread(action: Callable[[], T]) -> T:
    """Run it in a thread that nobody waits for at the end: brokers that are away must not delay a stop."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if answer.cancelled():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type] # a T whenever there is no error

    def run() -> None:
        try:
            outcome: tuple[T | None, BaseException | None] = (action(), None)
        except Exception as error:  # noqa: BLE001 - raised where it is awaited
            outcome = (None, error)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=run, name="topic-identity", daemon=True).start()
    return await answer


def _ignore(_error: object) -> None:
    """Said by the watchdog, once and in a sentence."""
