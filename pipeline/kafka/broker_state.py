"""Asks brokers for disks, the controller's clock, settings of topics, and offsets by time. Changes nothing.

Brokers tell disks and the controller's clock only to users with the right DESCRIBE on the cluster, and settings of a topic only
to users with DESCRIBE_CONFIGS on the topic. Workers and exporters need neither right, so each answer may be "not known".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.errors import IncompatibleBrokerVersion, NoError, for_code
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource

from domain.errors import UnavailableError
from pipeline.kafka.broker_requests import DescribeLogDirsRequest, DescribeQuorumRequest
from pipeline.kafka.group_members import REQUEST_ERRORS, admin_client
from pipeline.kafka.topic_identity import topic_kafka_options
from pipeline.settings import KafkaSettings

_CLIENT: Final = "portalpulse-doctor"
_ANSWER_SECONDS: Final = 5.0
_MILLISECONDS: Final = 1000
#: What a broker cannot be asked, or this user may not ask.
_NOT_KNOWN: Final = (*REQUEST_ERRORS, IncompatibleBrokerVersion, NotImplementedError)


@dataclass(frozen=True, slots=True)
class LogDisk:
    """A folder of a broker's logs, with size and free space of its disk (bytes). ``failed``: Kafka's error; empty: it works."""

    broker: int
    folder: str
    free: int
    total: int
    failed: str = ""


@dataclass(frozen=True, slots=True)
class ControllerClock:
    """By how many seconds the active controller's clock is ahead of this machine's, and how uncertain that is (seconds)."""

    controller: int
    ahead: float
    uncertain: float


async def read_log_disks(settings: KafkaSettings, *, client_id: str = _CLIENT) -> tuple[LogDisk, ...] | None:
    """The disks of all brokers that answer; None: this user may not know them, or no broker tells them."""
    try:
        async with admin_client(settings, client_id) as client:
            brokers = [broker.nodeId for broker in client._client.cluster.brokers()]  # noqa: SLF001 - no public method lists them
            found = await asyncio.gather(*(_disks_of(client, broker) for broker in brokers))
    except _NOT_KNOWN:
        return None
    return tuple(disk for disks in found for disk in disks) or None


async def _disks_of(client: Any, broker: int) -> list[LogDisk]:
    """The disks of one broker; empty when it does not tell them, so that a broker that hangs does not hide the others."""
    try:
        answer = (await client._send_request_to_node(broker, DescribeLogDirsRequest())).to_object()  # noqa: SLF001
    except _NOT_KNOWN:
        return []
    if for_code(answer["error_code"]) is not NoError:
        return []
    return [_disk(broker, result) for result in answer["results"]]


def _disk(broker: int, result: Mapping[str, Any]) -> LogDisk:
    error = for_code(result["error_code"])
    failed = "" if error is NoError else error.__name__
    return LogDisk(broker, result["log_dir"], result["usable_bytes"], result["total_bytes"], failed)


async def read_controller_clock(settings: KafkaSettings, *, now: Callable[[], float] = time.time) -> ControllerClock | None:
    """The clock of the active controller; None: this user may not know it, or the brokers do not tell it."""
    try:
        async with admin_client(settings, _CLIENT) as client:
            answers = []
            for _ in range(3):  # the first one waits for a connection
                before = now()
                answer = (await client._send_request(DescribeQuorumRequest())).to_object()  # noqa: SLF001
                answers.append((now() - before, before, answer))
    except _NOT_KNOWN:
        return None
    took, before, answer = min(answers, key=lambda each: each[0])
    if for_code(answer["error_code"]) is not NoError or not answer["topics"]:
        return None
    (partition,) = answer["topics"][0]["partitions"]
    leader = partition["leader_id"]
    # The leader says of itself that it caught up at this moment, by its own clock.
    told = next((voter["last_caught_up_timestamp"] for voter in partition["current_voters"] if voter["replica_id"] == leader), -1)
    return None if told < 0 else ControllerClock(leader, told / _MILLISECONDS - (before + took / 2), took / 2 + 0.001)


def topic_settings(settings: KafkaSettings, topics: Sequence[str]) -> dict[str, dict[str, str]]:
    """Topic -> its settings. Topics whose settings this user may not see are omitted."""
    admin = AdminClient(topic_kafka_options(settings))
    asked = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]
    found = {}
    for resource, future in admin.describe_configs(asked, request_timeout=_ANSWER_SECONDS).items():
        try:
            entries = future.result(2 * _ANSWER_SECONDS)
        except (KafkaException, TimeoutError):
            continue
        found[resource.name] = {name: str(entry.value) for name, entry in entries.items()}
    return found


def first_offsets_after(
    settings: KafkaSettings, partitions: Collection[tuple[str, int]], since: float
) -> dict[tuple[str, int], int | None]:
    """Partition -> the first offset with a message of the time ``since`` (epoch seconds) or later; None: there is none.

    Raises:
        UnavailableError: the brokers do not answer, or refuse.
    """
    asked = [TopicPartition(topic, number, int(since * _MILLISECONDS)) for topic, number in partitions]
    if not asked:
        return {}
    options = topic_kafka_options(settings) | {"group.id": settings.group, "enable.auto.commit": False}  # it joins no group
    with closing(Consumer(options)) as consumer:
        try:
            found = consumer.offsets_for_times(asked, timeout=_ANSWER_SECONDS)
        except KafkaException as error:
            raise UnavailableError(
                f"Kafka does not tell since when messages wait: {error.args[0].str()}.", remedy="See the broker's log."
            ) from error
    return {(part.topic, part.partition): part.offset if part.offset >= 0 else None for part in found}
