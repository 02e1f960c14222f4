"""The preflight: checks broker, topic and group before Faust starts, and names the cause of a failure, which Faust does not.

Each right and limit that a worker needs is checked by the request that needs it, without changing the group or its offsets. A
fetch outside of any group proves READ on the topic. A request to join with an unknown member id proves READ on the group and the
session timeout, because a broker checks both before the member id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import stamina
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupIdNotFound,
    IncompatibleBrokerVersion,
    InconsistentGroupProtocolError,
    InvalidSessionTimeoutError,
    KafkaError,
    LeaderNotAvailableError,
    NoError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.group import JoinGroupRequest

from domain.errors import ConfigurationError, PortalPulseError, UnavailableError
from pipeline.kafka import errors as kafka_errors
from pipeline.kafka.access_errors import missing_portals
from pipeline.kafka.bootstrap import reachable_addresses
from pipeline.kafka.group_members import Group, describe_group, refusal
from pipeline.kafka.preflight_messages import missing_topic, request_error, topic_not_created
from pipeline.kafka.security import aiokafka_options
from pipeline.settings import KafkaSettings

#: Longest wait for one answer (seconds).
_TIMEOUT: Final = 10.0
#: How long brokers may answer "not yet" (seconds).
_READY_SECONDS: Final = 20.0
_CLIENT: Final = "portalpulse-preflight"
#: A member id that no broker assigns: brokers form ids of a client id and a random UUID.
_UNKNOWN_MEMBER: Final = "portalpulse-preflight-nobody"
_SESSION_TIMEOUTS: Final = ("group.min.session.timeout.ms", "group.max.session.timeout.ms")


@dataclass(frozen=True, slots=True)
class PreflightResult:
    """The number of partitions of all topics, and the bootstrap addresses at which brokers answered."""

    partitions: int
    reachable: tuple[str, ...]


async def preflight(settings: KafkaSettings, *, topics: Sequence[str] = (), create_topic: bool = False) -> PreflightResult:
    """Check broker, topic and group before Faust starts.

    Each answer has its own time limit: a distant broker may be slow as long as it answers.

    Args:
        settings: broker, topic and group.
        topics: the topics to be read, of which at least one must exist; empty: the topic of the settings.
        create_topic: whether to create a missing topic (with one replica).

    Raises:
        UnavailableError: no broker answers, or access is refused.
        ConfigurationError: the topic is missing, the group belongs to another program, or a setting does not suit the brokers.
    """
    reachable = await reachable_addresses(settings, client_id=_CLIENT, answer_seconds=_TIMEOUT)
    # The clients try one address after the other and wait for each, so they get only those that answer.
    settings = settings.model_copy(update={"bootstrap": reachable})
    client = AIOKafkaAdminClient(
        bootstrap_servers=list(reachable),
        request_timeout_ms=int(_TIMEOUT * 1000),
        client_id=_CLIENT,
        **aiokafka_options(settings),
    )
    try:
        # A new broker has no coordinator for the group yet, and a new topic is not known to all brokers at once.
        async for attempt in stamina.retry_context(
            on=kafka_errors.is_retryable, attempts=None, timeout=_READY_SECONDS, wait_max=1.0
        ):
            with attempt:
                await client.start()
                partitions = await _check(client, settings, topics or (settings.topic,), create_topic=create_topic)
                return PreflightResult(partitions, reachable)
        raise AssertionError  # the loop ends by returning or raising
    except (KafkaError, OSError, TimeoutError) as error:
        brokers = [f"{broker.host}:{broker.port}" for broker in client._client.cluster.brokers()]  # noqa: SLF001
        raise request_error(error, settings, brokers=brokers, limit=2 * _TIMEOUT) from error
    finally:
        await client.close()


async def explained(problem: str, settings: KafkaSettings, *, topics: Sequence[str] = (), remedy: str = "") -> PortalPulseError:
    """Make the error for ``problem``: with the cause and remedy that the preflight finds, or with ``remedy`` if it finds none."""
    try:
        await preflight(settings, topics=topics)
    except PortalPulseError as cause:
        return type(cause)(f"{problem} {cause.problem}", remedy=cause.remedy)
    return UnavailableError(problem, remedy=remedy or "See the log above for the broker's errors, then restart the worker.")


async def _check(client: AIOKafkaAdminClient, settings: KafkaSettings, topics: Sequence[str], *, create_topic: bool) -> int:
    partitions = await _partitions(client, topics)
    if not partitions and create_topic and len(topics) == 1:
        await _create(client, settings)
        raise UnknownTopicOrPartitionError(settings.topic)  # retried until every broker knows it
    if not partitions:
        raise missing_topic(settings) if len(topics) == 1 else missing_portals(settings)
    led = [part for part, leader in partitions.items() if leader >= 0]
    if not led:
        raise LeaderNotAvailableError(*sorted({part.topic for part in partitions}))
    await _prove_read(settings, led)
    found = await _described(client, settings.group)
    if used_by_other_program := refusal(settings, found):
        raise used_by_other_program
    if found is None or not found.newer_protocol:  # an empty group of the newer protocol accepts no classic member
        await _ask_to_join(client, settings)
    return len(partitions)


async def _partitions(client: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[TopicPartition, int]:
    """Partition -> number of its leader (negative: none), for all topics that exist.

    Raises:
        KafkaError: a topic may not be read, or the brokers do not describe it.
    """
    found = {}
    for described in await client.describe_topics(list(topics)):
        error, topic = for_code(described["error_code"]), described["topic"]
        if error is UnknownTopicOrPartitionError:
            continue
        if error is not NoError:
            raise error(topic)
        found.update({TopicPartition(topic, part["partition"]): part["leader"] for part in described["partitions"]})
    return found


async def _described(client: AIOKafkaAdminClient, group: str) -> Group | None:
    """The group; None: it cannot be described by this user or these brokers. Asking to join then shows if it can be used."""
    try:
        return await describe_group(client, group)
    except (GroupAuthorizationFailedError, IncompatibleBrokerVersion):
        return None


async def _create(client: AIOKafkaAdminClient, settings: KafkaSettings) -> None:
    answer = await client.create_topics([NewTopic(name=settings.topic, num_partitions=settings.partitions, replication_factor=1)])
    for topic, code, *_ in answer.topic_errors:
        error = for_code(code)
        if error is TopicAuthorizationFailedError:
            raise topic_not_created(settings)
        if error not in (NoError, TopicAlreadyExistsError):  # another worker may have created it
            raise error(topic)


async def _prove_read(settings: KafkaSettings, partitions: list[TopicPartition]) -> None:
    """Prove the right READ on the topics by a fetch, outside of any group and without a commit.

    Raises:
        TopicAuthorizationFailedError: the topic may be described but not read.
        TimeoutError: the brokers answer other requests, but no fetch.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=list(settings.bootstrap),
        client_id=_CLIENT,
        group_id=None,
        auto_offset_reset="earliest",
        request_timeout_ms=int(_TIMEOUT * 1000),
        max_partition_fetch_bytes=1,  # the first batch is returned whole nevertheless
        **aiokafka_options(settings),
    )
    try:
        async with asyncio.timeout(2 * _TIMEOUT):
            await consumer.start()
            consumer.assign(partitions)
            while all(consumer.highwater(partition) is None for partition in partitions):
                await consumer.getmany(timeout_ms=100)
    finally:
        await consumer.stop()


async def _ask_to_join(client: AIOKafkaAdminClient, settings: KafkaSettings) -> None:
    """Check the right on the group and the session timeout: ask to join with an unknown member id, which changes nothing.

    Raises:
        GroupAuthorizationFailedError: the group may not be used.
        ConfigurationError: the session timeout is outside of the brokers' limits.
    """
    coordinator = await client.find_coordinator(settings.group)
    timeout = int(settings.session_timeout_seconds * 1000)
    request = JoinGroupRequest(settings.group, timeout, timeout, _UNKNOWN_MEMBER, None, "consumer", [("roundrobin", b"")])
    answer = await client._send_request(request, coordinator)  # noqa: SLF001 - no public method only asks to join
    error = for_code(answer.error_code)
    if error is InvalidSessionTimeoutError:
        raise ConfigurationError(
            f"Kafka refuses a session timeout of {settings.session_timeout_seconds:g} s{await _limits(client, coordinator)}.",
            remedy="Set PORTALPULSE_KAFKA__SESSION_TIMEOUT_SECONDS within the brokers' limits.",
        )
    # No obstacle: the id is unknown, the group does not exist yet, or it has members (perhaps dead ones) of another protocol.
    if error not in (NoError, UnknownMemberIdError, GroupIdNotFound, InconsistentGroupProtocolError):
        raise error(settings.group)


async def _limits(client: AIOKafkaAdminClient, broker: int) -> str:
    """The broker's limits of a session timeout as the end of a sentence; "" when this user may not read them."""
    try:
        (answer,) = await client.describe_configs(
            [ConfigResource(ConfigResourceType.BROKER, str(broker), dict.fromkeys(_SESSION_TIMEOUTS))]
        )
    except KafkaError:
        return ""
    found: dict[str, Any] = {entry[0]: entry[1] for resource in answer.resources for entry in resource[4]}
    low, high = (found.get(name) for name in _SESSION_TIMEOUTS)
    return "" if low is None or high is None else f", it allows {int(low) / 1000:g} to {int(high) / 1000:g} s"
