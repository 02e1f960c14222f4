"""An idempotent writer that waits for every acknowledgement, and the creation of the topic."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline.core.errors import ConfigurationError, UnavailableError
from pipeline.kafka_access import refusal, topics_of
from pipeline.kafka_security import PLAINTEXT, librdkafka_options
from pipeline.logs import get_logger
from pipeline.settings import KafkaSettings

#: Longest wait for an answer about the topic (seconds).
_METADATA_SECONDS: Final = 10.0
#: A message that could not be delivered for this long has failed (seconds); the broker may restart meanwhile.
_DELIVERY_SECONDS: Final = 60.0
#: Messages and kilobytes under way at most; above it ``send`` blocks.
_QUEUE_MESSAGES: Final = 200_000
_QUEUE_KILOBYTES: Final = 131_072
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
        self._topic = topic
        self._acknowledged = 0
        self._failed = 0
        self._problem = ""
        self._lost = False
        self._sent_since_poll = 0
        self._log = get_logger("producers.kafka")
        require_topic(bootstrap, topic, security, create_partitions=create_partitions)
        self._producer = Producer(
            {
                **librdkafka_options(security),
                "bootstrap.servers": self._bootstrap,
                "client.id": "portalpulse-producer",
                "log_level": 2,  # librdkafka would print every refused connection; what matters comes to error_cb
                "error_cb": self._client_error,
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "lz4",
                "linger.ms": 20,
                "batch.size": 1 << 20,
                "batch.num.messages": 50_000,
                "queue.buffering.max.messages": _QUEUE_MESSAGES,
                "queue.buffering.max.kbytes": _QUEUE_KILOBYTES,
                "delivery.timeout.ms": int(_DELIVERY_SECONDS * 1000),
                "partitioner": "murmur2_random",  # as the Java and Python clients: one dossier, one partition, always
            }
        )

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
        while True:
            try:
                self._producer.produce(self._topic, value=value, key=key, on_delivery=self._delivered)
            except BufferError:
                self._producer.poll(0.1)
                if self._lost:  # the queue is being given up; there is no room to wait for
                    self._fail("the broker does not take messages any more")
                    return
                continue
            except KafkaException as error:  # this one message, e.g. larger than the client's limit
                self._fail(error.args[0].str(), code=error.args[0].code())
                return
            break
        self._sent_since_poll += 1
        if self._sent_since_poll >= _POLL_EVERY:
            self._sent_since_poll = 0
            self._producer.poll(0)

    def flush(self, *, timeout: float = _DELIVERY_SECONDS + 5.0) -> None:
        """Wait for every message; none stays undecided longer than the timeout, and none for a lost broker."""
        deadline = time.monotonic() + timeout
        while self._producer.flush(0.5) and time.monotonic() < deadline and not self._lost:
            pass
        left = len(self._producer)
        if left:  # give up what is left, counted as failed, rather than hang
            self._producer.purge()
            self._producer.flush(1.0)

    def _delivered(self, error: KafkaError | None, _message: Any) -> None:
        if error is None:
            self._acknowledged += 1
        else:
            self._fail(error.str(), code=error.code())

    def _fail(self, text: str, *, code: int | None = None) -> None:
        self._failed += 1
        self._problem = self._problem or text
        self._lost = self._lost or code in _GONE

    def _client_error(self, error: KafkaError) -> None:
        """Errors of the client itself: only fatal ones end it, librdkafka heals the others."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self._log.warning("kafka_unreachable", bootstrap=self._bootstrap, detail=error.str())
        if error.fatal():
            self._problem = self._problem or error.str()
            self._lost = True


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
        UnavailableError: no broker answers or it refuses us, or the topic may not be created.
        ConfigurationError: the topic does not exist.
    """
    address = ", ".join(bootstrap)
    if topic in topics_of(bootstrap, security, timeout=timeout or _METADATA_SECONDS):
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
