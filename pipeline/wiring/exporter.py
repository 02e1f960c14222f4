"""Runs an exporter: a process that serves metrics, reports and the board from a storage, and does not read from Kafka."""

from __future__ import annotations

import asyncio
from pathlib import Path

import setproctitle
from prometheus_client import CollectorRegistry

from domain.clock import parse_clock
from pipeline.logs import get_logger
from pipeline.registry import registry_of
from pipeline.serving.answer_sources import Api, Health
from pipeline.serving.server import HttpServer
from pipeline.serving.site import Site
from pipeline.settings import Settings
from pipeline.shutdown import GracefulShutdown
from pipeline.wiring.background_work import background_work
from pipeline.wiring.board import ProcessFigures, board_sources, site_of
from pipeline.wiring.features import feature_routes, figures_registry
from pipeline.wiring.storage import opened_storage
from sinks.contract.storage import Storage

log = get_logger("wiring")

#: Longest wait for a worker that brings the schema up to date (seconds).
_SCHEMA_SECONDS = 60.0


def run_exporter(settings: Settings, *, board: Path | None = None) -> None:
    """Serve agency gauges and reports from a ClickHouse server until SIGTERM or Ctrl-C.

    ``board``: the folder of the board's page; None: the exporter serves no page. An exporter changes no table. It waits until a
    worker of the same release has brought the schema up to date.
    """
    shutdown = GracefulShutdown()
    shutdown.listen()
    setproctitle.setproctitle("portalpulse exporter")
    site = site_of(board)
    with opened_storage(settings, wait=_SCHEMA_SECONDS) as storage:
        asyncio.run(_run_exporter(settings, storage, shutdown, site))


async def _run_exporter(settings: Settings, storage: Storage, shutdown: GracefulShutdown, site: Site | None) -> None:
    stop = shutdown.event()
    registry, agencies, clock = CollectorRegistry(), registry_of(settings), parse_clock(settings.clock)
    reader = storage.tallies()
    figures = figures_registry(settings, reader, registry)
    shown = ProcessFigures()
    server = HttpServer(
        Api(
            registry=registry,
            agencies=agencies,
            clock=clock,
            health=lambda: Health(healthy=True, ready=True),
            reader=reader,
            figures=figures,
            routes=feature_routes(settings, storage, board_sources(settings, storage, shown)),
        ),
        settings.http,
        site=site,
    )
    address = await server.start()
    log.info("exporter_started", address=address, storage=storage.display_name)
    try:
        with background_work(settings, storage, registry, shown.audited):
            await stop.wait()
    finally:
        await server.close()
    shutdown.finish()
