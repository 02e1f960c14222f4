"""The HTTP face of a worker or exporter: metrics, health, report and status. Reading happens in threads, never in the loop.

Three pools of threads keep the answers apart: one for scrapes, one for looking whether the storage answers, one for figures
that people ask for; what may take minutes (audit steps, replays) has a fourth. A request whose client is gone is cancelled:
what it still waits for is not begun.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from domain.agencies import AgencyRegistry
from domain.clock import Clock
from domain.errors import ConfigurationError, UnavailableError
from domain.periods import Period
from pipeline.addresses import SIGNATURE
from pipeline.logs import get_logger
from pipeline.serving.access import TOKEN, ForbiddenError, demand_trust
from pipeline.serving.exporter import storage_up
from pipeline.serving.report import build_report
from pipeline.serving.requests import Routes, Threads, days, error_response
from pipeline.serving.single_flight import SingleFlight, TooManyWaitingError
from pipeline.settings import HttpSettings
from sinks.contract.tallies import TallyReader
from sinks.errors import SinkError

T = TypeVar("T")
log = get_logger("api")

#: Threads for figures that people ask for, and as many for what may take minutes.
_READERS = 4
_PIECES_AHEAD = 4
#: Scrapes that may wait at the same time: a few Prometheus servers and a person.
_SCRAPES_WAITING = 8
#: Longest wait of a scrape that does not say how long it waits itself, and of a look at the storage (seconds).
_SCRAPE_SECONDS = 30.0
_PING_SECONDS = 3.0
#: Probes that may wait at the same time; each waits for _PING_SECONDS at most.
_PROBES_WAITING = 64
#: Prometheus says in this header how long it waits.
_SCRAPE_TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
#: Connections at most: those of peers that went away without a word would stay until the process has no descriptor left.
_CONNECTIONS = 128
#: Parameters that a request may give several times.
_SEVERAL = frozenset({"agency", "reason", "topic"})


@dataclass(frozen=True, slots=True)
class Health:
    """``healthy`` means progress; ``ready`` means everything needed to make it is there. The reasons are for people."""

    healthy: bool
    ready: bool
    reason: str = ""
    unread_offsets: int = 0  # which left the log before they were read: their messages may be lost


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one worker is since it started, by its own counters: events stored, and of these in the minute tallies."""

    stored: int
    visible: int


@dataclass(frozen=True, slots=True)
class Api:
    """What the endpoints answer from. ``reader`` None: a worker that only counts serves no figures.

    ``registry`` holds what the process knows itself; its collectors must not block. ``figures`` holds what is read from the
    storage at each scrape: it is served whole or not at all. ``routes`` makes the endpoints of other features.
    """

    registry: CollectorRegistry
    agencies: AgencyRegistry
    clock: Clock
    health: Callable[[], Health]
    reader: TallyReader | None = None
    figures: CollectorRegistry | None = None
    consumer_lag: Callable[[], int | None] = lambda: None
    progress: Callable[[], Progress] | None = None
    routes: Sequence[Routes] = ()


class HttpServer:
    """Serves one ``Api`` until closed."""

    def __init__(self, api: Api, settings: HttpSettings) -> None:
        self._api, self._settings = api, settings
        self._scraping = ThreadPoolExecutor(1, thread_name_prefix="scrape")
        self._probing = ThreadPoolExecutor(1, thread_name_prefix="probe")
        self._reading = ThreadPoolExecutor(_READERS, thread_name_prefix="api")
        self._working = ThreadPoolExecutor(_READERS, thread_name_prefix="api-long")
        self._figures: SingleFlight[bytes] = SingleFlight(self._read_figures, most_waiting=_SCRAPES_WAITING)
        self._ping: SingleFlight[None] = SingleFlight(self._ping_storage, most_waiting=_PROBES_WAITING)
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None
        self._crowded = False
        self.address = ""

    async def start(self) -> str:
        """Listen; returns the address as a URL.

        Raises:
            UnavailableError: the port is taken or may not be used.
        """
        app = web.Application(middlewares=[_refuse_repeated])
        app[TOKEN] = self._settings.token.get_secret_value()
        app.on_response_prepare.append(_sign)
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/api/v1/report", self._report),
                web.get("/api/v1/status", self._status),
                web.get("/api/v1/progress", self._progress),
                web.get("/api/v1/events", self._events, allow_head=False),  # it would send a body
            ]
        )
        for routes in self._api.routes:
            app.add_routes(routes(Threads(self._in_thread, self._in_long_thread)))
        logger = logging.getLogger("aiohttp.server")
        logger.addFilter(_no_fault_of_ours)
        self._runner = web.AppRunner(app, access_log=None, logger=logger, shutdown_timeout=2, handler_cancellation=True)
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                lambda: self._with_room(server), self._settings.host, self._settings.port
            )
        except (OSError, UnicodeError) as error:
            await self._runner.cleanup()
            host_is_ours = isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, errno.EACCES)
            raise UnavailableError(
                f"Port {self._settings.port} on {self._settings.host} cannot be used: {getattr(error, 'strerror', '') or error}.",
                remedy="Set PORTALPULSE_HTTP__PORT to a free port, or to 0 to take any."
                if host_is_ours
                else "Set PORTALPULSE_HTTP__HOST to an address of this machine, or to 0.0.0.0 for all.",
            ) from error
        host, port = self._listener.sockets[0].getsockname()[:2]
        self.address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        return self.address

    async def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.close()
        if self._runner is not None:
            await self._runner.cleanup()
        for pool in (self._scraping, self._probing, self._reading, self._working):
            pool.shutdown(wait=False, cancel_futures=True)

    def _with_room(self, server: web.Server) -> asyncio.Protocol:
        """The handler of a new connection. Where there are too many, the oldest make room: the newest may be a scrape."""
        connections = server.connections
        for oldest in connections[: max(0, len(connections) - _CONNECTIONS + 1)]:
            if not self._crowded:
                self._crowded = True
                log.warning("too_many_connections", most=_CONNECTIONS, action="the oldest are closed")
            if oldest.transport is not None:
                oldest.transport.abort()
        return server()

    async def _in_thread(self, action: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reading, action)

    async def _in_long_thread(self, action: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._working, action)

    async def _read_figures(self) -> bytes:
        registry = self._api.figures
        assert registry is not None
        return await asyncio.get_running_loop().run_in_executor(self._scraping, generate_latest, registry)

    async def _ping_storage(self) -> None:
        reader = self._api.reader
        assert reader is not None
        await asyncio.get_running_loop().run_in_executor(self._probing, reader.ping)

    async def _metrics(self, request: web.Request) -> web.Response:
        """What the process knows itself, always; what is read from the storage, whole or not at all."""
        figures = b""
        if self._api.figures is not None:
            within = _patience(request)
            try:
                figures = await self._figures.get(within=within)
            except TooManyWaitingError:
                return web.Response(status=503, text=f"{_SCRAPES_WAITING} scrapes wait already: scrape less often.\n")
            except SinkError as error:
                log.warning("scrape_without_figures", error=str(error))
            except TimeoutError:
                log.warning("scrape_without_figures", error=f"The storage did not answer within {within:g} s.")
            figures += storage_up(answers=bool(figures))
        body = generate_latest(self._api.registry) + figures
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _healthz(self, _: web.Request) -> web.Response:
        health = self._api.health()
        return web.json_response({"healthy": health.healthy, "reason": health.reason}, status=200 if health.healthy else 503)

    async def _readyz(self, _: web.Request) -> web.Response:
        health = self._api.health()
        ready, reason = health.ready, health.reason
        if ready and self._api.reader is not None:
            try:
                await self._ping.get(within=_PING_SECONDS)
            except SinkError as error:
                ready, reason = False, str(error)
            except (TimeoutError, TooManyWaitingError):
                ready, reason = False, f"The storage does not answer within {_PING_SECONDS:g} s."
        fields = {"ready": ready, "reason": reason, "unread_offsets": health.unread_offsets}
        return web.json_response(fields, status=200 if ready else 503)

    async def _report(self, request: web.Request) -> web.Response:
        reader = self._api.reader
        if reader is None:
            return error_response(404, "This process serves no figures; ask the exporter.")
        try:
            period = Period(*days(request))
        except ConfigurationError as error:
            return error_response(400, str(error))
        try:
            report = await self._in_thread(lambda: build_report(reader, self._api.agencies, period))
        except SinkError as error:
            return error_response(503, str(error))
        return web.json_response(report.as_dict())

    async def _status(self, _: web.Request) -> web.Response:
        reader = self._api.reader
        if reader is None:
            return error_response(404, "This process serves no figures; ask the exporter.")
        now = self._api.clock.now()

        def read() -> dict[str, Any]:
            standing = reader.totals()
            newest = max(reader.last_events(now).values(), default=None)
            return {
                "clock": now.isoformat(),
                "events": {"stored": standing.stored, "tallied": standing.tallied},
                "lag_rows": standing.stored - standing.tallied,
                "newest_event": newest.isoformat() if newest else None,
                "dead_letters": dict(reader.dead_letters_by_reason()),
            }

        try:
            status = await self._in_thread(read)
        except SinkError as error:
            return error_response(503, str(error))
        return web.json_response(status | {"consumer_lag": self._api.consumer_lag()})

    async def _progress(self, _: web.Request) -> web.Response:
        if self._api.progress is None:
            return error_response(404, "This process counts nothing; ask a worker.")
        progress = self._api.progress()
        return web.json_response({"stored": progress.stored, "tallied_minutes": progress.visible})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Stored events of whole civil days as they were sent, one JSON object a line, in the order of time."""
        try:
            demand_trust(request)
        except ForbiddenError as error:
            return error_response(403, str(error))
        reader = self._api.reader
        if reader is None:
            return error_response(404, "This process serves no figures; ask the exporter.")
        try:
            period = Period(*days(request))
        except ConfigurationError as error:
            return error_response(400, str(error))
        agencies = tuple(code for text in request.query.getall("agency", []) for code in text.split(",") if code)
        pieces = _pumped(reader.events(period.start, period.end, agencies or None))
        try:
            piece = await anext(pieces, b"")
        except SinkError as error:
            return error_response(503, str(error))
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        await response.write(piece)
        async for piece in pieces:
            await response.write(piece)
        await response.write_eof()
        return response


def _patience(request: web.Request) -> float:
    """How long to wait for the storage (seconds), so that Prometheus still hears what the process knows itself."""
    try:
        timeout = float(request.headers.get(_SCRAPE_TIMEOUT_HEADER, ""))
    except ValueError:
        return _SCRAPE_SECONDS
    if not 0 < timeout < _SCRAPE_SECONDS:
        return _SCRAPE_SECONDS
    return timeout - min(0.5, timeout / 10)


def _no_fault_of_ours(record: logging.LogRecord) -> bool:
    """Leave out what is no HTTP: its sender is answered with 400, and a traceback for each would bury the log."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


@web.middleware
async def _refuse_repeated(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A parameter that is given twice with one meaning is an error: one of the two would be ignored without a word."""
    query = request.query
    if repeated := sorted(name for name in set(query) - _SEVERAL if len(query.getall(name)) > 1):
        return error_response(400, f"The parameter {repeated[0][:40]!r} is given more than once. Give it once.")
    return await handler(request)


async def _sign(_: web.Request, response: web.StreamResponse) -> None:
    """Say on every answer whose it is."""
    response.headers[SIGNATURE] = metadata.version("portalpulse")


async def _pumped(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Pieces of a blocking iterator, read ahead a little by one thread of its own: a storage client belongs to its thread.

    Leaving early stops the thread at its next piece.
    """
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
    room = threading.Semaphore(_PIECES_AHEAD)
    left = threading.Event()

    def pump() -> None:
        last: BaseException | None = None
        try:
            for piece in pieces:
                room.acquire()
                if left.is_set():
                    return
                loop.call_soon_threadsafe(waiting.put_nowait, piece)
        except BaseException as error:  # noqa: BLE001 - raised again where the pieces are awaited
            last = error
        loop.call_soon_threadsafe(waiting.put_nowait, last)

    threading.Thread(target=pump, name="events", daemon=True).start()
    try:
        while (piece := await waiting.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            room.release()
            yield piece
    finally:
        left.set()
        room.release()
