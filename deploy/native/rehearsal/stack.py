"""Every part of a rehearsal between broker and mailbox: worker, exporter, Prometheus, Alertmanager, relay, watchdog, sinks."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

from dashboards.alertmanager.generate import render_routes
from dashboards.generated import write_files
from dashboards.notify.channels import Channels, Secrets
from dashboards.notify.content import Links
from dashboards.notify.memory import Memory
from dashboards.notify.present import Prometheus
from dashboards.notify.recipients_file import Directory, parse_recipients
from dashboards.notify.relay import Relay
from dashboards.notify.relay_server import RelayServer
from dashboards.notify.watchdog import Heartbeat, WatchdogChecker, watch
from dashboards.notify.webhooks import WebhookServer, of_alerts
from dashboards.rules.generate import write_rules
from deploy.native.ports import LOOPBACK
from deploy.native.processes import UTF8_ENVIRONMENT, stop_all
from deploy.native.rehearsal.people import CHATS, OPERATIONS, TOKEN, recipients_text
from deploy.native.rehearsal.sinks import Sinks
from deploy.native.rehearsal.tempo import Tempo
from deploy.native.rehearsal.traffic import Traffic
from deploy.native.service import Broker
from deploy.native.services.alertmanager import AlertmanagerServer
from deploy.native.services.clickhouse_server import ClickHouseServer
from deploy.native.services.portalpulse_process import PortalPulseProcess
from deploy.native.services.prometheus import PrometheusServer
from domain.agencies import AgencyRegistry
from domain.clock import SystemClock
from domain.errors import UnavailableError
from domain.periods import civil_day

#: One policy, so that an agency that falls is one alert.
_THRESHOLDS: Final = json.dumps([{"kpi": "I1", "window": "1d", "ratio": 0.05, "low_ratio": 0}])
_RUNBOOK: Final = "https://runbook.example.vn/{language}#{alert}"


@dataclass(frozen=True, slots=True)
class Base:
    """The broker and the storage, which already run, and the folder of the stack.

    Attributes:
        environment: of worker and exporter, besides the settings that the stack decides.
        name: of topic, group and database, which must be new.
    """

    broker: Broker
    storage: ClickHouseServer
    folder: Path
    environment: Mapping[str, str]
    name: str


class RehearsalStack:
    """All parts between a portal and a mailbox; enter the object to start them at the given tempo."""

    def __init__(self, base: Base, tempo: Tempo) -> None:
        self.base, self.tempo = base, tempo
        self.clock, self.registry = SystemClock(), AgencyRegistry.packaged()
        self.sinks = Sinks(CHATS)
        logs = base.folder / "logs"
        self.worker, self.exporter = (
            PortalPulseProcess(command, environment=self._environment(), log_dir=logs) for command in ("worker", "exporter")
        )
        self.traffic = Traffic(base.broker.bootstrap, base.name, clock=self.clock)
        self.alertmanager = AlertmanagerServer(data_dir=base.folder / "alertmanager", log_dir=logs)
        self.prometheus = self._new_prometheus()
        self._people = self._read_people()
        self._silent: threading.Event | None = None
        self._memories = 0
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        """Start all parts and wait until they answer.

        Raises:
            UnavailableError: a part does not start; the message has the end of its log.
        """
        with self._exit:
            base = self.base
            base.storage.query(f"CREATE DATABASE IF NOT EXISTS {base.name}")
            base.broker.create_topic(base.name, partitions=4)
            self._exit.enter_context(self.sinks)
            self._exit.callback(lambda: stop_all([self.worker.process, self.exporter.process]))
            for process in (self.worker, self.exporter):
                process.launch()
            self._exit.enter_context(self.traffic)
            for process in (self.worker, self.exporter):
                process.await_ready(timeout=150)
            self._exit.callback(self._unwatch)
            self._watch()
            self._exit = self._exit.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop all parts that were started here; broker and storage keep running."""
        self._exit.close()

    def use(self, tempo: Tempo) -> None:
        """Change rules, routes and intervals to a tempo; Prometheus and Alertmanager start again without stored data."""
        if tempo == self.tempo:
            return
        self._unwatch()
        self.tempo = tempo
        self.prometheus = self._new_prometheus()
        self._watch()

    def query(self, expr: str) -> list[Any]:
        """The series of an expression, as Prometheus answers them.

        Raises:
            UnavailableError: Prometheus does not answer.
        """
        try:
            answer = httpx.get(f"{self.prometheus.url}/api/v1/query", params={"query": expr}, timeout=10.0, trust_env=False)
            return list(answer.raise_for_status().json()["data"]["result"])
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise UnavailableError(f"Prometheus does not answer {expr}: {error}.") from error

    def value(self, expr: str) -> float | None:
        """The first value of an expression; None when it has none, or Prometheus does not answer."""
        try:
            found = self.query(expr)
        except UnavailableError:
            return None
        return float(found[0]["value"][1]) if found else None

    def alerts(self) -> frozenset[str]:
        """Names of the alerts that Alertmanager has, without the heartbeat.

        Raises:
            UnavailableError: Alertmanager does not answer.
        """
        try:
            answer = httpx.get(f"{self.alertmanager.url}/api/v2/alerts", timeout=10.0, trust_env=False).raise_for_status()
            return frozenset(str(alert["labels"]["alertname"]) for alert in answer.json()) - {"Watchdog"}
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise UnavailableError(f"Alertmanager does not list its alerts: {error}.") from error

    def tallied(self) -> int:
        """The number of events in the tallies."""
        sql = f"SELECT sum(events) FROM {self.base.name}.agency_minute FINAL"  # noqa: S608 - a name of our own
        return int(self.base.storage.query(sql) or 0)

    @property
    def last_beat(self) -> float:
        """When the heartbeat was last heard, in seconds of a monotonic clock."""
        return self._heartbeat.heard

    def _watch(self) -> None:
        """Start relay, watchdog, Alertmanager and Prometheus."""
        base, tempo = self.base, self.tempo
        self._memories += 1  # what people were told at another tempo does not matter
        folder = base.folder / f"watching-{self._memories}"
        channels = Channels(self._people, Secrets(telegram_token=TOKEN), clock=self.clock)
        relay = Relay(
            self._people,
            channels,
            Memory(folder / "messages.sqlite"),
            self.clock,
            links=Links(runbook=_RUNBOOK),
            truth=Prometheus(self.prometheus.url, settled_after=tempo.settled_after),
            alertmanager=self.alertmanager.url,
            forgotten_after=tempo.forgotten_after,
            repeated_within=tempo.repeated_within,
        )
        self._relay = RelayServer(relay, host=LOOPBACK, port=0, tick_seconds=0.5)
        self._heartbeat = Heartbeat(tempo.silence_seconds, heard=time.monotonic())
        checker = WatchdogChecker(
            self._people,
            channels,
            to=[reader.key for reader in OPERATIONS],
            heartbeat=self._heartbeat,
            clock=self.clock,
            monotonic=time.monotonic,
            links=Links(runbook=_RUNBOOK),
        )
        self._checker = WebhookServer(LOOPBACK, 0, of_alerts(checker.take))
        self._silent = threading.Event()
        routes = render_routes(self._people, timing=tempo.routes, relay_url=self._relay.url, heartbeat_url=self._checker.url)
        write_files({self.alertmanager.config: routes})
        self.prometheus.configure(
            targets={
                "portalpulse": [self.worker.address, self.exporter.address],
                "prometheus": [self.prometheus.address],
                "alertmanager": [self.alertmanager.address],
            },
            rules=write_rules(folder / "rules", tempo.rules),
            alertmanager=self.alertmanager.address,
            pace=tempo.pace,
        )
        self._relay.start()
        self._checker.start()
        self.alertmanager.launch()
        self.prometheus.launch()
        self.alertmanager.await_ready()
        self.prometheus.await_ready()
        self._heartbeat.beat(time.monotonic())
        threading.Thread(target=watch, args=(checker, self._silent), kwargs={"every": 0.5}, daemon=True).start()

    def _unwatch(self) -> None:
        if self._silent is not None:
            self._silent.set()
            stop_all([self.prometheus.process, self.alertmanager.process])
            self._relay.stop()
            self._checker.stop()
            self._silent = None

    def _new_prometheus(self) -> PrometheusServer:
        base = self.base
        return PrometheusServer(
            data_dir=base.folder / f"prometheus-{self.tempo.factor}",
            log_dir=base.folder / "logs",
            resend_delay=self.tempo.resend_delay,
            options=self.tempo.prometheus_options,
        )

    def _read_people(self) -> Directory:
        return parse_recipients(
            recipients_text(smtp_port=self.sinks.smtp_port, http=self.sinks.url),
            self.registry,
            day=civil_day(self.clock.now()),
            name="recipients.yaml",
            folder=self.base.folder,
        )

    def _environment(self) -> dict[str, str]:
        base, factor = self.base, self.tempo.factor
        ours = {
            "DATA_DIR": str(base.folder),
            "KAFKA__BOOTSTRAP": base.broker.bootstrap,
            "KAFKA__TOPIC": base.name,
            "KAFKA__GROUP": base.name,
            "KAFKA__SESSION_TIMEOUT_SECONDS": "10" if factor == 1 else "45",
            "CLICKHOUSE__URL": base.storage.url(base.name),
            "THRESHOLDS": _THRESHOLDS,
            "AUDIT__INTERVAL_SECONDS": str(max(1.0, 15 / factor)),
            "AUDIT__DUTY": "20" if factor == 1 else "2",
        }
        return {**base.environment, **UTF8_ENVIRONMENT, **{f"PORTALPULSE_{name}": value for name, value in ours.items()}}


def running(processes: Sequence[PortalPulseProcess]) -> None:
    """Start again, as an orchestrator would, the processes that ended during a fault, and wait until they are ready.

    Raises:
        UnavailableError: a process does not start.
    """
    for process in processes:
        if not process.process.running:
            process.launch()
    for process in processes:
        process.await_ready(timeout=150)
