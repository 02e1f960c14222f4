"""Reads the parameters and bodies of requests, and makes the error answers, for every endpoint."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, TypeVar

from aiohttp import web

from domain.errors import ConfigurationError, PortalPulseError, refuse_unknown
from domain.periods import parse_day
from pipeline.serving.access import ForbiddenError
from pipeline.texts import read_json
from sinks.contract.audit import HashShard
from sinks.errors import SinkError

#: Largest numbers of Kafka and ClickHouse; larger ones would overflow.
MAX_PARTITION: Final = 2**31 - 1
MAX_OFFSET: Final = 2**63 - 1
_DAY_SECONDS: Final = 86_400.0
#: Where the addresses of figures, steps and changes begin. Metrics and health ignore parameters: probes may add their own.
API: Final = "/api/"
#: Parameters that a request may repeat.
_REPEATABLE: Final = frozenset({"agency", "reason", "topic"})
#: Not longer than the largest number that is allowed.
_WHOLE_NUMBER: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)
#: Most hash shards: the storage counts them in 32 bits, and a larger number would overflow.
_MAX_SHARDS: Final = 2**32 - 1

#: Longest wait for the body of a change.
BODY_SECONDS: Final = 60.0

Handler = Callable[[web.Request], Awaitable[web.Response]]
#: The attribute of a handler that names its parameters.
_PARAMETERS: Final = "__parameters__"
_Handler = TypeVar("_Handler", bound=Callable[..., Any])
InThread = Callable[[Callable[[], Any]], Awaitable[Any]]


class SlowBodyError(PortalPulseError):
    """The body of a request did not arrive in time."""


@dataclass(frozen=True, slots=True)
class Threads:
    """Run a handler's blocking work in a thread: ``short`` for figures that people wait for, ``long`` for work of minutes."""

    short: InThread
    long: InThread


#: Creates the endpoints of one feature.
Routes = Callable[[Threads], list[web.RouteDef]]


def takes(*names: str) -> Callable[[_Handler], _Handler]:
    """Declare a handler's parameters; ``refuse_wrong_parameters`` refuses requests that have other parameters."""

    def named(handler: _Handler) -> _Handler:
        setattr(handler, _PARAMETERS, frozenset(names))
        return handler

    return named


def takes_any(handler: _Handler) -> _Handler:
    """Let a handler accept any parameters. For handlers that only answer that the process does not have the endpoint."""
    setattr(handler, _PARAMETERS, None)
    return handler


@web.middleware
async def refuse_wrong_parameters(request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
    """Refuse a parameter that the endpoint does not have, or a second value where only one is read.

    If a misspelt parameter were ignored, the answer would have other figures than those that were asked for.
    """
    endpoint = request.match_info
    known: Collection[str] | None = getattr(endpoint.handler, _PARAMETERS, frozenset())
    if endpoint.http_exception is None and request.path.startswith(API) and known is not None:
        query = request.query
        try:
            refuse_unknown("parameter", set(query), known)
        except ConfigurationError as error:
            return error_response(400, str(error))
        if repeated := sorted(name for name in set(query) - _REPEATABLE if len(query.getall(name)) > 1):
            return error_response(400, f"The parameter {repeated[0][:40]!r} is given more than once. Give it once.")
    response: web.StreamResponse = await handler(request)
    return response


def answered(handler: Handler) -> Handler:
    """Wrap a handler, so that an error of the product becomes an answer with an error status and one sentence."""

    @wraps(handler)
    async def wrapped(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except ForbiddenError as error:
            return error_response(403, str(error))
        except SlowBodyError as error:
            return error_response(408, str(error))
        except web.HTTPRequestEntityTooLarge:
            return error_response(413, "The body is larger than this endpoint takes.")
        except ConfigurationError as error:
            return error_response(400, str(error))
        except (PortalPulseError, SinkError) as error:
            return error_response(503, str(error))

    return wrapped


async def json_body(request: web.Request, *, fields: Collection[str] = (), in_thread: InThread | None = None) -> dict[str, Any]:
    """The JSON object in the body of a request that makes a change. Only ``fields`` are allowed in the object.

    ``in_thread`` parses a body that may be large.

    Raises:
        ForbiddenError: the body is not declared as JSON, as a form of a browser's page would send it.
        ConfigurationError: the body is not a JSON object, or has another field.
        SlowBodyError: the body does not arrive in time.
    """
    if request.content_type != "application/json":
        raise ForbiddenError("A change must be sent with Content-Type: application/json.")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            text = await request.text()
    except TimeoutError as error:
        raise SlowBodyError(f"The body did not arrive within {BODY_SECONDS:g} s.") from error
    except web.RequestPayloadError as error:  # not compressed as its Content-Encoding says, or truncated
        raise ConfigurationError("The body of the request cannot be read.") from error
    except (ValueError, LookupError) as error:  # not text, or an unknown charset
        raise ConfigurationError(f"The body is not JSON: {error}.") from error
    found: dict[str, Any] = _json_object(text) if in_thread is None else await in_thread(lambda: _json_object(text))
    refuse_unknown("field", found.keys(), fields)
    return found


def _json_object(text: str) -> dict[str, Any]:
    try:
        found = read_json(text)
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"The body is not JSON: {error}.") from error
    except ValueError as error:
        raise ConfigurationError(f"The body cannot be read: {error}.") from error
    if not isinstance(found, dict):
        raise ConfigurationError("The body must be a JSON object.")
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError("A text contains half of a surrogate pair, which is not a character.") from error
    return found


def error_response(status: int, text: str, *, code: str = "") -> web.Response:
    """An error answer; ``code`` names the error for programs."""
    return web.json_response({"error": text} | ({"code": code} if code else {}), status=status)


def whole_number(name: str, text: str, *, minimum: int = 0, maximum: int = MAX_OFFSET) -> int:
    """Parse a whole number from ``minimum`` to ``maximum``.

    Raises:
        ConfigurationError: ``text`` is not such a number; the error begins with ``name``.
    """
    if _WHOLE_NUMBER.fullmatch(text) is None:  # int() takes more: other digits, underscores, spaces
        raise ConfigurationError(f"{name} must be a whole number, not {text[:40]!r}.")
    number = int(text)
    if not minimum <= number <= maximum:
        raise ConfigurationError(f"{name} must be from {minimum} to {maximum}, not {text[:40]!r}.")
    return number


def hash_shard(values: Mapping[str, str]) -> HashShard:
    """The hash shard that ``number`` and ``of`` name.

    Raises:
        ConfigurationError: one of them is not a whole number, or ``number`` is not less than ``of``.
    """
    number, of = (whole_number(name, values.get(name, ""), maximum=_MAX_SHARDS) for name in ("number", "of"))
    if not number < of:
        raise ConfigurationError("The parameter number must be less than the parameter of.")
    return HashShard(number, of)


def partition_number(text: str) -> int:
    """Parse the number of a partition.

    Raises:
        ConfigurationError: ``text`` is not such a number.
    """
    return whole_number("partition", text, maximum=MAX_PARTITION)


def day(text: str, *, name: str = "A day") -> dt.date:
    """Parse a civil day.

    Raises:
        ConfigurationError: ``text`` is not a civil day; the error begins with ``name``.
    """
    try:
        return parse_day(text)
    except ValueError as error:
        raise ConfigurationError(f"{name} must be written as 2024-08-20, not {text[:40]!r}.") from error


def days(request: web.Request) -> tuple[dt.date, dt.date]:
    """The parameters ``from`` and ``to``: two civil days.

    Raises:
        ConfigurationError: a parameter is missing or not a day; the error names it.
    """
    first, last = (day(request.query.get(name, ""), name=f"The parameter {name!r}") for name in ("from", "to"))
    return first, last


def seconds(name: str, text: str) -> float:
    """Parse a number of seconds, at most a day.

    Raises:
        ConfigurationError: ``text`` is not such a number; the error begins with ``name``.
    """
    try:
        number = float(text)
    except ValueError as error:
        raise ConfigurationError(f"{name} must be a number of seconds, not {text[:40]!r}.") from error
    if not 0 <= number <= _DAY_SECONDS:
        raise ConfigurationError(f"{name} must be from 0 to {_DAY_SECONDS:.0f} seconds.")
    return number
