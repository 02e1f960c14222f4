"""Lists the Kafka errors that are retried. Any other error stops the caller with a message.

``RETRYABLE`` and ``FATAL`` hold codes of the Kafka protocol under the names of its own table of error codes; a test compares
names and the flag *retriable* with the table that the broker's jars print. The errors that the two client libraries raise
without an answer of a broker are in ``OF_AIOKAFKA`` and ``OF_LIBRDKAFKA``. docs/errors.md shows the same tables.

Inside a running consumer Faust and aiokafka retry by themselves. These tables decide about requests that portalpulse itself
sends, and about the message when a consumer or a sender has ended.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from aiokafka import errors as aiokafka_errors
from confluent_kafka import KafkaError


class RetryCode(NamedTuple):
    """A code for which a retry may help. ``source``: why. ``retriable``: whether Kafka's own table says that it is retriable."""

    name: str
    source: str
    retriable: bool = True


class FatalCode(NamedTuple):
    """A code for which a retry does not help. ``source``: what it means; ``remedy``: what to do."""

    name: str
    source: str
    remedy: str


_ELECTION: Final = "a leader is being elected or moved; metadata is requested again"
_COORDINATOR: Final = "the group's coordinator moves or starts"
_REJOIN: Final = "not retriable as it is: the member rejoins the group and continues"

RETRYABLE: Final[dict[int, RetryCode]] = {
    2: RetryCode(
        "CORRUPT_MESSAGE",
        "a checksum failed; reading again may succeed. A worker that reads such a batch ends and names its offsets",
    ),
    3: RetryCode("UNKNOWN_TOPIC_OR_PARTITION", "a new topic is not known everywhere at once; whether it exists is asked first"),
    5: RetryCode("LEADER_NOT_AVAILABLE", _ELECTION),
    6: RetryCode("NOT_LEADER_OR_FOLLOWER", _ELECTION),
    7: RetryCode("REQUEST_TIMED_OUT", "the broker was too slow"),
    9: RetryCode("REPLICA_NOT_AVAILABLE", _ELECTION),
    13: RetryCode("NETWORK_EXCEPTION", "the broker lost a connection"),
    14: RetryCode("COORDINATOR_LOAD_IN_PROGRESS", _COORDINATOR),
    15: RetryCode("COORDINATOR_NOT_AVAILABLE", _COORDINATOR),
    16: RetryCode("NOT_COORDINATOR", _COORDINATOR),
    19: RetryCode("NOT_ENOUGH_REPLICAS", "brokers are unavailable; the others wait for them"),
    20: RetryCode("NOT_ENOUGH_REPLICAS_AFTER_APPEND", "brokers are unavailable; the message is sent again"),
    22: RetryCode("ILLEGAL_GENERATION", _REJOIN, retriable=False),
    25: RetryCode("UNKNOWN_MEMBER_ID", _REJOIN, retriable=False),
    27: RetryCode("REBALANCE_IN_PROGRESS", _REJOIN, retriable=False),
    41: RetryCode("NOT_CONTROLLER", "the controller moved"),
    56: RetryCode("KAFKA_STORAGE_ERROR", "a disk of the leader failed; another replica becomes the leader"),
    70: RetryCode("FETCH_SESSION_ID_NOT_FOUND", "the broker forgot the fetch session; a new one is begun"),
    71: RetryCode("INVALID_FETCH_SESSION_EPOCH", "the fetch session is out of step; a new one is begun"),
    72: RetryCode("LISTENER_NOT_FOUND", "a broker that starts has no such listener yet"),
    74: RetryCode("FENCED_LEADER_EPOCH", _ELECTION),
    75: RetryCode("UNKNOWN_LEADER_EPOCH", _ELECTION),
    78: RetryCode("OFFSET_NOT_AVAILABLE", _ELECTION),
    79: RetryCode("MEMBER_ID_REQUIRED", _REJOIN, retriable=False),
    89: RetryCode("THROTTLING_QUOTA_EXCEEDED", "a quota refills with time"),
    100: RetryCode("UNKNOWN_TOPIC_ID", "a new topic is not known everywhere at once"),
    103: RetryCode("INCONSISTENT_TOPIC_ID", "metadata is outdated; it is requested again"),
}

_RIGHTS: Final = "Grant this user the right; docs/settings.md names the rights of a worker."
_LOGIN: Final = "Correct user, password and mechanism of the settings for Kafka."

FATAL: Final[dict[int, FatalCode]] = {
    -1: FatalCode(
        "UNKNOWN_SERVER_ERROR",
        "the broker failed in a way it has no code for, or a code aiokafka does not know",
        "See the broker's log.",
    ),
    1: FatalCode(
        "OFFSET_OUT_OF_RANGE",
        "a committed offset is not in the log: messages were deleted before they were read",
        "Raise the retention of the topic; deleted messages must be sent again.",
    ),
    10: FatalCode(
        "MESSAGE_TOO_LARGE",
        "a message above max.message.bytes",
        "Raise max.message.bytes of the topic, or omit the message.",
    ),
    17: FatalCode(
        "INVALID_TOPIC_EXCEPTION", "no topic can have this name", "Correct the name of the topic (PORTALPULSE_KAFKA__TOPIC)."
    ),
    18: FatalCode("RECORD_LIST_TOO_LARGE", "a batch above the size of a segment", "Raise segment.bytes of the topic."),
    24: FatalCode("INVALID_GROUP_ID", "no group can have this name", "Correct the name of the group (PORTALPULSE_KAFKA__GROUP)."),
    23: FatalCode(
        "INCONSISTENT_GROUP_PROTOCOL",
        "another program uses the group with another assignor or protocol",
        "Stop the other program, or set another PORTALPULSE_KAFKA__GROUP.",
    ),
    26: FatalCode(
        "INVALID_SESSION_TIMEOUT",
        "outside of the broker's limits",
        "Correct the session timeout, or group.min.session.timeout.ms.",
    ),
    29: FatalCode("TOPIC_AUTHORIZATION_FAILED", "a right on the topic is missing", _RIGHTS),
    30: FatalCode("GROUP_AUTHORIZATION_FAILED", "a right on the group is missing", _RIGHTS),
    31: FatalCode("CLUSTER_AUTHORIZATION_FAILED", "a right on the cluster is missing", _RIGHTS),
    33: FatalCode("UNSUPPORTED_SASL_MECHANISM", "the broker offers others", _LOGIN),
    34: FatalCode("ILLEGAL_SASL_STATE", "the broker expected a login and none came, or the reverse", _LOGIN),
    35: FatalCode(
        "UNSUPPORTED_VERSION", "the broker is too old or too new for the client", "Use a broker that the client supports."
    ),
    40: FatalCode("INVALID_CONFIG", "a setting of the topic that the broker refuses", "Correct it; the text names it."),
    44: FatalCode("POLICY_VIOLATION", "a policy of the cluster forbids it", "Ask the administrator of the brokers."),
    58: FatalCode("SASL_AUTHENTICATION_FAILED", "wrong user or password", _LOGIN),
    82: FatalCode(
        "FENCED_INSTANCE_ID",
        "another worker joined under the instance id of this one",
        "Give each worker a PORTALPULSE_KAFKA__INSTANCE_ID of its own.",
    ),
}

#: Errors that aiokafka raises without an answer of a broker, by class. Those not listed stop.
OF_AIOKAFKA: Final[dict[type[Exception], str]] = {
    aiokafka_errors.KafkaConnectionError: "no connection to a broker, or it was lost",
    aiokafka_errors.NoBrokersAvailable: "none of the brokers answers",
    aiokafka_errors.NodeNotReadyError: "the connection is being made",
    aiokafka_errors.KafkaTimeoutError: "no answer in time",
    aiokafka_errors.StaleMetadata: "metadata is outdated; it is requested again",
    aiokafka_errors.MetadataEmptyBrokerList: "a broker that starts knows none yet",
    aiokafka_errors.CorrelationIdError: "answers out of order; the connection is reopened",
    aiokafka_errors.TooManyInFlightRequests: "the connection is busy",
    aiokafka_errors.Cancelled: "the request was given up because its connection closed",
}

#: Errors of librdkafka's own (negative codes). Those not listed stop.
OF_LIBRDKAFKA: Final[dict[int, tuple[str, str]]] = {
    KafkaError._TRANSPORT: ("_TRANSPORT", "a connection broke"),  # noqa: SLF001 - public names with an underscore
    KafkaError._ALL_BROKERS_DOWN: ("_ALL_BROKERS_DOWN", "none of the brokers answers"),  # noqa: SLF001
    KafkaError._TIMED_OUT: ("_TIMED_OUT", "no answer in time"),  # noqa: SLF001
    KafkaError._MSG_TIMED_OUT: ("_MSG_TIMED_OUT", "a message was not acknowledged in time"),  # noqa: SLF001
    KafkaError._TIMED_OUT_QUEUE: ("_TIMED_OUT_QUEUE", "a request waited too long to be sent"),  # noqa: SLF001
    KafkaError._RESOLVE: ("_RESOLVE", "the name of a broker cannot be resolved for now"),  # noqa: SLF001
    KafkaError._QUEUE_FULL: ("_QUEUE_FULL", "more messages wait than fit"),  # noqa: SLF001
    KafkaError._WAIT_COORD: ("_WAIT_COORD", "the coordinator is being determined"),  # noqa: SLF001
    KafkaError._RETRY: ("_RETRY", "librdkafka asks to repeat"),  # noqa: SLF001
}


def is_retryable(error: Any) -> bool:
    """Whether a retry may help; ``error`` is one of aiokafka's exceptions or a ``confluent_kafka.KafkaError``."""
    code = code_of(error)
    if code is None:
        return type(error) in OF_AIOKAFKA
    return code in RETRYABLE or code in OF_LIBRDKAFKA


def remedy(error: Any) -> str:
    """What a person should do about an error; empty when waiting is enough or no remedy is known."""
    code = code_of(error)
    return FATAL[code].remedy if code in FATAL else ""


def name(error: Any) -> str:
    """The name of an error's code in Kafka's own table; "" for errors without a listed code."""
    code = code_of(error)
    if code in RETRYABLE:
        return RETRYABLE[code].name
    return FATAL[code].name if code in FATAL else ""


def code_of(error: Any) -> int | None:
    """The code of an error in Kafka's protocol (librdkafka's own codes are negative); None: the error has no code."""
    code = error.code() if isinstance(error, KafkaError) else getattr(error, "errno", None)
    return code if isinstance(code, int) and isinstance(error, (KafkaError, aiokafka_errors.KafkaError)) else None
