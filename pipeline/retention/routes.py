"""Retention over HTTP, for trusted requests: the process with the storage does the steps, the command shows progress."""

from __future__ import annotations

from aiohttp import web

from domain.errors import ConfigurationError
from pipeline.retention.service import RetentionSteps
from pipeline.serving.requests import Threads, answered, json_body


def retention_routes(steps: RetentionSteps, threads: Threads) -> list[web.RouteDef]:
    """The endpoints that run the steps of ``portalpulse retention``."""

    async def show(_request: web.Request) -> web.Response:
        return web.json_response(await threads.long(steps.show))

    async def plan(request: web.Request) -> web.Response:
        fields = await json_body(request, fields=("take_over",))
        take_over = fields.get("take_over", False)
        if not isinstance(take_over, bool):
            raise ConfigurationError("take_over must be true or false.")
        return web.json_response(await threads.long(lambda: steps.plan(take_over=take_over)))

    async def share(request: web.Request) -> web.Response:
        fields = await json_body(request, fields=("part", "index", "count", "older_than"))
        return web.json_response(await threads.long(lambda: steps.share(fields)))

    async def remove(request: web.Request) -> web.Response:
        await json_body(request)
        return web.json_response(await threads.long(steps.remove))

    return [
        web.get("/api/v1/retention", answered(show)),
        web.post("/api/v1/retention/plan", answered(plan)),
        web.post("/api/v1/retention/share", answered(share)),
        web.post("/api/v1/retention/remove", answered(remove)),
    ]
