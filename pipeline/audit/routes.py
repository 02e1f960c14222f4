"""The audit over HTTP, one step a request, for the command line beside an embedded storage: one process owns its folder.

Findings name events and dossiers, and a step is work: both are for this machine or whoever has the token
(``pipeline.serving.access``).
"""

from __future__ import annotations

from aiohttp import web

from domain.errors import ConfigurationError
from pipeline.audit.service import AuditService
from pipeline.serving.requests import (
    InThread,
    Threads,
    answered,
    day,
    partition_number,
    seconds,
    trusted,
    trusted_json,
    whole_number,
)

#: Shares of all names at most: the storage counts them in 32 bits, and a larger number would turn into another one.
_MOST_SHARES = 2**32 - 1


def audit_routes(desk: AuditService, threads: Threads) -> list[web.RouteDef]:
    """The endpoints over ``desk``; every step may take minutes."""
    return [*_looking(desk, threads.long), *_repairing(desk, threads.long), *_kafka(desk, threads.long)]


def _looking(desk: AuditService, in_thread: InThread) -> list[web.RouteDef]:
    async def days(request: web.Request) -> web.Response:
        first, last = (day(request.query[name]) if name in request.query else None for name in ("from", "to"))
        return web.json_response(await in_thread(lambda: desk.days(first, last)))

    async def look(request: web.Request) -> web.Response:
        chosen, settle = day(request.match_info["day"]), seconds("settle", request.query.get("settle", "0"))
        return web.json_response(await in_thread(lambda: desk.look(chosen, settle=settle)))

    async def contradictions(request: web.Request) -> web.Response:
        chosen = day(request.match_info["day"])
        return web.json_response(await in_thread(lambda: desk.contradictions(chosen)))

    async def repeats(request: web.Request) -> web.Response:
        query = request.query
        period = (day(query["from"]), day(query["to"])) if "from" in query and "to" in query else None
        number, of = (
            whole_number(name, query.get(name, default), most=_MOST_SHARES) for name, default in (("number", "0"), ("of", "1"))
        )
        if not number < of:
            raise ConfigurationError("A share is a number from 0 to one less than of.")
        return web.json_response(await in_thread(lambda: desk.repeats(period, share=(number, of))))

    return [
        web.get("/api/v1/audit/days", trusted(days)),
        web.get("/api/v1/audit/days/{day}", trusted(look)),
        web.get("/api/v1/audit/days/{day}/contradictions", trusted(contradictions)),
        web.get("/api/v1/audit/repeats", trusted(repeats)),
    ]


def _repairing(desk: AuditService, in_thread: InThread) -> list[web.RouteDef]:
    async def repair(request: web.Request) -> web.Response:
        fields = await trusted_json(request)
        chosen, agencies = day(str(fields.get("day"))), fields.get("agencies")
        if agencies is not None and not (isinstance(agencies, list) and all(isinstance(code, str) for code in agencies)):
            raise ConfigurationError("agencies must be a list of codes, or null for all.")
        return web.json_response(
            await in_thread(lambda: desk.repair(chosen, agencies, raise_epoch=fields.get("raise_epoch") is True))
        )

    async def tidy(request: web.Request) -> web.Response:
        given = (await trusted_json(request)).get("days", [])
        if not isinstance(given, list):
            raise ConfigurationError("days must be a list of days.")
        chosen = [day(str(text)) for text in given]
        return web.json_response(await in_thread(lambda: desk.tidy(chosen)))

    return [web.post("/api/v1/audit/repair", trusted(repair)), web.post("/api/v1/audit/tidy", trusted(tidy))]


def _kafka(desk: AuditService, in_thread: InThread) -> list[web.RouteDef]:
    async def partitions(_: web.Request) -> web.Response:
        return web.json_response(await in_thread(desk.partitions))

    async def unread(_: web.Request) -> web.Response:
        return web.json_response(await in_thread(desk.unread))

    async def verify(request: web.Request) -> web.Response:
        partition = partition_number(request.match_info["partition"])
        begin, end = (whole_number(name, request.query.get(name, "")) for name in ("begin", "end"))
        return web.json_response(await in_thread(lambda: desk.verify(partition, begin, end)))

    return [
        web.get("/api/v1/audit/unread", answered(unread)),
        web.get("/api/v1/audit/partitions", trusted(partitions)),
        web.get("/api/v1/audit/partitions/{partition}", trusted(verify)),
    ]
