"""An idempotent writer that waits for every acknowledgement, and the creation of the topic."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from domain.errors import ConfigurationError, UnavailableError
from pipeline.kafka.access import Reports, refusal, topics_of
from pipeline.kafka.security import PLAINTEXT, librdkafka_options
from pipeline.logs import get_logger
from pipeline.settings import KafkaSettings
from producers.sending.refusals import why_refused

#: Longest wait for an answer about the topic (seconds).
_METADATA_SECONDS: Final = 10.0
#: Longest wait for the topic's limits, which are not needed (seconds).
_CONFIG_SECONDS: Final = 2.0
#: A message that could not be delivered for this long has failed (seconds); the broker may restart meanwhile.
_DELIVERY_SECONDS: Final = 60.0
#: Messages and kilobytes under way at most; above it ``send`` blocks.
_QUEUE_MESSAGES: Final = 200_000
_QUEUE_KILOBYTES: Final = 131_072
#: Bytes of a batch before compression, unless the topic takes less.
_BATCH_BYTES: Final = 1 << 20
#: Acknowledgements are collected after so many messages.
_POLL_EVERY: Final = 256
#: Failures after which every further message would fail as well.
_GONE: Final = frozenset(
    {
        KafkaError._MSG_TIMED_OUT,  # noqa: SLF001 - the library's own names for local errors begin with an underscore
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)


class KafkaWriter:
    """Writes to one topic: acks=all, idempotent, lz4, large batches. A context manager; leaving it flushes.

    Args:
        bootstrap: broker addresses, host:port.
        topic: it must exist unless ``create_partitions`` is given.
        create_partitions: create a missing topic with so many partitions and the broker's default replication.
        security: whose protocol, login and certificate authorities are used.

    Raises:
        UnavailableError: no broker answers, or it refuses us.
        ConfigurationError: the topic does not exist.
    """

    def __init__(
        self,
        *,
        bootstrap: Sequence[str],
        topic: str,
        create_partitions: int | None = None,
        security: KafkaSettings = PLAINTEXT,
    ) -> None:
        self._bootstrap = ",".join(bootstrap)
        self._topic, self._security = topic, security
        self._acknowledged = 0
        self._failed = 0
        self._problem = ""
        self._lost = self._unreachable = False
        self._sent_since_poll = self._sent = 0
        self._log = get_logger("producers.sending.kafka_writer")
        require_topic(bootstrap, topic, security, create_partitions=create_partitions)
        self._limit = max_message_bytes(bootstrap, topic, security)
        self._config: dict[str, Any] = {
            **librdkafka_options(security),
            "bootstrap.servers": self._bootstrap,
            "client.id": "portalpulse-producer",
            "log_level": 2,
            "logger": Reports().logger(),  # librdkafka would print to stderr what comes to error_cb as well
            "error_cb": self._client_error,
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "lz4",
            "linger.ms": 20,
            "message.max.bytes": max(self._limit or 0, _BATCH_BYTES),
            # Not above the topic's limit, even when nothing can be compressed: the broker refuses the whole batch.
            "batch.size": max(min(_BATCH_BYTES, (self._limit or _BATCH_BYTES) * 49 // 50), 1),
            "batch.num.messages": 50_000,
            "queue.buffering.max.messages": _QUEUE_MESSAGES,
            "queue.buffering.max.kbytes": _QUEUE_KILOBYTES,
            "delivery.timeout.ms": int(_DELIVERY_SECONDS * 1000),
            "partitioner": "murmur2_random",  # as the Java and Python clients: one dossier, one partition, always
        }
        self._producer = Producer(dict(self._config))
        self._one_by_one: Producer | None = None  # made when the topic refuses a batch as too large

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None or not issubclass(kind, KeyboardInterrupt):  # a second Ctrl-C means now
            self.flush()

    @property
    def acknowledged(self) -> int:
        """Messages that all in-sync replicas have."""
        return self._acknowledged

    @property
    def failed(self) -> int:
        """Messages given up."""
        return self._failed

    @property
    def problem(self) -> str:
        """Why the first failed message failed."""
        return self._problem

    @property
    def lost(self) -> bool:
        """Whether the broker or the topic is gone for good."""
        return self._lost

    def send(self, key: bytes | None, value: bytes | None) -> None:
        """Queue one message; blocks while the queue is full, until there is room or the oldest messages fail."""
        self._sent += 1
        while not self._lost:
            try:
                self._producer.produce(self._topic, value=value, key=key, on_delivery=self._delivered)
            except BufferError:
                self._serve(lambda: self._producer.poll(0.1))
                continue
            except KafkaException as error:  # this one message, e.g. larger than the client's limit
                self._fail(self._why(error.args[0], key, value), code=error.args[0].code())
                return
            break
        else:  # what waits is being given up; there is no room to wait for
            self._fail("the broker does not take messages any more")
            return
        self._sent_since_poll += 1
        if self._sent_since_poll >= _POLL_EVERY:
            self._sent_since_poll = 0
            self._serve(lambda: self._producer.poll(0))

    def flush(self, *, timeout: float = _DELIVERY_SECONDS + 5.0) -> None:
        """Wait for every message; none stays undecided longer than the timeout, and none for a lost broker."""
        deadline = time.monotonic() + timeout
        while self._waiting(0.5) and time.monotonic() < deadline and not self._lost:
            pass
        for producer in self._producers:
            if len(producer):  # give up what is left, counted as failed, rather than hang
                producer.purge()
                self._serve(partial(producer.flush, 1.0))
        # After an error of the client itself not every message is answered.
        self._failed = max(self._failed, self._sent - self._acknowledged) if self._lost else self._failed

    @property
    def _producers(self) -> list[Producer]:
        return [self._producer] if self._one_by_one is None else [self._producer, self._one_by_one]

    def _waiting(self, seconds: float) -> int:
        """Messages without an answer, after so many seconds; what the first producer sends on to the second counts."""
        for producer in self._producers:
            self._serve(partial(producer.flush, seconds))
        return sum(map(len, self._producers))

    def _serve(self, call: Callable[[], object]) -> None:
        """Let librdkafka hand over what happened. A fatal error of the client is raised there instead of being handed over."""
        try:
            call()
        except (KafkaException, SystemError) as raised:
            # While one exception is on its way further callbacks end with a SystemError in front of it.
            error: BaseException | None = raised
            while error is not None and not isinstance(error, KafkaException):
                error = error.__cause__ or error.__context__
            if error is None:
                raise
            self._end(error.args[0])

    def _end(self, error: KafkaError) -> None:
        """Nothing more can be sent. Messages were given up because of it, maybe before it was handed over: it is the cause."""
        self._problem = self._why(error, None, None)
        self._lost = True

    def _delivered(self, error: KafkaError | None, message: Any) -> None:
        if error is not None and error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            # The batch was too large, not this message: its limit could not be learnt.
            if self._one_by_one is None:
                self._one_by_one = Producer(self._config | {"batch.num.messages": 1})
            try:
                self._one_by_one.produce(self._topic, value=message.value(), key=message.key(), on_delivery=self._delivered_alone)
            except (KafkaException, BufferError) as refused:
                self._fail(str(refused))
        else:
            self._delivered_alone(error, message)

    def _delivered_alone(self, error: KafkaError | None, message: Any) -> None:
        if error is None:
            self._acknowledged += 1
            self._unreachable = False
        else:
            self._fail(self._why(error, message.key(), message.value()), code=error.code())

    def _why(self, error: KafkaError, key: bytes | None, value: bytes | None) -> str:
        """Why a message failed, with what to do where that is known."""
        # The right to send in order without repeats comes with the right to write to any topic.
        if error.code() in {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}:
            return no_right_to_write(self._topic, self._security)
        if error.code() != KafkaError.MSG_SIZE_TOO_LARGE:
            return why_refused(error.code(), self._topic) or str(error.str())
        size, limit = len(key or b"") + len(value or b""), "" if self._limit is None else f" ({self._limit:,} bytes)"
        shown = (key or b"").decode("utf-8", "replace")
        return (
            f"the message with key {shown!r} has {size:,} bytes, more than the topic {self._topic} takes{limit}: "
            "raise its max.message.bytes, or leave the message out"
        )

    def _fail(self, text: str, *, code: int | None = None) -> None:
        self._failed += 1
        self._problem = self._problem or text
        self._lost = self._lost or code in _GONE

    def _client_error(self, error: KafkaError) -> None:
        """Errors of the client itself: only fatal ones end it, librdkafka heals the others."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN and not self._unreachable:  # noqa: SLF001
            self._unreachable = True  # said once, until a message is acknowledged
            self._log.warning("kafka_unreachable", bootstrap=self._bootstrap, detail=error.str())
        if error.fatal():
            self._end(error)


def no_right_to_write(topic: str, security: KafkaSettings) -> str:
    """What a sender says that may see the topic and not write to it."""
    who = f" user {security.user!r}" if security.user else " this user"
    return f"Kafka does not let{who} write to the topic {topic}: grant WRITE on the topic"


def max_message_bytes(bootstrap: Sequence[str], topic: str, security: KafkaSettings) -> int | None:
    """The largest batch that the topic takes (max.message.bytes); None when it may not be asked for."""
    admin = AdminClient({**librdkafka_options(security), "bootstrap.servers": ",".join(bootstrap), "log_level": 0})
    resource = ConfigResource(ResourceType.TOPIC, topic)
    try:
        answer = admin.describe_configs([resource], request_timeout=_CONFIG_SECONDS)[resource].result(_CONFIG_SECONDS)
        return int(answer["max.message.bytes"].value)
    except (KafkaException, TimeoutError, KeyError, TypeError, ValueError):
        return None


def create_topic(*, bootstrap: Sequence[str], topic: str, partitions: int, security: KafkaSettings = PLAINTEXT) -> None:
    """Create the topic unless it is there.

    Raises:
        UnavailableError: no broker answers, or the topic may not be created.
    """
    require_topic(bootstrap, topic, security, create_partitions=partitions)


def require_topic(
    bootstrap: Sequence[str],
    topic: str,
    security: KafkaSettings,
    *,
    create_partitions: int | None = None,
    timeout: float | None = None,
) -> None:
    """Return when the topic is there, created if so many partitions are given.

    Raises:
        UnavailableError: no broker answers or it refuses us, a leader of the topic cannot be reached, or it may not be created.
        ConfigurationError: the topic does not exist.
    """
    address = ", ".join(bootstrap)
    if topic in topics_of(bootstrap, security, used=topic, timeout=timeout or _METADATA_SECONDS):
        return
    if create_partitions is None:
        raise ConfigurationError(
            f"The topic {topic!r} does not exist on {address}, or may not be seen.",
            remedy="Create it, or add --create-topic.",
        )
    admin = AdminClient({**librdkafka_options(security), "bootstrap.servers": ",".join(bootstrap), "log_level": 2})
    new = NewTopic(topic, num_partitions=create_partitions, replication_factor=-1)
    try:
        admin.create_topics([new], request_timeout=timeout or _METADATA_SECONDS)[topic].result(_METADATA_SECONDS)
    except KafkaException as error:
        reason: KafkaError = error.args[0]
        if reason.code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return  # another process was faster
        raise refusal(reason, bootstrap, security, what=f"topic {topic}") from error
    except TimeoutError as error:
        raise UnavailableError(
            f"Kafka at {address} does not answer whether {topic!r} was created.",
            remedy="Try again, or let `portalpulse doctor` look for the cause.",
        ) from error
