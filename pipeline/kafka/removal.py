"""Removes a stopped worker from its group by its instance id, so that other workers get its partitions at once."""

from __future__ import annotations

import asyncio

import stamina
from aiokafka.errors import GroupAuthorizationFailedError, NoError, UnknownMemberIdError, for_code

from domain.errors import ConfigurationError, UnavailableError
from pipeline.kafka import errors as kafka_errors
from pipeline.kafka.group_members import REQUEST_ERRORS, admin_client
from pipeline.kafka.static_protocol import StaticLeave
from pipeline.settings import KafkaSettings

_CLIENT = "portalpulse-workers"
#: How long brokers may answer "not yet" (seconds).
_READY_SECONDS = 20.0


def remove_worker(settings: KafkaSettings, instance_id: str) -> None:
    """Remove a static member from the group. A worker that still runs joins again at once.

    Raises:
        ConfigurationError: the group has no member with this instance id.
        UnavailableError: no broker answers, or the brokers refuse.
    """
    try:
        code = asyncio.run(_leave(settings, instance_id))
    except GroupAuthorizationFailedError as error:
        raise UnavailableError(
            f"Kafka refuses to remove {instance_id!r} from the consumer group {settings.group!r}.",
            remedy="Use the user of the workers, or grant this one READ on the group.",
        ) from error
    except REQUEST_ERRORS as error:
        raise UnavailableError(
            f"Kafka does not remove {instance_id!r} from the consumer group {settings.group!r}: {error!r}.",
            remedy=kafka_errors.remedy(error) or "See the broker's log.",
        ) from error
    if for_code(code) is UnknownMemberIdError:
        raise ConfigurationError(
            f"The consumer group {settings.group!r} has no worker {instance_id!r}: it left, or its session has ended.",
            remedy="`portalpulse workers list` shows the workers of the group.",
        )


async def _leave(settings: KafkaSettings, instance_id: str) -> int:
    """Ask the coordinator to remove the member; return the error code of its answer for this member.

    Raises:
        KafkaError: the coordinator does not answer, moves to another broker, or refuses.
    """
    async for attempt in stamina.retry_context(on=kafka_errors.is_retryable, attempts=None, timeout=_READY_SECONDS, wait_max=1.0):
        with attempt:
            async with admin_client(settings, _CLIENT) as client:
                coordinator = await client.find_coordinator(settings.group)
                answer = await client._send_request(StaticLeave(settings.group, instance_id), coordinator)  # noqa: SLF001 - no public one
                if (error := for_code(answer.error_code)) not in (NoError, UnknownMemberIdError):
                    raise error(settings.group)
                return int(answer.members[0][-1]) if answer.members else int(answer.error_code)
    raise AssertionError  # the loop ends by returning or raising
