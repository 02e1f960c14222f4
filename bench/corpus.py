"""The messages of a benchmark: valid dossier events, the same for every contender, made from a seed."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import Producer

from pipeline.core.agencies import AgencyRegistry
from pipeline.core.periods import VIETNAM

_PROCEDURES = 300
_FORM = (
    '{{"event_id":"{id}","dossier_code":"{dossier}","agency_code":"{agency}","procedure_code":"{procedure}","status":{status},'
    '"channel":{channel},"service_level":"{level}","occurred_at":"{at}","portal_id":"portal-{agency}"}}'
)


@dataclass(frozen=True, slots=True)
class Corpus:
    """``events`` messages spread evenly over ``minutes`` that end at ``until``."""

    events: int
    minutes: int
    until: dt.datetime
    seed: int = 1

    def messages(self) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) of every message, in the order of time."""
        source = random.Random(self.seed)
        today = self.until.astimezone(VIETNAM).date()
        agencies = [agency.code for agency in AgencyRegistry.packaged().in_force(today)]
        start = self.until - dt.timedelta(minutes=self.minutes)
        for number in range(self.events):
            at = (start + dt.timedelta(minutes=self.minutes * number / self.events)).astimezone(VIETNAM)
            agency = agencies[number % len(agencies)]
            dossier = f"000.00.{number % 90 + 10}.{agency}-{today:%y%m%d}-{number % 9999:04d}"
            identity = f"{source.getrandbits(128):032x}"
            value = _FORM.format(
                id=f"{identity[:8]}-{identity[8:12]}-{identity[12:16]}-{identity[16:20]}-{identity[20:]}",
                dossier=dossier,
                agency=agency,
                procedure=f"1.{source.randrange(_PROCEDURES):06d}",
                status=source.choice((1, 2, 4, 9, 10)),
                channel=source.choice((1, 2, 2, 2, 3)),
                level=source.choice(("toan_trinh", "toan_trinh", "mot_phan")),
                at=at.isoformat(timespec="milliseconds"),
            )
            yield dossier.encode(), value.encode()


def fill(bootstrap: str, topic: str, corpus: Corpus) -> float:
    """Send the corpus; returns the mean size of a message in bytes."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 50,
            "batch.size": 1_000_000,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 2_000_000,
            "enable.idempotence": True,
        }
    )
    size = 0
    for key, value in corpus.messages():
        size += len(value)
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.05)
        producer.poll(0)
    left = producer.flush(120)
    if left:
        raise SystemExit(f"{left} messages could not be sent to {bootstrap}")
    return size / corpus.events
