"""Dead letters over HTTP, for the command line beside an embedded storage: one process owns its folder.

Only this machine or a holder of the token may read raw messages, replay, drop or accept (``pipeline.serving.access``).
Changes are taken as ``application/json`` only, which no form of a foreign web page can send.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from domain.errors import ConfigurationError, PortalPulseError
from pipeline.dead_letters.service import MOST_ENTRIES, DeadLetterDesk, parse_filter
from pipeline.serving.access import ForbiddenError, demand_trust
from sinks.contract import Position
from sinks.errors import SinkError

#: What Kafka and ClickHouse can count: a larger number would turn into another one.
MOST_PARTITION, MOST_OFFSET = 2**31 - 1, 2**63 - 1
#: Code of the answer that there is no such dead letter: a 404 alone may come from anywhere.
NO_DEAD_LETTER = "no_dead_letter"

InThread = Callable[[Callable[[], Any]], Awaitable[Any]]


def dead_letter_routes(desk: DeadLetterDesk, in_thread: InThread, in_long_thread: InThread) -> list[web.RouteDef]:
    """The endpoints over ``desk``; looking happens in threads, and what may take minutes in threads of its own."""

    async def page(request: web.Request) -> web.Response:
        demand_trust(request)
        query = request.query
        fields: dict[str, Any] = {name: query[name] for name in ("from", "to") if name in query}
        fields |= {name: query.getall(name, []) for name in ("reason", "topic")}
        fields["replayed"] = query.get("replayed", "") == "1"
        wanted, limit, after = parse_filter(fields), _limit(query.get("limit", "50")), _position(query.get("after"))
        return web.json_response(await in_thread(lambda: desk.page(wanted, limit=limit, after=after)))

    async def show(request: web.Request) -> web.Response:
        demand_trust(request)
        found = request.match_info
        position = (found["topic"], partition_number(found["partition"]), whole_number("offset", found["offset"]))
        letter = await in_thread(lambda: desk.show(position))
        if letter is None:
            return error_response(404, f"There is no dead letter at {'/'.join(map(str, position))}.", code=NO_DEAD_LETTER)
        return web.json_response(letter)

    async def replay(request: web.Request) -> web.Response:
        fields = await trusted_json(request)
        wanted = parse_filter(fields)
        action = desk.preview if fields.get("dry_run") else desk.replay
        return web.json_response(await in_long_thread(lambda: action(wanted)))

    async def drop(request: web.Request) -> web.Response:
        wanted = parse_filter(await trusted_json(request))
        return web.json_response(await in_long_thread(lambda: desk.drop(wanted)))

    async def accept(request: web.Request) -> web.Response:
        fields = await trusted_json(request)
        topic, partition, until = fields.get("topic"), fields.get("partition"), fields.get("until")
        if not isinstance(topic, str) or type(partition) is not int or type(until) not in (int, type(None)):
            raise ConfigurationError("Accepting needs a topic (text), a partition and perhaps until (whole numbers).")
        return web.json_response(await in_thread(lambda: desk.accept(topic, partition, until=until)))

    return [
        web.get("/api/v1/dead-letters", answered(page)),
        web.get("/api/v1/dead-letters/{topic}/{partition}/{offset}", answered(show)),
        web.post("/api/v1/dead-letters/replay", answered(replay)),
        web.post("/api/v1/dead-letters/drop", answered(drop)),
        web.post("/api/v1/dead-letters/accept", answered(accept)),
    ]


def answered(handler: Callable[[web.Request], Awaitable[web.Response]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    """The handler with every foreseen error as a status and one sentence."""

    async def wrapped(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except ForbiddenError as error:
            return error_response(403, str(error))
        except ConfigurationError as error:
            return error_response(400, str(error))
        except (PortalPulseError, SinkError) as error:
            return error_response(503, str(error))

    return wrapped


async def trusted_json(request: web.Request) -> dict[str, Any]:
    """The JSON object that asks for a change.

    Raises:
        ForbiddenError: it may not ask for one.
        ConfigurationError: it is not a JSON object.
    """
    demand_trust(request)
    if request.content_type != "application/json":
        raise ForbiddenError("Changes are asked for with Content-Type: application/json.")
    try:
        fields = json.loads(await request.text())
    except web.RequestPayloadError as error:  # it is not packed as its Content-Encoding says, or cut off
        raise ConfigurationError("The body of the request cannot be read.") from error
    except (ValueError, LookupError, RecursionError) as error:  # no JSON, an unknown charset, nested too deep
        raise ConfigurationError(f"This is no JSON: {error}.") from error
    if not isinstance(fields, dict):
        raise ConfigurationError("A JSON object is needed.")
    try:
        json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError("A text holds half of a surrogate pair, which is no character.") from error
    return fields


def error_response(status: int, text: str, *, code: str = "") -> web.Response:
    """An error in the form of every endpoint; ``code`` names it for programs."""
    return web.json_response({"error": text} | ({"code": code} if code else {}), status=status)


def _limit(text: str) -> int:
    return whole_number("limit", text, least=1, most=MOST_ENTRIES)


def whole_number(name: str, text: str, *, least: int = 0, most: int = MOST_OFFSET) -> int:
    """A parameter that is a whole number from ``least`` to ``most``.

    Raises:
        ConfigurationError: it is not; names the parameter.
    """
    try:
        number = int(text)
    except ValueError as error:
        raise ConfigurationError(f"{name} must be a whole number, this is {text[:40]!r}.") from error
    if not least <= number <= most:
        raise ConfigurationError(f"{name} must be from {least} to {most}, this is {text[:40]!r}.")
    return number


def partition_number(text: str) -> int:
    """A parameter that is the number of a partition.

    Raises:
        ConfigurationError: it is not.
    """
    return whole_number("partition", text, most=MOST_PARTITION)


def _position(text: str | None) -> Position | None:
    if text is None:
        return None
    topic, _, rest = text.partition("/")
    partition, _, offset = rest.partition("/")
    return topic, partition_number(partition), whole_number("offset", offset)
