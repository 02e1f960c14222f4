"""The audit over HTTP, one step a request, for the command line beside an embedded storage: one process owns its folder.

Findings name events and dossiers, and a step is work: both are for this machine or whoever has the token
(``pipeline.serving.access``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from domain.errors import ConfigurationError
from pipeline.audit.service import AuditDesk
from pipeline.dead_letters.routes import answered, partition_number, trusted_json, whole_number
from pipeline.serving.access import demand_trust

#: Shares of all names at most: the storage counts them in 32 bits, and a larger number would turn into another one.
_MOST_SHARES = 2**32 - 1
InThread = Callable[[Callable[[], Any]], Awaitable[Any]]


def audit_routes(desk: AuditDesk, in_thread: InThread) -> list[web.RouteDef]:
    """The endpoints over ``desk``; reading and recounting happen in threads."""
    return [*_looking(desk, in_thread), *_repairing(desk, in_thread), *_kafka(desk, in_thread)]


def _trusted(handler: Callable[[web.Request], Awaitable[web.Response]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def wrapped(request: web.Request) -> web.Response:
        demand_trust(request)
        return await handler(request)

    return answered(wrapped)


def _looking(desk: AuditDesk, in_thread: InThread) -> list[web.RouteDef]:
    async def days(request: web.Request) -> web.Response:
        first, last = (_day(request.query[name]) if name in request.query else None for name in ("from", "to"))
        return web.json_response(await in_thread(lambda: desk.days(first, last)))

    async def look(request: web.Request) -> web.Response:
        day, settle = _day(request.match_info["day"]), _seconds(request.query.get("settle", "0"))
        return web.json_response(await in_thread(lambda: desk.look(day, settle=settle)))

    async def contradictions(request: web.Request) -> web.Response:
        day = _day(request.match_info["day"])
        return web.json_response(await in_thread(lambda: desk.contradictions(day)))

    async def repeats(request: web.Request) -> web.Response:
        query = request.query
        period = (_day(query["from"]), _day(query["to"])) if "from" in query and "to" in query else None
        number, of = (
            whole_number(name, query.get(name, default), most=_MOST_SHARES) for name, default in (("number", "0"), ("of", "1"))
        )
        if not number < of:
            raise ConfigurationError("A share is a number from 0 to one less than of.")
        return web.json_response(await in_thread(lambda: desk.repeats(period, share=(number, of))))

    return [
        web.get("/api/v1/audit/days", _trusted(days)),
        web.get("/api/v1/audit/days/{day}", _trusted(look)),
        web.get("/api/v1/audit/days/{day}/contradictions", _trusted(contradictions)),
        web.get("/api/v1/audit/repeats", _trusted(repeats)),
    ]


def _repairing(desk: AuditDesk, in_thread: InThread) -> list[web.RouteDef]:
    async def repair(request: web.Request) -> web.Response:
        fields = await trusted_json(request)
        day, agencies = _day(str(fields.get("day"))), fields.get("agencies")
        if agencies is not None and not (isinstance(agencies, list) and all(isinstance(code, str) for code in agencies)):
            raise ConfigurationError("agencies must be a list of codes, or null for all.")
        return web.json_response(
            await in_thread(lambda: desk.repair(day, agencies, raise_epoch=fields.get("raise_epoch") is True))
        )

    async def tidy(request: web.Request) -> web.Response:
        given = (await trusted_json(request)).get("days", [])
        if not isinstance(given, list):
            raise ConfigurationError("days must be a list of days.")
        chosen = [_day(str(text)) for text in given]
        return web.json_response(await in_thread(lambda: desk.tidy(chosen)))

    return [web.post("/api/v1/audit/repair", _trusted(repair)), web.post("/api/v1/audit/tidy", _trusted(tidy))]


def _kafka(desk: AuditDesk, in_thread: InThread) -> list[web.RouteDef]:
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
        web.get("/api/v1/audit/partitions", _trusted(partitions)),
        web.get("/api/v1/audit/partitions/{partition}", _trusted(verify)),
    ]


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"A day must be written as 2024-08-20, this is {text[:40]!r}.") from error


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError as error:
        raise ConfigurationError(f"settle must be a number of seconds, this is {text[:40]!r}.") from error
    if not 0 <= seconds <= 86_400:
        raise ConfigurationError("settle must be from 0 to 86400 seconds.")
    return seconds
