"""The whole of portalpulse on one machine: Kafka, worker, Prometheus, Alertmanager and a receiver of notifications.

Nothing is shared with other stacks: every port is free and chosen at start, everything lies below one folder, and when
this process ends, in whatever way, so do its children.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

from dashboards.alertmanager.generate import write_config
from dashboards.alertmanager.timing import AlertTiming
from dashboards.rules.generate import RuleTiming, write_rules
from deploy.native.alertmanager import AlertmanagerServer
from deploy.native.clickhouse_server import ClickHouseServer
from deploy.native.folder import DataFolder
from deploy.native.kafka import KafkaNode
from deploy.native.mock_kafka import WARNING, MemoryBroker
from deploy.native.part import Broker
from deploy.native.parts import PROJECT
from deploy.native.ports import LOOPBACK, free_port
from deploy.native.processes import ChildProcess, stop_all
from deploy.native.prometheus import DEMO, LIVE, PrometheusServer, await_http
from deploy.native.receiver import FILE_NAME, Notification, NotificationReceiver
from deploy.native.signals import deaf
from pipeline.addresses import Addresses, remove_addresses, write_addresses
from pipeline.core.errors import ConfigurationError
from pipeline.settings import PREFIX

T = TypeVar("T")

#: Seconds that worker, Prometheus and Alertmanager get to end, and after them the broker and ClickHouse.
STOP_SECONDS = 8.0
WORKER_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class StackOptions:
    """How to compose the stack.

    ``broker``: kafka, memory, or kafka_if_possible (memory on a machine without Java).
    ``clickhouse``: embedded in the one worker process, or a server with worker and exporter beside it.
    ``quick``: seconds instead of minutes until an alert arrives; the rules are the same.
    ``inherit``: whether PORTALPULSE_ variables of this process reach the worker (those set here win in any case).
    """

    data_dir: Path
    topic: str
    group: str
    partitions: int
    clock: str = "system"
    broker: Literal["kafka", "memory", "kafka_if_possible"] = "kafka"
    clickhouse: Literal["embedded", "server"] = "embedded"
    quick: bool = False
    inherit: bool = True


@dataclass(frozen=True, slots=True)
class _Worker:
    """A process of portalpulse itself and where it listens (host:port)."""

    process: ChildProcess
    address: str

    @property
    def url(self) -> str:
        return f"http://{self.address}"


class LocalStack:
    """Enter it to own the folder, ``start`` it to run everything, leave it to stop everything.

    with LocalStack(options) as stack:
        stack.start()
        while True:
            stack.check()
    """

    def __init__(
        self,
        options: StackOptions,
        *,
        on_delivery: Callable[[Notification], None] | None = None,
        on_step: Callable[[str], None] | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            options: what to compose.
            on_delivery: called for every delivered notification, from another thread.
            on_step: called with a line for people when a part is up.
        """
        self._options = options
        self._on_delivery = on_delivery
        self._on_step = on_step or (lambda _line: None)
        self._folder = DataFolder(options.data_dir)
        self._exit = ExitStack()
        self._first: list[ChildProcess] = []  # ended before the others: they use them
        self._last: list[ChildProcess] = []
        self._broker: Broker | None = None
        self._workers: list[_Worker] = []
        self._addresses: Addresses | None = None
        self._receiver: NotificationReceiver | None = None

    def __enter__(self) -> Self:
        """Take the folder.

        Raises:
            ConfigurationError: it is in use, not writable or full.
        """
        self._exit.enter_context(self._folder)
        remove_addresses(self._folder.path)  # of a stack that was killed
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop everything, within 20 seconds; a signal does not interrupt that, a second one ends everything at once."""
        with self._exit, deaf():
            remove_addresses(self._folder.path)
            stop_all(self._first, grace=STOP_SECONDS)
            if self._receiver is not None:
                self._receiver.stop()
            stop_all(self._last, grace=STOP_SECONDS)

    @property
    def folder(self) -> DataFolder:
        """The folder that this stack owns."""
        return self._folder

    @property
    def bootstrap(self) -> str:
        """The broker's address, after ``start_broker``."""
        return self._started(self._broker).bootstrap

    @property
    def forgets(self) -> bool:
        """Whether the broker is the one in memory, which keeps little and loses it at the end."""
        return isinstance(self._broker, MemoryBroker)

    @property
    def api(self) -> str:
        """Where figures and metrics are served, after ``start_counting``."""
        return self._started(self._workers or None)[-1].url

    @property
    def addresses(self) -> Addresses:
        """Where everything listens, after ``start``."""
        return self._started(self._addresses)

    @property
    def receiver(self) -> NotificationReceiver:
        """Where the notifications arrive, after ``start``."""
        return self._started(self._receiver)

    def start(self) -> None:
        """Everything: ``start_broker``, ``start_counting``, ``start_watching``."""
        self.start_broker()
        self.start_counting()
        self.start_watching()

    def start_broker(self) -> None:
        """Start Kafka (or its stand-in) and create the topic.

        Raises:
            ConfigurationError: Java or the jars are missing.
            UnavailableError: the broker does not come up.
        """
        options = self._options
        broker = self._broker = self._choose_broker()
        self._last.append(broker.process)
        broker.start()
        broker.create_topic(options.topic, partitions=options.partitions)
        self._on_step(f"{broker.process.name} answers at {broker.bootstrap}")

    def start_counting(self) -> None:
        """Start the worker (and, with a ClickHouse server, server and exporter) and wait until it takes part.

        Raises:
            ConfigurationError: the ClickHouse server's library is missing.
            UnavailableError: a part does not come up; with the end of its log.
        """
        workers = self._workers = self._portalpulse()
        for worker in workers:
            self._first.append(worker.process)
            worker.process.start()
        for worker in workers:
            await_http(f"{worker.url}/readyz", timeout=WORKER_SECONDS, child=worker.process)
            self._on_step(f"{worker.process.name} answers at {worker.url}")

    def start_watching(self) -> None:
        """Start Prometheus, Alertmanager and the receiver of notifications, and write addresses.json.

        Raises:
            ConfigurationError: a program is missing.
            UnavailableError: a part does not come up; with the end of its log.
        """
        options, folder = self._options, self._folder.path
        receiver = self._receiver = NotificationReceiver(folder / FILE_NAME, on_delivery=self._on_delivery)
        receiver.start()
        alertmanager = AlertmanagerServer(data_dir=folder / "alertmanager", log_dir=self._logs)
        prometheus = PrometheusServer(data_dir=folder / "prometheus", log_dir=self._logs)
        write_config(
            alertmanager.config,
            webhook_url=receiver.url,
            timing=AlertTiming.demo() if options.quick else AlertTiming.production(),
        )
        prometheus.configure(
            targets={
                "portalpulse": [worker.address for worker in self._workers],
                "prometheus": [prometheus.address],
                "alertmanager": [alertmanager.address],
            },
            rules=write_rules(folder / "rules", RuleTiming.demo() if options.quick else RuleTiming.production()),
            alertmanager=alertmanager.address,
            pace=DEMO if options.quick else LIVE,
        )
        self._first += [prometheus.process, alertmanager.process]
        alertmanager.launch()
        prometheus.launch()
        alertmanager.await_ready()
        self._on_step(f"Alertmanager answers at {alertmanager.url}")
        prometheus.await_ready()
        self._on_step(f"Prometheus answers at {prometheus.url}")
        self._addresses = Addresses(kafka=self.bootstrap, http=self.api, prometheus=prometheus.url, alertmanager=alertmanager.url)
        write_addresses(folder, self._addresses)

    def check(self) -> None:
        """Raises UnavailableError, with the end of its log, when a part has ended by itself."""
        for process in [*self._first, *self._last]:
            process.check()

    @property
    def _logs(self) -> Path:
        return self._folder.path / "logs"

    def _choose_broker(self) -> Broker:
        options = self._options
        if options.broker != "memory":
            try:
                return KafkaNode(data_dir=self._folder.path / "kafka", log_dir=self._logs)
            except ConfigurationError as error:
                if options.broker == "kafka":
                    raise
                self._on_step(error.problem)
        self._on_step(WARNING)
        return MemoryBroker(data_dir=self._folder.path / "memory-broker", log_dir=self._logs)

    def _portalpulse(self) -> list[_Worker]:
        """Our own processes; the last one serves the API."""
        if self._options.clickhouse == "embedded":
            return [self._worker("worker", "--all-in-one", clickhouse=f"chdb:{self._folder.path / 'clickhouse'}")]
        server = ClickHouseServer(data_dir=self._folder.path / "clickhouse-server", log_dir=self._logs)
        self._last.append(server.process)
        server.start()
        server.query("CREATE DATABASE IF NOT EXISTS portalpulse")
        self._on_step(f"ClickHouse answers at {server.http_url}")
        return [self._worker(command, clickhouse=server.url()) for command in ("worker", "exporter")]

    def _worker(self, command: str, *arguments: str, clickhouse: str) -> _Worker:
        options = self._options
        port = free_port()
        ours = {
            "DATA_DIR": str(self._folder.path),
            "CLOCK": options.clock,
            "KAFKA__BOOTSTRAP": self.bootstrap,
            "KAFKA__TOPIC": options.topic,
            "KAFKA__GROUP": options.group,
            "KAFKA__PARTITIONS": str(options.partitions),
            "CLICKHOUSE__URL": clickhouse,
            "HTTP__HOST": LOOPBACK,
            "HTTP__PORT": str(port),
        }
        process = ChildProcess(
            f"The {command}",
            [sys.executable, "-m", "pipeline.cli", command, *arguments],
            log=self._logs / f"{command}.log",
            environment=child_environment(os.environ, ours=ours, inherit=options.inherit),
            directory=PROJECT,
        )
        return _Worker(process, f"{LOOPBACK}:{port}")

    @staticmethod
    def _started(part: T | None) -> T:
        if part is None:
            raise ConfigurationError("The stack was not started.")
        return part


def child_environment(base: Mapping[str, str], *, ours: Mapping[str, str], inherit: bool) -> dict[str, str]:
    """The environment of a portalpulse process: ``base``, with or without its own settings, and ``ours`` on top.

    ``ours`` has names without the prefix. How the log is written is always inherited: it changes no figure.
    """
    kept = {
        name: value for name, value in base.items() if inherit or not name.startswith(PREFIX) or name.startswith(f"{PREFIX}LOG__")
    }
    return kept | {PREFIX + name: value for name, value in ours.items()}
