"""All of portalpulse on one machine.

The parts: Kafka or the in-memory broker, the worker, Prometheus, Alertmanager and a receiver of notifications; with
``StackOptions.clickhouse`` "server" also a ClickHouse server and an exporter.

Nothing is shared with other stacks: ports are free ones, all files are below one folder, and the children end with this process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from dashboards.alertmanager.generate import write_config
from dashboards.alertmanager.timing import AlertTiming
from dashboards.rules.generate import RuleTiming, write_rules
from deploy.native.environment import ignored_settings
from deploy.native.folder import DataFolder
from deploy.native.open_files import allow_open_files
from deploy.native.people import People, Servers
from deploy.native.ports import LOOPBACK, free_ports
from deploy.native.processes import ChildProcess, stop_all
from deploy.native.service import Broker
from deploy.native.services.alertmanager import AlertmanagerServer
from deploy.native.services.clickhouse_server import ClickHouseServer
from deploy.native.services.mock_kafka import MemoryBroker
from deploy.native.services.portalpulse_process import PortalPulseProcess
from deploy.native.services.prometheus import DEMO, LIVE, PrometheusServer
from deploy.native.services.receiver import FILE_NAME, Notification, NotificationReceiver
from deploy.native.stack_options import StackOptions
from deploy.native.stack_parts import choose_broker, portalpulse_process
from domain.errors import ConfigurationError
from pipeline.addresses import Addresses, remove_addresses, write_addresses
from pipeline.settings import embedded_url
from pipeline.shutdown import signals_deferred

T = TypeVar("T")

#: Seconds that the portalpulse processes get to end, and after them the broker, ClickHouse, Prometheus and Alertmanager.
STOP_SECONDS = 8.0


class LocalStack:
    """The local stack: entering it takes the folder, ``start`` starts every service, leaving it stops every service.

    with LocalStack(options) as stack:
        stack.start()
    """

    def __init__(
        self,
        options: StackOptions,
        *,
        on_delivery: Callable[[Notification], None] | None = None,
        on_step: Callable[[str], None] | None = None,
    ) -> None:
        """Set what to start; nothing is started yet.

        Args:
            options: what to compose.
            on_delivery: called for every delivered notification, from another thread.
            on_step: called with a line for the terminal when a service is ready.
        """
        self._options = options
        self._on_delivery = on_delivery
        self._on_step = on_step or (lambda _line: None)
        self._folder = DataFolder(options.data_dir)
        self._exit = ExitStack()
        self._first: list[ChildProcess] = []  # stopped first, because they use the others
        self._last: list[ChildProcess] = []
        self._broker: Broker | None = None
        self._storage: ClickHouseServer | None = None
        self._portalpulse_processes: list[PortalPulseProcess] = []
        self._watch_ports = free_ports(2)  # of Prometheus and Alertmanager, which the board asks
        self._prometheus: PrometheusServer | None = None
        self._alertmanager: AlertmanagerServer | None = None
        self._addresses: Addresses | None = None
        self._receiver: NotificationReceiver | None = None
        self._people: People | None = None

    def __enter__(self) -> Self:
        """Take the folder.

        Raises:
            ConfigurationError: the folder is in use, not writable or full, or too few files may be open at once.
        """
        allow_open_files()
        self._exit.enter_context(self._folder)
        remove_addresses(self._folder.path)  # of a stack that was killed
        ignored = ignored_settings(os.environ, inherit=self._options.inherit)
        if ignored:
            self._on_step(f"Settings that are ignored, because this stack has its own: {', '.join(ignored)}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop everything within 20 seconds. A second signal ends everything at once."""
        with self._exit, signals_deferred():
            remove_addresses(self._folder.path)
            stop_all(self._first, grace=STOP_SECONDS)
            stop_all(self._last, grace=STOP_SECONDS)
            if self._receiver is not None:  # Alertmanager may deliver until it has ended
                self._receiver.stop()
            if self._people is not None:
                self._people.stop()

    @property
    def folder(self) -> DataFolder:
        """The folder that this stack owns."""
        return self._folder

    @property
    def bootstrap(self) -> str:
        """The broker's address, after ``start_broker``."""
        return self.broker.bootstrap

    @property
    def broker(self) -> Broker:
        """Kafka or the in-memory broker, after ``start_broker``."""
        return self._started(self._broker)

    @property
    def storage(self) -> ClickHouseServer | None:
        """The ClickHouse server; None when the engine is in the worker."""
        return self._storage

    @property
    def portalpulse_processes(self) -> Sequence[PortalPulseProcess]:
        """Worker and, with a ClickHouse server, exporter, after ``start_counting``; the last one serves the API."""
        return self._started(self._portalpulse_processes or None)

    @property
    def prometheus(self) -> PrometheusServer:
        """Prometheus, after ``start_watching``."""
        return self._started(self._prometheus)

    @property
    def alertmanager(self) -> AlertmanagerServer:
        """Alertmanager, after ``start_watching``."""
        return self._started(self._alertmanager)

    @property
    def alert_timing(self) -> AlertTiming:
        """How soon alerts are delivered."""
        return AlertTiming.demo() if self._options.quick else AlertTiming.production()

    @property
    def inherits_settings(self) -> bool:
        """Whether the stack's processes follow the settings of the shell that tune a worker."""
        return self._options.inherit

    @property
    def is_ephemeral(self) -> bool:
        """Whether events are kept in memory only, and are lost when the stack stops."""
        return isinstance(self._broker, MemoryBroker)

    @property
    def api(self) -> str:
        """The address at which figures and metrics are served, after ``start_counting``."""
        return self.portalpulse_processes[-1].url

    @property
    def addresses(self) -> Addresses:
        """The addresses at which the services listen, after ``start``."""
        return self._started(self._addresses)

    @property
    def receiver(self) -> NotificationReceiver:
        """The receiver of the notifications, after ``start``."""
        return self._started(self._receiver)

    @property
    def people(self) -> People | None:
        """The people who are told about alerts; None without a recipients file and before ``start_watching``."""
        return self._people

    def start(self) -> None:
        """Start every service: ``start_broker``, ``start_counting``, ``start_watching``."""
        self.start_broker()
        self.start_counting()
        self.start_watching()

    def start_broker(self) -> None:
        """Start Kafka (or the in-memory broker) and create the topic.

        Raises:
            ConfigurationError: Java or the jars are missing.
            UnavailableError: the broker does not start.
        """
        options = self._options
        broker = self._broker = choose_broker(options.broker, folder=self._folder.path, log_dir=self._logs, say=self._on_step)
        self._last.append(broker.process)
        broker.start()
        broker.create_topic(options.topic, partitions=options.partitions)
        self._on_step(f"{broker.process.name} is ready")

    def start_counting(self) -> None:
        """Start the worker (with a ClickHouse server also the server and the exporter) and wait until it is ready.

        Raises:
            ConfigurationError: the ClickHouse server's library is missing.
            UnavailableError: a service does not start; with the end of its log.
        """
        processes = self._portalpulse_processes = self._create_processes()
        for portalpulse in processes:
            self._first.append(portalpulse.process)
            portalpulse.launch()
        for portalpulse in processes:
            portalpulse.await_ready()
            self._on_step(f"{portalpulse.process.name} is ready")

    def start_watching(self) -> None:
        """Start Prometheus, Alertmanager and the receiver of notifications, and write addresses.json.

        Raises:
            ConfigurationError: a program is missing.
            UnavailableError: a service does not start; with the end of its log.
        """
        options, folder = self._options, self._folder.path
        receiver = self._receiver = NotificationReceiver(folder / FILE_NAME, on_delivery=self._on_delivery)
        receiver.start()
        alertmanager = self._alertmanager = AlertmanagerServer(
            data_dir=folder / "alertmanager", log_dir=self._logs, port=self._watch_ports[1]
        )
        prometheus = self._prometheus = PrometheusServer(
            data_dir=folder / "prometheus", log_dir=self._logs, port=self._watch_ports[0]
        )
        if options.recipients_file:
            servers = Servers(prometheus=prometheus.url, alertmanager=alertmanager.url, api=self.api)
            self._people = People(options, servers, timing=self.alert_timing, say=self._on_step)
            self._people.start(alertmanager.config, terminal=receiver.url)
            self._on_step(self._people.text)
        else:
            write_config(alertmanager.config, webhook_url=receiver.url, timing=self.alert_timing)
        prometheus.configure(
            targets={
                "portalpulse": [portalpulse.address for portalpulse in self._portalpulse_processes],
                "prometheus": [prometheus.address],
                "alertmanager": [alertmanager.address],
            },
            rules=write_rules(folder / "rules", RuleTiming.demo() if options.quick else RuleTiming.production()),
            alertmanager=alertmanager.address,
            pace=DEMO if options.quick else LIVE,
        )
        self._last += [prometheus.process, alertmanager.process]
        alertmanager.launch()
        prometheus.launch()
        alertmanager.await_ready()
        self._on_step("Alertmanager is ready")
        prometheus.await_ready()
        self._on_step("Prometheus is ready")
        self._addresses = Addresses(
            kafka=self.bootstrap,
            http=self.api,
            prometheus=prometheus.url,
            alertmanager=alertmanager.url,
            clickhouse="" if self._storage is None else self._storage.http_url,
        )
        write_addresses(folder, self._addresses)

    def check(self) -> None:
        """Raise UnavailableError when a service has ended; the message has the end of its log."""
        for process in [*self._first, *self._last]:
            process.check()

    @property
    def _logs(self) -> Path:
        return self._folder.path / "logs"

    def _create_processes(self) -> list[PortalPulseProcess]:
        """The portalpulse processes; the last one serves the API."""
        if self._options.clickhouse == "embedded":
            return [self._create_process("worker", "--all-in-one", clickhouse=embedded_url(self._folder.path))]
        server = self._storage = ClickHouseServer(data_dir=self._folder.path / "clickhouse-server", log_dir=self._logs)
        self._last.append(server.process)
        server.start()
        server.query("CREATE DATABASE IF NOT EXISTS portalpulse")
        self._on_step("ClickHouse is ready")
        return [self._create_process(command, clickhouse=server.url()) for command in ("worker", "exporter")]

    def _create_process(self, *command: str, clickhouse: str) -> PortalPulseProcess:
        return portalpulse_process(
            command,
            self._options,
            folder=self._folder.path,
            log_dir=self._logs,
            bootstrap=self.bootstrap,
            clickhouse=clickhouse,
            prometheus=f"http://{LOOPBACK}:{self._watch_ports[0]}",
            alertmanager=f"http://{LOOPBACK}:{self._watch_ports[1]}",
        )

    @staticmethod
    def _started(service: T | None) -> T:
        if service is None:
            raise ConfigurationError("The stack was not started.")
        return service
