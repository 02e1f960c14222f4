"""The preflight: asks the broker what Faust would only wait for in silence, and names the cause in one sentence."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import stamina
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from pipeline.core.errors import ConfigurationError, UnavailableError
from pipeline.settings import KafkaSettings

_TIMEOUT: Final = 10.0
_UNKNOWN_TOPIC: Final = 3
_TOPIC_AUTHORIZATION_FAILED: Final = 29


async def preflight(settings: KafkaSettings, *, create_topic: bool = False) -> int:
    """Check broker, topic and group before Faust starts; returns the number of partitions.

    Args:
        settings: broker, topic and group.
        create_topic: create the topic (one replica) when it is missing.

    Raises:
        UnavailableError: no broker answers, or access is refused.
        ConfigurationError: the topic is missing.
    """
    shown = ", ".join(settings.bootstrap)
    client = AIOKafkaAdminClient(
        bootstrap_servers=list(settings.bootstrap),
        request_timeout_ms=int(_TIMEOUT * 1000),
        client_id="portalpulse-preflight",
    )
    try:
        async with asyncio.timeout(_TIMEOUT * 2):
            await client.start()
            # A fresh broker has no coordinator for the group yet, a new topic is not known everywhere at once.
            async for attempt in stamina.retry_context(on=_passing, attempts=None, timeout=None, wait_max=1.0):
                with attempt:
                    return await _check(client, settings, create_topic=create_topic)
            raise AssertionError  # the loop ends by returning or raising
    except GroupAuthorizationFailedError as error:
        raise UnavailableError(
            f"Kafka refuses access to the consumer group {settings.group!r}.",
            remedy="Grant READ on the group to this user.",
        ) from error
    except TopicAuthorizationFailedError as error:
        raise UnavailableError(
            f"Kafka refuses access to the topic {settings.topic!r}.",
            remedy="Grant READ and DESCRIBE on the topic to this user.",
        ) from error
    except (KafkaError, OSError, TimeoutError) as error:
        raise UnavailableError(
            f"No Kafka broker answers at {shown}.",
            remedy="Start it (`portalpulse up` starts a local one) or correct PORTALPULSE_KAFKA__BOOTSTRAP.",
        ) from error
    finally:
        await client.close()


async def _check(client: AIOKafkaAdminClient, settings: KafkaSettings, *, create_topic: bool) -> int:
    described = (await client.describe_topics([settings.topic]))[0]
    if described["error_code"] == _UNKNOWN_TOPIC and create_topic:
        with suppress(TopicAlreadyExistsError):  # another worker may be faster
            await client.create_topics([NewTopic(name=settings.topic, num_partitions=settings.partitions, replication_factor=1)])
        raise UnknownTopicOrPartitionError(settings.topic)  # ask again until every broker knows it
    if described["error_code"] == _TOPIC_AUTHORIZATION_FAILED:
        raise TopicAuthorizationFailedError(settings.topic)
    if described["error_code"] == _UNKNOWN_TOPIC:
        raise ConfigurationError(
            f"The topic {settings.topic!r} does not exist on {', '.join(settings.bootstrap)}.",
            remedy="Create it, or start the worker with --create-topic.",
        )
    await client.list_consumer_group_offsets(settings.group, partitions=[TopicPartition(settings.topic, 0)])
    return len(described["partitions"])


def _passing(error: Exception) -> bool:
    """Whether asking again may help."""
    return isinstance(error, KafkaError) and bool(error.retriable)
