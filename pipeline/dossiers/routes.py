"""Single dossiers over HTTP. A dossier code may identify a person, so all endpoints answer only trusted requests."""

from __future__ import annotations

from aiohttp import web

from domain.errors import ConfigurationError
from pipeline.dossiers.exclusion import ExclusionService
from pipeline.dossiers.service import DossierService
from pipeline.serving.requests import Threads, answered, error_response, json_body

#: Code of the answer that no message has a dossier code: a status of 404 alone may come from another program.
NO_DOSSIER = "no_dossier"


def dossier_routes(service: DossierService, exclusions: ExclusionService, threads: Threads) -> list[web.RouteDef]:
    """The endpoints that explain a dossier, and exclude it or include it again."""

    async def explain(request: web.Request) -> web.Response:
        code = request.match_info["code"]
        found = await threads.short(lambda: service.explain(code))
        if found is None:
            return error_response(404, f"No message with the dossier code {code[:80]!r} is stored.", code=NO_DOSSIER)
        return web.json_response(found)

    async def exclude(request: web.Request) -> web.Response:
        code, fields = request.match_info["code"], await json_body(request, fields=("excluded", "reason", "name"))
        excluded, reason, name = fields.get("excluded"), fields.get("reason", ""), fields.get("name", "")
        if not isinstance(excluded, bool):
            raise ConfigurationError("excluded must be true or false.")
        if not isinstance(reason, str) or not isinstance(name, str):
            raise ConfigurationError("reason and name must be texts.")
        if reason and not excluded:
            raise ConfigurationError("A dossier is included again without a reason.")
        changed = await threads.long(lambda: exclusions.change(code, excluded=excluded, reason=reason, name=name))
        return web.json_response(changed)

    return [
        web.get("/api/v1/dossiers/{code}", answered(explain)),
        web.post("/api/v1/dossiers/{code}/exclusion", answered(exclude)),
    ]
