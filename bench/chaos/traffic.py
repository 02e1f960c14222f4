"""Sends known messages to Kafka at a steady rate, some of them more than once, and knows what the tallies must be.

Most belong to realistic dossiers (``bench.chaos.feed``). The others are dossiers of one event that happens now, so that the
present minute is counted too. Every message has an identity, so that missing ones are found among the stored rows.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import random
import threading
import time
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, Self

import numpy as np
from confluent_kafka import KafkaError, KafkaException, Producer

from bench.chaos.feed import Feed
from domain.agencies import AgencyRegistry
from domain.errors import UnavailableError
from domain.events import Status
from domain.periods import VIETNAM
from pipeline.kafka.security import SILENT_LIBRDKAFKA
from producers.portals.tier_truth import Tables, TierCounts

#: Interval at which due messages are sent (seconds).
TICK: Final = 0.02
#: Share of the new messages that belong to realistic dossiers, when there is a feed of them.
_OF_FEED: Final = 0.8
#: Number of different procedures of the other events, and their statuses in turn.
_PROCEDURES: Final = 20
_STATUSES = (1, 2, 4, 9, 10)
#: Shares of these events that happened within the last half hour, and within the last two months. The others happen now.
_RECENT, _OLD = 0.08, 0.01
_RECENT_SECONDS, _OLD_SECONDS = 1_800, 60 * 86_400
#: Share of the messages that repeat one of the latest messages, and how many of these are kept.
_REPEATS: Final = 0.1
_KEPT: Final = 20_000
_HISTORY_SECONDS: Final = 900.0


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
        self._source = random.Random(seed)
        self._salt = self._source.getrandbits(32)
        today = dt.datetime.now(VIETNAM).date()
        registry = AgencyRegistry.packaged()
        earlier = {agency.code for agency in registry.in_force(today - dt.timedelta(seconds=_OLD_SECONDS, days=1))}
        codes = [agency.code for agency in registry.in_force(today) if agency.code in earlier]
        self._source.shuffle(codes)
        self.agencies = tuple(codes)
        self._shares = list(np.cumsum([1 / rank for rank in range(1, len(codes) + 1)]))  # few agencies send most
        self._feed = feed
        self._identities, self._event_of = array("Q"), array("q")  # by number of the message
        self._agency, self._at, self._procedure, self._status = array("H"), array("q"), array("H"), array("B")
        self._stored: set[int] = set()  # identities of the messages that Kafka has
        self._events: set[int] = set()  # the same of events
        self._created: set[int] = set()  # events that Kafka has or will have
        self._recent: deque[tuple[int, bytes, bytes]] = deque(maxlen=_KEPT)
        self._resend: deque[tuple[int, bytes, bytes]] = deque()  # not acknowledged
        self._in_flight = 0  # handed to a producer, without an answer
        self._history: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self._producer = self._new_producer()
        self._credit = 0.0
        self._flowing, self._idle, self._closed = threading.Event(), threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self._error: BaseException | None = None
        self.messages = 0  # acknowledged, repeats included

    @property
    def distinct(self) -> int:
        """Distinct messages that Kafka has: the rows that must be stored."""
        return len(self._stored)

    @property
    def events(self) -> int:
        """Distinct events that Kafka has: what every tier must count."""
        return len(self._events)

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
        if self._feed is not None:
            for message in self._feed.complete_steps():
                self._send(*self._new(message.key, message.value))
        self._await_acknowledged(deadline - time.monotonic())
        self._check()

    def _await_acknowledged(self, timeout: float) -> None:
        """Wait until Kafka has acknowledged every message; no new message may be sent meanwhile."""
        deadline = time.monotonic() + timeout
        while self._in_flight or self._resend:
            self._producer.flush(0.2)
            while self._resend:
                self._send(*self._resend.popleft())
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
        registry = AgencyRegistry.packaged()
        for at in moments:
            in_force = {agency.code for agency in registry.in_force(at.date())}
            agency = self._source.choice([code for code in self.agencies if code in in_force])
            self._send(*self._event(agency, at))

    def behind(self, tallied: int) -> float:
        """How long ago ``tallied`` events had been created (seconds): about the age of the oldest event that is not tallied."""
        history = list(self._history)
        index = bisect_right(history, tallied, key=lambda entry: entry[1]) - 1
        return time.monotonic() - history[max(index, 0)][0]

    def created_before(self, moment: float) -> int:
        """Events created until ``moment`` (of the monotonic clock), rounded up to the next interval, acknowledged or not."""
        history = list(self._history)
        return history[min(bisect_right(history, (moment, 1 << 62)), len(history) - 1)][1]

    def tables(self) -> Tables:
        """What the tallies must be now; call while paused."""
        counts = TierCounts()
        if self._feed is not None:
            self._feed.add_to(counts)
        agency, at, procedure, status = (
            np.array(column, np.int64) for column in (self._agency, self._at, self._procedure, self._status)
        )
        settled = np.isin(status, (Status.SETTLED, Status.RETURNED))
        every = np.ones(len(status), dtype=bool)
        for name, chosen in (
            *((name, every) for name in ("events", "submitted", "submitted_online")),
            *((name, settled) for name in ("settled", "settled_full", "settled_full_any_return")),
        ):
            counts.add(
                name,
                agencies=self.agencies,
                agency=agency[chosen],
                at=at[chosen],
                procedures=[_procedure_code(number) for number in range(_PROCEDURES)],
                procedure=procedure[chosen],
            )
        return counts.tables()

    def identities(self) -> np.ndarray[Any, Any]:
        """``identity`` of every message that Kafka has, ascending; call while paused."""
        return np.sort(np.fromiter(self._stored, np.uint64, len(self._stored)))

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
                    self._send(*self._next())
                while self._resend:
                    self._send(*self._resend.popleft())
                self._producer.poll(0)
                self._history.append((now, len(self._created)))
                while self._history[0][0] < now - _HISTORY_SECONDS:
                    self._history.popleft()
                self._closed.wait(TICK)
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits for the sender
            self._error = error
        finally:
            self._idle.set()

    def _next(self) -> tuple[int, bytes, bytes]:
        """A new message, or a repeat of one of the latest: its number, key and value."""
        source = self._source
        if self._recent and source.random() < _REPEATS:
            return source.choice(self._recent)
        if self._feed is not None and source.random() < _OF_FEED:
            message = self._feed.take()
            return self._new(message.key, message.value)
        index = bisect_right(self._shares, source.random() * self._shares[-1])
        agency = self.agencies[min(index, len(self.agencies) - 1)]
        draw, age = source.random(), 0.0
        if draw < _OLD:
            age = source.random() * _OLD_SECONDS
        elif draw < _OLD + _RECENT:
            age = source.random() * _RECENT_SECONDS
        return self._event(agency, dt.datetime.fromtimestamp(round(time.time() - age, 3), VIETNAM))

    def _event(self, agency: str, at: dt.datetime) -> tuple[int, bytes, bytes]:
        """A new dossier of one event: its number, key and value."""
        number, source = len(self._agency), self._source
        procedure, status = source.randrange(_PROCEDURES), _STATUSES[number % len(_STATUSES)]
        # Realistic dossiers do not have units of these levels.
        dossier = f"{agency}.{number % 90 + 10}.999.999-{at:%y%m%d}-{number:07d}"
        value = (
            f'{{"event_id":"{self._salt:08x}-0000-4000-8000-{number:012x}","dossier_code":"{dossier}","agency_code":"{agency}",'
            f'"procedure_code":"{_procedure_code(procedure)}","status":{status},"channel":2,'
            f'"service_level":"toan_trinh","occurred_at":"{at.isoformat(timespec="milliseconds")}"}}'
        ).encode()
        self._agency.append(self.agencies.index(agency))
        self._at.append(int(at.timestamp()) * 1000)
        self._procedure.append(procedure)
        self._status.append(status)
        return self._new(dossier.encode(), value)

    def _new(self, key: bytes | None, value: bytes | None) -> tuple[int, bytes, bytes]:
        """A message that is expected as soon as Kafka has acknowledged it."""
        assert key is not None
        assert value is not None
        message, event = identity(value)
        number = len(self._identities)
        self._identities.append(message)
        self._event_of.append(event)
        self._created.add(event)
        found = (number, key, value)
        self._recent.append(found)
        return found

    def _send(self, number: int, key: bytes, value: bytes) -> None:
        while not self._closed.is_set():
            try:
                self._producer.produce(self._topic, value, key, on_delivery=partial(self._delivered, number, key, value))
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

    def _delivered(self, number: int, key: bytes, value: bytes, error: KafkaError | None, _message: object) -> None:
        self._in_flight -= 1
        if error is not None:
            if not self._closed.is_set():
                self._resend.append((number, key, value))
            return
        self.messages += 1
        self._stored.add(self._identities[number])
        self._events.add(self._event_of[number])

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


def identity(value: bytes) -> tuple[int, int]:
    """Two numbers of a message: one for what must be a row of its own (``IDENTITY``), one for what counts as an event."""
    fields = json.loads(value)
    at = round(dt.datetime.fromisoformat(fields["occurred_at"]).timestamp() * 1000)
    due = dt.datetime.fromisoformat(fields["due_at"]).timestamp() if fields.get("due_at") else 0
    event = (fields["event_id"], at, fields["status"])
    row = (
        *event,
        fields.get("channel") or 0,
        fields.get("service_level") or "",
        fields.get("returned_by") or "",
        int(due),
        fields.get("legacy_level") or 0,
    )
    digest = hashlib.md5("|".join(map(str, row)).encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "little"), hash(event)


#: The first number of ``identity`` of a stored row, as an expression of ClickHouse.
IDENTITY: Final = (
    "reinterpretAsUInt64(substring(MD5(concatWithSeparator('|', toString(event_id), "
    "toString(toUnixTimestamp64Milli(occurred_at)), toString(status), toString(channel), toString(service_level), "
    "toString(returned_by), toString(toUnixTimestamp(due_at)), toString(legacy_level))), 1, 8))"
)


def _procedure_code(number: int) -> str:
    return f"1.{number:06d}"
