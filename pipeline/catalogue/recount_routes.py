"""The steps of a recount over HTTP, for trusted requests: the process with the storage counts, the command shows progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from domain.catalogue_levels import Generation
from domain.errors import ConfigurationError
from pipeline.catalogue.recount import RecountPlan, RecountSteps
from pipeline.serving.requests import Threads, answered, day, json_body


def recount_routes(steps: RecountSteps, threads: Threads) -> list[web.RouteDef]:
    """The endpoints that run the steps of a recount."""

    async def plan(request: web.Request) -> web.Response:
        fields = await json_body(request, fields=("agencies",))
        agencies = _texts(fields.get("agencies"))
        return web.json_response(plan_as_dict(await threads.long(lambda: steps.plan(agencies))))

    async def recount(request: web.Request) -> web.Response:
        fields = await json_body(request, fields=("day", "agencies"))
        chosen, agencies = day(str(fields.get("day")), name="The field 'day'"), _texts(fields.get("agencies"))
        found = await threads.long(lambda: steps.recount_day(chosen, agencies))
        return web.json_response({"dossiers": found.as_list()})

    async def finish(request: web.Request) -> web.Response:
        fields = await json_body(request, fields=("loads",))
        loads = loads_of(fields.get("loads"))
        await threads.long(lambda: steps.finish(loads))
        return web.json_response({})

    return [
        web.post("/api/v1/catalogue/recount", answered(plan)),
        web.post("/api/v1/catalogue/recount/day", answered(recount)),
        web.post("/api/v1/catalogue/recount/finish", answered(finish)),
    ]


def plan_as_dict(plan: RecountPlan) -> dict[str, Any]:
    """A plan of a recount as plain values."""
    return {
        "loads": loads_as_list(plan.loads),
        "days": [{"day": each.isoformat(), "messages": messages} for each, messages in plan.days.items()],
    }


def loads_as_list(loads: Mapping[str, Generation]) -> list[dict[str, Any]]:
    """Agency -> load as plain values, sorted by agency."""
    return [{"agency_code": agency, "loaded_at": load.loaded_at, "load_id": load.load} for agency, load in sorted(loads.items())]


def loads_of(rows: object) -> dict[str, Generation]:
    """The reverse of ``loads_as_list``.

    Raises:
        ConfigurationError: ``rows`` has another form.
    """
    try:
        return {
            str(row["agency_code"]): Generation(int(row["loaded_at"]), str(row["load_id"]))
            for row in rows  # type: ignore[attr-defined]
        }
    except (TypeError, KeyError, ValueError) as error:
        raise ConfigurationError("loads must be an array of objects with agency_code, loaded_at and load_id.") from error


def _texts(values: object) -> Sequence[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ConfigurationError("agencies must be an array of texts.")
    return values
