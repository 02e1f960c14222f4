"""Verification over HTTP, one shard a request. It costs time, so only trusted requests are answered."""

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
    """The endpoints: the number of shards, the figures of one, and the rows that the sum of all makes."""

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
                raise ConfigurationError("The figures are not those of the periods that are asked for.")
            return {"rows": service.rows(found, total, today=today)}

        return web.json_response(await threads.long(read))

    return [
        web.get("/api/v1/report/verification/shards", answered(shards)),
        web.get("/api/v1/report/verification", answered(recomputed)),
        web.post("/api/v1/report/verification", answered(rows)),
    ]
