"""Serves verification over HTTP, one hash shard for each request. Only trusted requests are answered: recomputing takes long."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from domain.agencies import AgencyRegistry
from domain.clock import Clock
from domain.errors import ConfigurationError
from domain.periods import civil_day
from pipeline.report.request import PARAMETERS, ReportRequest, read_request
from pipeline.report.verification.groups import periods_of
from pipeline.report.verification.recomputed import Recomputed
from pipeline.report.verification.service import VerificationService
from pipeline.serving.requests import Threads, answered, hash_shard, json_body, takes


def verification_routes(
    service: VerificationService, agencies: AgencyRegistry, clock: Clock, threads: Threads
) -> list[web.RouteDef]:
    """The endpoints: number of shards, figures of one shard, and rows of the report from the sum of all shards."""

    def asked(request: web.Request) -> ReportRequest:
        return read_request(request.query, registry=agencies, today=civil_day(clock.now()))

    @takes(*PARAMETERS)
    async def shards(request: web.Request) -> web.Response:
        found = asked(request)
        return web.json_response({"shards": await threads.long(lambda: service.shards(found))})

    @takes(*PARAMETERS, "number", "of")
    async def recomputed(request: web.Request) -> web.Response:
        found, today = asked(request), civil_day(clock.now())
        shard = hash_shard(request.query)

        def read() -> dict[str, Any]:
            return service.recomputed(found, shard, today=today).as_dict()

        return web.json_response(await threads.long(read))

    @takes(*PARAMETERS)
    async def rows(request: web.Request) -> web.Response:
        found, today = asked(request), civil_day(clock.now())
        fields = await json_body(request, fields=("dossiers", "messages", "periods"), in_thread=threads.long)

        def read() -> dict[str, Any]:
            total = Recomputed.from_dict(fields)
            if len(total.periods) != len(periods_of(found)):
                raise ConfigurationError("The request asks for other periods than the figures in its body have.")
            return {"rows": service.rows(found, total, today=today)}

        return web.json_response(await threads.long(read))

    return [
        web.get("/api/v1/report/verification/shards", answered(shards)),
        web.get("/api/v1/report/verification", answered(recomputed)),
        web.post("/api/v1/report/verification", answered(rows)),
    ]
