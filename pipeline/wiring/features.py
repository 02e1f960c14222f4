"""Makes the features that exporter and worker serve from a storage: dead letters, audit, dossiers, reports, gauges and more."""

from __future__ import annotations

import datetime as dt
from functools import partial

from prometheus_client import CollectorRegistry

from domain.clock import SystemClock, parse_clock
from domain.indicators import ReturnAtCounter, indicators_by
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
from pipeline.retention.messages import parts_of
from pipeline.retention.routes import retention_routes
from pipeline.retention.service import RetentionService
from pipeline.runbook.routes import runbook_routes
from pipeline.serving.exporter import AgencyCollector
from pipeline.serving.policies import PolicyCollector
from pipeline.serving.requests import Routes
from pipeline.settings import Settings
from pipeline.working_days import working_days_of
from sinks.contract.expiry import ExpiredTotal
from sinks.contract.storage import Storage
from sinks.contract.tallies import TallyReader

#: Time limit for Kafka's answers where they are optional or requested in every round (seconds).
SHORT_ANSWER_SECONDS = 5.0


def dead_letter_service(settings: Settings, storage: Storage) -> DeadLetterService:
    """The service of dead letters. It connects to Kafka only to send messages again and to accept dead letters."""
    topics = _Topics(settings)
    return DeadLetterService(
        storage.dead_letters(),
        validator=EventValidator(registry_of(settings)),
        clock=SystemClock(),
        sender=lambda: Resender(settings.kafka),
        limits=storage.dead_letter_limits(topics.topic_id),
        ends=topics.ends,
        future_tolerance=dt.timedelta(seconds=settings.ingest.future_tolerance_seconds),
        portal_of=settings.kafka.portal_of,
    )


class _Topics:
    """Asks Kafka for the ends and ids of topics."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ids: dict[str, str] = {}

    def ends(self, topic: str) -> dict[int, int]:
        """Partition -> its end offset. Also keeps the topic's id."""
        self._ids.pop(topic, None)
        kafka = self._settings.kafka.model_copy(update={"topic": topic})
        self._ids[topic], ends = KafkaTopicReader(kafka, answer_seconds=SHORT_ANSWER_SECONDS).ends()
        return ends

    def topic_id(self, topic: str) -> str:
        """The id of a topic at the last call of ``ends`` for it, or "" when Kafka did not answer."""
        return self._ids.get(topic, "")


def topic_reader(settings: Settings, *, answer_seconds: float | None = None) -> KafkaTopicReader:
    """A reader of the topics that workers read. ``answer_seconds``: longest wait for an answer of Kafka; None: the default."""
    topics = settings.kafka.topics(registry_of(settings).codes)
    if answer_seconds is None:
        return KafkaTopicReader(settings.kafka, topics=topics)
    return KafkaTopicReader(settings.kafka, topics=topics, answer_seconds=answer_seconds)


def topics_shown(settings: Settings) -> str:
    """The name of the only topic, or for topics of portals their prefix and "CODE"."""
    topics = settings.kafka.topics(registry_of(settings).codes)
    return topics[0] if len(topics) == 1 else f"{settings.kafka.portal_prefix}CODE"


def audit_service(settings: Settings, storage: Storage) -> AuditService:
    """The service of the audit. It connects to Kafka when an audit asks what workers have in hand or compares the topic."""
    topics = settings.kafka.topics(registry_of(settings).codes)
    return AuditService(
        storage.audit(),
        store=storage.events(),
        repair=storage.repair(),
        dossiers=storage.dossier_audit(),
        index=storage.dossier_index(),
        topic=(topics_shown(settings), lambda: topic_reader(settings)),
        portals=topics if len(topics) > 1 else (),
        decoder=Decoder(registry_of(settings)),
        clock=SystemClock(),
        future_tolerance=dt.timedelta(seconds=settings.ingest.future_tolerance_seconds),
        portal_of=settings.kafka.portal_of,
        expired=lambda: sum((part.expiry().total() for part in storage.parts()), ExpiredTotal()),
    )


def retention_service(settings: Settings, storage: Storage) -> RetentionService:
    """The service of retention. It asks Kafka what workers have in hand."""
    audit = storage.audit()
    in_hand = WorkInHand(audit, (topics_shown(settings), lambda: topic_reader(settings, answer_seconds=SHORT_ANSWER_SECONDS)))
    recount = partial(audit_service(settings, storage).repair, raise_epoch=False)
    parts = parts_of(storage, recount=recount, settle=dt.timedelta(seconds=settings.audit.settle_seconds), in_hand=in_hand)
    clock = parse_clock(settings.clock)
    return RetentionService(parts, storage.dead_letters(), settings=settings.retention, clock=clock, now=audit.now)


def dossier_service(settings: Settings, storage: Storage) -> DossierService:
    """The service that explains dossiers."""
    return DossierService(
        storage.dossier_reader(),
        storage.exclusions(),
        registry_of(settings),
        catalogue=storage.catalogue().entries,
    )


def report_sources(settings: Settings, storage: Storage) -> ReportSources:
    """The sources of reports. A report asks Kafka which offsets are acknowledged, to tell whether it is complete."""
    topic = topic_reader(settings, answer_seconds=SHORT_ANSWER_SECONDS)

    def offsets() -> TopicOffsets:
        partitions = {f"{each.topic}/{each.number}" if each.topic else each.number: each for each in topic.partitions()}
        ends = {name: each.end for name, each in partitions.items()}
        return TopicOffsets(ends, {name: each.committed or 0 for name, each in partitions.items()})

    return ReportSources(
        reader=storage.tallies(),
        agencies=registry_of(settings),
        clock=parse_clock(settings.clock),
        wall_clock=SystemClock(),
        offsets=offsets,
        excluded=ExcludedDossiers(storage.exclusions(), storage.dossier_reader()).within,
        catalogue=storage.catalogue().entries,
        figures=FigureSources(storage.dossier_figures(), working_days_of(settings), settings.indicators.accepted_late_from),
        dossiers=storage.dossier_table(),
        return_at_counter=ReturnAtCounter(settings.indicators.return_at_counter),
        not_recounted=lambda: sorted(storage.catalogue_recounts().unfinished()),
    )


def verification_service(settings: Settings, storage: Storage) -> VerificationService:
    """The service that recomputes reports from the messages in this storage."""
    return VerificationService(
        storage.raw_messages(),
        VerificationSources(
            excluded=storage.exclusions().excluded,
            expired=storage.raw_messages().late_codes,
            catalogue=storage.catalogue().entries,
            return_at_counter=ReturnAtCounter(settings.indicators.return_at_counter),
            working_days=working_days_of(settings),
            accepted_late_from=settings.indicators.accepted_late_from,
        ),
    )


def exclusion_service(settings: Settings, storage: Storage) -> ExclusionService:
    """The service that excludes dossiers. It recounts without a raised epoch: later recounts of workers replace its own."""
    audit = audit_service(settings, storage)
    return ExclusionService(
        storage.exclusions(),
        reader=storage.dossier_reader(),
        index=storage.dossier_index(),
        recount=partial(audit.repair, raise_epoch=False),
    )


def finding_service(settings: Settings, storage: Storage) -> FindingService:
    """The service that searches findings."""
    catalogue = storage.catalogue().entries
    return FindingService(storage.findings(), registry_of(settings), catalogue=catalogue)


def catalogue_service(settings: Settings, storage: Storage) -> CatalogueService:
    """The service of the catalogue."""
    recount = CatalogueRecount(
        storage.catalogue_recounts(),
        index=storage.dossier_index(),
        recount=partial(audit_service(settings, storage).repair, raise_epoch=False),
    )
    return CatalogueService(storage.catalogue(), registry_of(settings), parse_clock(settings.clock), recount)


def feature_routes(settings: Settings, storage: Storage, board: BoardSources) -> tuple[Routes, ...]:
    """The routes of the features: board, reports, steps, dead letters, audit, dossiers, findings, catalogue and runbook."""
    reports = report_sources(settings, storage)
    return (
        partial(board_routes, board),
        partial(report_routes, reports),
        partial(step_routes, reports.reader, indicators_by(reports.return_at_counter)),
        partial(verification_routes, verification_service(settings, storage), reports.agencies, reports.clock),
        partial(dead_letter_routes, dead_letter_service(settings, storage)),
        partial(audit_routes, audit_service(settings, storage)),
        partial(retention_routes, retention_service(settings, storage)),
        partial(dossier_routes, dossier_service(settings, storage), exclusion_service(settings, storage)),
        partial(finding_routes, finding_service(settings, storage)),
        partial(catalogue_routes, catalogue_service(settings, storage)),
        runbook_routes,
    )


def figures_registry(settings: Settings, reader: TallyReader, process: CollectorRegistry) -> CollectorRegistry:
    """A new registry of the gauges that need the storage. Gauges of thresholds, which do not, are added to ``process``."""
    agencies, clock = registry_of(settings), parse_clock(settings.clock)
    process.register(PolicyCollector(registry=agencies, clock=clock, policies=settings.thresholds))
    figures = CollectorRegistry()
    indicators = indicators_by(ReturnAtCounter(settings.indicators.return_at_counter))
    working_days = working_days_of(settings)
    figures.register(AgencyCollector(reader, registry=agencies, clock=clock, indicators=indicators, working_days=working_days))
    return figures
