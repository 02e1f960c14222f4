"""How old the oldest event is that is not in the tallies yet, for each partition, measured from outside of the workers.

A probe is a dossier of one event. Each partition gets one every tenth of a second, of an agency that sends nothing else, so that
the tally of its agency says which probe of the partition is the oldest one that is not counted. Its age runs from the moment at
which it was handed to the producer: what the broker takes is included.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from confluent_kafka import Producer

from bench.probe import Probe
from deploy.native.services.clickhouse_server import ClickHouseServer
from domain.agencies import AgencyRegistry
from domain.errors import UnavailableError
from domain.periods import VIETNAM
from pipeline.kafka.security import SILENT_LIBRDKAFKA
from producers.portals.tier_truth import TierCounts

#: Pauses between two probes of a partition, and between two readings of the tallies (seconds).
_EVERY_SECONDS: Final = 0.1
_READ_SECONDS: Final = 0.2
_PROCEDURE: Final = "1.999999"


def probe_agencies(partitions: int) -> tuple[str, ...]:
    """An agency for each partition, of which none succeeds another; nobody else may send for it."""
    registry, today = AgencyRegistry.packaged(), dt.datetime.now(VIETNAM).date()
    successors = {agency.successor_code for agency in registry}
    return tuple(agency.code for agency in registry.in_force(today) if agency.code not in successors)[-partitions:]


@dataclass(frozen=True, slots=True)
class Sample:
    """At a moment (monotonic seconds) the age of the oldest probe of each partition that is not counted; 0: all are."""

    at: float
    ages: tuple[float, ...]

    @property
    def worst(self) -> float:
        """That of the partition that is furthest behind."""
        return max(self.ages)


class Freshness:
    """A context manager that sends probes and reads tallies in threads of its own.

    Args:
        bootstrap: of the brokers.
        topic: of the events.
        server: where the tallies are.
        database: of them.
        agencies: one for each partition, see ``probe_agencies``.
    """

    def __init__(self, bootstrap: str, topic: str, *, server: ClickHouseServer, database: str, agencies: Sequence[str]) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "acks": "all", **SILENT_LIBRDKAFKA})
        self._topic, self._database, self._agencies = topic, database, tuple(agencies)
        self._probe = Probe(server)
        #: When each probe of each partition was sent: monotonic seconds, and its own time in epoch milliseconds.
        self._sent: list[list[float]] = [[] for _ in agencies]
        self._at: list[list[int]] = [[] for _ in agencies]
        self.samples: list[Sample] = []
        self._quiet, self._closed = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._send, self._read)]
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._quiet.set()
        self._closed.set()
        for thread in self._threads:
            thread.join(10)
        self._probe.close()

    def finish(self) -> None:
        """Send no more probes, and read no more.

        Raises:
            UnavailableError: probes were lost, or a thread ended by itself.
        """
        self._quiet.set()
        self._closed.set()
        for thread in self._threads:
            thread.join(10)
        if self._error is not None:
            raise UnavailableError(f"The freshness was not measured: {self._error!r}.") from self._error
        if left := self._producer.flush(30):
            raise UnavailableError(f"Kafka did not take {left} probes.")

    def between(self, begin: float, end: float) -> list[Sample]:
        """The samples of some time."""
        return [sample for sample in list(self.samples) if begin <= sample.at <= end]

    @property
    def worst(self) -> float:
        """The highest age so far (seconds)."""
        return max((sample.worst for sample in list(self.samples)), default=0.0)

    @property
    def now(self) -> float:
        """The age in the latest sample (seconds)."""
        return self.samples[-1].worst if self.samples else 0.0

    def add_to(self, counts: TierCounts) -> None:
        """Add what the probes count as; call it after ``finish``."""
        at = np.array([each for of_partition in self._at for each in of_partition], dtype=np.int64)
        agency = np.repeat(np.arange(len(self._agencies)), [len(of_partition) for of_partition in self._at])
        for name in ("events", "submitted", "submitted_online"):
            counts.add(
                name,
                agencies=self._agencies,
                agency=agency,
                at=at,
                procedures=[_PROCEDURE],
                procedure=np.zeros(len(at), dtype=np.int64),
            )

    def _send(self) -> None:
        try:
            while not self._quiet.wait(_EVERY_SECONDS):
                now = dt.datetime.now(VIETNAM)
                now = now.replace(microsecond=now.microsecond // 1000 * 1000)
                for partition, agency in enumerate(self._agencies):
                    self._producer.produce(self._topic, *_probe(agency, len(self._sent[partition]), now)[::-1], partition)
                    self._at[partition].append(int(now.timestamp() * 1000))
                    self._sent[partition].append(time.monotonic())
                self._producer.poll(0)
        except BaseException as error:  # noqa: BLE001 - raised by finish
            self._error = error

    def _read(self) -> None:
        listed = ", ".join(f"'{agency}'" for agency in self._agencies)
        sql = f"SELECT agency, sum(events) FROM {self._database}.agency_minute FINAL WHERE agency IN ({listed}) GROUP BY agency"
        try:
            while not self._closed.wait(_READ_SECONDS):
                asked = time.monotonic()
                counted: dict[str, Any] = {agency: int(events) for agency, events in self._probe.rows(sql) or []}
                self.samples.append(Sample(asked, tuple(self._ages(asked, counted))))
        except BaseException as error:  # noqa: BLE001 - as above
            self._error = error

    def _ages(self, asked: float, counted: dict[str, int]) -> list[float]:
        ages = []
        for agency, sent in zip(self._agencies, self._sent, strict=True):
            done = counted.get(agency, 0)
            ages.append(max(0.0, asked - sent[done]) if done < len(sent) else 0.0)
        return ages


def _probe(agency: str, number: int, at: dt.datetime) -> tuple[bytes, bytes]:
    dossier = f"{agency}.99.999.999-{at:%y%m%d}-{number:07d}"
    value = (
        f'{{"event_id":"{uuid.uuid4()}","dossier_code":"{dossier}","agency_code":"{agency}","procedure_code":"{_PROCEDURE}",'
        f'"status":1,"channel":2,"service_level":"toan_trinh","occurred_at":"{at.isoformat(timespec="milliseconds")}"}}'
    )
    return dossier.encode(), value.encode()
