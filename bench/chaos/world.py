"""A world to break: Kafka, ClickHouse, workers between them, and traffic whose every event is known."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from bench.chaos.gate import Gate
from bench.chaos.limits import Limits, measure
from bench.chaos.traffic import Traffic
from bench.chaos.verdict import Verdict, verdict
from bench.chaos.workers import Worker
from bench.folder import temporary_folder
from bench.measure import Group, Probe
from deploy.native.ports import LOOPBACK
from deploy.native.processes import wait_until
from deploy.native.services.clickhouse_server import ClickHouseServer
from deploy.native.services.kafka import KafkaNode
from deploy.native.services.kafka_cluster import KafkaCluster
from domain.errors import UnavailableError

TOPIC: Final = "dvc.dossier-events.v1"
PARTITIONS: Final = 4
DATABASE: Final = "chaos"
TIERS: Final = ("agency_minute", "agency_day", "agency_day_procedure")
#: How long one look at the distance between traffic and tallies takes, and how often it is measured meanwhile (seconds).
_LOOK_SECONDS, _POLL_SECONDS = 3.0, 0.05
SESSION_SECONDS: Final = 6


class World:
    """A context manager; starts everything, traffic included, and stops it in good order.

    Args:
        brokers: 1, or 3 for a cluster that keeps three copies.
        workers: how many at the start; ``set_workers`` changes it.
        rate: messages a second.
        seed: of the traffic.
        settings: further PORTALPULSE_ variables of the workers.
        keep_logs: every process's log is copied there at the end.
        report: hears of every step, in words.
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
        #: When the fault under way struck, and when the world had recovered from it, by the monotonic clock.
        self.struck, self.recovered = 0.0, None  # type: float, float | None
        self.limits = Limits()  # measured when everything runs
        self._groups = 0
        self.topic, self.database = TOPIC, DATABASE
        self._keep_logs, self._first_workers, self._rate, self._seed = keep_logs, workers, rate, seed
        self._more_settings = dict(settings or {})
        self._faults: list[str] = []
        self._started = 0
        self._exit = ExitStack()
        # Made here, for what follows is named within it; removed by __exit__, and when __enter__ fails.
        self._temporary = ExitStack()
        self.folder = self._temporary.enter_context(temporary_folder("portalpulse-chaos-"))
        logs = self.folder / "logs"
        self.kafka: KafkaNode | KafkaCluster = (
            KafkaNode(data_dir=self.folder / "kafka", log_dir=logs)
            if brokers == 1
            else KafkaCluster(data_dir=self.folder / "kafka", log_dir=logs, nodes=brokers)
        )
        self.server = ClickHouseServer(data_dir=self.folder / "clickhouse", log_dir=logs)
        #: Between the workers and ClickHouse; what this module asks goes past it.
        self.gate = Gate(self.server.http_port)
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
            self._exit.enter_context(self.gate)
            self._exit.callback(self._stop_workers)
            self.traffic = self._exit.enter_context(Traffic(self.kafka.bootstrap, self.topic, rate=self._rate, seed=self._seed))
            self.report("starting workers")
            self.set_workers(self._first_workers)
            self.traffic.resume()
            self.report("measuring how quick this machine is without faults")
            self.limits = measure(self._most_behind, rate=self._rate)
            self.report(str(self.limits))
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    # --- its parts --------------------------------------------------------------------------------------------------------

    @property
    def nodes(self) -> list[KafkaNode]:
        """Every Kafka node."""
        return self.kafka.nodes if isinstance(self.kafka, KafkaCluster) else [self.kafka]

    @property
    def offsets(self) -> Group:
        """The offsets that the workers' group has committed in the topic."""
        return Group(self.kafka.bootstrap, group=self.group, topic=self.topic)

    def settings(self) -> dict[str, str]:
        """The variables of a worker of this world."""
        return {
            "PORTALPULSE_KAFKA__BOOTSTRAP": self.kafka.bootstrap,
            "PORTALPULSE_KAFKA__TOPIC": self.topic,
            "PORTALPULSE_KAFKA__GROUP": self.group,
            "PORTALPULSE_KAFKA__SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
            "PORTALPULSE_CLICKHOUSE__URL": f"http://default:@{LOOPBACK}:{self.gate.port}/{self.database}",
            **self._more_settings,
        }

    def set_workers(self, number: int) -> None:
        """Have exactly so many workers, all of them ready; those too many end in good order."""
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
                worker.start()
        for worker in self.workers:
            worker.await_ready()

    def strike(self) -> None:
        """Note that the fault strikes now: the time to recover begins."""
        self.struck, self.recovered = time.monotonic(), None

    def recover(self) -> None:
        """Note that the world has recovered, although the fault goes on: the time to recover ends."""
        self.recovered = time.monotonic()

    def configure(self, **settings: str | None) -> None:
        """Go on with new workers that have these variables; None takes one away. The old ones end in good order."""
        number = len(self.workers)
        self.set_workers(0)
        for name, value in settings.items():
            if value is None:
                self._more_settings.pop(name, None)
            else:
                self._more_settings[name] = value
        self.set_workers(number)

    def regroup(self) -> None:
        """Go on with workers of a new group, which reads the topic from its beginning; the old ones end in good order."""
        number = len(self.workers)
        self.set_workers(0)
        self._groups += 1
        self.group = f"chaos-{self._groups}"
        self.set_workers(number)

    def check(self) -> list[str]:
        """Every end of a worker so far that nobody asked for, as sentences."""
        for worker in self.workers:
            worker.check()
        return [*self._faults, *(fault for worker in self.workers for fault in worker.faults)]

    # --- numbers ----------------------------------------------------------------------------------------------------------

    def number(self, sql: str) -> int:
        """The single number that a question on this world's database (``{db}``) answers.

        Raises:
            UnavailableError: ClickHouse does not answer.
        """
        return int(self.server.query(sql.format(db=self.database)))

    def raw_rows(self) -> int:
        """Rows stored, repeats included until they are merged; 0 while nothing answers."""
        return sum(self.probe.numbers(f"SELECT count() FROM {self.database}.dossier_events"))

    def tallied(self) -> int:
        """Events in the minute tallies; 0 while nothing answers."""
        return sum(self.probe.numbers(f"SELECT sum(events) FROM {self.database}.agency_minute FINAL"))

    def _most_behind(self) -> float:
        """The farthest that the tallies are behind the traffic within some seconds (seconds)."""
        end, most = time.monotonic() + _LOOK_SECONDS, 0.0
        while time.monotonic() < end:
            most = max(most, self.traffic.behind(self.tallied()))
            time.sleep(_POLL_SECONDS)
        return most

    def limit(self, seconds: float) -> float:
        """A limit of so many seconds on a quick machine, as it holds on this one."""
        return self.limits.of(seconds)

    def live(self) -> bool:
        """Whether there is traffic, and what was made ``limits.live_seconds`` ago is tallied, whether Kafka took it or not."""
        wanted = self.traffic.made_before(time.monotonic() - self.limits.live_seconds)
        return 0 < wanted <= self.tallied()

    def await_live(self, *, timeout: float = 120.0) -> None:
        """Wait until the workers have caught up with the traffic, which flows on.

        Raises:
            UnavailableError: they have not within ``timeout`` seconds, as multiplied by ``limit``.
        """
        wait_until(self.live, timeout=self.limit(timeout), what="the tallies to catch up with the traffic")

    def await_exact(self, timeout: float = 120.0) -> float:
        """Pause the traffic and wait until every tier has as many events as were sent; returns the seconds it took.

        Raises:
            UnavailableError: they have not within ``timeout`` seconds, as multiplied by ``limit``, with the numbers; or more is
                stored than the traffic knows of, at once, for then they never can.
        """
        began = time.monotonic()
        self.traffic.pause(timeout=self.limit(timeout))
        expected = self.traffic.distinct
        asked = ", ".join(
            [
                f"(SELECT count() FROM {self.database}.dossier_events FINAL)",
                *(f"(SELECT sum(events) FROM {self.database}.{tier} FINAL)" for tier in TIERS),
            ]
        )
        found: list[int] = []

        def settled() -> bool:
            found[:] = self.probe.numbers(f"SELECT {asked}")
            return found == [expected] * 4 or found[:1] > [expected]

        try:
            wait_until(settled, timeout=self.limit(timeout), what=f"{expected} events in every tier")
        except UnavailableError as error:
            raise UnavailableError(
                f"{error.problem} Found (stored, minutes, days, procedures): {found}. {' '.join(self.check())}",
                remedy="The workers' logs say what they did.",
            ) from error
        if found != [expected] * 4:
            raise UnavailableError(
                f"{found[0]} events are stored, and the sender knows of only {expected} in Kafka.",
                remedy="Its books are wrong, or something else sends to the topic: this is no fault of the workers.",
            )
        return time.monotonic() - began

    def verdict(self) -> Verdict:
        """Every number of the storage against what was sent; pauses the traffic."""
        self.traffic.pause(timeout=self.limit(120.0))
        return verdict(self.traffic, self.server, self.database)

    # --- end --------------------------------------------------------------------------------------------------------------

    def _stop_workers(self) -> None:
        self.gate.open()
        for worker in self.workers:
            worker.thaw()
            if worker.running:
                worker.stop()

    def _remove_folder(self) -> None:
        self.probe.close()
        if self._keep_logs is not None:
            shutil.copytree(self.folder / "logs", self._keep_logs, dirs_exist_ok=True)
        self._temporary.close()
