"""The environment of the chaos runs: Kafka, ClickHouse, workers between them, and traffic in which every event is known."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Self

from bench.chaos.comparison import Comparison, compare
from bench.chaos.feed import Feed
from bench.chaos.kafka_cluster import KafkaCluster
from bench.chaos.limits import Limits, measure
from bench.chaos.tcp_proxy import TcpProxy
from bench.chaos.traffic import Traffic
from bench.chaos.workers import Worker
from bench.consumer_group import ConsumerGroup
from bench.folder import temporary_folder
from bench.probe import Probe
from deploy.native.ports import LOOPBACK
from deploy.native.processes import wait_until
from deploy.native.services.clickhouse_server import ClickHouseServer
from deploy.native.services.kafka import KafkaNode
from domain.errors import UnavailableError
from producers.portals.tier_truth import Tables, figure_differences, read_table, table_sql

TOPIC: Final = "dvc.dossier-events.v1"
PARTITIONS: Final = 4
DATABASE: Final = "chaos"
TIERS: Final = ("agency_minute", "agency_day", "agency_day_procedure")
#: How long one measurement of the tallies' delay takes, and how often it samples (seconds).
_MEASUREMENT_SECONDS, _POLL_SECONDS = 3.0, 0.05
SESSION_SECONDS: Final = 6
#: Dossiers are corrected within about a second after their events are counted; this is what is waited for at most (seconds).
_CORRECTED_SECONDS: Final = 60.0


class Environment:
    """A context manager; starts everything, traffic included, and stops it cleanly.

    Args:
        brokers: 1, or 3 for a cluster that keeps three copies.
        workers: how many there are unless a fault needs more, or exactly as many as it says.
        rate: messages a second.
        seed: of the traffic.
        settings: further PORTALPULSE_ variables of the workers.
        keep_logs: every process's log is copied there at the end.
        report: called with a text for every step.
    """

    def __init__(
        self,
        *,
        brokers: int = 1,
        workers: int = 1,
        rate: float = 1_000.0,
        seed: int = 0,
        settings: Mapping[str, str] | None = None,
        keep_logs: Path | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.report = report
        self.brokers = brokers
        self.workers: list[Worker] = []
        self.group = "chaos-0"
        #: When the current fault was injected and when the environment had recovered from it, by the monotonic clock.
        self.injected_at, self.recovered_at = 0.0, None  # type: float, float | None
        self.limits = Limits()  # measured when everything runs
        self._groups = 0
        self.topic, self.database = TOPIC, DATABASE
        self._keep_logs, self.usual_workers, self._rate, self._seed = keep_logs, workers, rate, seed
        self._more_settings = dict(settings or {})
        self._faults: list[str] = []
        self._started = 0
        self._exit = ExitStack()
        # Created here because the services below need its path; removed by __exit__, and when __enter__ fails.
        self._temporary = ExitStack()
        self.folder = self._temporary.enter_context(temporary_folder("portalpulse-chaos-"))
        logs = self.folder / "logs"
        self.kafka: KafkaNode | KafkaCluster = (
            KafkaNode(data_dir=self.folder / "kafka", log_dir=logs)
            if brokers == 1
            else KafkaCluster(data_dir=self.folder / "kafka", log_dir=logs, nodes=brokers)
        )
        self.server = ClickHouseServer(data_dir=self.folder / "clickhouse", log_dir=logs)
        #: Between the workers and ClickHouse; the queries of this module bypass it.
        self.proxy = TcpProxy(self.server.http_port)
        self.probe = Probe(self.server)

    def __enter__(self) -> Self:
        try:
            self._exit.callback(self._remove_folder)
            self.report("starting Kafka")
            self._exit.callback(self.kafka.stop)
            self.kafka.start()
            self.kafka.create_topic(self.topic, partitions=PARTITIONS)
            self.report("starting ClickHouse")
            self._exit.callback(self.server.stop)
            self.server.start()
            self._exit.enter_context(self.proxy)
            self._exit.callback(self._stop_workers)
            self.traffic = self._exit.enter_context(self._new_traffic())
            self.report("starting workers")
            self.set_workers(self.usual_workers)
            self.traffic.resume()
            self.report("measuring how fast this machine is without faults")
            self.limits = measure(self._longest_delay, rate=self._rate)
            self.report(str(self.limits))
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def _new_traffic(self) -> Traffic:
        self.report("planning dossiers")
        return Traffic(self.kafka.bootstrap, self.topic, rate=self._rate, seed=self._seed, feed=Feed(seed=self._seed))

    # --- services ---------------------------------------------------------------------------------------------------------

    @property
    def nodes(self) -> list[KafkaNode]:
        """Every Kafka node."""
        return self.kafka.nodes if isinstance(self.kafka, KafkaCluster) else [self.kafka]

    @property
    def offsets(self) -> ConsumerGroup:
        """The offsets that the workers' group has committed in the topic."""
        return ConsumerGroup(self.kafka.bootstrap, group=self.group, topic=self.topic)

    def settings(self) -> dict[str, str]:
        """The PORTALPULSE_ variables of a worker."""
        return {
            "PORTALPULSE_KAFKA__BOOTSTRAP": self.kafka.bootstrap,
            "PORTALPULSE_KAFKA__TOPIC": self.topic,
            "PORTALPULSE_KAFKA__GROUP": self.group,
            "PORTALPULSE_KAFKA__SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
            "PORTALPULSE_CLICKHOUSE__URL": f"http://default:@{LOOPBACK}:{self.proxy.port}/{self.database}",
            **self._more_settings,
        }

    def set_workers(self, number: int) -> None:
        """Run exactly this many workers, all of them ready; surplus workers are stopped."""
        self.check()
        for worker in self.workers[number:]:
            if worker.running:
                worker.stop()
            self._faults += worker.faults
        del self.workers[number:]
        while len(self.workers) < number:
            self._started += 1
            name = f"worker-{self._started}"
            self.workers.append(Worker(name, self.settings(), folder=self.folder / "work" / name, log_dir=self.folder / "logs"))
        for worker in self.workers:
            if not worker.running:
                worker.launch()
        for worker in self.workers:
            worker.await_ready()

    def mark_injected(self) -> None:
        """Note that the fault is injected now: the recovery time starts."""
        self.injected_at, self.recovered_at = time.monotonic(), None

    def mark_recovered(self) -> None:
        """Note that the environment has recovered, although the fault continues: the recovery time ends."""
        self.recovered_at = time.monotonic()

    def configure(self, **settings: str | None) -> None:
        """Replace the workers by new ones that have these variables; None removes a variable."""
        number = len(self.workers)
        self.set_workers(0)
        for name, value in settings.items():
            if value is None:
                self._more_settings.pop(name, None)
            else:
                self._more_settings[name] = value
        self.set_workers(number)

    def change_group(self) -> None:
        """Replace the workers by workers of a new group, which reads the topic from its beginning."""
        number = len(self.workers)
        self.set_workers(0)
        self._groups += 1
        self.group = f"chaos-{self._groups}"
        self.set_workers(number)

    def check(self) -> list[str]:
        """Every unexpected end of a worker so far, as sentences."""
        for worker in self.workers:
            worker.check()
        return [*self._faults, *(fault for worker in self.workers for fault in worker.faults)]

    # --- numbers ----------------------------------------------------------------------------------------------------------

    def number(self, sql: str) -> int:
        """The single number that a query on the database (``{db}``) returns.

        Raises:
            UnavailableError: ClickHouse does not answer.
        """
        return int(self.server.query(sql.format(db=self.database)))

    def raw_rows(self) -> int:
        """Stored rows, including repeats that are not merged yet; 0 while ClickHouse does not answer."""
        return sum(self.probe.numbers(f"SELECT count() FROM {self.database}.dossier_messages"))

    def tallied(self) -> int:
        """Events in the minute tallies; 0 while ClickHouse does not answer."""
        return sum(self.probe.numbers(f"SELECT sum(events) FROM {self.database}.agency_minute FINAL"))

    def _longest_delay(self) -> float:
        """The longest delay of the tallies behind the traffic within some seconds (seconds)."""
        end, longest = time.monotonic() + _MEASUREMENT_SECONDS, 0.0
        while time.monotonic() < end:
            longest = max(longest, self.traffic.sent.behind(self.tallied()))
            time.sleep(_POLL_SECONDS)
        return longest

    def limit(self, seconds: float) -> float:
        """A time limit for a fast machine, extended for this one (seconds)."""
        return self.limits.of(seconds)

    def live(self) -> bool:
        """Whether there is traffic, and everything created ``limits.live_seconds`` ago is tallied, acknowledged or not."""
        expected = self.traffic.sent.created_before(time.monotonic() - self.limits.live_seconds)
        return 0 < expected <= self.tallied()

    def await_live(self, *, timeout: float = 120.0) -> None:
        """Wait until the workers have caught up with the traffic, which continues.

        Raises:
            UnavailableError: they have not within ``timeout`` seconds, as extended by ``limit``.
        """
        wait_until(self.live, timeout=self.limit(timeout), what="the tallies to catch up with the traffic")

    def await_exact(self, timeout: float = 120.0) -> float:
        """Pause the traffic and wait until every tier counts as many events as were sent, and every figure is the true one.

        ``compare`` tells figures that stay wrong for the rest of the time. Returns the seconds it took.

        Raises:
            UnavailableError: they have not within ``timeout`` seconds, as extended by ``limit``, with the numbers; or, at once,
                more events are stored than were sent.
        """
        began = time.monotonic()
        self.traffic.pause(timeout=self.limit(timeout))
        expected, events = self.traffic.sent.distinct, self.traffic.sent.events
        counts = ", ".join(
            [
                f"(SELECT count() FROM {self.database}.dossier_messages FINAL)",
                *(f"(SELECT sum(events) FROM {self.database}.{tier} FINAL)" for tier in TIERS),
            ]
        )
        found: list[int] = []

        def all_tallied() -> bool:
            found[:] = self.probe.numbers(f"SELECT {counts}")
            return found == [expected, *[events] * 3] or found[:1] > [expected]

        try:
            wait_until(all_tallied, timeout=self.limit(timeout), what=f"{events} events in every tier")
        except UnavailableError as error:
            raise UnavailableError(
                f"{error.problem} Found (stored, minutes, days, procedures): {found}. {' '.join(self.check())}",
                remedy="The workers' logs say what they did.",
            ) from error
        if found[0] != expected:
            raise UnavailableError(
                f"{found[0]} messages are stored, but the sender counted only {expected} in Kafka.",
                remedy="Check the sender's accounting and other senders to the topic; the workers are not the cause.",
            )
        tables = self.traffic.tables()
        with suppress(UnavailableError):
            wait_until(
                lambda: self._true(tables), timeout=self.limit(_CORRECTED_SECONDS), what="every figure to be true", poll=0.5
            )
        return time.monotonic() - began

    def _true(self, tables: Tables) -> bool:
        """Whether every figure in every tier is the one of the ledger."""
        return all(
            not figure_differences(
                tables[table], read_table(table, self.server.query(table_sql(self.database, table), timeout=60))
            )
            for table in tables
        )

    def compare(self) -> Comparison:
        """Compare every number of the storage with what was sent; pauses the traffic."""
        self.traffic.pause(timeout=self.limit(120.0))
        return compare(self.traffic, self.server, self.database)

    # --- end --------------------------------------------------------------------------------------------------------------

    def _stop_workers(self) -> None:
        self.proxy.open()
        for worker in self.workers:
            worker.resume()
            if worker.running:
                worker.stop()

    def _remove_folder(self) -> None:
        self.probe.close()
        if self._keep_logs is not None:
            shutil.copytree(self.folder / "logs", self._keep_logs, dirs_exist_ok=True)
        self._temporary.close()
