"""Findings over HTTP. Examples name dossiers, and a search costs time: both endpoints answer only trusted requests."""

from __future__ import annotations

from aiohttp import web

from domain.errors import ConfigurationError
from domain.periods import Period
from pipeline.findings.service import FindingSteps, found_in_all
from pipeline.serving.requests import Threads, answered, days, hash_shard, takes
from sinks.contract.audit import HashShard
from sinks.contract.findings import FindingScope


def finding_routes(steps: FindingSteps, threads: Threads) -> list[web.RouteDef]:
    """The endpoints that search findings with ``steps``.

    One endpoint returns the findings of a period, or of one shard of its dossiers; the other returns the number of shards, for
    a caller that shows progress.
    """

    @takes("from", "to", "agency")
    async def shards(request: web.Request) -> web.Response:
        scope = _scope(request)
        return web.json_response({"shards": await threads.long(lambda: steps.shards(scope))})

    @takes("from", "to", "agency", "by", "number", "of")
    async def found(request: web.Request) -> web.Response:
        scope, shard, by_day = _scope(request), _shard(request), _by_day(request)
        result = await threads.long(lambda: found_in_all(steps, scope) if shard is None else steps.found(scope, shard))
        shown = result if by_day else result.without_days()
        period = {"from": scope.period.start.isoformat(), "to": scope.period.end.isoformat()}
        return web.json_response({"period": period, **shown.as_dict()})

    return [web.get("/api/v1/findings", answered(found)), web.get("/api/v1/findings/shards", answered(shards))]


def _scope(request: web.Request) -> FindingScope:
    agencies = tuple(code for text in request.query.getall("agency", []) for code in text.split(",") if code)
    return FindingScope(Period(*days(request)), agencies or None)


def _by_day(request: web.Request) -> bool:
    by = request.query.get("by", "period")
    if by not in ("period", "day"):
        raise ConfigurationError(f"The parameter 'by' must be period or day, not {by[:40]!r}.")
    return by == "day"


def _shard(request: web.Request) -> HashShard | None:
    if "number" not in request.query and "of" not in request.query:
        return None
    return hash_shard(request.query)
