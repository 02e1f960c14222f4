"""Creates the topic that is sent to, checks that it exists, and asks for its largest message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from domain.errors import ConfigurationError, UnavailableError
from pipeline.kafka.access import refusal, topics_of
from pipeline.kafka.access_errors import missing_portals
from pipeline.kafka.security import PLAINTEXT, librdkafka_options
from pipeline.settings import KafkaSettings

#: Longest wait for an answer about the topic (seconds).
_METADATA_SECONDS: Final = 10.0
#: Longest wait for the topic's limits, which are optional (seconds).
_CONFIG_SECONDS: Final = 2.0
#: Of the command line: names the addresses.
_OPTION: Final = "--bootstrap"


def max_message_bytes(bootstrap: Sequence[str], topic: str, security: KafkaSettings) -> int | None:
    """The largest batch that the topic accepts (max.message.bytes); None when the user may not read its configuration."""
    admin = AdminClient({**librdkafka_options(security, bootstrap), "log_level": 0})
    resource = ConfigResource(ResourceType.TOPIC, topic)
    try:
        answer = admin.describe_configs([resource], request_timeout=_CONFIG_SECONDS)[resource].result(_CONFIG_SECONDS)
        return int(answer["max.message.bytes"].value)
    except (KafkaException, TimeoutError, KeyError, TypeError, ValueError):
        return None


def existing_topics(bootstrap: Sequence[str], portals: Sequence[str], security: KafkaSettings) -> tuple[str, ...]:
    """Those of the topics ``portals`` that exist.

    Raises:
        UnavailableError: no broker answers, or one refuses access.
        ConfigurationError: none of the topics exists, or this user may see none.
    """
    known = topics_of(bootstrap, security, used=portals[0], timeout=_METADATA_SECONDS, option=_OPTION)
    if found := tuple(topic for topic in portals if topic in known):
        return found
    raise missing_portals(security.model_copy(update={"bootstrap": tuple(bootstrap)}))


def create_topic(*, bootstrap: Sequence[str], topic: str, partitions: int, security: KafkaSettings = PLAINTEXT) -> None:
    """Create the topic, with the broker's default replication, unless it exists.

    Raises:
        UnavailableError: no broker answers, or the topic may not be created.
    """
    require_topic(bootstrap, topic, security, create_partitions=partitions)


def require_topic(
    bootstrap: Sequence[str],
    topic: str,
    security: KafkaSettings,
    *,
    create_partitions: int | None = None,
    timeout: float | None = None,
) -> None:
    """Check that the topic exists; with ``create_partitions`` create a missing topic.

    Raises:
        UnavailableError: no broker answers, one refuses access, a leader of the topic is unreachable, or it may not be created.
        ConfigurationError: the topic does not exist.
    """
    address = ", ".join(bootstrap)
    if topic in topics_of(bootstrap, security, used=topic, timeout=timeout or _METADATA_SECONDS, option=_OPTION):
        return
    if create_partitions is None:
        raise ConfigurationError(
            f"The topic {topic!r} does not exist on {address}, or may not be seen.",
            remedy="Create it, or add --create-topic.",
        )
    admin = AdminClient({**librdkafka_options(security, bootstrap), "log_level": 2})
    new = NewTopic(topic, num_partitions=create_partitions, replication_factor=-1)
    try:
        admin.create_topics([new], request_timeout=timeout or _METADATA_SECONDS)[topic].result(_METADATA_SECONDS)
    except KafkaException as error:
        reason: KafkaError = error.args[0]
        if reason.code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return  # another process was faster
        raise refusal(reason, bootstrap, security, what=f"topic {topic}", option=_OPTION) from error
    except TimeoutError as error:
        raise UnavailableError(
            f"Kafka at {address} does not answer whether {topic!r} was created.",
            remedy="Try again, or let `portalpulse doctor` look for the cause.",
        ) from error
