"""Makes an aiokafka consumer a static member of its group (KIP-345) that notices when another process has taken its place.

aiokafka joins with the instance id and does not leave when it is closed. This module adds what aiokafka lacks:

* Requests are sent with the instance id (``static_protocol``), so that a broker says when another process joined under this id.
  The member then sends no more requests until it is closed; the watchdog ends the worker.
* A member that starts again gets its old partitions without a rebalance, and aiokafka no longer knows if it is the leader of the
  group: nobody would notice an added partition. So each member looks for partitions that nobody reads.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import BrokerResponseError, CommitFailedError, KafkaError
from aiokafka.protocol.admin import DescribeGroupsRequest
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, SyncGroupRequest

from pipeline.kafka.static_protocol import StaticHeartbeat, StaticLeave, StaticOffsetCommit, StaticOffsetCommitResponse
from pipeline.logs import get_logger

#: How often a member looks for partitions that nobody reads (seconds), and how often in a row it must find some.
_LOOK_SECONDS: Final = 5.0
_MUST_AGREE: Final = 2
_STABLE: Final = "Stable"

log = get_logger("transport")


class FencedInstanceIdError(BrokerResponseError):  # type: ignore[misc] # aiokafka is untyped
    """Another process joined with the instance id of this one. aiokafka has no class for this error code."""

    errno = 82
    message = "FENCED_INSTANCE_ID"


class StaticMember:
    """Changes the coordinator of a started consumer that has not subscribed yet. Use it in the loop of the consumer.

    Attributes:
        fenced: set when another process has taken the place of this one.
    """

    def __init__(self, coordinator: Any, instance_id: str, *, look_seconds: float = _LOOK_SECONDS) -> None:
        self.fenced: FencedInstanceIdError | None = None
        self._coordinator, self._instance_id = coordinator, instance_id
        self._look_seconds = look_seconds
        self._send = coordinator._send_req  # noqa: SLF001 - tests/pins hold the places that are used here
        coordinator._send_req = self._request  # noqa: SLF001
        self._looking = asyncio.ensure_future(self._look_for_unread_partitions())

    @property
    def error(self) -> BaseException | None:
        """The error because of which this member cannot go on, or None."""
        if self.fenced is None and self._looking.done() and not self._looking.cancelled():
            return self._looking.exception()
        return self.fenced

    def close(self) -> None:
        """Stop looking for unread partitions. Call it before the consumer is stopped."""
        self._looking.cancel()

    def leave_when_closed(self) -> None:
        """Make aiokafka leave the group when it is closed, as a member that is not static does."""
        if self.fenced is None:  # otherwise there is no place to leave
            self._coordinator._group_instance_id = None  # noqa: SLF001

    async def _request(self, request: Any) -> Any:
        """Send a request of aiokafka's coordinator with the instance id. Blocks or raises once another process has the place."""
        if isinstance(request, HeartbeatRequest):
            generation, member = request._generation_id, request._member_id  # noqa: SLF001
            request = StaticHeartbeat(request._group, generation, member, self._instance_id)  # noqa: SLF001
        elif isinstance(request, OffsetCommitRequest):
            request = StaticOffsetCommit(
                request._consumer_group,  # noqa: SLF001
                request._consumer_group_generation_id,  # noqa: SLF001
                request._consumer_id,  # noqa: SLF001
                self._instance_id,
                request._topics,  # noqa: SLF001
            )
        if self.fenced is None:
            answer = await self._send(request)
            if not _is_fenced(answer):
                return answer
            self.fenced = FencedInstanceIdError(self._instance_id)
        if isinstance(request, StaticOffsetCommit):
            raise CommitFailedError("The group has already rebalanced: another member has the instance id of this one.")
        if isinstance(request, StaticHeartbeat | JoinGroupRequest | SyncGroupRequest):
            await asyncio.wait([self._coordinator._closing])  # noqa: SLF001
        raise self.fenced

    async def _look_for_unread_partitions(self) -> None:
        """Make the group assign its partitions again when repeatedly nobody reads one while the group is stable."""
        found = 0
        while self.fenced is None:
            await asyncio.sleep(self._look_seconds)
            try:
                found = found + 1 if await self._must_rebalance() else 0
                if found < _MUST_AGREE:
                    continue
                log.warning("partitions_without_worker", reason="The group gives its partitions out again.")
                coordinator = self._coordinator
                # Its return under the same id would change nothing for the others.
                await self._send(StaticLeave(coordinator.group_id, self._instance_id, member_id=coordinator.member_id))
                coordinator.reset_generation()
            except KafkaError as error:  # looked for again
                log.info("partitions_not_compared", error=repr(error))
            found = 0

    async def _must_rebalance(self) -> bool:
        """Whether nobody reads a partition, and this member has the smallest id, so that it must cause a rebalance."""
        coordinator = self._coordinator
        subscription = coordinator._subscription.subscription  # noqa: SLF001
        if not coordinator.member_id or subscription is None or subscription.assignment is None:
            return False
        answer = await self._send(DescribeGroupsRequest([coordinator.group_id]))
        _, _, state, _, _, members, *_ = answer.groups[0]
        ids = [member[0] for member in members]
        if state != _STABLE or coordinator.member_id != min(ids, default=""):
            return False
        read = {part for *_, assignment in members for part in _partitions(assignment)}
        cluster = coordinator._cluster  # noqa: SLF001
        known = {topic: cluster.partitions_for_topic(topic) or () for topic in subscription.topics}
        return any((topic, number) not in read for topic, numbers in known.items() for number in numbers)


def _is_fenced(answer: Any) -> bool:
    if isinstance(answer, StaticOffsetCommitResponse):
        return any(code == FencedInstanceIdError.errno for _, partitions in answer.topics for _, code in partitions)
    return getattr(answer, "error_code", 0) == FencedInstanceIdError.errno


def _partitions(assignment: bytes) -> list[tuple[str, int]]:
    if not assignment:
        return []
    of_topics = ConsumerProtocolMemberAssignment.decode(assignment).assignment
    return [(topic, number) for topic, numbers in of_topics for number in numbers]
