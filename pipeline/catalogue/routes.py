"""The catalogue over HTTP. The catalogue is public, so everyone may read it; only trusted requests may load one."""

from __future__ import annotations

import json

from aiohttp import web

from domain.errors import ConfigurationError
from pipeline.catalogue.recount_routes import recount_routes
from pipeline.catalogue.service import CatalogueService
from pipeline.serving.requests import Threads, answered, day, json_body, takes


def catalogue_routes(service: CatalogueService, threads: Threads) -> list[web.RouteDef]:
    """The endpoints that show and load the catalogue."""

    @takes("day", "agency", "procedure", "all")
    async def show(request: web.Request) -> web.Response:
        query = request.query
        agencies = [code for text in query.getall("agency", []) for code in text.split(",") if code]
        chosen = day(query["day"], name="The parameter 'day'") if "day" in query else None
        all_days, procedure = _truth(query.get("all", "false")), query.get("procedure")

        def shown() -> str:
            found = service.show(day=chosen, agencies=agencies or None, procedure=procedure, all_days=all_days)
            return json.dumps(found)  # here: that of all agencies is large

        return web.json_response(text=await threads.short(shown))

    async def load(request: web.Request) -> web.Response:
        fields = await json_body(request, fields=("entries", "add", "source"), in_thread=threads.long)
        entries, add, source = fields.get("entries"), fields.get("add", False), fields.get("source", "")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ConfigurationError("entries must be an array of objects.")
        if not isinstance(add, bool) or not isinstance(source, str):
            raise ConfigurationError("add must be true or false, and source a text.")
        return web.json_response(await threads.long(lambda: service.load(entries, add=add, source=source)))

    return [
        web.get("/api/v1/catalogue", answered(show)),
        web.post("/api/v1/catalogue", answered(load)),
        *recount_routes(service.recount, threads),
    ]


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise ConfigurationError(f"The parameter 'all' must be true or false, not {text[:40]!r}.")
    return text == "true"
