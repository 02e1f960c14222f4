"""Requests of a static member (KIP-345), which aiokafka has only in versions without the member's instance id.

Without the instance id a broker answers a member that another process replaced as if its session had ended: the member would join
again and replace the other one, and so on without end. With the instance id the answer is FENCED_INSTANCE_ID.

Field by field as in Kafka's HeartbeatRequest.json (version 3), OffsetCommitRequest.json (version 7) and LeaveGroupRequest.json
(version 3). Brokers have them since 2.3.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int16, Int32, Int64, Schema, String

#: A commit tells no epoch of the leader whose record it was.
_NO_LEADER_EPOCH = -1


class StaticHeartbeatResponse(Response):  # type: ignore[misc] # aiokafka is untyped
    """The answer of the group's coordinator."""

    API_KEY = 12
    API_VERSION = 3
    SCHEMA = Schema(("throttle_time_ms", Int32), ("error_code", Int16))


class StaticHeartbeatStruct(RequestStruct):  # type: ignore[misc] # as above
    """The request on the wire."""

    API_KEY = 12
    API_VERSION = 3
    RESPONSE_TYPE = StaticHeartbeatResponse
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("generation_id", Int32),
        ("member_id", String("utf-8")),
        ("group_instance_id", String("utf-8")),
    )


class StaticHeartbeat(Request[StaticHeartbeatStruct]):  # type: ignore[misc] # as above
    """The heartbeat of a static member."""

    API_KEY = 12

    def __init__(self, group: str, generation_id: int, member_id: str, instance_id: str) -> None:
        self._fields = (group, generation_id, member_id, instance_id)

    def build(self, request_struct_class: type[StaticHeartbeatStruct]) -> StaticHeartbeatStruct:
        """The only version there is."""
        return request_struct_class(*self._fields)


class StaticOffsetCommitResponse(Response):  # type: ignore[misc] # as above
    """The answer of the group's coordinator."""

    API_KEY = 8
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("topics", Array(("topic", String("utf-8")), ("partitions", Array(("partition", Int32), ("error_code", Int16))))),
    )


class StaticOffsetCommitStruct(RequestStruct):  # type: ignore[misc] # as above
    """The request on the wire."""

    API_KEY = 8
    API_VERSION = 7
    RESPONSE_TYPE = StaticOffsetCommitResponse
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("generation_id", Int32),
        ("member_id", String("utf-8")),
        ("group_instance_id", String("utf-8")),
        (
            "topics",
            Array(
                ("topic", String("utf-8")),
                (
                    "partitions",
                    Array(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", String("utf-8")),
                    ),
                ),
            ),
        ),
    )


class StaticOffsetCommit(Request[StaticOffsetCommitStruct]):  # type: ignore[misc] # as above
    """The commit of a static member; ``topics`` as in aiokafka's request: (topic, [(partition, offset, metadata)])."""

    API_KEY = 8

    def __init__(
        self,
        group: str,
        generation_id: int,
        member_id: str,
        instance_id: str,
        topics: Sequence[tuple[str, Sequence[tuple[int, int, str]]]],
    ) -> None:
        of_topics = [
            (topic, [(number, offset, _NO_LEADER_EPOCH, metadata) for number, offset, metadata in partitions])
            for topic, partitions in topics
        ]
        self._fields = (group, generation_id, member_id, instance_id, of_topics)

    def build(self, request_struct_class: type[StaticOffsetCommitStruct]) -> StaticOffsetCommitStruct:
        """The only version there is."""
        return request_struct_class(*self._fields)


class StaticLeaveResponse(Response):  # type: ignore[misc] # as above
    """The answer of the group's coordinator."""

    API_KEY = 13
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "members",
            Array(("member_id", String("utf-8")), ("group_instance_id", String("utf-8")), ("error_code", Int16)),
        ),
    )


class StaticLeaveStruct(RequestStruct):  # type: ignore[misc] # as above
    """The request on the wire."""

    API_KEY = 13
    API_VERSION = 3
    RESPONSE_TYPE = StaticLeaveResponse
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("members", Array(("member_id", String("utf-8")), ("group_instance_id", String("utf-8")))),
    )


class StaticLeave(Request[StaticLeaveStruct]):  # type: ignore[misc] # as above
    """Removes a static member from its group. With an empty member id it removes the process that has the instance id now."""

    API_KEY = 13

    def __init__(self, group: str, instance_id: str, *, member_id: str = "") -> None:
        self._fields = (group, [(member_id, instance_id)])

    def build(self, request_struct_class: type[StaticLeaveStruct]) -> StaticLeaveStruct:
        """The only version there is."""
        return request_struct_class(*self._fields)
