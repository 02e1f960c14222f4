"""The traffic of a rehearsal: one healthy agency that sends all the time, and agencies that fall and recover on request."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import threading
import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from confluent_kafka import Producer

from domain.clock import Clock
from domain.indicators import Ratio
from domain.periods import VIETNAM
from pipeline.kafka.security import SILENT_LIBRDKAFKA

#: The agency whose events keep the stream alive.
HEALTHY: Final = "G01"
_SETTLED: Final = 9
_ONLINE: Final = 2
#: An agency that falls has one online dossier in forty; one that recovers one in eight or more.
_FALLEN: Final = 40
_RECOVERED: Final = 8
_EVERY_SECONDS: Final = 0.5


class Traffic:
    """Sends dossiers to the topic; enter the object to start the healthy agency.

    Args:
        bootstrap: the broker, host:port.
        topic: the topic.
        clock: dates the events.
    """

    def __init__(self, bootstrap: str, topic: str, *, clock: Clock) -> None:
        self._topic, self._clock = topic, clock
        # Portals wait for the broker as long as it is gone.
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "acks": "all", "message.timeout.ms": 0, "linger.ms": 20, **SILENT_LIBRDKAFKA}
        )
        self._counts: dict[str, Ratio] = {}
        self._numbers = itertools.count(1)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def __enter__(self) -> Self:
        """Start the healthy agency."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop the traffic; messages that the broker has not taken are dropped."""
        self._stopped.set()
        self._thread.join()
        self._producer.purge()
        self._producer.flush(5)

    def fall(self, agencies: Sequence[str]) -> None:
        """Let the rate of each agency fall to 2.5 %; returns when the dossiers are handed to the Kafka producer."""
        for agency in agencies:
            counts = self.counts(agency)
            online = max(0, 1 - counts.numerator)
            other = _FALLEN * (counts.numerator + online) - counts.denominator - online
            self._settle(agency, online=online, other=other)
        self._producer.poll(0)

    def recover(self, agencies: Sequence[str]) -> None:
        """Let the rate of each agency rise to 12.5 % or a little more."""
        for agency in agencies:
            counts = self.counts(agency)
            gap = counts.denominator - _RECOVERED * counts.numerator
            self._settle(agency, online=max(0, -(-gap // (_RECOVERED - 1))), other=0)
        self._producer.poll(0)

    def counts(self, agency: str) -> Ratio:
        """Online and all dossiers of an agency so far."""
        return self._counts.get(agency, Ratio(0, 0))

    def total(self) -> int:
        """The number of events sent so far; waits until the broker has acknowledged them."""
        sent = sum(counts.denominator for counts in self._counts.values())
        self._producer.flush()
        return sent

    def _settle(self, agency: str, *, online: int, other: int) -> None:
        counts = self.counts(agency)
        self._counts[agency] = Ratio(counts.numerator + online, counts.denominator + online + other)
        for level, count in (("toan_trinh", online), ("mot_phan", other)):
            for _ in range(count):
                self._producer.produce(self._topic, key=agency.encode(), value=self._message(agency, level))

    def _message(self, agency: str, level: str) -> bytes:
        now = self._clock.now().astimezone(VIETNAM)
        event = {
            "event_id": str(uuid.uuid4()),
            "dossier_code": f"000.00.10.{agency}-{now:%y%m%d}-{next(self._numbers):07d}",
            "agency_code": agency,
            "procedure_code": "1.001612",
            "status": _SETTLED,
            "channel": _ONLINE,
            "service_level": level,
            "occurred_at": (now - dt.timedelta(milliseconds=1)).isoformat(timespec="milliseconds"),
        }
        return json.dumps(event).encode()

    def _run(self) -> None:
        while not self._stopped.wait(_EVERY_SECONDS):
            self._settle(HEALTHY, online=1, other=0)
            self._producer.poll(0)
