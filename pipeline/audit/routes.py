"""The steps of the audit over HTTP, one step for each request.

An embedded storage belongs to one process, so the command ``audit`` asks that process. Answers name events and dossiers, and
steps cost time: only trusted requests may use steps other than ``expired`` and ``unread`` (``pipeline.serving.access``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from aiohttp import web

from domain.errors import ConfigurationError
from pipeline.audit import json_format
from pipeline.audit.steps import AuditSteps
from pipeline.serving.requests import (
    InThread,
    Threads,
    answered,
    day,
    hash_shard,
    json_body,
    partition_number,
    seconds,
    takes,
    whole_number,
)
from sinks.contract.audit import HashShard
from sinks.contract.dossier_audit import DossierSelection

_DOSSIER_FIELDS = ("from", "to", "number", "of", "settle")


def audit_routes(steps: AuditSteps, threads: Threads) -> list[web.RouteDef]:
    """The endpoints that run ``steps``. Each step may take minutes."""
    return [
        *_comparison_routes(steps, threads.long),
        *_repair_routes(steps, threads.long),
        *_kafka_routes(steps, threads.long),
    ]


def _comparison_routes(steps: AuditSteps, in_thread: InThread) -> list[web.RouteDef]:
    @takes("from", "to")
    async def days(request: web.Request) -> web.Response:
        first, last = (day(request.query[name]) if name in request.query else None for name in ("from", "to"))
        return web.json_response(await in_thread(lambda: json_format.encode_days(steps.days(first, last))))

    @takes("settle")
    async def compare(request: web.Request) -> web.Response:
        chosen, settle = day(request.match_info["day"]), seconds("settle", request.query.get("settle", "0"))
        return web.json_response(await in_thread(lambda: json_format.encode_comparison(steps.compare(chosen, settle=settle))))

    async def contradictions(request: web.Request) -> web.Response:
        chosen = day(request.match_info["day"])
        return web.json_response(await in_thread(lambda: json_format.encode_repeats(steps.contradictions(chosen))))

    @takes("from", "to", "number", "of")
    async def repeats(request: web.Request) -> web.Response:
        period, shard = _period(request.query), _shard(request.query)
        return web.json_response(await in_thread(lambda: json_format.encode_repeats(steps.reused_event_ids(period, shard))))

    @takes(*_DOSSIER_FIELDS)
    async def dossiers(request: web.Request) -> web.Response:
        selection = DossierSelection(_shard(request.query), _period(request.query))
        settle = seconds("settle", request.query.get("settle", "0"))
        return web.json_response(await in_thread(lambda: json_format.encode_dossiers(steps.dossiers(selection, settle=settle))))

    return [
        web.get("/api/v1/audit/days", answered(days)),
        web.get("/api/v1/audit/days/{day}", answered(compare)),
        web.get("/api/v1/audit/days/{day}/contradictions", answered(contradictions)),
        web.get("/api/v1/audit/repeats", answered(repeats)),
        web.get("/api/v1/audit/dossiers", answered(dossiers)),
    ]


def _period(query: Mapping[str, str]) -> tuple[dt.date, dt.date] | None:
    if "from" not in query and "to" not in query:
        return None
    first, last = (day(query.get(name, ""), name=f"The parameter {name!r}") for name in ("from", "to"))
    return first, last


def _shard(query: Mapping[str, str]) -> HashShard:
    """The hash shard that a request names; without a name the one that has everything."""
    return hash_shard({"number": "0", "of": "1", **query})


def _repair_routes(steps: AuditSteps, in_thread: InThread) -> list[web.RouteDef]:
    async def repair(request: web.Request) -> web.Response:
        fields = await json_body(request, fields=("day", "agencies", "raise_epoch"))
        chosen, agencies = day(str(fields.get("day"))), fields.get("agencies")
        if agencies is not None and not (isinstance(agencies, list) and all(isinstance(code, str) for code in agencies)):
            raise ConfigurationError("agencies must be a list of codes, or null for all.")
        raise_epoch = fields.get("raise_epoch", False)
        if not isinstance(raise_epoch, bool):
            raise ConfigurationError("raise_epoch must be true or false.")
        return web.json_response({"epoch": await in_thread(lambda: steps.repair(chosen, agencies, raise_epoch=raise_epoch))})

    async def repair_dossiers(request: web.Request) -> web.Response:
        fields = {name: str(value) for name, value in (await json_body(request, fields=_DOSSIER_FIELDS)).items()}
        selection = DossierSelection(_shard(fields), _period(fields))
        settle = seconds("settle", fields.get("settle", "0"))
        repaired = await in_thread(lambda: steps.repair_dossiers(selection, settle=settle))
        return web.json_response(json_format.encode_repaired_dossiers(repaired))

    async def compact(request: web.Request) -> web.Response:
        listed = (await json_body(request, fields=("days",))).get("days")
        if not isinstance(listed, list):
            raise ConfigurationError("days must be a list of days.")
        chosen = [day(str(text)) for text in listed]
        return web.json_response({"problem": await in_thread(lambda: steps.compact(chosen))})

    return [
        web.post("/api/v1/audit/repair", answered(repair)),
        web.post("/api/v1/audit/dossiers/repair", answered(repair_dossiers)),
        web.post("/api/v1/audit/tidy", answered(compact)),
    ]


def _kafka_routes(steps: AuditSteps, in_thread: InThread) -> list[web.RouteDef]:
    async def partitions(_: web.Request) -> web.Response:
        return web.json_response(await in_thread(lambda: json_format.encode_offsets(steps.partitions())))

    async def expired(_: web.Request) -> web.Response:
        return web.json_response(await in_thread(lambda: json_format.encode_expired(steps.expired())))

    async def unread(_: web.Request) -> web.Response:
        return web.json_response(await in_thread(lambda: json_format.encode_unread(steps.unread())))

    @takes("begin", "end", "topic")
    async def verify(request: web.Request) -> web.Response:
        partition = partition_number(request.match_info["partition"])
        begin, end = (whole_number(name, request.query.get(name, "")) for name in ("begin", "end"))
        topic = request.query.get("topic", "")
        found = await in_thread(lambda: steps.verify(partition, begin, end, topic=topic))
        return web.json_response(json_format.encode_looked_up(found))

    return [
        web.get("/api/v1/audit/expired", answered(expired)),
        web.get("/api/v1/audit/unread", answered(unread)),
        web.get("/api/v1/audit/partitions", answered(partitions)),
        web.get("/api/v1/audit/partitions/{partition}", answered(verify)),
    ]
