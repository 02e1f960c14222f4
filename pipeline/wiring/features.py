"""The features that both processes serve, over one storage: dead letters, the audit, agency gauges."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from prometheus_client import CollectorRegistry

from domain.agencies import AgencyRegistry
from domain.clock import SystemClock, parse_clock
from pipeline.audit.continuous import ContinuousAudit
from pipeline.audit.in_hand import WorkInHand
from pipeline.audit.routes import audit_routes
from pipeline.audit.service import AuditService
from pipeline.dead_letters.routes import dead_letter_routes
from pipeline.dead_letters.service import DeadLetterService
from pipeline.decode.decoder import Decoder
from pipeline.decode.validator import EventValidator
from pipeline.kafka.resend import Resender
from pipeline.kafka.topic_reader import KafkaTopicReader
from pipeline.serving.exporter import AgencyCollector, AuditCollector, PolicyCollector
from pipeline.serving.requests import Routes
from pipeline.settings import Settings
from sinks.clickhouse.audit import ClickHouseAudit
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.dead_letter_limits import ClickHouseDeadLetterLimits
from sinks.clickhouse.dead_letter_store import ClickHouseDeadLetters
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.repair import ClickHouseRepair
from sinks.clickhouse.store import ClickHouseStore

#: Time limit for Kafka's answers where they are optional or requested in every round (seconds).
_SHORT_ANSWER_SECONDS = 5.0
#: Longest wait for a running audit query when the process stops (seconds).
_AUDIT_STOP_SECONDS = 3.0


def dead_letter_service(settings: Settings, clickhouse: ClickHouse) -> DeadLetterService:
    """The service over this storage. It connects to Kafka only to send messages again and to accept dead letters."""
    topics = _Topics(settings)
    return DeadLetterService(
        ClickHouseDeadLetters(clickhouse),
        validator=EventValidator(AgencyRegistry.packaged()),
        clock=SystemClock(),
        sender=lambda: Resender(settings.kafka),
        limits=ClickHouseDeadLetterLimits(clickhouse, topic_id=topics.topic_id),
        ends=topics.ends,
        future_tolerance=dt.timedelta(seconds=settings.ingest.future_tolerance_seconds),
    )


class _Topics:
    """The ends and ids of topics, from Kafka."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ids: dict[str, str] = {}

    def ends(self, topic: str) -> dict[int, int]:
        """The end offset of each partition."""
        self._ids.pop(topic, None)
        kafka = self._settings.kafka.model_copy(update={"topic": topic})
        self._ids[topic], ends = KafkaTopicReader(kafka, answer_seconds=_SHORT_ANSWER_SECONDS).ends()
        return ends

    def topic_id(self, topic: str) -> str:
        """The id at the last call of ``ends``, or "" when Kafka did not answer."""
        return self._ids.get(topic, "")


def audit_service(settings: Settings, clickhouse: ClickHouse) -> AuditService:
    """The service over this storage. It connects to Kafka only when the topic is audited."""
    return AuditService(
        ClickHouseAudit(clickhouse),
        store=ClickHouseStore(clickhouse),
        repair=ClickHouseRepair(clickhouse),
        topic=(settings.kafka.topic, lambda: KafkaTopicReader(settings.kafka)),
        decoder=Decoder(AgencyRegistry.packaged()),
        clock=SystemClock(),
        future_tolerance=dt.timedelta(seconds=settings.ingest.future_tolerance_seconds),
    )


def feature_routes(settings: Settings, clickhouse: ClickHouse) -> tuple[Routes, ...]:
    """The routes of the features: dead letters and the steps of an audit."""
    dead_letters, audit = dead_letter_service(settings, clickhouse), audit_service(settings, clickhouse)
    return partial(dead_letter_routes, dead_letters), partial(audit_routes, audit)


@contextmanager
def continuous_audit(settings: Settings, clickhouse: ClickHouse, registry: CollectorRegistry) -> Iterator[None]:
    """Audits in the background and exports the results until the block ends."""
    tallies = ClickHouseAudit(clickhouse)
    audit = ContinuousAudit(
        tallies,
        interval=settings.audit.interval_seconds,
        duty=settings.audit.duty,
        settle=settings.audit.settle_seconds,
        in_hand=WorkInHand(
            tallies, (settings.kafka.topic, lambda: KafkaTopicReader(settings.kafka, answer_seconds=_SHORT_ANSWER_SECONDS))
        ),
        clock=SystemClock(),
    )
    registry.register(AuditCollector(lambda: audit.state))
    if settings.audit.interval_seconds:
        audit.start()
    try:
        yield
    finally:
        audit.stop(grace=_AUDIT_STOP_SECONDS)


def figures_registry(settings: Settings, reader: ClickHouseReader, process: CollectorRegistry) -> CollectorRegistry:
    """A registry of the gauges that need the storage; those that do not are added to the registry of the ``process``."""
    agencies, clock = AgencyRegistry.packaged(), parse_clock(settings.clock)
    process.register(PolicyCollector(registry=agencies, clock=clock, policies=settings.thresholds))
    figures = CollectorRegistry()
    figures.register(AgencyCollector(reader, registry=agencies, clock=clock))
    return figures
