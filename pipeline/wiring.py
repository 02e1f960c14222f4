"""The composition root: the only place that knows every concrete part and puts them together."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import setproctitle
from prometheus_client import CollectorRegistry

from domain.agencies import AgencyRegistry
from domain.clock import SystemClock, parse_clock
from domain.errors import ConfigurationError, UnavailableError
from pipeline.audit.continuous import ContinuousAudit
from pipeline.audit.in_hand import WorkInHand
from pipeline.audit.routes import audit_routes
from pipeline.audit.service import AuditService
from pipeline.dead_letters.routes import dead_letter_routes
from pipeline.dead_letters.service import DeadLetterService
from pipeline.decode.decoder import Decoder
from pipeline.decode.validator import EventValidator
from pipeline.kafka.preflight import preflight
from pipeline.kafka.record_batches import check_versions
from pipeline.kafka.resend import Resender
from pipeline.kafka.topic_reader import KafkaTopicReader
from pipeline.kafka.worker import Worker
from pipeline.logs import get_logger
from pipeline.metrics import WorkerMetrics
from pipeline.serving.api import Api, Health, Progress
from pipeline.serving.exporter import AgencyCollector, AuditCollector, PolicyCollector
from pipeline.serving.requests import Routes
from pipeline.serving.server import HttpServer
from pipeline.settings import Settings
from pipeline.shutdown import GracefulShutdown
from sinks.clickhouse.audit import ClickHouseAudit
from sinks.clickhouse.client import ClickHouse, Observer
from sinks.clickhouse.dead_letter_limits import ClickHouseDeadLetterLimits
from sinks.clickhouse.dead_letter_store import ClickHouseDeadLetters
from sinks.clickhouse.expiring_rows import refuse_expiring_rows
from sinks.clickhouse.migrate import Migration, migrate, missing_migrations
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.registry_writer import AgencyRow, write_agencies
from sinks.clickhouse.repair import ClickHouseRepair
from sinks.clickhouse.row_policies import TABLES, refuse_hidden_rows
from sinks.clickhouse.store import ClickHouseStore
from sinks.clickhouse.target import Target
from sinks.errors import Retryable, SinkError

log = get_logger("wiring")

#: Who asks Kafka every round, or can do without its answer, does not wait long for it.
_SHORT_ANSWER_SECONDS = 5.0
#: An audit that is asked to stop ends with the query it waits for.
_AUDIT_STOP_SECONDS = 3.0
#: How long an exporter waits for a worker to bring the tables up to date, and how often it looks.
_SCHEMA_SECONDS, _SCHEMA_LOOK_SECONDS = 60.0, 1.0


def target_of(settings: Settings) -> Target:
    """The ClickHouse that the settings name.

    Raises:
        ConfigurationError: the address cannot be read.
    """
    try:
        return Target.parse(settings.clickhouse.url.get_secret_value(), timeout=settings.clickhouse.timeout_seconds)
    except ValueError as error:
        raise ConfigurationError(f"PORTALPULSE_CLICKHOUSE__URL is wrong: {error}.") from error


@contextmanager
def migrated_storage(
    settings: Settings, *, observer: Observer | None = None, applied: list[Migration] | None = None
) -> Iterator[ClickHouse]:
    """ClickHouse, answering, brought to the newest schema and registry; closed at the end. For workers and ``migrate``.

    ``applied`` receives the migrations that were missing.

    Raises:
        UnavailableError: it does not answer, refuses us, hides rows from us, or its folder is taken.
    """

    def ready(clickhouse: ClickHouse) -> None:
        done = prepare(clickhouse)
        if applied is not None:
            applied.extend(done)

    with _opened(settings, observer, ready) as clickhouse:
        yield clickhouse


@contextmanager
def opened_storage(settings: Settings, *, wait: float = 0.0) -> Iterator[ClickHouse]:
    """ClickHouse, answering, with the schema of this program; closed at the end. Nothing is written here.

    ``wait``: seconds to wait for a worker that brings the schema up to date.

    Raises:
        UnavailableError: it does not answer, refuses us, hides rows from us, or has an older or newer schema.
    """
    deadline = time.monotonic() + wait

    def ready(clickhouse: ClickHouse) -> None:
        while missing := missing_migrations(clickhouse):
            if time.monotonic() >= deadline:
                raise UnavailableError(
                    f"The database {clickhouse.target.database!r} of {clickhouse.target.display_name} lacks migration "
                    f"{missing[0].number:04d} of this program, and only workers and `portalpulse migrate` change its tables.",
                    remedy="Start a worker of this release, run `portalpulse migrate`, or use the release of the workers.",
                )
            log.info("waiting_for_a_worker_to_migrate", migration=missing[0].number, database=clickhouse.target.database)
            time.sleep(_SCHEMA_LOOK_SECONDS)

    with _opened(settings, None, ready) as clickhouse:
        yield clickhouse


@contextmanager
def _opened(settings: Settings, observer: Observer | None, ready: Callable[[ClickHouse], None]) -> Iterator[ClickHouse]:
    target = target_of(settings)
    try:
        clickhouse = ClickHouse(target, observer=observer) if observer is not None else ClickHouse(target)
    except SinkError as error:
        raise UnavailableError(str(error)) from error
    try:
        try:
            ready(clickhouse)
            refuse_hidden_rows(clickhouse, TABLES)
            refuse_expiring_rows(clickhouse, TABLES)
        except Retryable as error:
            said = str(error).removeprefix(f"{target.display_name}: ").rstrip(".")
            if getattr(error.__cause__, "code", None) is not None:
                raise UnavailableError(
                    f"{target.display_name} answers, and refuses for now: {said}.",
                    remedy="Try again later. When it stays so, give this user a higher limit or quota, or the server more room.",
                ) from error
            raise UnavailableError(
                f"{target.display_name} does not answer: {said}.", remedy="Start it, or correct PORTALPULSE_CLICKHOUSE__URL."
            ) from error
        except SinkError as error:
            raise UnavailableError(str(error), remedy="`portalpulse doctor` checks each part.") from error
        yield clickhouse
    finally:
        clickhouse.close()


def migrate_storage(settings: Settings) -> tuple[Migration, ...]:
    """Bring the tables up to date; returns what was applied now."""
    applied: list[Migration] = []
    with migrated_storage(settings, applied=applied):
        return tuple(applied)


def prepare(clickhouse: ClickHouse) -> tuple[Migration, ...]:
    """Apply missing migrations and write the registry; returns what was applied."""
    done = migrate(clickhouse)
    write_agencies(
        clickhouse,
        (
            AgencyRow(
                code=agency.code,
                valid_from=agency.valid_from,
                valid_to=agency.valid_to,
                block=agency.block,
                name_vi=agency.name_vi,
                name_en=agency.name_en,
                short_name_vi=agency.short_name_vi,
                successor_code=agency.successor_code or "",
            )
            for agency in AgencyRegistry.packaged()
        ),
    )
    return done


def dead_letter_service(settings: Settings, clickhouse: ClickHouse) -> DeadLetterService:
    """The service over this storage; it connects to Kafka only when something is sent."""
    return DeadLetterService(
        ClickHouseDeadLetters(clickhouse),
        validator=EventValidator(AgencyRegistry.packaged()),
        clock=SystemClock(),
        sender=lambda: Resender(settings.kafka),
        limits=ClickHouseDeadLetterLimits(clickhouse),
        ends=lambda topic: _ends(settings, topic),
        future_tolerance=dt.timedelta(seconds=settings.ingest.future_tolerance_seconds),
    )


def _ends(settings: Settings, topic: str) -> dict[int, int]:
    """The end of each partition of a topic."""
    kafka = settings.kafka.model_copy(update={"topic": topic})
    return {found.number: found.end for found in KafkaTopicReader(kafka, answer_seconds=_SHORT_ANSWER_SECONDS).partitions()}


def audit_service(settings: Settings, clickhouse: ClickHouse) -> AuditService:
    """The service over this storage; it connects to Kafka only when Kafka is audited."""
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
    """What a process that serves figures answers besides: dead letters and the audit's steps."""
    dead_letters, audit = dead_letter_service(settings, clickhouse), audit_service(settings, clickhouse)
    return partial(dead_letter_routes, dead_letters), partial(audit_routes, audit)


@contextmanager
def continuous_audit(settings: Settings, clickhouse: ClickHouse, registry: CollectorRegistry) -> Iterator[None]:
    """Audits in the background, and exports what it finds, until the end of the block."""
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


def run_worker(settings: Settings, *, all_in_one: bool, create_topic: bool) -> None:
    """Run a worker until SIGTERM or Ctrl-C; with ``all_in_one`` it also serves the agencies' gauges and figures."""
    stopping = GracefulShutdown()
    stopping.listen()
    check_versions()
    _make_folder(settings.data_dir)
    setproctitle.setproctitle("portalpulse worker")
    metrics = WorkerMetrics(CollectorRegistry())
    with migrated_storage(settings, observer=metrics.observe_store) as clickhouse:
        store = ClickHouseStore(clickhouse)
        asyncio.run(_run_worker(settings, store, clickhouse, metrics, stopping, all_in_one=all_in_one, create_topic=create_topic))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The data folder {folder} cannot be made: {error.strerror}.", remedy="Set PORTALPULSE_DATA_DIR to one that can be."
        ) from error


async def _run_worker(
    settings: Settings,
    store: ClickHouseStore,
    clickhouse: ClickHouse,
    metrics: WorkerMetrics,
    stopping: GracefulShutdown,
    *,
    all_in_one: bool,
    create_topic: bool,
) -> None:
    agencies, clock = AgencyRegistry.packaged(), parse_clock(settings.clock)
    checked = await preflight(settings.kafka, create_topic=create_topic)
    stop = stopping.event()  # until here nothing was begun that would have to be ended in order
    worker = Worker(
        settings,
        decoder=Decoder(agencies),
        store=store,
        checkpoints=ClickHouseDeadLetterLimits(clickhouse),
        metrics=metrics,
        clock=SystemClock(),
        reachable=checked.reachable,
    )
    reader = ClickHouseReader(clickhouse) if all_in_one else None
    figures = None if reader is None else _figures(settings, reader, metrics.registry)
    server = HttpServer(
        Api(
            registry=metrics.registry,
            agencies=agencies,
            clock=clock,
            health=lambda: worker_health(worker, settings.watchdog.stall_seconds),
            reader=reader,
            figures=figures,
            consumer_lag=lambda: worker.state.lag if worker.state.joined else None,
            progress=lambda: Progress(worker.delivery.stored, worker.delivery.visible),
            routes=feature_routes(settings, clickhouse) if all_in_one else (),
        ),
        settings.http,
    )
    address = await server.start()
    log.info(
        "worker_started",
        address=address,
        topic=settings.kafka.topic,
        partitions=checked.partitions,
        storage=clickhouse.target.display_name,
    )
    try:
        with continuous_audit(settings, clickhouse, metrics.registry) if all_in_one else nullcontext():
            await worker.run(stop, ending=stopping.start_deadline)
    finally:
        await server.close()
    log.info("worker_stopped")
    stopping.finish()


def _figures(settings: Settings, reader: ClickHouseReader, own: CollectorRegistry) -> CollectorRegistry:
    """The registry of what is read from the storage; what is known without it is added to the process's ``own``."""
    agencies, clock = AgencyRegistry.packaged(), parse_clock(settings.clock)
    own.register(PolicyCollector(registry=agencies, clock=clock, policies=settings.thresholds))
    figures = CollectorRegistry()
    figures.register(AgencyCollector(reader, registry=agencies, clock=clock))
    return figures


def worker_health(worker: Worker, stall_seconds: float) -> Health:
    """Healthy while it makes progress or has nothing to do; ready once it takes part in the group."""
    return replace(_worker_health(worker, stall_seconds), unread_offsets=worker.unread.total)


def _worker_health(worker: Worker, stall_seconds: float) -> Health:
    state = worker.state
    idle = time.monotonic() - state.last_progress
    if state.failure:
        return Health(healthy=False, ready=False, reason=state.failure)
    if since := worker.delivery.storage_unavailable_since:  # restarting the worker would not bring it back
        return Health(healthy=True, ready=False, reason=f"the storage is away since {since.isoformat(timespec='seconds')}")
    if idle > stall_seconds:
        return Health(healthy=False, ready=False, reason=f"no progress for {idle:.0f} s")
    if not state.joined:
        return Health(healthy=True, ready=False, reason="waiting for the consumer group")
    return Health(healthy=True, ready=True)


def run_exporter(settings: Settings) -> None:
    """Serve the agencies' gauges and figures from a ClickHouse server until SIGTERM or Ctrl-C.

    It changes no table: started before the first worker of its release, it waits for one.
    """
    stopping = GracefulShutdown()
    stopping.listen()
    setproctitle.setproctitle("portalpulse exporter")
    with opened_storage(settings, wait=_SCHEMA_SECONDS) as clickhouse:
        asyncio.run(_run_exporter(settings, clickhouse, stopping))


async def _run_exporter(settings: Settings, clickhouse: ClickHouse, stopping: GracefulShutdown) -> None:
    stop = stopping.event()
    registry, agencies, clock = CollectorRegistry(), AgencyRegistry.packaged(), parse_clock(settings.clock)
    reader = ClickHouseReader(clickhouse)
    figures = _figures(settings, reader, registry)
    server = HttpServer(
        Api(
            registry=registry,
            agencies=agencies,
            clock=clock,
            health=lambda: Health(healthy=True, ready=True),
            reader=reader,
            figures=figures,
            routes=feature_routes(settings, clickhouse),
        ),
        settings.http,
    )
    address = await server.start()
    log.info("exporter_started", address=address, storage=clickhouse.target.display_name)
    try:
        with continuous_audit(settings, clickhouse, registry):
            await stop.wait()
    finally:
        await server.close()
    stopping.finish()
