"""Who else is in the consumer group: what another program reads there, this one never counts.

A classic group refuses members that share no assignor, but not one with the same assignor, and not members of the newer group
protocol, which turn a group of running workers into theirs. So the group is described at the start. It is not described while a
worker runs: librdkafka's admin requests to a coordinator fail an assertion when it is lost, and end the process.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from confluent_kafka import ConsumerGroupType, KafkaException
from confluent_kafka.admin import AdminClient

from pipeline.core.errors import ConfigurationError
from pipeline.settings import KafkaSettings

#: The client id of every worker.
CLIENT_ID: Final = "portalpulse-worker"
#: Client ids that may be in the group: ours, and those of workers before they had one.
_OURS: Final = ("portalpulse-", "faust-")
_ANSWER_SECONDS: Final = 10.0
_SHOWN: Final = 5


class Group(NamedTuple):
    """What the coordinator says about a group."""

    newer_protocol: bool  # its members are given partitions by the broker (KIP-848)
    others: tuple[str, ...]  # members that are no workers, as client id and host


def describe_group(admin: AdminClient, group: str) -> Group | None:
    """Ask the coordinator; None when it does not tell: joining shows then whether the group may be used. Blocks."""
    try:
        asked = admin.describe_consumer_groups([group], request_timeout=_ANSWER_SECONDS)[group]
        found = asked.result(2 * _ANSWER_SECONDS)
    except (KafkaException, TimeoutError):
        return None
    others = {
        f"{member.client_id!r} on {member.host.lstrip('/')}" for member in found.members if not member.client_id.startswith(_OURS)
    }
    return Group(found.type == ConsumerGroupType.CONSUMER, tuple(sorted(others)))


def refusal(settings: KafkaSettings, found: Group | None) -> ConfigurationError | None:
    """The sentence about another program in the group, if there is one."""
    if found is None or not found.others:
        return None
    shown = ", ".join(found.others[:_SHOWN]) + (f" and {len(found.others) - _SHOWN} more" if len(found.others) > _SHOWN else "")
    return ConfigurationError(
        f"The consumer group {settings.group!r} is used by another program: {shown}. What it reads would never be counted.",
        remedy="Stop that program, or start the workers with another PORTALPULSE_KAFKA__GROUP, which reads the topic from its"
        " beginning; what is counted stays counted, and nothing counts twice.",
    )
