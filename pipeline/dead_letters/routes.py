"""Dead letters over HTTP. An embedded storage belongs to one process, so commands ask that process.

Only trusted requests may read raw messages, replay, drop or accept (``pipeline.serving.access``).
Changes must be ``application/json``, which a form on another website cannot send.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from domain.errors import ConfigurationError
from pipeline.dead_letters.service import FILTER_FIELDS, MAX_PAGE_SIZE, DeadLetterService, parse_filter
from pipeline.serving.requests import Threads, answered, error_response, json_body, partition_number, takes, whole_number
from sinks.contract.dead_letters import DeadLetterFilter, Position

#: Code of the answer that a dead letter does not exist: a status of 404 alone may come from another program.
NO_DEAD_LETTER = "no_dead_letter"


def dead_letter_routes(service: DeadLetterService, threads: Threads) -> list[web.RouteDef]:
    """The endpoints that list, show, replay, drop and accept dead letters."""

    @takes(*FILTER_FIELDS, "limit", "after")
    async def page(request: web.Request) -> web.Response:
        criteria, limit, after = _page_of(request)
        return web.json_response(await threads.short(lambda: service.page(criteria, limit=limit, after=after)))

    async def show(request: web.Request) -> web.Response:
        parts = request.match_info
        position = (parts["topic"], partition_number(parts["partition"]), whole_number("offset", parts["offset"]))
        dead_letter = await threads.short(lambda: service.show(position))
        if dead_letter is None:
            return error_response(404, f"There is no dead letter at {'/'.join(map(str, position))}.", code=NO_DEAD_LETTER)
        return web.json_response(dead_letter)

    async def replay(request: web.Request) -> web.Response:
        fields = await json_body(request, fields=FILTER_FIELDS | {"dry_run"})
        dry_run = fields.pop("dry_run", False)
        if not isinstance(dry_run, bool):
            raise ConfigurationError("dry_run must be true or false.")
        criteria = parse_filter(fields)
        action = service.preview if dry_run else service.replay
        return web.json_response(await threads.long(lambda: action(criteria)))

    async def drop(request: web.Request) -> web.Response:
        criteria = parse_filter(await json_body(request, fields=FILTER_FIELDS))
        return web.json_response(await threads.long(lambda: service.drop(criteria)))

    async def accept(request: web.Request) -> web.Response:
        fields = await json_body(request, fields=("topic", "partition", "until"))
        topic, partition, until = fields.get("topic"), fields.get("partition"), fields.get("until")
        if not isinstance(topic, str) or type(partition) is not int or type(until) not in (int, type(None)):
            raise ConfigurationError("Give topic (text) and partition (whole number); until (whole number) is optional.")
        return web.json_response(await threads.short(lambda: service.accept(topic, partition, until=until)))

    return [
        web.get("/api/v1/dead-letters", answered(page)),
        web.get("/api/v1/dead-letters/{topic}/{partition}/{offset}", answered(show)),
        web.post("/api/v1/dead-letters/replay", answered(replay)),
        web.post("/api/v1/dead-letters/drop", answered(drop)),
        web.post("/api/v1/dead-letters/accept", answered(accept)),
    ]


def _limit(text: str) -> int:
    return whole_number("limit", text, minimum=1, maximum=MAX_PAGE_SIZE)


def _position(text: str | None) -> Position | None:
    if text is None:
        return None
    topic, _, rest = text.partition("/")
    partition, _, offset = rest.partition("/")
    return topic, partition_number(partition), whole_number("offset", offset)


def _page_of(request: web.Request) -> tuple[DeadLetterFilter, int, Position | None]:
    """The filter, the limit, and the position after which the page begins, from the parameters of a request."""
    query = request.query
    if query.get("replayed", "0") not in ("0", "1"):
        raise ConfigurationError("replayed must be 0 or 1.")
    fields: dict[str, Any] = {name: query[name] for name in query if name not in ("limit", "after")}
    fields |= {name: query.getall(name, []) for name in ("reason", "topic")}
    fields["replayed"] = query.get("replayed", "") == "1"
    return parse_filter(fields), _limit(query.get("limit", "50")), _position(query.get("after"))
