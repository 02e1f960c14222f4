"""The preflight: asks the broker what Faust would only wait for in silence, and names the cause in one sentence.

Every right and limit that a worker needs is proven by the request that needs it, without touching the group or its offsets:
a fetch outside any group proves READ on the topic; a request to join under a member id that nobody has proves READ on the
group and the session timeout, for a broker checks both before it looks for the member.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
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
    IncompatibleBrokerVersion,
    InconsistentGroupProtocolError,
    InvalidSessionTimeoutError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    LeaderNotAvailableError,
    NodeNotReadyError,
    NoError,
    RequestTimedOutError,
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

from domain.errors import ConfigurationError, UnavailableError
from pipeline.kafka import errors as kafka_errors
from pipeline.kafka.access import unreachable
from pipeline.kafka.group_members import Group, describe_group, refusal
from pipeline.kafka.security import aiokafka_options
from pipeline.settings import KafkaSettings

#: The longest wait for one answer (seconds).
_TIMEOUT: Final = 10.0
#: Brokers that answer "not yet" for this long are called not ready (seconds).
_READY_SECONDS: Final = 20.0
#: When one address has answered, the others get this much longer (seconds).
_OTHERS_SECONDS: Final = 1.0
_CLIENT: Final = "portalpulse-preflight"
#: A member id that no broker gives out: these are made of a client id and a random UUID.
_NOBODY: Final = "portalpulse-preflight-nobody"
_SESSION_TIMEOUTS: Final = ("group.min.session.timeout.ms", "group.max.session.timeout.ms")


@dataclass(frozen=True, slots=True)
class Checked:
    """What the preflight found: the topic's number of partitions, and the bootstrap addresses that answered."""

    partitions: int
    reachable: tuple[str, ...]


async def preflight(settings: KafkaSettings, *, create_topic: bool = False) -> Checked:
    """Check broker, topic and group before Faust starts.

    Time limits are for one answer each, not for the whole: a far broker may be slow as long as it answers.

    Args:
        settings: broker, topic and group.
        create_topic: create the topic (one replica) when it is missing.

    Raises:
        UnavailableError: no broker answers, or access is refused.
        ConfigurationError: the topic is missing, the group belongs to another program, or a setting does not suit the brokers.
    """
    reachable = await _reach(settings)
    # The clients ask one address after the other and wait for each: they are given those that answer.
    settings = settings.model_copy(update={"bootstrap": reachable})
    client = AIOKafkaAdminClient(
        bootstrap_servers=list(reachable),
        request_timeout_ms=int(_TIMEOUT * 1000),
        client_id=_CLIENT,
        **aiokafka_options(settings),
    )
    try:
        # A fresh broker has no coordinator for the group yet, a new topic is not known everywhere at once.
        async for attempt in stamina.retry_context(
            on=kafka_errors.is_retryable, attempts=None, timeout=_READY_SECONDS, wait_max=1.0
        ):
            with attempt:
                await client.start()
                return Checked(await _check(client, settings, create_topic=create_topic), reachable)
        raise AssertionError  # the loop ends by returning or raising
    except (KafkaError, OSError, TimeoutError) as error:
        raise _refusal(error, settings, client) from error
    finally:
        await client.close()


_START: Final = "Start it (`portalpulse up` starts a local one) or correct PORTALPULSE_KAFKA__BOOTSTRAP."


def _refusal(error: Exception, settings: KafkaSettings, client: AIOKafkaAdminClient) -> UnavailableError:
    """Why brokers that answer do not let a worker work, and what to do."""
    shown = ", ".join(settings.bootstrap)
    if isinstance(error, GroupAuthorizationFailedError):
        return UnavailableError(
            f"Kafka refuses access to the consumer group {settings.group!r}{_as_user(settings)}.",
            remedy="Grant READ on the group to this user.",
        )
    if isinstance(error, TopicAuthorizationFailedError):
        return UnavailableError(
            f"Kafka refuses access to the topic {settings.topic!r}{_as_user(settings)}.",
            remedy="Grant READ on the topic to this user.",
        )
    if isinstance(error, TimeoutError | KafkaTimeoutError | RequestTimedOutError):
        return UnavailableError(
            f"Kafka at {shown} answers some requests and leaves others without an answer for {2 * _TIMEOUT:g} s.",
            remedy="See whether one of its brokers hangs: its log says what it waits for.",
        )
    if isinstance(error, KafkaConnectionError | NodeNotReadyError | OSError):
        named = [f"{broker.host}:{broker.port}" for broker in client._client.cluster.brokers()]  # noqa: SLF001
        return unreachable(settings.bootstrap, named, _words(error))
    if kafka_errors.is_retryable(error):
        return UnavailableError(
            f"Kafka at {shown} answers but is not ready: {_words(error)}.",
            remedy="Wait until its brokers are up, then start the worker again; see the broker's log.",
        )
    remedy = kafka_errors.remedy(error) or "See the broker's log."
    return UnavailableError(f"Kafka at {shown} refuses: {_words(error)}.", remedy=remedy)


async def _reach(settings: KafkaSettings) -> tuple[str, ...]:
    """The addresses that answer, asked all at once: one that is dead or silent costs the others nothing.

    aiokafka's clients keep the cause to their log when there is none.

    Raises:
        UnavailableError: none answers; what the first that gave a cause said.
    """
    asked = {asyncio.ensure_future(_ask(address, settings)): address for address in settings.bootstrap}
    waiting: set[asyncio.Future[None]] = set(asked)
    try:
        while waiting and not any(_has_answered(task) for task in asked):
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if waiting:
            await asyncio.wait(waiting, timeout=_OTHERS_SECONDS)
        if reachable := tuple(address for task, address in asked.items() if _has_answered(task)):
            return reachable
        errors = [(address, task.exception()) for task, address in asked.items()]
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    for address, error in errors:
        if isinstance(error, (KafkaError, OSError, TimeoutError)):
            if isinstance(error, TimeoutError | KafkaTimeoutError) and not await _takes_connections(address):
                continue
            if cause := _cause(error, address, settings):
                raise cause from error
        elif error is not None:
            raise error
    raise UnavailableError(f"No Kafka broker answers at {', '.join(settings.bootstrap)}.", remedy=_START)


def _has_answered(task: asyncio.Future[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


async def _ask(address: str, settings: KafkaSettings) -> None:
    """Return when the broker at this address has answered a request that it refuses without a login."""
    connection = await create_conn(
        *_host_and_port(address),
        client_id=_CLIENT,
        request_timeout_ms=int(_TIMEOUT * 1000),
        **aiokafka_options(settings),
    )
    try:
        await connection.send(MetadataRequest([]))
    finally:
        connection.close()


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


async def _takes_connections(address: str) -> bool:
    """Whether somebody listens: an address that drops what is sent to it looks like a broker that hangs."""
    try:
        async with asyncio.timeout(_OTHERS_SECONDS):
            _, writer = await asyncio.open_connection(*_host_and_port(address))
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


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
            TimeoutError | KafkaTimeoutError,
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
    found = await _described(client, settings.group)
    if used_by_others := refusal(settings, found):
        raise used_by_others
    if found is None or not found.newer_protocol:  # an empty group of the newer protocol would make nobody a member
        await _ask_to_join(client, settings)
    return len(described["partitions"])


async def _described(client: AIOKafkaAdminClient, group: str) -> Group | None:
    """The group; None when this user may not see it, or these brokers cannot tell: joining shows then whether it may be used."""
    try:
        return await describe_group(client, group)
    except (GroupAuthorizationFailedError, IncompatibleBrokerVersion):
        return None


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
        TimeoutError: the brokers answer other requests and no fetch.
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
    try:
        async with asyncio.timeout(2 * _TIMEOUT):
            await consumer.start()
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
    name = kafka_errors.name(error) or type(error).__name__
    said = ", ".join(str(part) for part in error.args)
    return f"{name} ({said})" if said else name
