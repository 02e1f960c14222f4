"""The faults of a rehearsal: what happens, and what operations must be told about it in both languages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from deploy.native.processes import wait_until
from deploy.native.rehearsal.stack import RehearsalStack, running
from domain.errors import UnavailableError

HEARTBEAT: Final = "HeartbeatSilent"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that a rehearsal plays.

    Attributes:
        name: as on the command line.
        what: its description in the table.
        agencies: the agency whose alert fires before the fault, and the agency that falls during it.
        alert: the alert that operations are told, ``summary`` in Vietnamese and English; ``end``: its text at the end, where it
            differs.
        begin, finish: functions that cause the fault and undo it.
    """

    name: str
    what: str
    agencies: tuple[str, str]
    alert: str
    summary: tuple[str, str]
    begin: Callable[[RehearsalStack], None]
    finish: Callable[[RehearsalStack], None]
    end: tuple[str, str] | None = None


def _restart_broker(stack: RehearsalStack) -> None:
    stack.base.broker.restart()
    running([stack.worker, stack.exporter])


def _restart_storage(stack: RehearsalStack) -> None:
    stack.base.storage.restart()
    running([stack.worker, stack.exporter])


def _stop_prometheus(stack: RehearsalStack) -> None:
    stack.prometheus.stop()


def _start_prometheus(stack: RehearsalStack) -> None:
    """Start Prometheus once Alertmanager has taken every alert for ended."""

    def forgotten() -> bool:
        try:
            return not stack.alerts()
        except UnavailableError:
            return False

    wait_until(forgotten, timeout=stack.tempo.patience, what="Alertmanager to forget the alerts")
    stack.prometheus.start()


ALL: Final = (
    Fault(
        "exporter-frozen",
        "the exporter is frozen (SIGSTOP)",
        ("H26", "H17"),
        "ExporterDown",
        ("Chương trình xuất số liệu không trả lời", "The exporter does not answer"),
        lambda stack: stack.exporter.process.suspend(),
        lambda stack: stack.exporter.process.resume(),
    ),
    Fault(
        "worker-frozen",
        "the worker is frozen (SIGSTOP)",
        ("H29", "H24"),
        "WorkerDown",
        ("Không có tiến trình xử lý sự kiện (worker) nào trả lời", "No worker answers"),
        lambda stack: stack.worker.process.suspend(),
        lambda stack: stack.worker.process.resume(),
    ),
    Fault(
        "kafka-gone",
        "Kafka is killed (kill -9)",
        ("H13", "H57"),
        "KafkaDown",
        ("Kafka không trả lời", "Kafka does not answer"),
        lambda stack: stack.base.broker.kill(),
        _restart_broker,
    ),
    Fault(
        "clickhouse-gone",
        "ClickHouse is killed (kill -9)",
        ("H48", "H49"),
        "ClickHouseDown",
        ("Kho dữ liệu ClickHouse không trả lời", "ClickHouse does not answer"),
        lambda stack: stack.base.storage.kill(),
        _restart_storage,
    ),
    Fault(
        "prometheus-restarted",
        "Prometheus is stopped until Alertmanager has forgotten its alerts, and started",
        ("H55", "H56"),
        HEARTBEAT,
        ("Hệ thống cảnh báo đã im lặng", "The alerting path is silent"),
        _stop_prometheus,
        _start_prometheus,
        end=("Hệ thống cảnh báo đã hoạt động trở lại", "The alerting path is heard again"),
    ),
)
BY_NAME: Final = {fault.name: fault for fault in ALL}
