"""The metrics of a worker, made from their declarations in ``domain.metric_names``."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from domain import metric_names as names
from domain.metric_names import Metric

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

#: Operations and outcomes of ``portalpulse_worker_store_seconds``; closed, and made at the start.
OPERATIONS = (
    "insert_events",
    "insert_dead_letters",
    "insert_checkpoints",
    "read_checkpoints",
    "recount_dead_letters",
    "index_messages",
    "note_dossiers",
    "find_suspects",
    "read_histories",
    "claim_corrections",
    "insert_corrections",
    "confirm_corrections",
    "recount_minutes",
    "roll_up_days",
    "recount_procedures",
    "waiting_dossiers",
    "judged_histories",
    "write_dossiers",
)
OUTCOMES = ("ok", "retryable", "refused", "unknown")


class WorkerMetrics:
    """Counters, gauges and histograms of one worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.events = _counter(names.WORKER_EVENTS, registry)
        self.acknowledged = _counter(names.WORKER_ACKNOWLEDGED, registry)
        self.slow_path = _counter(names.WORKER_SLOW_PATH_EVENTS, registry)
        self.bulk_failures = _counter(names.WORKER_BULK_FAILURES, registry)
        self.unacknowledged = _gauge(names.WORKER_UNACKNOWLEDGED, registry)
        self.untallied = _gauge(names.WORKER_UNTALLIED, registry)
        self.unstored = _gauge(names.WORKER_UNSTORED, registry)
        self.unresolved = _gauge(names.WORKER_UNRESOLVED, registry)
        self.unresolved_age = _gauge(names.WORKER_UNRESOLVED_AGE, registry)
        self.dossiers_waiting = _gauge(names.WORKER_DOSSIERS_WAITING, registry)
        self.dossiers_waiting_age = _gauge(names.WORKER_DOSSIERS_WAITING_AGE, registry)
        self.dossier_rows = _counter(names.WORKER_DOSSIER_ROWS, registry)
        self.consumer_lag = _gauge(names.WORKER_CONSUMER_LAG, registry)
        self.assigned = _gauge(names.WORKER_ASSIGNED, registry)
        self.unread = _counter(names.WORKER_UNREAD, registry)
        self.last_progress = _gauge(names.WORKER_LAST_PROGRESS, registry)
        self.decode_seconds = _histogram(names.WORKER_DECODE_SECONDS, registry)
        self._store_seconds = _histogram(names.WORKER_STORE_SECONDS, registry)
        for outcome in ("stored", "dead_letter"):
            self.events.labels(outcome=outcome)
        for operation in OPERATIONS:
            for outcome in OUTCOMES:
                self._store_seconds.labels(operation=operation, outcome=outcome)

    def observe_store(self, operation: str, outcome: str, seconds: float) -> None:
        """Record the duration of one call to the storage, also of a failed one. Operations not in ``OPERATIONS`` are ignored."""
        if operation in OPERATIONS:
            self._store_seconds.labels(operation=operation, outcome=outcome).observe(seconds)


def _counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    return Counter(metric.name.removesuffix("_total"), metric.help, metric.labels, registry=registry)


def _gauge(metric: Metric, registry: CollectorRegistry) -> Gauge:
    return Gauge(metric.name, metric.help, metric.labels, registry=registry)


def _histogram(metric: Metric, registry: CollectorRegistry) -> Histogram:
    return Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=_SECONDS)
