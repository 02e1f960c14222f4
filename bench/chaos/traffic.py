"""Known events on their way into Kafka, at a steady rate, some of them more than once; and what the tallies must say of them.

An event's number stands in its ``event_id``, so what was sent is a range of numbers, and what is missing can be named.
"""

from __future__ import annotations

import datetime as dt
import random
import threading
import time
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Self

import numpy as np
from confluent_kafka import KafkaError, KafkaException, Producer

from domain.agencies import AgencyRegistry
from domain.errors import UnavailableError
from domain.periods import VIETNAM

#: A turn sends what is due since the last one (seconds).
TICK: Final = 0.02
#: Of the new events: that happened within the last half hour, and within the last two months. The others happen now.
_RECENT, _OLD = 0.08, 0.01
_RECENT_SECONDS, _OLD_SECONDS = 1_800, 60 * 86_400
#: Of the messages: that repeat one of the last so many.
_REPEATS: Final = 0.1
_REMEMBERED: Final = 20_000
PROCEDURES: Final = 20
_STATUSES = (1, 2, 4, 9, 10)
_HISTORY_SECONDS: Final = 900.0
_DAY_OFFSET: Final = 7 * 3600


@dataclass(frozen=True, slots=True)
class Expected:
    """The distinct events that Kafka has acknowledged, one element each, in the order of their numbers."""

    agencies: tuple[str, ...]
    agency: np.ndarray[Any, Any]  # index into ``agencies``
    at: np.ndarray[Any, Any]  # seconds since 1970
    procedure: np.ndarray[Any, Any]  # below PROCEDURES

    def minutes(self) -> dict[tuple[str, int], int]:
        """(agency, start of the minute as seconds since 1970) -> events."""
        return self._count(self.at // 60 * 60)

    def days(self) -> dict[tuple[str, int], int]:
        """(agency, civil day as days since 1970) -> events."""
        return self._count((self.at + _DAY_OFFSET) // 86_400)

    def procedures(self) -> dict[tuple[str, int, str], int]:
        """(agency, civil day as days since 1970, procedure) -> events."""
        days = (self.at + _DAY_OFFSET) // 86_400
        return {
            (agency, key // PROCEDURES, procedure_code(key % PROCEDURES)): events
            for (agency, key), events in self._count(days * PROCEDURES + self.procedure).items()
        }

    def _count(self, key: np.ndarray[Any, Any]) -> dict[tuple[str, int], int]:
        pairs, counts = np.unique(np.stack([self.agency.astype(np.int64), key]), axis=1, return_counts=True)
        return {
            (self.agencies[agency], int(value)): int(count)
            for agency, value, count in zip(pairs[0], pairs[1], counts, strict=True)
        }


def procedure_code(number: int) -> str:
    """The code of one of the few procedures that the events name."""
    return f"1.{number:06d}"


class Traffic:
    """Sends from a thread of its own, acks=all, idempotent, until told to pause; a context manager.

    Every message is booked until Kafka has said what became of it, and one that Kafka does not acknowledge is sent again, for it
    may be there or not: at a pause every event is in Kafka, some more than once. No producer is dropped with messages under way.

    Args:
        rate: messages a second, repeats included.
        seed: the same seed gives the same agencies, procedures and repeats, in the same order.
        new_producer: makes the producer out of its options.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        *,
        rate: float,
        seed: int,
        new_producer: Callable[[dict[str, Any]], Any] = Producer,
    ) -> None:
        self.rate = rate
        self._make = new_producer
        self._bootstrap, self._topic = bootstrap, topic
        self._source = random.Random(seed)
        self._salt = self._source.getrandbits(32)
        today = dt.datetime.now(VIETNAM).date()
        registry = AgencyRegistry.packaged()
        earlier = {agency.code for agency in registry.in_force(today - dt.timedelta(seconds=_OLD_SECONDS, days=1))}
        codes = [agency.code for agency in registry.in_force(today) if agency.code in earlier]
        self._source.shuffle(codes)
        self.agencies = tuple(codes)
        self._shares = list(np.cumsum([1 / rank for rank in range(1, len(codes) + 1)]))  # few agencies send most
        self._agency, self._at, self._procedure = array("H"), array("q"), array("H")
        self._acknowledged = bytearray()  # by number: whether Kafka has it
        self._recent: deque[tuple[int, bytes, bytes]] = deque(maxlen=_REMEMBERED)
        self._again: deque[tuple[int, bytes, bytes]] = deque()  # not acknowledged, to be sent again
        self._under_way = 0  # handed to a producer, without an answer
        self._history: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self._producer = self._new_producer()
        self._credit = 0.0
        self._flowing, self._idle, self._closed = threading.Event(), threading.Event(), threading.Event()
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self._error: BaseException | None = None
        self.messages = 0  # acknowledged, repeats included
        self.distinct = 0  # events that Kafka has at least once

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
        """Send from now on; with a new producer, for the topic may have been made anew.

        Raises:
            UnavailableError: the former producer's messages are not acknowledged within ``timeout`` seconds.
        """
        self._check()
        if not self._flowing.is_set():
            self._settle(timeout)
            self._producer = self._new_producer()
            self._idle.clear()
            self._flowing.set()

    def pause(self, *, timeout: float = 120.0) -> None:
        """Stop sending and wait until Kafka has everything.

        Raises:
            UnavailableError: it does not take it within ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        self._flowing.clear()
        if not self._idle.wait(timeout):
            self._check()
            raise UnavailableError("The sender does not pause.", remedy="The broker takes no messages; see its log.")
        self._settle(deadline - time.monotonic())
        self._check()

    def _settle(self, timeout: float) -> None:
        """Wait until Kafka has acknowledged every message; nothing new may be sent meanwhile."""
        deadline = time.monotonic() + timeout
        while self._under_way or self._again:
            self._producer.flush(0.2)
            while self._again:
                self._send(*self._again.popleft())
            if time.monotonic() > deadline and (missing := self._under_way + len(self._again)):
                raise UnavailableError(
                    f"Kafka has not acknowledged {missing} messages within {timeout:.0f} s.", remedy="See the broker's log."
                )

    def burst(self, messages: int) -> None:
        """Send so many messages on top of the rate, as fast as they can be made."""
        with self._guard:
            self._credit += messages

    def send_at(self, moments: Iterable[dt.datetime]) -> None:
        """Send one event of each of these times (of Viet Nam), of agencies in force then; ask while paused."""
        registry = AgencyRegistry.packaged()
        for at in moments:
            then = {agency.code for agency in registry.in_force(at.date())}
            agency = self._source.choice([code for code in self.agencies if code in then])
            self._send(*self._event(agency, at))

    def behind(self, tallied: int) -> float:
        """How long ago so many events had been made (seconds): the age of the oldest event that is not among them, about."""
        history = list(self._history)
        index = bisect_right(history, tallied, key=lambda noted: noted[1]) - 1
        return time.monotonic() - history[max(index, 0)][0]

    def created_before(self, moment: float) -> int:
        """Events made until ``moment`` (of the monotonic clock), rounded up to the next turn; Kafka may not have taken them."""
        history = list(self._history)
        return history[min(bisect_right(history, (moment, 1 << 62)), len(history) - 1)][1]

    def expected(self) -> Expected:
        """What the tallies must say now; ask while paused."""
        known = np.frombuffer(bytes(self._acknowledged), np.uint8).astype(bool)
        columns = (np.array(column, np.int64)[: len(known)][known] for column in (self._agency, self._at, self._procedure))
        return Expected(self.agencies, *columns)

    def numbers(self) -> np.ndarray[Any, Any]:
        """The numbers of the events that Kafka has, ascending; ask while paused."""
        return np.flatnonzero(np.frombuffer(bytes(self._acknowledged), np.uint8))

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
                with self._guard:
                    self._credit += (now - last) * self.rate
                    due = int(self._credit)
                    self._credit -= due
                last = now
                for _ in range(due):
                    if not self._flowing.is_set() or self._closed.is_set():
                        break
                    self._send(*self._next())
                while self._again:
                    self._send(*self._again.popleft())
                self._producer.poll(0)
                self._history.append((now, len(self._agency)))
                while self._history[0][0] < now - _HISTORY_SECONDS:
                    self._history.popleft()
                self._closed.wait(TICK)
        except BaseException as error:  # noqa: BLE001 - whoever waits for the sender must hear of it
            self._error = error
        finally:
            self._idle.set()

    def _next(self) -> tuple[int, bytes, bytes]:
        """A new event, or one of the last ones again."""
        source = self._source
        if self._recent and source.random() < _REPEATS:
            return source.choice(self._recent)
        index = bisect_right(self._shares, source.random() * self._shares[-1])
        agency = self.agencies[min(index, len(self.agencies) - 1)]
        lot, age = source.random(), 0.0
        if lot < _OLD:
            age = source.random() * _OLD_SECONDS
        elif lot < _OLD + _RECENT:
            age = source.random() * _RECENT_SECONDS
        return self._event(agency, dt.datetime.fromtimestamp(round(time.time() - age, 3), VIETNAM))

    def _event(self, agency: str, at: dt.datetime) -> tuple[int, bytes, bytes]:
        """A new event, noted as expected as soon as Kafka has it: its number, key and value."""
        number, source = len(self._agency), self._source
        procedure = source.randrange(PROCEDURES)
        dossier = f"{agency}.{number % 90 + 10}-{at:%y%m%d}-{number % 9999:04d}"
        value = (
            f'{{"event_id":"{self._salt:08x}-0000-4000-8000-{number:012x}","dossier_code":"{dossier}","agency_code":"{agency}",'
            f'"procedure_code":"{procedure_code(procedure)}","status":{_STATUSES[number % 5]},"channel":2,'
            f'"service_level":"toan_trinh","occurred_at":"{at.isoformat(timespec="milliseconds")}"}}'
        ).encode()
        self._agency.append(self.agencies.index(agency))
        self._at.append(int(at.timestamp()))
        self._procedure.append(procedure)
        self._acknowledged.append(0)
        event = (number, dossier.encode(), value)
        self._recent.append(event)
        return event

    def _send(self, number: int, key: bytes, value: bytes) -> None:
        while not self._closed.is_set():
            try:
                self._producer.produce(self._topic, value, key, on_delivery=partial(self._delivered, number, key, value))
            except BufferError:  # the broker is away
                self._producer.poll(0.1)
            except KafkaException as error:
                if not error.args[0].fatal():
                    raise
                # What this producer had under way comes back as failed, and is sent again by the next one.
                self._producer.purge()
                self._producer.flush(1)
                self._producer = self._new_producer()
            else:
                self._under_way += 1
                return

    def _delivered(self, number: int, key: bytes, value: bytes, error: KafkaError | None, _message: object) -> None:
        self._under_way -= 1
        if error is not None:
            if not self._closed.is_set():
                self._again.append((number, key, value))
            return
        self.messages += 1
        if not self._acknowledged[number]:
            self._acknowledged[number] = 1
            self.distinct += 1

    def _new_producer(self) -> Any:
        return self._make(
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
                "topic.metadata.refresh.interval.ms": 5_000,  # added partitions get messages soon
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
                "error_cb": _ignore,
            }
        )


def _ignore(_error: object) -> None:
    """Brokers are killed on purpose here; what was not acknowledged is sent again."""
