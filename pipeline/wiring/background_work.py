"""The background work of an exporter or all-in-one worker: audit, findings, lag of partitions, disks of Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry

from domain.clock import SystemClock, parse_clock
from pipeline.audit.continuous import ContinuousAudit
from pipeline.audit.in_hand import WorkInHand
from pipeline.background import BackgroundRounds
from pipeline.findings.accepted_late import AcceptedLate
from pipeline.findings.current import CurrentFindings
from pipeline.kafka.disks import KafkaDisks
from pipeline.kafka.partition_lag import PartitionWatch
from pipeline.registry import registry_of
from pipeline.serving.exporter import AuditCollector, FindingCollector
from pipeline.serving.kafka_disks import KafkaDiskCollector
from pipeline.settings import Settings
from pipeline.wiring.features import SHORT_ANSWER_SECONDS, finding_service, topic_reader, topics_shown
from pipeline.wiring.partitions import PartitionCollector
from pipeline.working_days import working_days_of
from sinks.contract.storage import Storage

#: Longest wait for a running query of background work when the process stops (seconds).
_AUDIT_STOP_SECONDS = 3.0
_STOP_SECONDS = 1.0


@contextmanager
def background_work(
    settings: Settings, storage: Storage, registry: CollectorRegistry, audited: Callable[[Callable[[], int]], None]
) -> Iterator[None]:
    """Run audit, search for findings, watch of partitions and of Kafka's disks in the background until the block ends.

    ``audited`` is called, when the audit is switched on, with a function that returns the confirmed drift (events).
    """
    with (
        watched_partitions(settings, registry),
        continuous_audit(settings, storage, registry, audited),
        current_findings(settings, storage, registry),
        kafka_disks(settings, registry),
    ):
        yield


@contextmanager
def kafka_disks(settings: Settings, registry: CollectorRegistry) -> Iterator[None]:
    """Ask the brokers for the free space of their disks in the background, and export it, until the block ends."""
    disks = KafkaDisks(settings.kafka)
    registry.register(KafkaDiskCollector(lambda: disks.free))
    with _running(disks, grace=_STOP_SECONDS):
        yield


@contextmanager
def watched_partitions(settings: Settings, registry: CollectorRegistry) -> Iterator[None]:
    """Ask the brokers for the lag and the readers of each partition in the background, and export both, until the block ends."""
    watch = PartitionWatch(topic_reader(settings, answer_seconds=SHORT_ANSWER_SECONDS), topic=settings.kafka.topic)
    registry.register(PartitionCollector(lambda: watch.state))
    with _running(watch, grace=_STOP_SECONDS):
        yield


@contextmanager
def current_findings(settings: Settings, storage: Storage, registry: CollectorRegistry) -> Iterator[None]:
    """Search the findings of the current day in the background, and export them, until the block ends."""
    clock = parse_clock(settings.clock)
    current = CurrentFindings(
        finding_service(settings, storage),
        interval=settings.findings.interval_seconds,
        duty=settings.findings.duty,
        clock=clock,
        wall_clock=SystemClock(),
        accepted_late=AcceptedLate(
            storage.dossier_figures(),
            registry_of(settings),
            working_days_of(settings),
            settings.indicators.accepted_late_from,
        ),
    )
    if settings.findings.interval_seconds:
        registry.register(FindingCollector(lambda: current.state, registry=registry_of(settings), clock=clock))
    with _running(current, grace=_STOP_SECONDS, started=bool(settings.findings.interval_seconds)):
        yield


@contextmanager
def continuous_audit(
    settings: Settings, storage: Storage, registry: CollectorRegistry, audited: Callable[[Callable[[], int]], None]
) -> Iterator[None]:
    """Audit in the background, and export the results, until the block ends; for ``audited`` see ``background_work``."""
    tallies = storage.audit()
    audit = ContinuousAudit(
        tallies,
        dossiers=storage.dossier_audit(),
        interval=settings.audit.interval_seconds,
        duty=settings.audit.duty,
        settle=settings.audit.settle_seconds,
        in_hand=WorkInHand(
            tallies, (topics_shown(settings), lambda: topic_reader(settings, answer_seconds=SHORT_ANSWER_SECONDS))
        ),
        clock=SystemClock(),
    )
    if settings.audit.interval_seconds:  # without an audit its metrics would say that it never succeeds
        registry.register(AuditCollector(lambda: audit.state))
        audited(lambda: sum(audit.state.drift.values()) + audit.state.dossiers)
    with _running(audit, grace=_AUDIT_STOP_SECONDS, started=bool(settings.audit.interval_seconds)):
        yield


@contextmanager
def _running(work: BackgroundRounds, *, grace: float, started: bool = True) -> Iterator[None]:
    """Run ``work`` in its own thread until the block ends, then stop it. ``started``: False: it does not run at all."""
    if started:
        work.start()
    try:
        yield
    finally:
        work.stop(grace=grace)
