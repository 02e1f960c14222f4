"""Dead letters over HTTP, for the command line beside an embedded storage: one process owns its folder.

Only this machine or a holder of the token may read raw messages, replay, drop or accept (``pipeline.serving.access``).
Changes are taken as ``application/json`` only, which no form of a foreign web page can send.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from domain.errors import ConfigurationError
from pipeline.dead_letters.service import MOST_ENTRIES, DeadLetterService, parse_filter
from pipeline.serving.access import demand_trust
from pipeline.serving.requests import Threads, answered, error_response, partition_number, trusted_json, whole_number
from sinks.contract.dead_letters import Position

#: Code of the answer that there is no such dead letter: a 404 alone may come from anywhere.
NO_DEAD_LETTER = "no_dead_letter"


def dead_letter_routes(desk: DeadLetterService, threads: Threads) -> list[web.RouteDef]:
    """The endpoints over ``desk``."""

    async def page(request: web.Request) -> web.Response:
        demand_trust(request)
        query = request.query
        fields: dict[str, Any] = {name: query[name] for name in ("from", "to") if name in query}
        fields |= {name: query.getall(name, []) for name in ("reason", "topic")}
        fields["replayed"] = query.get("replayed", "") == "1"
        wanted, limit, after = parse_filter(fields), _limit(query.get("limit", "50")), _position(query.get("after"))
        return web.json_response(await threads.short(lambda: desk.page(wanted, limit=limit, after=after)))

    async def show(request: web.Request) -> web.Response:
        demand_trust(request)
        found = request.match_info
        position = (found["topic"], partition_number(found["partition"]), whole_number("offset", found["offset"]))
        letter = await threads.short(lambda: desk.show(position))
        if letter is None:
            return error_response(404, f"There is no dead letter at {'/'.join(map(str, position))}.", code=NO_DEAD_LETTER)
        return web.json_response(letter)

    async def replay(request: web.Request) -> web.Response:
        fields = await trusted_json(request)
        wanted = parse_filter(fields)
        action = desk.preview if fields.get("dry_run") else desk.replay
        return web.json_response(await threads.long(lambda: action(wanted)))

    async def drop(request: web.Request) -> web.Response:
        wanted = parse_filter(await trusted_json(request))
        return web.json_response(await threads.long(lambda: desk.drop(wanted)))

    async def accept(request: web.Request) -> web.Response:
        fields = await trusted_json(request)
        topic, partition, until = fields.get("topic"), fields.get("partition"), fields.get("until")
        if not isinstance(topic, str) or type(partition) is not int or type(until) not in (int, type(None)):
            raise ConfigurationError("Accepting needs a topic (text), a partition and perhaps until (whole numbers).")
        return web.json_response(await threads.short(lambda: desk.accept(topic, partition, until=until)))

    return [
        web.get("/api/v1/dead-letters", answered(page)),
        web.get("/api/v1/dead-letters/{topic}/{partition}/{offset}", answered(show)),
        web.post("/api/v1/dead-letters/replay", answered(replay)),
        web.post("/api/v1/dead-letters/drop", answered(drop)),
        web.post("/api/v1/dead-letters/accept", answered(accept)),
    ]


def _limit(text: str) -> int:
    return whole_number("limit", text, least=1, most=MOST_ENTRIES)


def _position(text: str | None) -> Position | None:
    if text is None:
        return None
    topic, _, rest = text.partition("/")
    partition, _, offset = rest.partition("/")
    return topic, partition_number(partition), whole_number("offset", offset)
