"""Workers of one consumer group that are started, restarted, stopped and added while events flow, and what they leave behind."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

from bench.chaos.workers import Worker
from bench.consumer_group import ConsumerGroup
from bench.freshness import Freshness
from bench.steady_traffic import SteadyTraffic
from deploy.native.processes import wait_until
from deploy.native.services.clickhouse_server import ClickHouseServer
from deploy.native.services.kafka import KafkaNode
from domain.errors import ReplacedError, UnavailableError
from producers.portals.tier_truth import TIERS, TierCounts, figure_differences, read_table, table_sql

#: How workers are known to their group, and how they are restarted:
#: ``dynamic``: each start is a new member; ``static``: each has its own id, and its place waits for it; ``leaving``: the same,
#: but a worker that stops gives its place up; ``surge``: each process has an id of its own and leaves, and the next one is ready
#: before the old one stops, as in Kubernetes; ``replaced``: the next process has the id of the old one, which it ends.
Membership = Literal["dynamic", "static", "leaving", "surge", "replaced"]

#: Fresh again: no event waits longer than this (seconds).
FRESH_SECONDS: Final = 5.0
_TALLY_SECONDS: Final = 240.0
_READY_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the workers read and write."""

    kafka: KafkaNode
    server: ClickHouseServer
    topic: str
    group: str
    database: str
    folder: Path


class Fleet:
    """The workers of one group; a context manager that stops them at the end."""

    def __init__(self, place: Place, *, membership: Membership = "dynamic", settings: Mapping[str, str] | None = None) -> None:
        self._place, self._membership, self._more = place, membership, dict(settings or {})
        self._gone: list[str] = []
        self._started = 0
        self.workers: list[Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.resume()
        for worker in self.workers:
            if worker.running:
                worker.stop()

    def scale(self, number: int) -> None:
        """Run exactly this many workers, all of them ready; the youngest are stopped."""
        for worker in self.workers[number:]:
            worker.stop()
            self._gone += worker.faults
        del self.workers[number:]
        for worker in [self._new(len(self.workers) + 1 + more) for more in range(number - len(self.workers))]:
            self.workers.append(worker)
            worker.launch()
        for worker in self.workers:
            worker.await_ready(timeout=_READY_SECONDS)

    def restart(self, index: int) -> None:
        """Restart one worker as an update of a release does; returns when it is ready."""
        old = self.workers[index]
        if self._membership not in ("surge", "replaced"):
            old.stop()
            old.launch()
            old.await_ready(timeout=_READY_SECONDS)
            return
        new = self._new(index + 1)
        new.launch()
        if self._membership == "replaced":
            old.await_end(frozenset({ReplacedError.exit_code}), timeout=_READY_SECONDS)
        new.await_ready(timeout=_READY_SECONDS)
        old.stop()
        self._gone += old.faults
        self.workers[index] = new

    def check(self) -> list[str]:
        """Every unexpected end of a worker so far, as sentences."""
        for worker in self.workers:
            worker.check()
        return [*self._gone, *(fault for worker in self.workers for fault in worker.faults)]

    def _new(self, number: int) -> Worker:
        name, place = f"worker-{number}", self._place
        settings = {
            "PORTALPULSE_KAFKA__BOOTSTRAP": place.kafka.bootstrap,
            "PORTALPULSE_KAFKA__TOPIC": place.topic,
            "PORTALPULSE_KAFKA__GROUP": place.group,
            "PORTALPULSE_CLICKHOUSE__URL": place.server.url(place.database),
            **self._more,
        }
        self._started += 1
        process = f"{name}-{self._started}"  # an old and a new process of a worker may run at the same time
        if self._membership != "dynamic":
            settings["PORTALPULSE_KAFKA__INSTANCE_ID"] = process if self._membership == "surge" else name
        if self._membership in ("leaving", "surge"):
            settings["PORTALPULSE_KAFKA__LEAVE_ON_STOP"] = "true"
        return Worker(process, settings, folder=place.folder / process, log_dir=place.folder / "logs")


def await_fresh(freshness: Freshness, traffic: SteadyTraffic, *, seconds: float = FRESH_SECONDS, timeout: float = 120.0) -> None:
    """Wait until no event waits longer than ``seconds``.

    Raises:
        UnavailableError: some still do after ``timeout`` seconds, or the traffic ended.
    """
    seen = len(freshness.samples)

    def fresh() -> bool:
        traffic.check()
        return len(freshness.samples) > seen + 1 and freshness.now < seconds

    wait_until(fresh, timeout=timeout, what=f"every event to be counted within {seconds:g} s")


def await_exact(place: Place, traffic: SteadyTraffic, freshness: Freshness, *, timeout: float = _TALLY_SECONDS) -> list[str]:
    """Send the rest, wait until everything is acknowledged, and compare every figure of every tier with the ledger.

    Returns what differs when nothing has changed any more, as sentences; empty: every figure is the true one.
    """
    freshness.finish()
    traffic.finish()
    counts = TierCounts()
    traffic.add_to(counts)
    freshness.add_to(counts)
    true = counts.tables()
    group = ConsumerGroup(place.kafka.bootstrap, group=place.group, topic=place.topic)

    def differences() -> list[str]:
        return [
            f"{table}: {difference}"
            for table in TIERS
            for difference in figure_differences(
                true[table], read_table(table, place.server.query(table_sql(place.database, table), timeout=120))
            )
        ]

    deadline, found = time.monotonic() + timeout, ["nothing was compared"]
    while time.monotonic() < deadline and (group.lag() > 0 or (found := differences())):
        time.sleep(0.5)
    if group.lag() > 0:
        raise UnavailableError(f"{group.lag():,} messages are not acknowledged after {timeout:.0f} s.")
    return found
