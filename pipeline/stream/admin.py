"""The preflight: asks the broker what Faust would only wait for in silence, and names the cause in one sentence.

Every right and limit that a worker needs is proven by the request that needs it, without touching the group or its offsets:
a fetch outside any group proves READ on the topic; a request to join under a member id that nobody has proves READ on the
group and the session timeout, for a broker checks both before it looks for the member.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Final

import stamina
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    GroupAuthorizationFailedError,
    GroupIdNotFound,
    IllegalSaslStateError,
    InconsistentGroupProtocolError,
    InvalidSessionTimeoutError,
    KafkaConnectionError,
    KafkaError,
    LeaderNotAvailableError,
    NoError,
    SaslAuthenticationFailed,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
    UnknownTopicOrPartitionError,
    UnsupportedSaslMechanismError,
    for_code,
)
from aiokafka.protocol.group import JoinGroupRequest
from aiokafka.protocol.metadata import MetadataRequest

from pipeline.core.errors import ConfigurationError, UnavailableError
from pipeline.settings import KafkaSettings
from pipeline.stream import kafka_errors
from pipeline.stream.security import aiokafka_options

_TIMEOUT: Final = 10.0
_CLIENT: Final = "portalpulse-preflight"
#: A member id that no broker gives out: these are made of a client id and a random UUID.
_NOBODY: Final = "portalpulse-preflight-nobody"
_SESSION_TIMEOUTS: Final = ("group.min.session.timeout.ms", "group.max.session.timeout.ms")


async def preflight(settings: KafkaSettings, *, create_topic: bool = False) -> int:
    """Check broker, topic and group before Faust starts; returns the number of partitions.

    Args:
        settings: broker, topic and group.
        create_topic: create the topic (one replica) when it is missing.

    Raises:
        UnavailableError: no broker answers, or access is refused.
        ConfigurationError: the topic is missing, or a setting does not suit the brokers.
    """
    shown = ", ".join(settings.bootstrap)
    passing: list[Exception] = []
    client = AIOKafkaAdminClient(
        bootstrap_servers=list(settings.bootstrap),
        request_timeout_ms=int(_TIMEOUT * 1000),
        client_id=_CLIENT,
        **aiokafka_options(settings),
    )
    try:
        async with asyncio.timeout(_TIMEOUT * 2):
            await _reach(settings)
            await client.start()
            # A fresh broker has no coordinator for the group yet, a new topic is not known everywhere at once.
            async for attempt in stamina.retry_context(on=kafka_errors.passes, attempts=None, timeout=None, wait_max=1.0):
                with attempt:
                    try:
                        return await _check(client, settings, create_topic=create_topic)
                    except KafkaError as error:
                        passing.append(error)
                        raise
            raise AssertionError  # the loop ends by returning or raising
    except GroupAuthorizationFailedError as error:
        raise UnavailableError(
            f"Kafka refuses access to the consumer group {settings.group!r}{_as_user(settings)}.",
            remedy="Grant READ on the group to this user.",
        ) from error
    except TopicAuthorizationFailedError as error:
        raise UnavailableError(
            f"Kafka refuses access to the topic {settings.topic!r}{_as_user(settings)}.",
            remedy="Grant READ on the topic to this user.",
        ) from error
    except (KafkaError, OSError, TimeoutError) as error:
        if passing:
            raise UnavailableError(
                f"Kafka at {shown} answers but is not ready: {_words(passing[-1])}.",
                remedy="Wait until its brokers are up, then start the worker again; see the broker's log.",
            ) from error
        if remedy := kafka_errors.remedy(error):
            raise UnavailableError(f"Kafka at {shown} refuses: {_words(error)}.", remedy=remedy) from error
        raise UnavailableError(f"No Kafka broker answers at {shown}.", remedy=_START) from error
    finally:
        await client.close()


_START: Final = "Start it (`portalpulse up` starts a local one) or correct PORTALPULSE_KAFKA__BOOTSTRAP."


async def _reach(settings: KafkaSettings) -> None:
    """Get one answer from one broker, for the cause when there is none: aiokafka's clients keep it to their log.

    Raises:
        UnavailableError: what the first broker that gave a cause said.
    """
    causes: list[UnavailableError] = []
    for address in settings.bootstrap:
        host, _, port = address.rpartition(":")
        try:
            connection = await create_conn(
                host.strip("[]"),
                int(port),
                client_id=_CLIENT,
                request_timeout_ms=int(_TIMEOUT * 1000 / len(settings.bootstrap)),
                **aiokafka_options(settings),
            )
            try:
                await connection.send(MetadataRequest([]))  # the first request that a broker refuses without a login
            finally:
                connection.close()
        except (KafkaError, OSError, TimeoutError) as error:
            if cause := _cause(error, address, settings):
                causes.append(cause)
        else:
            return
    if causes:
        raise causes[0]
    raise UnavailableError(f"No Kafka broker answers at {', '.join(settings.bootstrap)}.", remedy=_START)


def _cause(error: Exception, address: str, settings: KafkaSettings) -> UnavailableError | None:
    """Why one broker could not be talked to, for people; None when nobody is there."""
    protocol, expected = settings.security_protocol, "set PORTALPULSE_KAFKA__SECURITY_PROTOCOL to what this port expects."
    causes: tuple[tuple[Any, str, str], ...] = (
        (
            ssl.SSLCertVerificationError,
            f"The certificate of Kafka at {address} is not accepted: {getattr(error, 'verify_message', '')}.",
            "Renew it, or name the authority that signed it in PORTALPULSE_KAFKA__CA_FILE.",
        ),
        (
            AuthenticationFailedError | SaslAuthenticationFailed,
            f"Kafka at {address} refuses user {settings.user!r} ({settings.sasl_mechanism}).",
            "Correct PORTALPULSE_KAFKA__USER and PORTALPULSE_KAFKA__PASSWORD.",
        ),
        (
            UnsupportedSaslMechanismError,
            f"Kafka at {address} does not take {settings.sasl_mechanism}.",
            "Set PORTALPULSE_KAFKA__SASL_MECHANISM to one that it takes.",
        ),
        (
            TimeoutError,
            f"Kafka at {address} takes connections and does not answer ({protocol}).",
            f"See whether the broker hangs, or {expected}",
        ),
        (
            # The port is open and the talk ended: TLS met plain text, or a login was wanted and none came.
            ssl.SSLError | ConnectionResetError | BrokenPipeError | KafkaConnectionError | IllegalSaslStateError | EOFError,
            f"Kafka at {address} does not speak {protocol} on this port: it ended the connection.",
            f"See the broker's log, or {expected}",
        ),
    )
    for kinds, problem, remedy in causes:
        if isinstance(error, kinds):
            return UnavailableError(problem, remedy=remedy)
    return None


async def _check(client: AIOKafkaAdminClient, settings: KafkaSettings, *, create_topic: bool) -> int:
    described = (await client.describe_topics([settings.topic]))[0]
    error = for_code(described["error_code"])
    if error is UnknownTopicOrPartitionError and create_topic:
        await _create(client, settings)
        raise UnknownTopicOrPartitionError(settings.topic)  # ask again until every broker knows it
    if error is UnknownTopicOrPartitionError:
        raise ConfigurationError(
            f"The topic {settings.topic!r} does not exist on {', '.join(settings.bootstrap)}.",
            remedy="Create it, or start the worker with --create-topic.",
        )
    if error is not NoError:
        raise error(settings.topic)
    led = [TopicPartition(settings.topic, part["partition"]) for part in described["partitions"] if part["leader"] >= 0]
    if not led:
        raise LeaderNotAvailableError(settings.topic)
    await _fetch(settings, led)
    await _ask_to_join(client, settings)
    return len(described["partitions"])


async def _create(client: AIOKafkaAdminClient, settings: KafkaSettings) -> None:
    answer = await client.create_topics([NewTopic(name=settings.topic, num_partitions=settings.partitions, replication_factor=1)])
    for topic, code, *_ in answer.topic_errors:
        error = for_code(code)
        if error is TopicAuthorizationFailedError:
            raise UnavailableError(
                f"The topic {topic!r} does not exist, and Kafka does not let this worker create it{_as_user(settings)}.",
                remedy="Create it, or grant CREATE on it to this user.",
            )
        if error not in (NoError, TopicAlreadyExistsError):  # another worker may have been faster
            raise error(topic)


async def _fetch(settings: KafkaSettings, partitions: list[TopicPartition]) -> None:
    """One answered fetch, of no group and without an offset kept: READ on the topic is not implied by seeing it.

    Raises:
        TopicAuthorizationFailedError: the topic may be seen and not read.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=list(settings.bootstrap),
        client_id=_CLIENT,
        group_id=None,
        auto_offset_reset="earliest",
        request_timeout_ms=int(_TIMEOUT * 1000),
        max_partition_fetch_bytes=1,  # the first batch comes whole all the same
        **aiokafka_options(settings),
    )
    await consumer.start()
    try:
        consumer.assign(partitions)
        while all(consumer.highwater(partition) is None for partition in partitions):
            await consumer.getmany(timeout_ms=100)
    finally:
        await consumer.stop()


async def _ask_to_join(client: AIOKafkaAdminClient, settings: KafkaSettings) -> None:
    """Ask to join the group as a member it does not have; it notices nothing and the answer tells what a real one would meet.

    Raises:
        GroupAuthorizationFailedError: the group may not be used.
        ConfigurationError: the session timeout is outside of the brokers' limits.
    """
    coordinator = await client.find_coordinator(settings.group)
    timeout = int(settings.session_timeout_seconds * 1000)
    request = JoinGroupRequest(settings.group, timeout, timeout, _NOBODY, None, "consumer", [("roundrobin", b"")])
    answer = await client._send_request(request, coordinator)  # noqa: SLF001 - no public call asks to join without joining
    error = for_code(answer.error_code)
    if error is InvalidSessionTimeoutError:
        raise ConfigurationError(
            f"Kafka refuses a session timeout of {settings.session_timeout_seconds:g} s{await _limits(client, coordinator)}.",
            remedy="Set PORTALPULSE_KAFKA__SESSION_TIMEOUT_SECONDS within the brokers' limits.",
        )
    # Allowed all the same: nobody of that name, no such group yet, or members (a dead one, too) that speak another protocol.
    if error not in (NoError, UnknownMemberIdError, GroupIdNotFound, InconsistentGroupProtocolError):
        raise error(settings.group)


async def _limits(client: AIOKafkaAdminClient, broker: int) -> str:
    """The broker's limits of a session timeout for the end of a sentence; nothing when it may not be asked."""
    try:
        (answer,) = await client.describe_configs(
            [ConfigResource(ConfigResourceType.BROKER, str(broker), dict.fromkeys(_SESSION_TIMEOUTS))]
        )
    except KafkaError:
        return ""
    found: dict[str, Any] = {entry[0]: entry[1] for resource in answer.resources for entry in resource[4]}
    low, high = (found.get(name) for name in _SESSION_TIMEOUTS)
    return "" if low is None or high is None else f", it allows {int(low) / 1000:g} to {int(high) / 1000:g} s"


def _as_user(settings: KafkaSettings) -> str:
    return f" as user {settings.user!r}" if settings.user else ""


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
