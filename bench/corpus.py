"""The messages of a benchmark: valid dossier events, the same for every contender, generated from a seed."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import Producer

from domain.agencies import AgencyRegistry
from domain.periods import VIETNAM

_PROCEDURES = 300
_STATUSES = (1, 2, 4, 9, 10)
_CHANNELS = (1, 2, 2, 2, 3)
_LEVELS = ("toan_trinh", "toan_trinh", "mot_phan")
_DELIVERY_SECONDS = 300.0

#: (agency code, start of the minute as seconds since 1970) -> events: what every tally must be.
Buckets = Counter[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Corpus:
    """``events`` messages spread evenly over ``minutes`` that end at ``until``."""

    events: int
    minutes: int
    until: dt.datetime
    seed: int = 1

    def messages(self) -> Iterator[tuple[str, int, str, bytes]]:
        """(agency, minute, key, value) of every message, in time order; all event ids are different."""
        source = random.Random(self.seed)
        draw = source.random
        today = self.until.astimezone(VIETNAM).date()
        agencies = [agency.code for agency in AgencyRegistry.packaged().in_force(today)]
        start = int((self.until - dt.timedelta(minutes=self.minutes)).timestamp() * 1000)
        span = self.minutes * 60_000
        second, prefix = -1, ""
        for number in range(self.events):
            at = start + span * number // self.events
            if at // 1000 != second:
                second = at // 1000
                prefix = dt.datetime.fromtimestamp(second, VIETNAM).strftime("%Y-%m-%dT%H:%M:%S")
            agency = agencies[number % len(agencies)]
            dossier = f"{agency}.{number % 90 + 10}-{today:%y%m%d}-{number % 9999:04d}"
            identity = f"{source.getrandbits(128):032x}"
            yield (
                agency,
                second - second % 60,
                dossier,
                (
                    f'{{"event_id":"{identity[:8]}-{identity[8:12]}-{identity[12:16]}-{identity[16:20]}-{identity[20:]}",'
                    f'"dossier_code":"{dossier}","agency_code":"{agency}",'
                    f'"procedure_code":"1.{int(draw() * _PROCEDURES):06d}","status":{_STATUSES[int(draw() * 5)]},'
                    f'"channel":{_CHANNELS[int(draw() * 5)]},"service_level":"{_LEVELS[int(draw() * 3)]}",'
                    f'"occurred_at":"{prefix}.{at % 1000:03d}+07:00"}}'
                ).encode(),
            )


@dataclass(frozen=True, slots=True)
class Filled:
    """The content of a topic."""

    topic: str
    events: int
    message_bytes: float  # mean
    buckets: Buckets


def fill(bootstrap: str, topic: str, corpus: Corpus) -> Filled:
    """Send the corpus to an existing topic.

    Raises:
        SystemExit: messages could not be delivered.
    """
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 50,
            "batch.size": 1_000_000,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 2_000_000,
            "enable.idempotence": True,
            "log_level": 3,  # retries at a new broker would be logged
        }
    )
    size = 0
    buckets: Buckets = Counter()
    for agency, minute, key, value in corpus.messages():
        size += len(value)
        buckets[agency, minute] += 1
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.05)
        producer.poll(0)
    remaining = producer.flush(_DELIVERY_SECONDS)
    if remaining:
        raise SystemExit(f"{remaining} messages could not be sent to {bootstrap}")
    return Filled(topic, corpus.events, size / corpus.events, buckets)
