"""The features that both processes serve, over one storage: dead letters, audit, dossiers, findings, catalogue, agency gauges."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from prometheus_client import CollectorRegistry

from domain.clock import SystemClock, parse_clock
from domain.indicators import ReturnAtCounter, indicators_by
from pipeline.audit.continuous import ContinuousAudit
from pipeline.audit.in_hand import WorkInHand
from pipeline.audit.routes import audit_routes
from pipeline.audit.service import AuditService
from pipeline.board.board import BoardSources
from pipeline.board.routes import board_routes
from pipeline.catalogue.recount import CatalogueRecount
from pipeline.catalogue.routes import catalogue_routes
from pipeline.catalogue.service import CatalogueService
from pipeline.dead_letters.routes import dead_letter_routes
from pipeline.dead_letters.service import DeadLetterService
from pipeline.decode.decoder import Decoder
from pipeline.decode.validator import EventValidator
from pipeline.dossiers.excluded import ExcludedDossiers
from pipeline.dossiers.exclusion import ExclusionService
from pipeline.dossiers.routes import dossier_routes
from pipeline.dossiers.service import DossierService
from pipeline.findings.accepted_late import AcceptedLate
from pipeline.findings.current import CurrentFindings
from pipeline.findings.routes import finding_routes
from pipeline.findings.service import FindingService
from pipeline.kafka.resend import Resender
from pipeline.kafka.topic_reader import KafkaTopicReader
from pipeline.registry import registry_of
from pipeline.report.completeness import TopicOffsets
from pipeline.report.group_figures import FigureSources
from pipeline.report.routes import ReportSources, report_routes
from pipeline.report.steps import step_routes
from pipeline.report.verification.routes import verification_routes
from pipeline.report.verification.service import VerificationService, VerificationSources
from pipeline.runbook.routes import runbook_routes
from pipeline.serving.exporter import AgencyCollector, AuditCollector, FindingCollector
from pipeline.serving.policies import PolicyCollector
from pipeline.serving.requests import Routes
from pipeline.settings import Settings
from pipeline.working_days import working_days_of
from sinks.clickhouse.audit import ClickHouseAudit
from sinks.clickhouse.catalogue_recounts import ClickHouseCatalogueRecounts
from sinks.clickhouse.catalogue_store import ClickHouseCatalogue
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.dead_letter_limits import ClickHouseDeadLetterLimits
from sinks.clickhouse.dead_letter_store import ClickHouseDeadLetters
from sinks.clickhouse.dossier_audit import ClickHouseDossierAudit
from sinks.clickhouse.dossier_figures import ClickHouseDossierFigures
from sinks.clickhouse.dossier_index import ClickHouseDossierIndex
from sinks.clickhouse.dossier_reader import ClickHouseDossierReader
from sinks.clickhouse.dossier_table import ClickHouseDossierTable
from sinks.clickhouse.exclusions import ClickHouseExclusions
from sinks.clickhouse.finding_reader import ClickHouseFindingReader
from sinks.clickhouse.raw_messages import ClickHouseRawMessages
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.repair import ClickHouseRepair
from sinks.clickhouse.store import ClickHouseStore

#: Time limit for Kafka's answers where they are optional or requested in every round (seconds).
_SHORT_ANSWER_SECONDS = 5.0
#: Longest wait for a running query of background work when the process stops (seconds).
_AUDIT_STOP_SECONDS = 3.0
_FINDINGS_STOP_SECONDS = 1.0


def dead_letter_service(settings: Settings, clickhouse: ClickHouse) -> DeadLetterService:
    """The service over this storage. It connects to Kafka only to send messages again and to accept dead letters."""
    topics = _Topics(settings)
    return DeadLetterService(
        ClickHouseDeadLetters(clickhouse),
        validator=EventValidator(registry_of(settings)),
        clock=SystemClock(),
        sender=lambda: Resender(settings.kafka),
        limits=ClickHouseDeadLetterLimits(clickhouse, topic_id=topics.topic_id),
        ends=topics.ends,
        future_tolerance=dt.timedelta(seconds=settings.ingest.future_tolerance_seconds),
        portal_of=settings.kafka.portal_of,
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


def topic_reader(settings: Settings, *, answer_seconds: float | None = None) -> KafkaTopicReader:
    """Reads the topics that the workers read. ``answer_seconds``: longest wait for an answer."""
    topics = settings.kafka.topics(registry_of(settings).codes)
    if answer_seconds is None:
        return KafkaTopicReader(settings.kafka, topics=topics)
    return KafkaTopicReader(settings.kafka, topics=topics, answer_seconds=answer_seconds)


def topics_shown(settings: Settings) -> str:
    """The name of the topic, or what stands for those of portals."""
    topics = settings.kafka.topics(registry_of(settings).codes)
    return topics[0] if len(topics) == 1 else f"{settings.kafka.portal_prefix}CODE"


def audit_service(settings: Settings, clickhouse: ClickHouse) -> AuditService:
    """The service over this storage. It connects to Kafka only when the topic is audited."""
    topics = settings.kafka.topics(registry_of(settings).codes)
    return AuditService(
        ClickHouseAudit(clickhouse),
        store=ClickHouseStore(clickhouse),
        repair=ClickHouseRepair(clickhouse),
        dossiers=ClickHouseDossierAudit(clickhouse),
        index=ClickHouseDossierIndex(clickhouse),
        topic=(topics_shown(settings), lambda: topic_reader(settings)),
        portals=topics if len(topics) > 1 else (),
        decoder=Decoder(registry_of(settings)),
        clock=SystemClock(),
        future_tolerance=dt.timedelta(seconds=settings.ingest.future_tolerance_seconds),
        portal_of=settings.kafka.portal_of,
    )


def dossier_service(settings: Settings, clickhouse: ClickHouse) -> DossierService:
    """The service over this storage."""
    return DossierService(
        ClickHouseDossierReader(clickhouse),
        ClickHouseExclusions(clickhouse),
        registry_of(settings),
        catalogue=ClickHouseCatalogue(clickhouse).entries,
    )


def report_sources(settings: Settings, clickhouse: ClickHouse) -> ReportSources:
    """What reports are made of. They ask Kafka how much of the topic is counted."""
    topic = topic_reader(settings, answer_seconds=_SHORT_ANSWER_SECONDS)

    def offsets() -> TopicOffsets:
        partitions = {f"{each.topic}/{each.number}" if each.topic else each.number: each for each in topic.partitions()}
        ends = {name: each.end for name, each in partitions.items()}
        return TopicOffsets(ends, {name: each.committed or 0 for name, each in partitions.items()})

    return ReportSources(
        reader=ClickHouseReader(clickhouse),
        agencies=registry_of(settings),
        clock=parse_clock(settings.clock),
        wall_clock=SystemClock(),
        offsets=offsets,
        excluded=ExcludedDossiers(ClickHouseExclusions(clickhouse), ClickHouseDossierReader(clickhouse)).within,
        catalogue=ClickHouseCatalogue(clickhouse).entries,
        figures=FigureSources(
            ClickHouseDossierFigures(clickhouse), working_days_of(settings), settings.indicators.accepted_late_from
        ),
        dossiers=ClickHouseDossierTable(clickhouse),
        return_at_counter=ReturnAtCounter(settings.indicators.return_at_counter),
        not_recounted=lambda: sorted(ClickHouseCatalogueRecounts(clickhouse).unfinished()),
    )


def verification_service(settings: Settings, clickhouse: ClickHouse) -> VerificationService:
    """The service over this storage."""
    return VerificationService(
        ClickHouseRawMessages(clickhouse),
        VerificationSources(
            excluded=ClickHouseExclusions(clickhouse).excluded,
            catalogue=ClickHouseCatalogue(clickhouse).entries,
            return_at_counter=ReturnAtCounter(settings.indicators.return_at_counter),
            working_days=working_days_of(settings),
            accepted_late_from=settings.indicators.accepted_late_from,
        ),
    )


def exclusion_service(settings: Settings, clickhouse: ClickHouse) -> ExclusionService:
    """The service over this storage. It recounts as a repair does, without a raised epoch: what comes later wins over it."""
    audit = audit_service(settings, clickhouse)
    return ExclusionService(
        ClickHouseExclusions(clickhouse),
        reader=ClickHouseDossierReader(clickhouse),
        index=ClickHouseDossierIndex(clickhouse),
        recount=partial(audit.repair, raise_epoch=False),
    )


def finding_service(settings: Settings, clickhouse: ClickHouse) -> FindingService:
    """The service over this storage."""
    catalogue = ClickHouseCatalogue(clickhouse).entries
    return FindingService(ClickHouseFindingReader(clickhouse), registry_of(settings), catalogue=catalogue)


def catalogue_service(settings: Settings, clickhouse: ClickHouse) -> CatalogueService:
    """The service over this storage."""
    recount = CatalogueRecount(
        ClickHouseCatalogueRecounts(clickhouse),
        index=ClickHouseDossierIndex(clickhouse),
        recount=partial(audit_service(settings, clickhouse).repair, raise_epoch=False),
    )
    return CatalogueService(ClickHouseCatalogue(clickhouse), registry_of(settings), parse_clock(settings.clock), recount)


def feature_routes(settings: Settings, clickhouse: ClickHouse, board: BoardSources) -> tuple[Routes, ...]:
    """The routes of the features: board, reports, steps, dead letters, audit, dossiers, findings, catalogue and runbook."""
    reports = report_sources(settings, clickhouse)
    return (
        partial(board_routes, board),
        partial(report_routes, reports),
        partial(step_routes, reports.reader, indicators_by(reports.return_at_counter)),
        partial(verification_routes, verification_service(settings, clickhouse), reports.agencies, reports.clock),
        partial(dead_letter_routes, dead_letter_service(settings, clickhouse)),
        partial(audit_routes, audit_service(settings, clickhouse)),
        partial(dossier_routes, dossier_service(settings, clickhouse), exclusion_service(settings, clickhouse)),
        partial(finding_routes, finding_service(settings, clickhouse)),
        partial(catalogue_routes, catalogue_service(settings, clickhouse)),
        runbook_routes,
    )


@contextmanager
def background_work(
    settings: Settings, clickhouse: ClickHouse, registry: CollectorRegistry, audited: Callable[[Callable[[], int]], None]
) -> Iterator[None]:
    """Audits, and searches the findings of the current day, in the background, until the block ends.

    ``audited`` is given what tells the confirmed drift (events), where there is an audit.
    """
    with continuous_audit(settings, clickhouse, registry, audited), current_findings(settings, clickhouse, registry):
        yield


@contextmanager
def current_findings(settings: Settings, clickhouse: ClickHouse, registry: CollectorRegistry) -> Iterator[None]:
    """Searches the findings of the current day in the background and exports them until the block ends."""
    clock = parse_clock(settings.clock)
    current = CurrentFindings(
        finding_service(settings, clickhouse),
        interval=settings.findings.interval_seconds,
        duty=settings.findings.duty,
        clock=clock,
        wall_clock=SystemClock(),
        accepted_late=AcceptedLate(
            ClickHouseDossierFigures(clickhouse),
            registry_of(settings),
            working_days_of(settings),
            settings.indicators.accepted_late_from,
        ),
    )
    if settings.findings.interval_seconds:
        registry.register(FindingCollector(lambda: current.state, registry=registry_of(settings), clock=clock))
        current.start()
    try:
        yield
    finally:
        current.stop(grace=_FINDINGS_STOP_SECONDS)


@contextmanager
def continuous_audit(
    settings: Settings, clickhouse: ClickHouse, registry: CollectorRegistry, audited: Callable[[Callable[[], int]], None]
) -> Iterator[None]:
    """Audits in the background and exports the results until the block ends; see ``background_work``."""
    tallies = ClickHouseAudit(clickhouse)
    audit = ContinuousAudit(
        tallies,
        dossiers=ClickHouseDossierAudit(clickhouse),
        interval=settings.audit.interval_seconds,
        duty=settings.audit.duty,
        settle=settings.audit.settle_seconds,
        in_hand=WorkInHand(
            tallies, (topics_shown(settings), lambda: topic_reader(settings, answer_seconds=_SHORT_ANSWER_SECONDS))
        ),
        clock=SystemClock(),
    )
    if settings.audit.interval_seconds:  # without an audit its metrics would say that it never succeeds
        registry.register(AuditCollector(lambda: audit.state))
        audited(lambda: sum(audit.state.drift.values()) + audit.state.dossiers)
        audit.start()
    try:
        yield
    finally:
        audit.stop(grace=_AUDIT_STOP_SECONDS)


def figures_registry(settings: Settings, reader: ClickHouseReader, process: CollectorRegistry) -> CollectorRegistry:
    """A registry of the gauges that need the storage; those that do not are added to the registry of the ``process``."""
    agencies, clock = registry_of(settings), parse_clock(settings.clock)
    process.register(PolicyCollector(registry=agencies, clock=clock, policies=settings.thresholds))
    figures = CollectorRegistry()
    indicators = indicators_by(ReturnAtCounter(settings.indicators.return_at_counter))
    working_days = working_days_of(settings)
    figures.register(AgencyCollector(reader, registry=agencies, clock=clock, indicators=indicators, working_days=working_days))
    return figures
