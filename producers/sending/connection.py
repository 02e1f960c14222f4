"""Connects to the brokers of the topics that are sent to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiokafka import errors as kafka_errors
from aiokafka.client import AIOKafkaClient

from domain.errors import ConfigurationError, UnavailableError
from pipeline.kafka.access_errors import unreachable
from pipeline.kafka.security import aiokafka_options
from pipeline.settings import KafkaSettings


async def connected_client(
    bootstrap: Sequence[str], topics: Sequence[str], security: KafkaSettings, *, request_seconds: float
) -> tuple[Any, dict[str, int]]:
    """A connected client that knows the leaders of ``topics``, and the number of partitions of each topic. The caller closes it.

    Raises:
        UnavailableError: no broker answers.
        ConfigurationError: no partition of a topic is visible.
    """
    client: Any = AIOKafkaClient(
        bootstrap_servers=list(bootstrap),
        client_id="portalpulse-batches",
        request_timeout_ms=int(request_seconds * 1000),
        connections_max_idle_ms=540_000,
        **aiokafka_options(security),
    )
    try:
        return client, await _partitions(client, bootstrap, topics)
    except BaseException:
        await client.close()
        raise


async def _partitions(client: Any, bootstrap: Sequence[str], topics: Sequence[str]) -> dict[str, int]:
    address = ",".join(bootstrap)
    try:
        await client.bootstrap()
        client.set_topics(topics)
        updated = await client.force_metadata_update()
    except kafka_errors.KafkaError as error:
        raise UnavailableError(
            f"Kafka at {address} does not answer: {error}.", remedy="Wait until its brokers are up; see the broker's log."
        ) from error
    if not updated:  # aiokafka keeps the cause to its log
        named = [f"{broker.host}:{broker.port}" for broker in client.cluster.brokers()]
        raise unreachable(bootstrap, named, "no answer about the topic")
    found = {topic: len(client.cluster.partitions_for_topic(topic) or ()) for topic in topics}
    if unseen := [topic for topic, partitions in found.items() if not partitions]:
        raise ConfigurationError(
            f"The topic {unseen[0]!r} on {address} has no partitions that are visible.",
            remedy="Wait until its brokers are up; see the broker's log.",
        )
    return found
