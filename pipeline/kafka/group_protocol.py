"""The request ConsumerGroupDescribe, which describes a group of the newer protocol (KIP-848), and which aiokafka does not have.

Field by field as in Kafka's ConsumerGroupDescribeRequest.json and ConsumerGroupDescribeResponse.json, version 0.
"""

from __future__ import annotations

from typing import Final

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

_ASSIGNMENT: Final = Schema(
    (
        "topic_partitions",
        CompactArray(
            ("topic_id_high", Int64),  # a UUID is 16 bytes
            ("topic_id_low", Int64),
            ("topic_name", CompactString("utf-8")),
            ("partitions", CompactArray(Int32)),
            ("tags", TaggedFields),
        ),
    ),
    ("tags", TaggedFields),
)


class ConsumerGroupDescribeResponse(Response):  # type: ignore[misc] # aiokafka is untyped
    """The answer of the group's coordinator, which describes the group."""

    API_KEY = 69
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "groups",
            CompactArray(
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("group", CompactString("utf-8")),
                ("state", CompactString("utf-8")),
                ("group_epoch", Int32),
                ("assignment_epoch", Int32),
                ("assignor_name", CompactString("utf-8")),
                (
                    "members",
                    CompactArray(
                        ("member_id", CompactString("utf-8")),
                        ("instance_id", CompactString("utf-8")),
                        ("rack_id", CompactString("utf-8")),
                        ("member_epoch", Int32),
                        ("client_id", CompactString("utf-8")),
                        ("client_host", CompactString("utf-8")),
                        ("subscribed_topic_names", CompactArray(CompactString("utf-8"))),
                        ("subscribed_topic_regex", CompactString("utf-8")),
                        ("assignment", _ASSIGNMENT),
                        ("target_assignment", _ASSIGNMENT),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class ConsumerGroupDescribeRequestStruct(RequestStruct):  # type: ignore[misc] # aiokafka is untyped
    """The form of the request on the wire."""

    FLEXIBLE_VERSION = True
    API_KEY = 69
    API_VERSION = 0
    RESPONSE_TYPE = ConsumerGroupDescribeResponse
    SCHEMA = Schema(
        ("groups", CompactArray(CompactString("utf-8"))),
        ("include_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class ConsumerGroupDescribeRequest(Request[ConsumerGroupDescribeRequestStruct]):  # type: ignore[misc] # aiokafka is untyped
    """Asks to describe one group. For brokers without this request aiokafka raises ``IncompatibleBrokerVersion``."""

    API_KEY = 69

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: type[ConsumerGroupDescribeRequestStruct]) -> ConsumerGroupDescribeRequestStruct:
        """The request in the only version that is used."""
        include_authorized_operations = False  # fields of a struct have no keywords for what comes before the tags
        return request_struct_class([self._group], include_authorized_operations, {})
