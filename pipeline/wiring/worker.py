"""Runs a worker, and tells whether it is healthy and ready."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import setproctitle
from prometheus_client import CollectorRegistry

from domain.clock import SystemClock, parse_clock
from domain.errors import ConfigurationError
from pipeline.dead_letters.removal import ByteRemoval
from pipeline.decode.decoder import Decoder
from pipeline.dossiers.keeper import DossierKeeper
from pipeline.freed_memory import return_freed_memory
from pipeline.ingest.steps import IngestSteps
from pipeline.kafka.group_storage import GroupStorage
from pipeline.kafka.preflight import preflight
from pipeline.kafka.record_batches import check_versions
from pipeline.kafka.worker import Worker
from pipeline.logs import get_logger
from pipeline.metrics import WorkerMetrics
from pipeline.registry import registry_of
from pipeline.serving.answer_sources import Api, Health, Progress
from pipeline.serving.server import HttpServer
from pipeline.serving.site import Site
from pipeline.settings import Settings
from pipeline.shutdown import GracefulShutdown
from pipeline.wiring.background_work import background_work
from pipeline.wiring.board import ProcessFigures, board_sources, site_of
from pipeline.wiring.features import feature_routes, figures_registry
from pipeline.wiring.storage import migrated_storage
from sinks.contract.events import EventStore
from sinks.contract.storage import Storage

log = get_logger("wiring")


def run_worker(settings: Settings, *, all_in_one: bool, create_topic: bool, board: Path | None = None) -> None:
    """Run a worker until SIGTERM or Ctrl-C; with ``all_in_one`` it also serves agency gauges, reports and the board.

    ``board``: the folder of the board's page; None: the worker serves no page.
    """
    shutdown = GracefulShutdown()
    shutdown.listen()
    check_versions()
    return_freed_memory()
    _create_folder(settings.data_dir)
    setproctitle.setproctitle("portalpulse worker")
    site = site_of(board if all_in_one else None)
    metrics = WorkerMetrics(CollectorRegistry())
    with migrated_storage(settings, observer=metrics.observe_store) as storage:
        store = storage.events()
        asyncio.run(
            _run_worker(settings, store, storage, metrics, shutdown, site=site, all_in_one=all_in_one, create_topic=create_topic)
        )


def _create_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The data folder {folder} cannot be created: {error.strerror}.", remedy="Set PORTALPULSE_DATA_DIR to another folder."
        ) from error


async def _run_worker(
    settings: Settings,
    store: EventStore,
    storage: Storage,
    metrics: WorkerMetrics,
    shutdown: GracefulShutdown,
    *,
    site: Site | None,
    all_in_one: bool,
    create_topic: bool,
) -> None:
    agencies, clock = registry_of(settings), parse_clock(settings.clock)
    topics = settings.kafka.topics(agencies.codes)
    checked = await preflight(settings.kafka, topics=topics, create_topic=create_topic)
    stop = shutdown.event()  # nothing that needs a clean stop was started before
    worker = Worker(
        settings,
        decoder=Decoder(agencies),
        store=store,
        index=storage.dossier_index(),
        checkpoints=storage.dead_letter_limits(lambda topic: worker.state.topic_ids.get(topic, "")),
        metrics=metrics,
        clock=SystemClock(),
        topics=topics,
        reachable=checked.reachable,
        loops=lambda steps: {
            "keep-dossiers": dossier_keeper(settings, storage, steps, metrics).run,
            "remove-bytes": byte_removal(settings, storage, steps).run,
        },
        group_storage=GroupStorage(storage.ids, group=settings.kafka.group, storage=storage.display_name),
    )
    reader = storage.tallies() if all_in_one else None
    figures = None if reader is None else figures_registry(settings, reader, metrics.registry)

    def lag() -> int | None:
        return worker.state.lag if worker.state.joined else None

    shown = ProcessFigures(lag)
    server = HttpServer(
        Api(
            registry=metrics.registry,
            agencies=agencies,
            clock=clock,
            health=lambda: worker_health(worker, settings.watchdog.stall_seconds),
            reader=reader,
            figures=figures,
            consumer_lag=lag,
            progress=lambda: _progress(worker),
            routes=feature_routes(settings, storage, board_sources(settings, storage, shown)) if all_in_one else (),
        ),
        settings.http,
        site=site,
    )
    address = await server.start()
    log.info(
        "worker_started",
        address=address,
        topic=topics[0] if len(topics) == 1 else f"{settings.kafka.portal_prefix}CODE",
        partitions=checked.partitions,
        storage=storage.display_name,
    )
    try:
        with background_work(settings, storage, metrics.registry, shown.audited) if all_in_one else nullcontext():
            await worker.run(stop, ending=shutdown.start_deadline)
    finally:
        await server.close()
    log.info("worker_stopped")
    shutdown.finish()


def dossier_keeper(settings: Settings, storage: Storage, steps: IngestSteps, metrics: WorkerMetrics) -> DossierKeeper:
    """The keeper of this worker, which keeps the table of dossiers."""
    return DossierKeeper(
        storage.dossier_table(),
        storage.dossier_histories(),
        retrying=steps.retrying,
        metrics=metrics,
        interval=settings.dossiers.interval_seconds,
        duty=settings.dossiers.duty,
        flooded=steps.is_flooded,
        stopping=steps.stopping,
    )


def byte_removal(settings: Settings, storage: Storage, steps: IngestSteps) -> ByteRemoval:
    """The part of this worker that removes the bytes of rejected messages."""
    return ByteRemoval(
        storage.received_bytes(),
        kept_for=dt.timedelta(days=settings.dead_letters.bytes_days),
        retrying=steps.retrying,
        stopping=steps.stopping,
    )


def worker_health(worker: Worker, stall_seconds: float) -> Health:
    """The health of a worker.

    It is healthy while it makes progress, has nothing to do or waits for the storage, and ready when it has joined the group and
    the storage answers.
    """
    return replace(_worker_health(worker, stall_seconds), unread_offsets=worker.unread.total)


def _worker_health(worker: Worker, stall_seconds: float) -> Health:
    state = worker.state
    idle = time.monotonic() - state.last_progress
    if state.failure:
        return Health(healthy=False, ready=False, reason=state.failure)
    if since := worker.steps.retrying.unavailable_since:  # a restart of the worker would not help
        return Health(healthy=True, ready=False, reason=f"storage unreachable since {since.isoformat(timespec='seconds')}")
    if idle > stall_seconds:
        return Health(healthy=False, ready=False, reason=f"no progress for {idle:.0f} s")
    if not state.joined:
        return Health(healthy=True, ready=False, reason="waiting for the consumer group")
    return Health(healthy=True, ready=True)


def _progress(worker: Worker) -> Progress:
    counted = worker.steps.acknowledger
    return Progress(counted.stored, counted.visible, counted.exact)
