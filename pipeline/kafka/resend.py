"""Sends messages again for dead letters, with an idempotent producer that waits for every acknowledgement.

The worker reads with aiokafka inside Faust; resending is rare and runs outside of any event loop, so it uses librdkafka,
whose ``flush`` blocks. Messages go to the partition of their key, as those of the portals do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from domain.errors import UnavailableError
from pipeline.kafka.access import topics_of
from pipeline.kafka.security import librdkafka_options
from pipeline.settings import KafkaSettings
from sinks.contract.dead_letters import DeadLetter

#: A message that could not be delivered for this long has failed (seconds).
_DELIVERY_SECONDS = 30.0


class Resender:
    """Sends messages again, each to the topic from which its dead letter came."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._shown, self._settings = ", ".join(settings.bootstrap), settings
        self._reached: set[str] = set()
        self._problem, self._too_large = "", False
        self._producer: Any = None

    def _opened(self) -> Any:
        """The producer, which is created at the first call, after the brokers were checked."""
        self._producer = self._producer or Producer(
            {
                **librdkafka_options(self._settings),
                "client.id": "portalpulse-replay",
                "enable.idempotence": True,
                "acks": "all",
                "allow.auto.create.topics": False,
                "delivery.timeout.ms": int(_DELIVERY_SECONDS * 1000),
                # One message a batch: the topic may take less than a full one. The broker says how large a message may be.
                "batch.num.messages": 1,
                "message.max.bytes": 1_000_000_000,
                "partitioner": "murmur2_random",  # as the Java and Python clients: one dossier, one partition, always
                "log_level": 2,
            }
        )
        return self._producer

    def send(self, letters: Sequence[DeadLetter], messages: Sequence[bytes | None]) -> None:
        """Send ``messages`` with the keys and topics of their ``letters``; return when all messages are acknowledged.

        Raises:
            UnavailableError: a message was not acknowledged; sending all of them again does no harm.
        """
        for topic in {letter.topic for letter in letters} - self._reached:
            topics_of(self._settings.bootstrap, self._settings, used=topic)  # says at once why no message would arrive
            self._reached.add(topic)
        self._problem, self._too_large = "", False
        producer = self._opened()
        try:
            for letter, message in zip(letters, messages, strict=True):
                self._produce(producer, letter, message)
            left = producer.flush(_DELIVERY_SECONDS + 5)
        except (KafkaException, SystemError) as error:  # a fatal error of the client is raised while it hands over answers
            raise UnavailableError(
                f"Kafka at {self._shown} does not take messages of this user: {error}.",
                remedy="Grant WRITE on the topic, or see the broker's log; messages that were not acknowledged still wait.",
            ) from error
        if left or self._problem:
            raise UnavailableError(
                f"Kafka at {self._shown} did not take every message: {self._problem or f'{left} without an answer'}.",
                remedy="Raise max.message.bytes of the topic, or drop these dead letters."
                if self._too_large
                else "Messages that were not acknowledged still wait; replay again when the broker answers.",
            )

    def _produce(self, producer: Any, letter: DeadLetter, message: bytes | None) -> None:
        while True:
            try:
                producer.produce(letter.topic, value=message, key=letter.key, on_delivery=self._delivered)
            except BufferError:
                producer.poll(0.1)
            except KafkaException as error:
                self._problem = self._problem or f"{letter.topic}/{letter.partition}/{letter.offset}: {error.args[0].str()}"
                return
            else:
                producer.poll(0)
                return

    def _delivered(self, error: KafkaError | None, message: Any) -> None:
        if error is not None:
            size = len(message.key() or b"") + len(message.value() or b"")
            self._problem = self._problem or f"{message.topic()}: a message of {size:,} bytes: {error.str()}"
            self._too_large = self._too_large or error.code() == KafkaError.MSG_SIZE_TOO_LARGE
