"""The endpoints of every worker and exporter: metrics, health, status, progress, events."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from domain.errors import ConfigurationError
from domain.periods import Period
from pipeline.logs import get_logger
from pipeline.serving.answer_sources import Api
from pipeline.serving.exporter import storage_up
from pipeline.serving.misplaced_events import misplaced_events
from pipeline.serving.requests import Threads, answered, days, error_response, takes, takes_any
from pipeline.serving.scrape import PING_SECONDS, SCRAPES_WAITING, StorageFigures, StorageProbe, scrape_wait
from pipeline.serving.single_flight import TooManyWaitingError
from pipeline.serving.streaming import iterate_in_thread
from sinks.contract.tallies import TallyReader
from sinks.errors import SinkError

log = get_logger("api")

#: The header in which Prometheus sends its timeout.
_SCRAPE_TIMEOUT_HEADER: Final = "X-Prometheus-Scrape-Timeout-Seconds"


def base_routes(api: Api, figures: StorageFigures | None, probe: StorageProbe | None, threads: Threads) -> list[web.RouteDef]:
    """The endpoints that answer from ``api``. ``figures`` is None if ``api`` has no figures, ``probe`` if it has no reader."""
    process = _ProcessEndpoints(api, figures, probe)
    routes = [
        web.get("/metrics", process.metrics),
        web.get("/livez", process.livez),
        web.get("/healthz", process.healthz),
        web.get("/readyz", process.readyz),
        web.get("/api/v1/progress", process.progress),
    ]
    if api.reader is None:
        paths = {"report": _no_figures, "status": _no_figures, "misplaced": _no_figures, "events": _no_figures}
        return [*routes, *(web.get(f"/api/v1/{name}", paths[name], allow_head=name != "events") for name in paths)]
    reader = _ReaderEndpoints(api, api.reader, threads)
    return [
        *routes,
        web.get("/api/v1/status", answered(reader.status)),
        web.get("/api/v1/misplaced", answered(reader.misplaced)),
        web.get("/api/v1/events", reader.events, allow_head=False),  # a HEAD request would get a body
    ]


class _ProcessEndpoints:
    """Endpoints about the process itself, and about whether the storage answers."""

    def __init__(self, api: Api, figures: StorageFigures | None, probe: StorageProbe | None) -> None:
        self._api, self._figures, self._probe = api, figures, probe

    async def metrics(self, request: web.Request) -> web.Response:
        """The process's own metrics, in any case; besides, all metrics that are read from the storage, or none of them."""
        figures = b""
        if self._figures is not None:
            within = scrape_wait(request.headers.get(_SCRAPE_TIMEOUT_HEADER))
            try:
                figures = await self._figures.read(within=within)
            except TooManyWaitingError:
                return web.Response(status=503, text=f"{SCRAPES_WAITING} scrapes wait already: scrape less often.\n")
            except SinkError as error:
                log.warning("scrape_without_figures", error=str(error))
            except TimeoutError:
                log.warning("scrape_without_figures", error=f"The storage did not answer within {within:g} s.")
            figures += storage_up(answers=bool(figures))
        body = generate_latest(self._api.registry) + figures
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def livez(self, _: web.Request) -> web.Response:
        """An answer says that the event loop runs, and nothing more."""
        return web.json_response({"alive": True})

    async def healthz(self, _: web.Request) -> web.Response:
        health = self._api.health()
        return web.json_response({"healthy": health.healthy, "reason": health.reason}, status=200 if health.healthy else 503)

    async def readyz(self, _: web.Request) -> web.Response:
        health = self._api.health()
        ready, reason = health.ready, health.reason
        if ready and self._probe is not None:
            try:
                await self._probe.ping()
            except SinkError as error:
                ready, reason = False, str(error)
            except (TimeoutError, TooManyWaitingError):
                ready, reason = False, f"The storage does not answer within {PING_SECONDS:g} s."
        fields = {"ready": ready, "reason": reason, "unread_offsets": health.unread_offsets}
        return web.json_response(fields, status=200 if ready else 503)

    async def progress(self, _: web.Request) -> web.Response:
        if self._api.progress is None:
            return error_response(404, "This process has no counters of events. Ask a worker.")
        progress = self._api.progress()
        return web.json_response({"stored": progress.stored, "tallied_minutes": progress.visible, "exact": progress.exact})


class _ReaderEndpoints:
    """Endpoints that read from the storage."""

    def __init__(self, api: Api, reader: TallyReader, threads: Threads) -> None:
        self._api, self._reader, self._threads = api, reader, threads

    async def status(self, _: web.Request) -> web.Response:
        now = self._api.clock.now()

        def read() -> dict[str, Any]:
            totals = self._reader.totals()
            newest = max(self._reader.last_events(now).values(), default=None)
            return {
                "clock": now.isoformat(),
                "events": {"stored": totals.stored, "tallied": totals.tallied},
                "lag_rows": totals.stored - totals.tallied,
                "newest_event": newest.isoformat() if newest else None,
                "dead_letters": dict(self._reader.dead_letters_by_reason()),
            }

        return web.json_response(await self._threads.short(read) | {"consumer_lag": self._api.consumer_lag()})

    async def misplaced(self, _: web.Request) -> web.Response:
        found = await self._threads.short(lambda: misplaced_events(self._reader, self._api.agencies))
        return web.json_response({"units": [events.as_dict() for events in found]})

    @takes("from", "to", "agency")
    async def events(self, request: web.Request) -> web.StreamResponse:
        """Distinct stored events of whole civil days as messages of the event contract: one JSON object a line, ordered by time.

        An error of the storage after the answer has begun closes the connection, so that a partial list does not look complete.
        """
        try:
            period = Period(*days(request))
            agencies = self._agencies_of(request)
        except ConfigurationError as error:
            return error_response(400, str(error))
        chunks = iterate_in_thread(self._reader.events(period.start, period.end, agencies))
        try:
            chunk = await anext(chunks, b"")
        except SinkError as error:
            return error_response(503, str(error))
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        await response.write(chunk)
        async for chunk in chunks:
            await response.write(chunk)
        await response.write_eof()
        return response

    def _agencies_of(self, request: web.Request) -> tuple[str, ...] | None:
        """The agencies that the request names; None, meaning all, when it names none.

        Raises:
            ConfigurationError: there is no agency of a code.
        """
        codes = tuple(code for text in request.query.getall("agency", []) for code in text.split(",") if code)
        for code in codes:
            if not self._api.agencies.spans(code):
                raise ConfigurationError(f"There is no agency {code[:40]!r}.", remedy="Codes look like H17 or G01.")
        return codes or None


@takes_any
async def _no_figures(_: web.Request) -> web.Response:
    return error_response(404, "This process serves no figures. Ask the exporter.")
