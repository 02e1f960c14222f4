"""Describes the consumer group, to detect other programs in it: messages that they read would never be counted.

No other program can join the group of running workers: their assignor is Faust's, which other programs do not have, and brokers
do not convert such a group to the newer protocol. A group without members accepts any program. So the group is described before
a worker joins it, and when its consumer has ended.

aiokafka sends the requests. librdkafka's admin requests to a coordinator fail an assertion, which ends the process, when the
coordinator is lost and answers after the time limit.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import GroupIdNotFound, IncompatibleBrokerVersion, KafkaError, NoError, UnsupportedVersionError, for_code
from aiokafka.protocol.admin import DescribeGroupsRequest

from domain.errors import ConfigurationError
from pipeline.kafka.false_broker import without_false
from pipeline.kafka.group_protocol import ConsumerGroupDescribeRequest
from pipeline.kafka.security import aiokafka_options
from pipeline.settings import KafkaSettings

#: The client id of every worker.
CLIENT_ID: Final = "portalpulse-worker"
#: Client ids that may be in the group: ours, and those of workers before they had one.
_OURS: Final = ("portalpulse-", "faust-")
_ANSWER_SECONDS: Final = 10.0
_SHOWN: Final = 5
#: The state in which every member has its partitions.
_STABLE: Final = "Stable"
#: What a broker puts behind the name in a member id.
_OF_BROKER: Final = re.compile(r"-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
#: What brokers answer that have no such group of the newer protocol, or no such protocol.
_NOT_NEWER: Final = (GroupIdNotFound, UnsupportedVersionError)

#: What a request about the group may raise: brokers that are unavailable, silent, or refuse it.
REQUEST_ERRORS: Final = (KafkaError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the group and the partitions that it has: topic and number."""

    member_id: str
    client_id: str
    host: str
    partitions: frozenset[tuple[str, int]]

    @property
    def shown(self) -> str:
        """The member as words of a sentence: its client id and host."""
        return f"{self.client_id!r} on {self.host}"

    @property
    def name(self) -> str:
        """The member's instance id, or its client id if it has none: a broker makes the member id of this name and a UUID."""
        return _OF_BROKER.sub("", self.member_id)


@dataclass(frozen=True, slots=True)
class Group:
    """What the coordinator says about a group.

    Attributes:
        newer_protocol: whether the broker assigns partitions to the members (KIP-848), or did so while the group had members.
        stable: whether every member has its partitions; otherwise they are being assigned.
        members: the members of the group.
    """

    newer_protocol: bool
    stable: bool
    members: tuple[Member, ...]

    @property
    def others(self) -> tuple[str, ...]:
        """The members that are not workers, as words of a sentence, each once."""
        return tuple(sorted({member.shown for member in self.members if not member.client_id.startswith(_OURS)}))

    def readers(self, topics: Collection[str]) -> int:
        """How many members read one of the topics, or may read one because partitions are being assigned."""
        return sum(any(topic in topics for topic, _ in each.partitions) or not self.stable for each in self.members)


@asynccontextmanager
async def admin_client(settings: KafkaSettings, client_id: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Connect an admin client; close it when the block ends.

    Raises:
        KafkaError: no broker answers.
    """
    client = AIOKafkaAdminClient(
        bootstrap_servers=without_false(settings.bootstrap, settings),
        request_timeout_ms=int(_ANSWER_SECONDS * 1000),
        client_id=client_id,
        **aiokafka_options(settings),
    )
    try:
        await client.start()
        yield client
    finally:
        await client.close()


async def describe_group(client: AIOKafkaAdminClient, group: str) -> Group:
    """Ask the coordinator of the group to describe it. A group that does not exist has no members.

    Raises:
        KafkaError: the coordinator does not answer, moves to another broker, or refuses.
    """
    coordinator = await client.find_coordinator(group)
    # aiokafka's own method asks in the same way, and for several groups; no public method sends a request that aiokafka lacks.
    classic = (await client._send_request(DescribeGroupsRequest([group]), coordinator)).groups[0]  # noqa: SLF001
    if (error := for_code(classic[0])) is not NoError:
        raise error(group)
    if members := classic[5]:
        return Group(newer_protocol=False, stable=classic[2] == _STABLE, members=tuple(map(_classic_member, members)))
    # A group of the newer protocol looks here like one that does not exist.
    try:
        answer = await client._send_request(ConsumerGroupDescribeRequest(group), coordinator)  # noqa: SLF001
    except (IncompatibleBrokerVersion, NotImplementedError):
        return Group(newer_protocol=False, stable=False, members=())
    newer = answer.to_object()["groups"][0]
    if (error := for_code(newer["error_code"])) in _NOT_NEWER:
        return Group(newer_protocol=False, stable=False, members=())
    if error is not NoError:
        raise error(group)
    return Group(newer_protocol=True, stable=newer["state"] == _STABLE, members=tuple(map(_newer_member, newer["members"])))


def refusal(settings: KafkaSettings, found: Group | None) -> ConfigurationError | None:
    """The error for a group that another program uses, or None. ``found`` None: the group is not known."""
    if found is None or not (others := found.others):
        return None
    shown = ", ".join(others[:_SHOWN]) + (f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else "")
    return ConfigurationError(
        f"The consumer group {settings.group!r} is used by another program: {shown}. What it reads would never be counted.",
        remedy="Stop that program, or start the workers with another PORTALPULSE_KAFKA__GROUP, which reads the topic from its"
        " beginning; what is counted stays counted, and nothing counts twice.",
    )


def _classic_member(member: tuple[Any, ...]) -> Member:
    member_id, client_id, host, _, assignment = member
    # Empty while partitions are being given out.
    topics = ConsumerProtocolMemberAssignment.decode(assignment).assignment if assignment else ()
    partitions = frozenset((topic, number) for topic, numbers in topics for number in numbers)
    return Member(member_id, client_id, host.lstrip("/"), partitions)


def _newer_member(member: dict[str, Any]) -> Member:
    parts = member["assignment"]["topic_partitions"]
    partitions = frozenset((part["topic_name"], number) for part in parts for number in part["partitions"])
    return Member(member["member_id"], member["client_id"], member["client_host"].lstrip("/"), partitions)
