"""Why a topic refuses a message, by the error code of the protocol, with what to do."""

from __future__ import annotations

from typing import Final, NamedTuple

from aiokafka import errors as kafka_errors
from confluent_kafka import KafkaError

from pipeline.settings import KafkaSettings

_GONE: Final = "the topic {topic} is not there any more: it was deleted; create it and send again"
_REFUSED: Final[dict[int, str]] = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: _GONE,
    KafkaError._UNKNOWN_TOPIC: _GONE,  # noqa: SLF001 - the library's own names for local errors begin with an underscore
    KafkaError._UNKNOWN_PARTITION: _GONE,  # noqa: SLF001
    KafkaError.INVALID_TIMESTAMP: "the topic {topic} refuses the time of a message: compare the clocks of this machine and the"
    " broker, or raise message.timestamp.before.max.ms and message.timestamp.after.max.ms of the topic",
    KafkaError.INVALID_RECORD: "the topic {topic} refuses a message, and with it its batch: with cleanup.policy=compact every"
    " message needs a key, and message.timestamp.before.max.ms and message.timestamp.after.max.ms bound its time",
}


#: A batch above max.message.bytes of the topic, or above the size of a segment.
TOO_LARGE: Final = (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError)


class TooLarge(NamedTuple):
    """A message that is too large for the topic: its index in the source (None: unknown), its key and its size in bytes."""

    source_index: int | None
    key: bytes | None
    size: int


class InvalidRecordError(kafka_errors.BrokerResponseError):  # type: ignore[misc] # aiokafka has no types
    """The broker refuses a record of the batch after its checks; aiokafka has no class for this error code."""

    errno = KafkaError.INVALID_RECORD
    message = "INVALID_RECORD"


class TopicReplacedError(kafka_errors.KafkaError):  # type: ignore[misc] # aiokafka has no types
    """The topic was replaced: a batch got a lower offset than an earlier one, which is therefore not in the topic any more."""


_UNREADABLE: Final = "an answer about the messages did not come from a Kafka broker: see whether a proxy is in between"


class UnreadableAnswerError(kafka_errors.KafkaError):  # type: ignore[misc] # aiokafka has no types
    """An answer to a sent batch does not mention the batch: it comes from another program, or was changed on its way."""

    errno = None  # no broker has a number for it


def error_of(code: int) -> kafka_errors.KafkaError:
    """The aiokafka error for an error code in an answer."""
    return InvalidRecordError() if code == InvalidRecordError.errno else kafka_errors.for_code(code)()


def refusal_reason(code: int | None, topic: str) -> str:
    """Why ``topic`` refuses a message with this error code, without full stop; empty for other codes."""
    return "" if code is None else _REFUSED.get(code, "").format(topic=topic)


def replaced_reason(topic: str) -> str:
    """A sentence, without full stop, that the topic lost messages which it had acknowledged."""
    return (
        f"the topic {topic} has lost messages that it had acknowledged: it was deleted and created again, or its log was cut;"
        " send everything again, without --resume"
    )


def no_right_to_write(topic: str, security: KafkaSettings) -> str:
    """A sentence, without full stop, for a user who may see the topic and not write to it."""
    who = f" user {security.user!r}" if security.user else " this user"
    return f"Kafka does not let{who} write to the topic {topic}: grant WRITE on the topic"


def failure_reason(
    error: kafka_errors.KafkaError | None, *, topic: str, security: KafkaSettings, too_large: TooLarge | None, limit: int | None
) -> str:
    """Why a batch failed, with what to do where that is known, without full stop.

    Args:
        error: the error of the batch; None: it was not sent because an earlier batch failed.
        topic: the topic that was sent to.
        security: its user is named.
        too_large: the first message that is too large for the topic.
        limit: the largest batch that the topic accepts; None: unknown.
    """
    if isinstance(error, kafka_errors.TopicAuthorizationFailedError):
        return no_right_to_write(topic, security)
    if isinstance(error, TopicReplacedError):
        return replaced_reason(topic)
    if error is None:
        return ""
    if refused := _UNREADABLE if isinstance(error, UnreadableAnswerError) else refusal_reason(error.errno, topic):
        return refused
    if not isinstance(error, TOO_LARGE) or too_large is None:
        return f"{type(error).__name__}: {error}"
    key = (too_large.key or b"").decode("utf-8", "replace")
    accepted = "" if limit is None else f" ({limit:,} bytes)"
    return (
        f"the message with key {key!r} has {too_large.size:,} bytes, more than the topic {topic} takes{accepted}: "
        "raise its max.message.bytes, or omit the message; the others are sent"
    )
