"""Sends messages to Kafka at a steady rate, with pauses and bursts, until Kafka has acknowledged every one of them."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, Self

from confluent_kafka import KafkaError, KafkaException, Producer

from bench.chaos.feed import Feed
from bench.chaos.message_choice import ChosenMessage, MessageChoice
from bench.chaos.sent_messages import SentMessages
from domain.errors import UnavailableError
from pipeline.kafka.security import SILENT_LIBRDKAFKA
from producers.portals.tier_truth import Tables

#: Interval at which due messages are sent (seconds).
TICK: Final = 0.02


class Traffic:
    """Sends from its own thread, acks=all, idempotent, until ``pause``; a context manager.

    Every message is tracked until Kafka answers. A message without an acknowledgement may be in Kafka or not, so it is sent
    again: after a pause every event is in Kafka, some more than once. No producer is replaced while messages are in flight.

    Args:
        rate: messages a second, repeats included.
        seed: the same seed gives the same agencies, procedures and repeats, in the same order.
        feed: of realistic dossiers; None: only dossiers of one event.
        new_producer: creates the producer from its options.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        *,
        rate: float,
        seed: int,
        feed: Feed | None = None,
        new_producer: Callable[[dict[str, Any]], Any] = Producer,
    ) -> None:
        self.rate = rate
        self._create = new_producer
        self._bootstrap, self._topic = bootstrap, topic
        self._choice = MessageChoice(seed=seed, feed=feed)
        self.sent = SentMessages()
        self._resend: deque[ChosenMessage] = deque()  # not acknowledged
        self._in_flight = 0  # handed to a producer, without an answer
        self._producer = self._new_producer()
        self._credit = 0.0
        self._flowing, self._idle, self._closed = threading.Event(), threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._flowing.set()
        self._thread.join(10)
        self._producer.purge()
        self._producer.flush(1)

    def resume(self, *, timeout: float = 120.0) -> None:
        """Start sending, with a new producer, because the topic may have been recreated.

        Raises:
            UnavailableError: the messages of the previous producer are not acknowledged within ``timeout`` seconds.
        """
        self._check()
        if not self._flowing.is_set():
            self._await_acknowledged(timeout)
            self._producer = self._new_producer()
            self._idle.clear()
            self._flowing.set()

    def pause(self, *, timeout: float = 120.0) -> None:
        """Stop sending, after the missing earlier steps of the dossiers under way, and wait until Kafka has everything.

        Raises:
            UnavailableError: it has not within ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        self._flowing.clear()
        if not self._idle.wait(timeout):
            self._check()
            raise UnavailableError("The sender does not pause.", remedy="The broker accepts no messages; see its log.")
        for message in self._choice.complete_steps():
            self._send(message)
        self._await_acknowledged(deadline - time.monotonic())
        self._check()

    def _await_acknowledged(self, timeout: float) -> None:
        """Wait until Kafka has acknowledged every message; no new message may be sent meanwhile."""
        deadline = time.monotonic() + timeout
        while self._in_flight or self._resend:
            self._producer.flush(0.2)
            while self._resend:
                self._send(self._resend.popleft())
            if time.monotonic() > deadline and (missing := self._in_flight + len(self._resend)):
                raise UnavailableError(
                    f"Kafka has not acknowledged {missing} messages within {timeout:.0f} s.", remedy="See the broker's log."
                )

    def burst(self, messages: int) -> None:
        """Send this many messages in addition to the rate, as fast as possible."""
        with self._lock:
            self._credit += messages

    def send_at(self, moments: Iterable[dt.datetime]) -> None:
        """Send one event of each of these times (of Viet Nam), of agencies in force then; call while paused."""
        for moment in moments:
            self._send(self._choice.at(moment))

    def tables(self) -> Tables:
        """What the tallies must be now; call while paused."""
        return self._choice.tables()

    def _check(self) -> None:
        if self._error is not None:
            raise UnavailableError(f"The sender ended: {self._error!r}.") from self._error

    def _run(self) -> None:
        try:
            last = time.monotonic()
            while not self._closed.is_set():
                if not self._flowing.is_set():
                    self._idle.set()
                    self._flowing.wait()
                    last = time.monotonic()
                    continue
                now = time.monotonic()
                with self._lock:
                    self._credit += (now - last) * self.rate
                    due = int(self._credit)
                    self._credit -= due
                last = now
                for _ in range(due):
                    if not self._flowing.is_set() or self._closed.is_set():
                        break
                    self._send(self._choice.next())
                while self._resend:
                    self._send(self._resend.popleft())
                self._producer.poll(0)
                self.sent.mark()
                self._closed.wait(TICK)
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits for the sender
            self._error = error
        finally:
            self._idle.set()

    def _send(self, message: ChosenMessage) -> None:
        self.sent.created(message)
        while not self._closed.is_set():
            try:
                self._producer.produce(self._topic, message.value, message.key, on_delivery=partial(self._delivered, message))
            except BufferError:  # the broker is unavailable
                self._producer.poll(0.1)
            except KafkaException as error:
                if not error.args[0].fatal():
                    raise
                # The messages in flight of this producer fail, and are sent again by the next one.
                self._producer.purge()
                self._producer.flush(1)
                self._producer = self._new_producer()
            else:
                self._in_flight += 1
                return

    def _delivered(self, message: ChosenMessage, error: KafkaError | None, _message: object) -> None:
        self._in_flight -= 1
        if error is None:
            self.sent.acknowledge(message)
        elif not self._closed.is_set():
            self._resend.append(message)

    def _new_producer(self) -> Any:
        return self._create(
            {
                "bootstrap.servers": self._bootstrap,
                "client.id": "chaos-traffic",
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "lz4",
                "linger.ms": 5,
                "delivery.timeout.ms": 60_000,
                "queue.buffering.max.messages": 1_000_000,
                "partitioner": "murmur2_random",
                "topic.metadata.refresh.interval.ms": 5_000,  # so that added partitions get messages soon
                "reconnect.backoff.max.ms": 500,
                **SILENT_LIBRDKAFKA,
            }
        )
