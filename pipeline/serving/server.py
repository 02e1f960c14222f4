"""The HTTP server of a worker or exporter: its port, its connections, its threads. Endpoints are in ``routes``.

The event loop never reads the storage. Scrapes and probes have a thread each (``scrape``), short reads for people have a pool,
and work that may take minutes (audit steps, replays) has another, so that none of them starves the others. A request whose
client is gone is cancelled; its work that has not begun is dropped.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from domain.errors import UnavailableError
from pipeline.addresses import SIGNATURE
from pipeline.logs import get_logger
from pipeline.serving.access import guard, guard_with
from pipeline.serving.answer_sources import Api
from pipeline.serving.requests import InThread, Threads, refuse_wrong_parameters
from pipeline.serving.routes import base_routes
from pipeline.serving.scrape import StorageFigures, StorageProbe
from pipeline.serving.site import Site, site_routes
from pipeline.serving.streaming import STREAMS
from pipeline.serving.tls import HANDSHAKE_SECONDS, ServerTls
from pipeline.settings import HttpSettings

log = get_logger("api")

#: Threads for short reads, and as many for long work.
_THREADS: Final = 4
#: Most connections. Those of peers that disappeared without closing would stay until the process has no descriptor left.
_CONNECTIONS: Final = 384
#: Longest first line of a request: the question of a report names the end of every partition of a topic.
_LINE_BYTES: Final = 1 << 16
#: Largest body where an endpoint names no other.
_BODY_BYTES: Final = 64 << 10
#: A connection that does not complete a request within this time is closed, whether it is silent or sends a byte now and then.
IDLE_SECONDS: Final = 75.0


class HttpServer:
    """Serves the endpoints of one ``Api`` from ``start`` until ``close``."""

    def __init__(self, api: Api, settings: HttpSettings, *, site: Site | None = None) -> None:
        """``site``: the files of the board's page; with None, ``/`` answers that the process serves no board.

        Raises:
            ConfigurationError: the certificate of the settings cannot be used.
        """
        self._site = site
        self._api, self._settings = api, settings
        self._short = ThreadPoolExecutor(_THREADS, thread_name_prefix="api")
        self._long = ThreadPoolExecutor(_THREADS, thread_name_prefix="api-long")
        self._figures = None if api.figures is None else StorageFigures(api.figures)
        self._probe = None if api.reader is None else StorageProbe(api.reader)
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None
        self._full = False
        certificate = settings.certificate_file
        self._tls = ServerTls(certificate, settings.key_file) if certificate else None
        self._streams: set[asyncio.Task[object]] = set()
        self.address = ""

    async def start(self) -> str:
        """Begin to listen; return the URL of the server.

        Raises:
            UnavailableError: the port is taken or may not be used.
        """
        threads = Threads(_runner_in(self._short), _runner_in(self._long))
        app = web.Application(middlewares=[guard, refuse_wrong_parameters], client_max_size=_BODY_BYTES)
        guard_with(app, self._settings)
        app[STREAMS] = self._streams
        app.on_response_prepare.append(_sign)
        app.add_routes(base_routes(self._api, self._figures, self._probe, threads))
        app.add_routes(site_routes(self._site))
        for routes in self._api.routes:
            app.add_routes(routes(threads))
        logger = logging.getLogger("aiohttp.server")
        logger.addFilter(_is_our_error)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=logger,
            shutdown_timeout=2,
            handler_cancellation=True,
            max_line_size=_LINE_BYTES,
            keepalive_timeout=IDLE_SECONDS,
        )
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                lambda: self._accept(server),
                self._settings.host,
                self._settings.port,
                ssl=None if self._tls is None else self._tls.context,
                ssl_handshake_timeout=None if self._tls is None else HANDSHAKE_SECONDS,
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
        scheme = "http" if self._tls is None else "https"
        self.address = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
        return self.address

    async def close(self) -> None:
        """Stop listening, close connections, and drop work that has not begun."""
        if self._listener is not None:
            self._listener.close()
        for task in tuple(self._streams):
            task.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
        for pool in (self._short, self._long):
            pool.shutdown(wait=False, cancel_futures=True)
        for part in (self._figures, self._probe):
            if part is not None:
                part.close()

    def _accept(self, server: web.Server) -> asyncio.Protocol:
        """The handler of a new connection. Beyond the limit of connections the oldest are closed: the newest may be a scrape."""
        if self._tls is not None:
            self._tls.renew()
        connections = server.connections
        for oldest in connections[: max(0, len(connections) - _CONNECTIONS + 1)]:
            if not self._full:
                self._full = True
                log.warning("too_many_connections", most=_CONNECTIONS, action="the oldest are closed")
            if oldest.transport is not None:
                oldest.transport.abort()
        return server()


def _runner_in(pool: ThreadPoolExecutor) -> InThread:
    def run(action: Callable[[], Any]) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(pool, action)

    return run


def _is_our_error(record: logging.LogRecord) -> bool:
    """Whether to log a record: not for requests that are not HTTP, as a traceback for each would flood the log."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


async def _sign(_: web.Request, response: web.StreamResponse) -> None:
    """Add a header to every answer that names portalpulse and its version."""
    response.headers[SIGNATURE] = metadata.version("portalpulse")
