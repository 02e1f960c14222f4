"""Serves the data of the board: ``/api/v1/snapshot``, ``/stream``, ``/agencies/CODE``, ``/alerts`` and the OpenAPI document."""

from __future__ import annotations

from aiohttp import web

from domain.errors import ConfigurationError, UnavailableError
from pipeline.board.board import Board, BoardSources
from pipeline.board.hub import Hub
from pipeline.board.openapi import DOCUMENT
from pipeline.board.periods import board_period
from pipeline.board.stream import stream
from pipeline.serving.requests import Threads, answered, error_response, takes

#: The parameters that name a period.
_PERIOD = ("period", "from", "to")
#: What the page must not keep: figures change.
_NO_STORE = {"Cache-Control": "no-store"}


def board_routes(sources: BoardSources, threads: Threads) -> list[web.RouteDef]:
    """The endpoints of the board, as routes of the server."""
    endpoints = _Endpoints(Board(sources, in_thread=threads.short))
    return [
        web.get("/api/v1/snapshot", answered(endpoints.snapshot)),
        web.get("/api/v1/stream", endpoints.stream, allow_head=False),  # a HEAD request would get a body
        web.get("/api/v1/agencies/{code}", answered(endpoints.agency)),
        web.get("/api/v1/alerts", answered(endpoints.alerts)),
        web.get("/api/v1/openapi.json", _document),
    ]


async def _document(_: web.Request) -> web.Response:
    return web.json_response(DOCUMENT)


class _Endpoints:
    """The handlers of the board's endpoints."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def _hub(self, request: web.Request) -> Hub:
        return self._board.hub(board_period(request.query))

    @takes(*_PERIOD)
    async def snapshot(self, request: web.Request) -> web.Response:
        hub = self._hub(request)
        await self._board.refresh_alerts()
        return web.Response(body=await hub.encoded(), content_type="application/json", charset="utf-8", headers=_NO_STORE)

    @takes(*_PERIOD, "last_event_id")
    async def stream(self, request: web.Request) -> web.StreamResponse:
        try:
            hub = self._hub(request)
        except ConfigurationError as error:
            return error_response(400, str(error))
        except UnavailableError as error:
            return error_response(503, str(error))
        self._board.watch_alerts()
        return await stream(request, hub, open_streams=self._board.streams)

    @takes(*_PERIOD)
    async def agency(self, request: web.Request) -> web.Response:
        code = request.match_info["code"]
        detail = await self._board.agency(code, board_period(request.query))
        if detail is None:
            problem = f"There is no agency {code[:40]!r} on the last day of the period."
            return error_response(404, f"{problem} Codes look like H17 or G01.")
        return web.json_response(detail, headers=_NO_STORE)

    async def alerts(self, _: web.Request) -> web.Response:
        await self._board.refresh_alerts()
        return web.json_response(dict(self._board.alerts.state), headers=_NO_STORE)
